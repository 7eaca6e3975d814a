// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/parse_stat.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace optipod::agent {
namespace {

std::string_view take_line(std::string_view& text) {
  const auto line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(line.size() + 1, text.size()));
  return line;
}

std::string_view take_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  const auto word = line.substr(0, line.find_first_of(" \t"));
  line.remove_prefix(word.size());
  return word;
}

std::optional<std::uint64_t> number(std::string_view word) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return value;
}

/// Value of "total=<µs>" in a pressure line.
std::optional<std::uint64_t> total_ns(std::string_view line) {
  const auto at = line.find("total=");
  if (at == std::string_view::npos) return std::nullopt;
  const auto us = number(line.substr(at + 6));
  if (!us) return std::nullopt;
  return *us * 1000;
}

}  // namespace

CpuStatFile parse_cpu_stat(std::string_view text) {
  std::optional<std::uint64_t> usage, user, system, periods, throttled, throttled_us;
  while (!text.empty()) {
    auto line = take_line(text);
    const auto key = take_word(line);
    const auto value = number(take_word(line));
    if (key == "usage_usec") usage = value;
    if (key == "user_usec") user = value;
    if (key == "system_usec") system = value;
    if (key == "nr_periods") periods = value;
    if (key == "nr_throttled") throttled = value;
    if (key == "throttled_usec") throttled_us = value;
  }
  CpuStatFile result;
  if (usage && user && system) {
    result.time = shm::CpuTime{*usage * 1000, *user * 1000, *system * 1000};
  }
  if (periods && throttled && throttled_us) {
    result.throttling = CpuThrottling{*throttled_us * 1000, *periods, *throttled};
  }
  return result;
}

std::optional<PressureFile> parse_pressure(std::string_view text) {
  PressureFile result;
  bool any = false;
  while (!text.empty()) {
    auto line = take_line(text);
    const auto kind = take_word(line);
    const auto total = total_ns(line);
    if (!total) continue;
    if (kind == "some") result.waiting_ns = total;
    if (kind == "full") result.stalled_ns = *total;
    any = any || kind == "some" || kind == "full";
  }
  if (!any) return std::nullopt;
  return result;
}

