// SPDX-License-Identifier: Apache-2.0
//
// The body of /federate, as Prometheus writes it.
#pragma once

#include <cstdint>
#include <span>
#include <string>

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

/// Appends every series that a selector matches, once, with its time: families by name as
/// `# TYPE <name> untyped`, in a family by labels, set by set. Labels by name; behind them what a
/// series lacks of the external labels, and instance="" where it has no instance. Returns the
/// number of series.
std::size_t federate(std::span<const SeriesSet* const> sets, std::span<const Selector> selectors,
                     std::int64_t now_ms, const FederateOptions& options, std::string& out);

/// Of all views' scraped, report, derived and pods' series, and of `more`.
std::size_t federate(const Views& views, std::span<const Selector> selectors, std::int64_t now_ms,
                     const FederateOptions& options, std::string& out,
                     std::span<const SeriesSet> more = {});

}  // namespace optipod::aggregator
