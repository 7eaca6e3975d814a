// SPDX-License-Identifier: Apache-2.0
//
// The hot writer of the page: a text format straight into one buffer, integers only. 250 containers
// are more than 20,000 lines, so each line is a copy of prepared text and a number.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/exporter/page.hpp"

namespace optipod::exporter {

/// Appends `ns` nanoseconds as exact decimal seconds ("1.5", "0.000000001"): every digit the kernel
/// counted, and what a reader parses is the double nearest to it.
void append_seconds(std::string& out, std::uint64_t ns);

/// Text format 0.0.4 or OpenMetrics. Histograms have their bounds in seconds, +Inf, _sum and
/// _count.
class TextPage : public Page {
 public:
  TextPage(std::string& out, text::Format format, Buckets buckets)
      : out_(out), exposition_(out, format), buckets_(shown_buckets(buckets)) {}

  void family(const Metric& metric) override;
  /// Goes on with a family whose header stands already.
  void resume(const Metric& metric);
  void sample(std::string_view labels, const Label* more, std::uint64_t value) override;
  void sample_number(std::string_view labels, double value) override;
  void sample_seconds(std::string_view labels, const Label* more, std::uint64_t ns) override;
  void histogram(std::string_view labels, const Label* more,
                 const shm::Histogram& histogram) override;
  void queue_lengths(std::string_view labels, const shm::QueueLengths& lengths) override;

 private:
  void begin_family();
  void begin_line(std::string_view suffix, std::string_view labels, const Label* more);
  void begin_buckets(std::string_view labels, const Label* more);

  std::string& out_;
  text::ExpositionWriter exposition_;
  const std::span<const std::size_t> buckets_;
  std::string name_;
  const Metric* metric_ = nullptr;
  bool begun_ = false;
  std::string bucket_;  ///< a bucket line up to and including le="
};

}  // namespace optipod::exporter
