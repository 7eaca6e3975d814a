// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/cpu_list.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

namespace optipod::agent {
namespace {

constexpr unsigned kMaxCpu = 8191;  // CONFIG_NR_CPUS_RANGE_END on x86-64

/// Takes a number off the front.
std::optional<unsigned> take_number(std::string_view& text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value > kMaxCpu) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

}  // namespace

tl::expected<std::vector<unsigned>, std::string> parse_cpu_list(std::string_view text) {
  const std::string whole(text);
  const auto error = [&] {
    return tl::unexpected("'" + whole + "' is not a list of CPUs; write one like 0-3,6");
  };
  std::vector<unsigned> cpus;
  while (!text.empty()) {
    const auto first = take_number(text);
    if (!first) return error();
    auto last = first;
    if (text.starts_with('-')) {
      text.remove_prefix(1);
      last = take_number(text);
    }
    if (!last || *last < *first) return error();
    for (unsigned cpu = *first; cpu <= *last; ++cpu) cpus.push_back(cpu);
    if (text.empty()) break;
    if (!text.starts_with(',') || text.size() == 1) return error();
    text.remove_prefix(1);
  }
  std::sort(cpus.begin(), cpus.end());
  cpus.erase(std::unique(cpus.begin(), cpus.end()), cpus.end());
  return cpus;
}

}  // namespace optipod::agent
