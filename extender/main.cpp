// SPDX-License-Identifier: Apache-2.0
// optipod-extender: kube-scheduler's webhook.
#include <spdlog/spdlog.h>

#include <iostream>

#include "common/app/app.hpp"
#include "extender/config/parameters.hpp"
#include "extender/program.hpp"

namespace {

using namespace optipod;

int serve(app::Stop& stop, const extender::Options& options) {
  auto setup = extender::set_up(options);
  if (!setup) {
    spdlog::error("{}", setup.error());
    return app::kUsage;
  }
  extender::Program program(std::move(*setup));
  if (const auto started = program.start(); !started) {
    spdlog::error("{}", started.error());
    return app::kFailure;
  }
  program.run(stop);
  return app::kOk;
}

}  // namespace

int main(int argc, char** argv) {
  if (const auto aliased = extender::alias_environment(); !aliased) {
    std::cerr << "optipod-extender: " << aliased.error() << '\n';
    return app::kUsage;
  }
  extender::Options options;
  const app::Info info{"optipod-extender",
                       "Answers kube-scheduler's extender webhook (/filter, /prioritize, /preempt, "
                       "/bind) from the contention that was measured on the nodes, and says why "
                       "(/explain)."};
  return app::run(
      argc, argv, info, [&](CLI::App& cli) { extender::declare(cli, options); },
      [&](app::Stop& stop) { return serve(stop, options); });
}
