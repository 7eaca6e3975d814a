// SPDX-License-Identifier: Apache-2.0
//
// What every program does the same way: flags, OPTIPOD_* environment, --config FILE, --help with
// units and defaults, --version, --log-level, --log-format, clean stop on SIGTERM and SIGINT, and
// no exception out of main.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

namespace optipod::app {

/// Exit statuses shared by all programs.
enum ExitCode : int {
  kOk = 0,
  kFailure = 1,        ///< it could not do its work; the last log line says why
  kUsage = 2,          ///< a flag, environment variable or configuration is wrong
  kAlreadyRunning = 3  ///< another instance holds the resource; the message names it
};

struct Info {
  std::string name;         ///< "optipod-agent"
  std::string description;  ///< one paragraph for --help
};

/// Tells when to stop; set by SIGTERM, SIGINT or request(). Thread-safe.
class Stop {
 public:
  virtual ~Stop() = default;
  [[nodiscard]] virtual bool requested() const = 0;
  virtual void request() = 0;
  /// Sleeps until the deadline, a stop, or (unless it is -1) until the descriptor is readable; true
  /// when stopping.
  virtual bool wait_until(std::chrono::steady_clock::time_point deadline, int readable_fd) = 0;
  bool wait_until(std::chrono::steady_clock::time_point deadline) {
    return wait_until(deadline, -1);
  }
  virtual void wait() = 0;
};

/// Declares options on `cli` before parsing: every option added there also reads its environment
/// variable OPTIPOD_<NAME> (upper case, dashes and dots as underscores) unless it named one itself.
using Declare = std::function<void(CLI::App& cli)>;
/// The program; runs after logging and signals are set up; returns an exit status.
using Body = std::function<int(Stop& stop)>;

/// main() of every program: `int main(int c, char** v) { return app::run(c, v, {...}, declare,
/// body); }`
int run(int argc, char** argv, const Info& info, const Declare& declare, const Body& body);

/// A CLI11 transform for durations such as "500ms", "1s", "2m", stored in the bound variable; shown
/// with its unit in --help. Rejects values without a unit with a message that gives an example.
CLI::Option* add_duration(CLI::App& cli, const std::string& flag, std::chrono::milliseconds& value,
                          const std::string& help);

/// One of a few names, as in {{"on", true}, {"off", false}}; --help shows them and the default.
template <class T>
CLI::Option* add_choice(CLI::App& cli, const std::string& flag, T& value,
                        std::vector<std::pair<std::string, T>> choices, const std::string& help) {
  std::string names;
  std::string chosen;
  for (const auto& [name, meaning] : choices) {
    names += (names.empty() ? "" : "|") + name;
    if (meaning == value) chosen = name;
  }
  const auto set = [&value, flag, names, choices = std::move(choices)](const std::string& text) {
    for (const auto& [name, meaning] : choices) {
      if (name != text) continue;
      value = meaning;
      return;
    }
    throw CLI::ValidationError(flag, "'" + text + "' is none of " + names);
  };
  return cli.add_option_function<std::string>(flag, set, help)
      ->type_name(names)
      ->default_str(chosen);
}

}  // namespace optipod::app