std::optional<CpuModes> parse_proc_stat(std::string_view text, std::span<const unsigned> cpus,
                                        std::uint64_t ticks_per_second) {
  if (ticks_per_second == 0) return std::nullopt;
  CpuModes modes{};
  std::size_t found = 0;
  while (text.starts_with("cpu")) {
    auto line = take_line(text);
    const auto name = take_word(line).substr(3);
    const auto cpu = number(name);
    const bool wanted = cpus.empty()
                            ? name.empty()
                            : cpu && std::find(cpus.begin(), cpus.end(), *cpu) != cpus.end();
    if (!wanted) continue;
    for (std::uint64_t& mode : modes.ns) {  // the file's order is the enum's
      const auto ticks = number(take_word(line));
      if (!ticks) return std::nullopt;
      mode += *ticks * (1'000'000'000 / ticks_per_second);
    }
    ++found;
  }
  if (found == 0) return std::nullopt;
  return modes;
}

std::optional<MemInfo> parse_meminfo(std::string_view text) {
  std::optional<std::uint64_t> total, available;
  while (!text.empty() && !(total && available)) {
    auto line = take_line(text);
    const auto key = take_word(line);
    if (key == "MemTotal:") total = number(take_word(line));
    if (key == "MemAvailable:") available = number(take_word(line));
  }
  if (!total || !available) return std::nullopt;
  return MemInfo{*total * 1024, *available * 1024};
}

std::optional<VmStat> parse_vmstat(std::string_view text) {
  std::optional<std::uint64_t> faults, major, kills, pages, refault_anon, refault_file;
  while (!text.empty()) {
    auto line = take_line(text);
    const auto key = take_word(line);
    if (key == "pgfault") faults = number(take_word(line));
    if (key == "pgmajfault") major = number(take_word(line));
    if (key == "oom_kill") kills = number(take_word(line));
    if (key == "workingset_refault_anon") refault_anon = number(take_word(line));
    if (key == "workingset_refault_file") refault_file = number(take_word(line));
    if (!key.starts_with("pgalloc_")) continue;
    const auto zone = number(take_word(line));
    if (!zone) return std::nullopt;
    pages = pages.value_or(0) + *zone;
  }
  if (!faults || !pages) return std::nullopt;
  VmStat result{*faults, *pages, major, kills, {}};
  if (refault_anon && refault_file) result.refaults = Refaults{*refault_anon, *refault_file};
  return result;
}

std::optional<MemoryStat> parse_memory_stat(std::string_view text) {
  std::optional<std::uint64_t> anon, file, inactive, refault_anon, refault_file, faults, major;
  const std::pair<std::string_view, std::optional<std::uint64_t>*> wanted[] = {
      {"anon", &anon},
      {"file", &file},
      {"inactive_file", &inactive},
      {"workingset_refault_anon", &refault_anon},
      {"workingset_refault_file", &refault_file},
      {"pgfault", &faults},
      {"pgmajfault", &major}};
  while (!text.empty()) {
    auto line = take_line(text);
    const auto key = take_word(line);
    for (const auto& [name, value] : wanted)
      if (key == name) *value = number(take_word(line));
  }
  if (!anon || !file || !inactive) return std::nullopt;
  MemoryStat result{*anon, *file, *inactive, {}, {}};
  if (refault_anon && refault_file) result.refaults = Refaults{*refault_anon, *refault_file};
  if (faults && major) {
    const std::uint64_t minor = *faults > *major ? *faults - *major : 0;
    result.faults = MemoryStat::Faults{minor, *major};
  }
  return result;
}

std::uint64_t working_set(std::uint64_t current_bytes, std::uint64_t inactive_file_bytes) {
  return current_bytes > inactive_file_bytes ? current_bytes - inactive_file_bytes : 0;
}

std::optional<std::uint64_t> parse_oom_kills(std::string_view text) {
  while (!text.empty()) {
    auto line = take_line(text);
    if (take_word(line) == "oom_kill") return number(take_word(line));
  }
  return std::nullopt;
}

std::optional<LoadAverage> parse_loadavg(std::string_view text) {
  LoadAverage load{};
  auto line = take_line(text);
  for (std::uint64_t& milli : load.milli) {
    const auto word = take_word(line);  // always two decimals
    const auto point = word.find('.');
    if (point == std::string_view::npos || word.size() != point + 3) return std::nullopt;
    const auto whole = number(word.substr(0, point));
    const auto hundredths = number(word.substr(point + 1));
    if (!whole || !hundredths) return std::nullopt;
    milli = *whole * 1000 + *hundredths * 10;
  }
  return load;
}

std::optional<TaskCounts> parse_task_counts(std::string_view text) {
  std::optional<std::uint64_t> runnable, blocked;
  while (!text.empty() && !(runnable && blocked)) {
    auto line = take_line(text);
    const auto key = take_word(line);
    if (key == "procs_running") runnable = number(take_word(line));
    if (key == "procs_blocked") blocked = number(take_word(line));
  }
  if (!runnable || !blocked) return std::nullopt;
  return TaskCounts{*runnable, *blocked};
}

std::optional<TcpSegments> parse_snmp_tcp(std::string_view text) {
  while (!text.empty()) {
    auto names = take_line(text);
    if (take_word(names) != "Tcp:") continue;
    auto values = take_line(text);
    if (take_word(values) != "Tcp:") return std::nullopt;
    std::optional<std::uint64_t> sent, again;
    for (auto name = take_word(names); !name.empty(); name = take_word(names)) {
      const auto value = number(take_word(values));  // MaxConn may be -1
      if (name == "OutSegs") sent = value;
      if (name == "RetransSegs") again = value;
    }
    if (!sent || !again) return std::nullopt;
    return TcpSegments{*sent, *again};
  }
  return std::nullopt;
}

std::optional<std::vector<NetDevice>> parse_net_dev(std::string_view text) {
  if (!take_line(text).starts_with("Inter-|")) return std::nullopt;
  take_line(text);  // the columns' names
  std::vector<NetDevice> devices;
  while (!text.empty()) {
    auto line = take_line(text);
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    auto before = line.substr(0, colon);
    NetDevice device{take_word(before), {}};
    line.remove_prefix(colon + 1);
    // Of each direction bytes, packets, errors and drops, and four more.
    std::uint64_t columns[2][8];
    bool good = !device.name.empty();
    for (auto& direction : columns) {
      for (std::uint64_t& column : direction) {
        const auto value = number(take_word(line));
        good = good && value.has_value();
        column = value.value_or(0);
      }
    }
    if (!good) continue;
    for (std::size_t way = 0; way < shm::kDirections; ++way) {
      device.counts.bytes[way] = columns[way][0];
      device.counts.packets[way] = columns[way][1];
      device.counts.errors[way] = columns[way][2];
      device.counts.drops[way] = columns[way][3];
    }
    devices.push_back(device);
  }
  return devices;
}

std::vector<DiskStat> parse_diskstats(std::string_view text) {
  constexpr std::uint64_t kSectorBytes = 512;  // whatever the disk's own are
  std::vector<DiskStat> disks;
  while (!text.empty()) {
    auto line = take_line(text);
    const auto major = number(take_word(line)), minor = number(take_word(line));
    const auto name = take_word(line);
    // Reads, merged, sectors, ms; writes likewise.
    std::optional<std::uint64_t> columns[8];
    for (auto& column : columns) column = number(take_word(line));
    if (!major || !minor || name.empty() || !columns[2] || !columns[6]) continue;
    disks.push_back(
        {*major, *minor, name, {*columns[2] * kSectorBytes, *columns[6] * kSectorBytes}});
  }
  return disks;
}

std::optional<std::array<std::uint64_t, shm::kOperations>> parse_inflight(std::string_view text) {
  auto line = take_line(text);
  const auto reads = number(take_word(line)), writes = number(take_word(line));
  if (!reads || !writes) return std::nullopt;
  return std::array{*reads, *writes};
}

std::optional<std::uint64_t> parse_number_file(std::string_view text) {
  return number(take_line(text));
}

}  // namespace optipod::agent
