// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "agent/exporter/metric.hpp"
#include "common/text/exposition.hpp"
#include "shm/records.hpp"

namespace optipod::exporter {

/// Which bounds a histogram shows.
enum class Buckets {
  kFull,     ///< 21: 2^10, 2^11 .. 2^30 ns
  kCompact,  ///< 10: 2^12, 2^14 .. 2^30 ns
};
/// The record's buckets that are shown: bucket k ends at 2^k ns.
std::span<const std::size_t> shown_buckets(Buckets buckets);
/// Most tasks that looks of a record's bucket found; of the last one there is no bound.
constexpr std::uint64_t queue_bound(std::size_t bucket) {
  return bucket == 0 ? 0 : std::uint64_t{1} << (bucket - 1);
}

/// Writes an exposition format. Appends to a buffer of the caller's, whole when the page is gone. A
/// family that gets no sample leaves no trace: what is unknown is absent, never zero. `labels` is
/// text as text::append_label renders it; `more` one label behind them, or null. Label sets within
/// a family must differ; the page does not check.
class Page {
 public:
  Page() = default;
  Page(const Page&) = delete;
  Page& operator=(const Page&) = delete;
  virtual ~Page() = default;

  /// Starts a metric's family; the metric must live until the next call of family().
  virtual void family(const Metric& metric) = 0;

  virtual void sample(std::string_view labels, const Label* more, std::uint64_t value) = 0;
  virtual void sample_number(std::string_view labels, double value) = 0;
  virtual void sample_seconds(std::string_view labels, const Label* more, std::uint64_t ns) = 0;
  /// Waits below the first bound shown are in its bucket, those above the last in +Inf alone;
  /// bounds are inclusive, as the record's are.
  virtual void histogram(std::string_view labels, const Label* more,
                         const shm::Histogram& histogram) = 0;
  /// Whole numbers of tasks, every bound shown.
  virtual void queue_lengths(std::string_view labels, const shm::QueueLengths& lengths) = 0;
};

std::unique_ptr<Page> make_page(std::string& out, text::Format format, Buckets buckets);

}  // namespace optipod::exporter
