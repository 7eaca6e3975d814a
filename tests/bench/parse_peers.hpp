// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

namespace optipod::bench {

/// The parsers of Prometheus and VictoriaMetrics: peers/go_parse, built into a directory that goes
/// with this. Throws std::runtime_error when something there fails.
class GoParsers {
 public:
  struct Speed {
    double gigabytes_per_second = 0;
    std::size_t samples = 0;  ///< of one scrape
  };

  explicit GoParsers(const std::string& source_dir);
  ~GoParsers();
  GoParsers(const GoParsers&) = delete;
  GoParsers& operator=(const GoParsers&) = delete;

  /// By parser; empty where there is no Go that is new enough: then missing() tells.
  [[nodiscard]] std::map<std::string, Speed> parse(const std::vector<std::string>& scrapes) const;
  [[nodiscard]] const std::string& missing() const { return missing_; }

 private:
  std::string dir_, missing_;
};

}  // namespace optipod::bench
