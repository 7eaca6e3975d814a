// SPDX-License-Identifier: Apache-2.0
//
// Doubles that are short decimals, as most are that were read from a page or rounded: their digits
// are those of a whole number, which is several times quicker to write than to find the shortest
// digits of any double.
#pragma once

#include <cstdint>
#include <optional>

namespace optipod::text {

/// Writes what std::to_chars(general) writes, in at most 40 bytes, and anything behind it; returns
/// the end. Null when `value` has more than 15 digits, is below 1e-8 or above 1e15, or not finite.
char* write_decimal(char* to, double value);

/// A positive number in nine significant digits.
struct ShortDecimal {
  double value = 0;          ///< the nearest to these digits
  std::uint64_t digits = 0;  ///< four bits each, the first in the lowest, none of them 0 behind
  int count = 0;             ///< of the digits, without zeros at the end
  int exponent = 0;          ///< digits are d.ddd × 10^exponent
};

/// Nothing unless `value` is within [1e-12, 1e9).
std::optional<ShortDecimal> shortened(double value);

}  // namespace optipod::text
