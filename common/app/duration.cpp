// SPDX-License-Identifier: Apache-2.0
#include "common/app/duration.hpp"

#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace optipod::app {
namespace {

struct Unit {
  std::string_view name;
  long long ms;
};
constexpr Unit kUnits[] = {
    {"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}};

std::optional<long long> unit_ms(std::string_view name) {
  for (const Unit& unit : kUnits) {
    if (unit.name == name) return unit.ms;
  }
  return std::nullopt;
}

}  // namespace

tl::expected<std::chrono::milliseconds, std::string> parse_duration(std::string_view text) {
  constexpr double kMost = 1e15;  // ms; 30,000 years, and exact in a double
  const auto fail = [&](std::string_view why) {
    return tl::unexpected(fmt::format(
        "\"{}\" {}; write a number with a unit, for example 500ms, 2s, 5m or 1h30m", text, why));
  };
  if (text.empty()) return fail("is not a duration");
  double total = 0;
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p != end) {
    double amount = 0;
    if ((*p < '0' || *p > '9') && *p != '.') return fail("is not a duration");
    const auto [number_end, error] = std::from_chars(p, end, amount, std::chars_format::fixed);
    if (error != std::errc()) return fail("is not a duration");
    const char* unit_end = number_end;
    while (unit_end != end && *unit_end >= 'a' && *unit_end <= 'z') ++unit_end;
    const std::string_view unit(number_end, static_cast<std::size_t>(unit_end - number_end));
    if (unit.empty()) return fail("has no unit");
    const auto factor = unit_ms(unit);
    if (!factor) return fail("has an unknown unit");
    total += amount * static_cast<double>(*factor);
    if (!(total < kMost)) return fail("is too long");
    p = unit_end;
  }
  return std::chrono::milliseconds(std::llround(total));
}

std::string format_duration(std::chrono::milliseconds value) {
  long long rest = value.count();
  if (rest == 0) return "0s";
  std::string out;
  for (const Unit& unit : kUnits) {
    const long long amount = rest / unit.ms;
    if (amount == 0) continue;
    out += std::to_string(amount);
    out += unit.name;
    rest -= amount * unit.ms;
  }
  return out;
}

}  // namespace optipod::app
