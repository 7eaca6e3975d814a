// SPDX-License-Identifier: Apache-2.0
//
// The hot writer of the page: an exposition format straight into one buffer, integers only. 250
// containers are more than 20,000 lines, so each line is a copy of prepared text and a number.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/exporter/metric.hpp"
#include "common/text/exposition.hpp"
#include "shm/records.hpp"

namespace optipod::exporter {

/// Appends `ns` nanoseconds as exact decimal seconds ("1.5", "0.000000001"): every digit the kernel
/// counted, and what a reader parses is the double nearest to it.
void append_seconds(std::string& out, std::uint64_t ns);

/// Appends to a caller-owned buffer. A family that gets no sample leaves no trace: what is unknown
/// is absent, never zero. `labels` is rendered text as text::append_label makes it; `more` one
/// label behind them, or null. Label sets within a family must differ; the page does not check.
class Page {
 public:
  explicit Page(std::string& out, text::Format format = text::Format::kText)
      : out_(out), exposition_(out, format) {}

  /// Starts a metric's family; the metric must live until the next call of family().
  void family(const Metric& metric);

  void sample(std::string_view labels, const Label* more, std::uint64_t value);
  void sample_seconds(std::string_view labels, const Label* more, std::uint64_t ns);
  /// 21 cumulative buckets of 2^10 .. 2^30 ns, +Inf, _sum and _count. Shorter waits are in the
  /// first bucket, longer ones in +Inf alone; `le` is inclusive, as the record's bounds are.
  void histogram(std::string_view labels, const Label* more, const shm::Histogram& histogram);

 private:
  void begin_family();
  void begin_line(std::string_view suffix, std::string_view labels, const Label* more);

  std::string& out_;
  text::ExpositionWriter exposition_;
  std::string name_;
  const Metric* metric_ = nullptr;
  bool begun_ = false;
  std::string bucket_;  ///< a bucket line up to and including le="
};

}  // namespace optipod::exporter
