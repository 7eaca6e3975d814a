// SPDX-License-Identifier: Apache-2.0
#include "common/kube/quantity.hpp"

#include <array>
#include <charconv>
#include <cmath>

namespace optipod::kube {
namespace {

struct Suffix {
  std::string_view text;
  double factor;
};

constexpr std::array<Suffix, 16> kSuffixes{{
    {"", 1},
    {"m", 1e-3},
    {"u", 1e-6},
    {"n", 1e-9},
    {"k", 1e3},
    {"M", 1e6},
    {"G", 1e9},
    {"T", 1e12},
    {"P", 1e15},
    {"E", 1e18},
    {"Ki", 1024.0},
    {"Mi", 1024.0 * 1024},
    {"Gi", 1024.0 * 1024 * 1024},
    {"Ti", 1024.0 * 1024 * 1024 * 1024},
    {"Pi", 1024.0 * 1024 * 1024 * 1024 * 1024},
    {"Ei", 1024.0 * 1024 * 1024 * 1024 * 1024 * 1024},
}};

std::optional<double> factor_of(std::string_view suffix) {
  for (const Suffix& known : kSuffixes) {
    if (known.text == suffix) return known.factor;
  }
  if (suffix.size() < 2 || (suffix[0] != 'e' && suffix[0] != 'E')) return std::nullopt;
  suffix.remove_prefix(1);
  if (suffix[0] == '+') {
    suffix.remove_prefix(1);
    if (suffix.empty() || suffix[0] == '-') return std::nullopt;
  }
  int exponent = 0;
  const auto [end, error] = std::from_chars(suffix.data(), suffix.data() + suffix.size(), exponent);
  if (error != std::errc() || end != suffix.data() + suffix.size()) return std::nullopt;
  return std::pow(10.0, exponent);
}

}  // namespace

std::optional<double> parse_quantity(std::string_view text) {
  bool negative = false;
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  const std::size_t length = text.find_first_not_of("0123456789.");
  const std::string_view digits = text.substr(0, length);
  const std::string_view suffix =
      length == std::string_view::npos ? std::string_view() : text.substr(length);
  double number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number,
                                            std::chars_format::fixed);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  const std::optional<double> factor = factor_of(suffix);
  if (!factor || !std::isfinite(number * *factor)) return std::nullopt;
  return negative ? -number * *factor : number * *factor;
}

}  // namespace optipod::kube
