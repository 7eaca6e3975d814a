// SPDX-License-Identifier: Apache-2.0
//
// `optipod-aggregator check-metrics [--openmetrics] [FILE…]`: says of any page whether it would be
// taken, so that everybody can run their own through it.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace optipod::aggregator {

class CheckMetrics {
 public:
  /// Adds the subcommand to `cli`; both must outlive the parsing.
  void declare(CLI::App& cli);
  [[nodiscard]] bool wanted() const { return command_ != nullptr && command_->parsed(); }
  /// Prints FILE:LINE:COLUMN: reason for each page that is wrong; returns an app::ExitCode.
  [[nodiscard]] int run() const;

 private:
  CLI::App* command_ = nullptr;
  bool openmetrics_ = false;
  std::vector<std::string> files_;  ///< none, or "-": standard input
};

}  // namespace optipod::aggregator
