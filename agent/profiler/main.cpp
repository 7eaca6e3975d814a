// SPDX-License-Identifier: Apache-2.0
// optipod-agent: the kernel in, shared memory out.
#include "agent/profiler/agent.hpp"

int main(int argc, char** argv) {
  using namespace optipod;
  agent::Options options;
  const app::Info info{
      "optipod-agent",
      "Measures in the kernel what this node's containers wait for and publishes it in shared "
      "memory. Starts with CAP_BPF and CAP_PERFMON (or as root), which it gives up once attached. "
      "It opens no socket: optipod-exporter serves what it knows, its own cost and health too."};
  return app::run(
      argc, argv, info, [&](CLI::App& cli) { agent::declare(cli, options); },
      [&](app::Stop& stop) { return agent::run(stop, options); });
}
