// SPDX-License-Identifier: Apache-2.0
//
// One target's bodies → series with the server's labels. All or nothing: a body that is wrong
// anywhere, over a limit, or shows a series twice gives no series at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "aggregator/series.hpp"

namespace optipod::aggregator {

struct ParseLimits {
  std::size_t max_samples = 100'000;  ///< a body with more fails
  // As Prometheus counts them: with the target's labels, and the metric's name as a label's value.
  std::size_t max_labels = 64;                   ///< of one series
  std::size_t max_label_name_bytes = 8 * 1024;   ///< of one label's name
  std::size_t max_label_value_bytes = 8 * 1024;  ///< of one label's value
};

struct BodyError {
  enum class Kind { kSyntax, kLimit, kDuplicate };
  Kind kind = Kind::kSyntax;
  std::string what;
};

/// Remembers the last body's names and labels: a body that repeats them costs a comparison, and
/// shares the schema. Not thread-safe; one a target.
class BodyParser {
 public:
  /// `labels` (sorted) go onto every series; an exposed label of the same name becomes
  /// exported_<name>, with the prefix repeated until it is free. Exposed labels never win: the
  /// scheduler trusts ours.
  BodyParser(LabelPairs labels, ParseLimits limits);
  ~BodyParser();
  BodyParser(BodyParser&&) noexcept;
  BodyParser& operator=(BodyParser&&) noexcept;

  /// Times: an explicit one counts unless it lies behind `received_ms`. Series measured on the node
  /// (see is_measured) have the page's optipod_sample_timestamp_seconds, unless that is absent or
  /// lies behind `received_ms`, or the page says that its agent is gone; all others have
  /// `scraped_ms`, the moment when the target was asked.
  tl::expected<SeriesSet, BodyError> parse(std::string_view body, std::int64_t scraped_ms,
                                           std::int64_t received_ms);

 private:
  class Sink;
  std::unique_ptr<Sink> sink_;
};

/// Whether a metric of the exporter's page was read by the agent rather than made by the exporter.
bool is_measured(std::string_view name);

/// The value of the first series of that name; stale() when there is none.
double value_of(const SeriesSet& set, std::string_view name);

}  // namespace optipod::aggregator
