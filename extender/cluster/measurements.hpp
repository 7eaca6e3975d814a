// SPDX-License-Identifier: Apache-2.0
//
// From the text of a /federate answer and the measurements before it to the next.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "common/text/skeleton.hpp"
#include "extender/cluster/snapshot.hpp"

namespace optipod::extender {

struct Built {
  std::shared_ptr<const Measurements> measured;
  std::size_t samples = 0;      ///< taken
  std::size_t foreign = 0;      ///< series that are not the scheduling view's: skipped
  std::size_t nameless = 0;     ///< without a `node` label: skipped
  std::size_t bad_value = 0;    ///< negative, infinite or NaN: skipped, so missing
  std::size_t from_future = 0;  ///< measured later than now + keep_ms: a wrong clock; skipped
};

/// Reads one answer after the other. What one is good for depends on its arguments alone; what is
/// remembered, where each sample belongs, only makes the next cheaper when nothing but values and
/// times has moved. Not thread-safe.
class MeasurementsReader {
 public:
  /// `now_ms` stands for the time of samples that carry none. A node in `text` gets exactly the
  /// values told there (what a node does not tell any more is missing); a node absent from it keeps
  /// its last values at their true age. What is older than `keep_ms` is missing. Rows are those of
  /// `before`, then new nodes in order of name. The error says what is
  /// wrong on which line; nothing is built then.
  tl::expected<Built, std::string> read(std::string_view text, const Measurements& before,
                                        std::int64_t now_ms, std::int64_t keep_ms);

  /// The rows of `from` are those of `to` now. [row in `to`]: the row in `from`.
  void rows_moved(const NodeTable& from, const NodeTable& to, std::span<const std::uint32_t> order);

 private:
  /// Of a sample: the signal and the row, or why it is skipped.
  struct Place {
    static constexpr std::uint8_t kForeign = kSignals, kNameless = kSignals + 1;
    std::uint8_t signal = kForeign;
    std::uint32_t row = 0;
  };
  class Columns;
  class Sink;
  tl::expected<void, std::string> learn(std::string_view text, Columns& columns);

  std::shared_ptr<const text::Skeleton> skeleton_;  ///< null: nothing is remembered
  std::uint64_t table_ = 0;                         ///< the rows are those of this NodeTable
  std::vector<Place> places_;                       ///< [sample]
  std::vector<double> values_;
  std::vector<std::int64_t> times_ms_;
};

/// Sets what follows from the columns and received_ms: readings, oldest_ms and newest_ms.
void summarize(Measurements& measured);

/// Without values older than `keep_ms`; `measured` itself when it has none.
std::shared_ptr<const Measurements> without_expired(std::shared_ptr<const Measurements> measured,
                                                    std::int64_t now_ms, std::int64_t keep_ms);

/// With a row for each of `names`, and without rows of other nodes that have no value; new rows
/// come last. `measured` itself when that is so already.
std::shared_ptr<const Measurements> with_rows(std::shared_ptr<const Measurements> measured,
                                              std::span<const std::string> names);

/// With its rows in another order. [row to be]: the row now, each once.
std::shared_ptr<const Measurements> in_order(const Measurements& measured,
                                             std::span<const std::uint32_t> order);

}  // namespace optipod::extender
