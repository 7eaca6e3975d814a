// SPDX-License-Identifier: Apache-2.0
//
// How benchmarks report: a table for people, or one JSON object a line with --json.
#pragma once

#include <cstdio>
#include <cstring>
#include <string>

namespace optipod::bench {

/// One measured case, beside its peer measured in the same run.
struct Result {
  std::string bench, name;
  double value = 0;
  std::string unit;
  std::string peer;  ///< "" when there is no peer: then the JSON carries null
  double peer_value = 0;
  bool lower_is_better = true;

  /// > 1 means OptiPod is better.
  [[nodiscard]] double ratio() const {
    return lower_is_better ? peer_value / value : value / peer_value;
  }
};

/// Prints results as they come. The names it prints hold no character that JSON escapes.
class Report {
 public:
  Report(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) json_ = json_ || std::strcmp(argv[i], "--json") == 0;
  }
  [[nodiscard]] bool json() const { return json_; }

  void add(const Result& r) {
    if (json_) {
      std::printf(R"({"bench":"%s","case":"%s","value":%.6g,"unit":"%s",)", r.bench.c_str(),
                  r.name.c_str(), r.value, r.unit.c_str());
      if (r.peer.empty()) {
        std::printf("\"peer\":null,\"peer_value\":null,\"ratio\":null}\n");
      } else {
        std::printf("\"peer\":\"%s\",\"peer_value\":%.6g,\"ratio\":%.4g}\n", r.peer.c_str(),
                    r.peer_value, r.ratio());
      }
    } else {
      if (!header_) {
        std::printf("%-10s %-34s %14s  %-26s %14s %9s\n", "bench", "case", "OptiPod", "peer",
                    "peer", "ratio");
      }
      header_ = true;
      const std::string value = number(r.value) + " " + r.unit;
      if (r.peer.empty()) {
        std::printf("%-10s %-34s %14s\n", r.bench.c_str(), r.name.c_str(), value.c_str());
      } else {
        std::printf("%-10s %-34s %14s  %-26s %14s %8.2fx\n", r.bench.c_str(), r.name.c_str(),
                    value.c_str(), r.peer.c_str(), (number(r.peer_value) + " " + r.unit).c_str(),
                    r.ratio());
      }
    }
    std::fflush(stdout);
  }

 private:
  static std::string number(double v) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4g", v);
    return text;
  }
  bool json_ = false;
  bool header_ = false;
};

}  // namespace optipod::bench
