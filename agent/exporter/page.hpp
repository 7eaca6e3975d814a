// SPDX-License-Identifier: Apache-2.0
//
// The hot writer of the page: text format 0.0.4 straight into one buffer, integers only. 250
// containers are more than 20,000 lines, so each line is a copy of prepared text and a number.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/text/exposition.hpp"
#include "shm/records.hpp"

namespace optipod::exporter {

/// Appends `ns` nanoseconds as exact decimal seconds ("1.5", "0.000000001"): every digit the kernel
/// counted, and what a reader parses is the double nearest to it.
void append_seconds(std::string& out, std::uint64_t ns);

/// Appends to a caller-owned buffer. A family that gets no sample leaves no trace: what is unknown
/// is absent, never zero. `labels` is rendered text as text::append_label makes it, `more`
/// likewise; both may be empty. Label sets within a family must differ; the page does not check.
class Page {
 public:
  explicit Page(std::string& out) : out_(out), exposition_(out) {}

  /// Starts optipod_<scope>_<name>; the views must live until the next call of family().
  void family(std::string_view scope, std::string_view name, text::MetricType type,
              std::string_view help);

  void sample(std::string_view labels, std::string_view more, std::uint64_t value);
  void sample_seconds(std::string_view labels, std::string_view more, std::uint64_t ns);
  /// 21 cumulative buckets of 2^10 .. 2^30 ns, +Inf, _sum and _count. Shorter waits are in the
  /// first bucket, longer ones in +Inf alone; `le` is inclusive, as the record's bounds are.
  void histogram(std::string_view labels, std::string_view more, const shm::Histogram& histogram);

 private:
  void begin_family();
  void begin_line(std::string_view suffix, std::string_view labels, std::string_view more);

  std::string& out_;
  text::ExpositionWriter exposition_;
  std::string name_;
  std::string_view help_;
  text::MetricType type_ = text::MetricType::kUntyped;
  bool begun_ = false;
  std::string bucket_;  ///< a bucket line up to and including le="
};

}  // namespace optipod::exporter
