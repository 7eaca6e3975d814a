// SPDX-License-Identifier: Apache-2.0
//
// The body of /federate, as Prometheus writes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "aggregator/selector.hpp"
#include "aggregator/series.hpp"
#include "aggregator/store.hpp"
#include "common/text/exposition.hpp"

namespace optipod::aggregator {

struct FederateOptions {
  std::int64_t lookback_ms = 5 * 60'000;      ///< a sample that is older is not served
  LabelPairs external_labels;                 ///< sorted by name; fill gaps, never override
  text::Format format = text::Format::kText;  ///< or kProtobuf; there is no OpenMetrics here
};

/// Every series that a selector matches, once, with its time: families by name as
/// `# TYPE <name> untyped`, in a family by labels, set by set. Labels by name; behind them what a
/// series lacks of the external labels, and instance="" where it has no instance. Made piece by
/// piece, so that a piece is sent from the CPU's cache while nobody holds the whole: what is said
/// was so at one moment, that of the constructor, whenever the rest is asked for. For one thread at
/// a time.
class FederateBody {
 public:
  static constexpr std::size_t kPiece = 256 * 1024;  ///< bytes; a few more, or a family of protobuf

  /// The sets outlive it, the selectors need not.
  FederateBody(std::span<const SeriesSet* const> sets, std::span<const Selector> selectors,
               std::int64_t now_ms, const FederateOptions& options);
  /// Of all views' scraped, report, derived and pods' series, and of `more`.
  FederateBody(Views views, std::vector<SeriesSet> more, std::span<const Selector> selectors,
               std::int64_t now_ms, const FederateOptions& options);
  ~FederateBody();
  FederateBody(const FederateBody&) = delete;
  FederateBody& operator=(const FederateBody&) = delete;

  /// Appends the next piece; false when that was the last one.
  bool next(std::string& out);
  /// Series so far.
  [[nodiscard]] std::size_t written() const;

 private:
  struct State;
  const Views views_;
  const std::vector<SeriesSet> more_;
  std::unique_ptr<State> state_;
};

/// All pieces at once. Returns the number of series.
std::size_t federate(std::span<const SeriesSet* const> sets, std::span<const Selector> selectors,
                     std::int64_t now_ms, const FederateOptions& options, std::string& out);
std::size_t federate(const Views& views, std::span<const Selector> selectors, std::int64_t now_ms,
                     const FederateOptions& options, std::string& out,
                     std::vector<SeriesSet> more = {});

}  // namespace optipod::aggregator
