// SPDX-License-Identifier: Apache-2.0
//
// OpenMetrics 1.0, strictly: what its specification says MUST, and what its own test cases refuse
// (github.com/OpenObservability/OpenMetrics, specification/OpenMetrics.md, tests/testdata/parsers).
// The cases, and where this differs from other parsers: docs/exposition.md.
#pragma once

#include <cstddef>
#include <string_view>

#include <tl/expected.hpp>

#include "common/text/parse.hpp"

namespace optipod::text {

/// Returns the number of samples. Tells `sink` the families' names (a counter's is without _total;
/// unknown, info, stateset and gaugehistogram are kUntyped), help and samples, timestamps in
/// milliseconds, rounded down; exemplars are checked and left out. An error means all of it is
/// void. Time and memory are linear in `body`, times the logarithm of the labels in a line.
tl::expected<std::size_t, ParseError> parse_openmetrics(std::string_view body, ParseSink& sink);

}  // namespace optipod::text
