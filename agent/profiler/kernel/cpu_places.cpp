// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/kernel/cpu_places.hpp"

#include <filesystem>
#include <fstream>
#include <optional>
#include <string_view>
#include <system_error>

#include "bpf/shared.h"

namespace optipod::agent::kernel {
namespace {

/// The number a file begins with: a level, or the first of a list of CPUs.
std::optional<std::uint32_t> number_in(const std::string& file) {
  std::ifstream in(file);
  std::uint32_t number = 0;
  return in >> number ? std::optional(number) : std::nullopt;
}

/// First CPU that shares the highest cache with this one.
std::optional<std::uint32_t> last_cache(const std::string& cpu) {
  std::uint32_t highest = 0;
  std::optional<std::uint32_t> first;
  for (int i = 0;; ++i) {
    const std::string cache = cpu + "/cache/index" + std::to_string(i);
    const auto level = number_in(cache + "/level");
    if (!level) return first;
    if (*level < highest) continue;
    highest = *level;
    first = number_in(cache + "/shared_cpu_list");
  }
}

/// The node its link names; 0 on kernels without NUMA.
std::uint32_t node_of(const std::string& cpu) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(cpu, error)) {
    const std::string name = entry.path().filename().string();
    if (name.size() > 4 && name.starts_with("node") &&
        name.find_first_not_of("0123456789", 4) == std::string::npos)
      return static_cast<std::uint32_t>(std::stoul(name.substr(4)));
  }
  return 0;
}

}  // namespace

std::vector<std::uint32_t> cpu_places(std::uint32_t count, const std::string& devices) {
  std::vector<std::uint32_t> places(count, bpf::kNoPlace);
  bool any = false;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::string cpu = devices + "/cpu/cpu" + std::to_string(i);
    const auto cache = last_cache(cpu);
    if (!cache || *cache > 0xffff) continue;
    places[i] = node_of(cpu) << 16 | *cache;
    any = true;
  }
  return any ? places : std::vector<std::uint32_t>{};
}

}  // namespace optipod::agent::kernel
