// SPDX-License-Identifier: Apache-2.0
// The smallest program there is, for test_app.cpp: prints its options, logs, waits or throws as
// told.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include <spdlog/spdlog.h>

#include "common/app/app.hpp"

int main(int argc, char** argv) {
  using namespace optipod;
  std::chrono::milliseconds interval{1'000};
  std::string mode = "print";
  std::string own = "default";
  bool flag = false;
  std::vector<std::string> targets;
  return app::run(
      argc, argv, {"optipod-probe", "A program for tests."},
      [&](CLI::App& cli) {
        app::add_duration(cli, "--poll-interval", interval, "Time between polls");
        cli.add_option("--mode", mode, "What to do")->capture_default_str();
        cli.add_option("--own", own, "Has a variable of its own")->envname("PROBE_OWN");
        cli.add_flag("--flag", flag, "A flag");
        cli.add_option("--target", targets, "Repeatable")->delimiter(',');
      },
      [&](app::Stop& stop) -> int {
        std::printf("interval=%lld own=%s flag=%d", static_cast<long long>(interval.count()),
                    own.c_str(), flag ? 1 : 0);
        for (const auto& target : targets) std::printf(" target=%s", target.c_str());
        std::printf("\n");
        std::fflush(stdout);
        spdlog::info("said \"hello\"\n\xFF\x01");
        spdlog::debug("detail");
        if (mode == "throw") throw std::runtime_error("it broke");
        if (mode == "throw-int") throw 7;
        if (mode == "request") stop.request();
        if (mode == "wait" || mode == "request") stop.wait();
        if (mode == "sleep") {
          const auto soon = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
          std::printf("stopped=%d\n", stop.wait_until(soon) ? 1 : 0);
          std::fflush(stdout);
          const auto late = std::chrono::steady_clock::time_point::max();
          std::printf("stopped=%d\n", stop.wait_until(late) ? 1 : 0);
        }
        if (mode == "pipe") raise(SIGPIPE);
        return mode == "busy" ? app::kAlreadyRunning : app::kOk;
      });
}
