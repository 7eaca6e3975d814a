// SPDX-License-Identifier: Apache-2.0
//
// Which exporters there are: --target flags and Prometheus file_sd files.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "aggregator/series.hpp"

namespace optipod::aggregator {

struct Target {
  std::string node;     ///< unique over all targets
  std::string address;  ///< host:port
  std::string path = "/metrics";
  LabelPairs labels;  ///< sorted by name; always holds instance, job and node

  [[nodiscard]] std::string url() const { return "http://" + address + path; }
  bool operator==(const Target&) const = default;
};

inline constexpr std::string_view kDefaultJob = "optipod";
inline constexpr std::size_t kMaxTargets = 100'000;

/// "[NAME=]HOST:PORT[/path]"; NAME defaults to HOST:PORT. The error says what is wrong and shows an
/// example.
tl::expected<Target, std::string> parse_target(std::string_view text);

/// A file_sd file: a list of {"targets": ["host:port", ...], "labels": {...}}. Labels `node`,
/// `instance`, `job`, `__metrics_path__` and `__scheme__` (http only) are understood, other labels
/// are added to every series of the target, other names with `__` in front are dropped.
enum class FileFormat { kJson, kYaml };
tl::expected<std::vector<Target>, std::string> parse_file_sd(std::string_view text,
                                                             FileFormat format);

/// Re-reads files that changed and merges all sources. One thread.
class Discovery {
 public:
  Discovery(std::vector<Target> fixed, std::vector<std::string> files);

  /// Looks at each file's identity, and reads it when that changed or was not read for a minute. A
  /// file that is missing or malformed keeps its last good list. Returns whether targets() changed.
  bool refresh(std::chrono::steady_clock::time_point now);

  /// Ordered as given: flags, then files. A node's name that is taken already is left out: the
  /// first wins.
  [[nodiscard]] const std::vector<Target>& targets() const { return targets_; }
  /// What is wrong now: one message a file that could not be used, one a target left out.
  [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }

  struct FileState {
    std::string path;
    std::uint64_t errors = 0;  ///< readings that failed
    bool good = false;         ///< the last reading succeeded
    std::size_t targets = 0;   ///< in the list in use
  };
  [[nodiscard]] std::vector<FileState> files() const;
  [[nodiscard]] std::size_t left_out() const { return left_out_; }

 private:
  struct File {
    FileState state;
    std::string identity;  ///< of the last reading: device, inode, size, times
    std::chrono::steady_clock::time_point read_at{};
    bool read = false;
    std::string error;
    std::vector<Target> targets;
  };
  static bool reload(File& file, std::chrono::steady_clock::time_point now);
  bool merge();

  std::vector<Target> fixed_;
  std::vector<File> files_;
  std::vector<Target> targets_;
  std::vector<std::string> problems_;
  std::size_t left_out_ = 0;
};

}  // namespace optipod::aggregator
