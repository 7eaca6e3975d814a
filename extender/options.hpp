// SPDX-License-Identifier: Apache-2.0
// What the command line, the environment and --config set.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "extender/feeds/source.hpp"
#include "extender/serve/answers.hpp"

namespace optipod::extender {

enum class UseKubernetes : std::uint8_t {
  kAuto,  ///< if a kubeconfig is named or we run in a cluster
  kOn,    ///< it is an error not to know where the API server is
  kOff
};

struct Options {
  std::string listen_address = ":8888";
  std::string web_config;
  unsigned threads = 2;
  std::size_t max_request_bytes = 64 * 1024 * 1024;
  std::size_t max_connections = 128;
  std::size_t max_queued = 64;
  std::chrono::milliseconds deadline{100};

  SourceOptions source;
  std::string metrics_config;
  std::chrono::milliseconds profile_interval{30'000};
  std::chrono::milliseconds fresh_for{5'000}, expire_after{30'000};

  AnswerOptions answers;
  std::size_t explain_decisions = 512;

  std::vector<std::string> policy;
  std::string policies_file;
  std::vector<std::string> extended_resources{"nvidia.com/gpu"};

  UseKubernetes kubernetes = UseKubernetes::kAuto;
  std::string kubeconfig, kube_context;
  std::chrono::milliseconds bind_timeout{10'000};
  std::size_t bind_threads = 16;
};

void declare(CLI::App& cli, Options& options);

/// What no single option can know to be wrong; "" when nothing is.
std::string problem(const Options& options);

}  // namespace optipod::extender
