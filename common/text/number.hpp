// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

namespace optipod::text {

/// A sample's value as the Prometheus server accepts it: decimal floats with optional sign, inf and
/// infinity in any case with optional sign, nan in any case without. No hex, no underscores,
/// nothing that overflows; what underflows is 0.
std::optional<double> parse_number(std::string_view s);

}  // namespace optipod::text
