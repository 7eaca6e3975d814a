// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/disk_counters.hpp"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "agent/profiler/parse_stat.hpp"
#include "agent/profiler/read_file.hpp"
#include "agent/profiler/text_field.hpp"

namespace optipod::agent {

DiskCounters::DiskCounters(bool whole_machine, std::string proc, std::string sys)
    : whole_machine_(whole_machine), proc_(std::move(proc)), sys_(std::move(sys)) {}

void DiskCounters::sample(std::vector<shm::DeviceRecord>& out) {
  out.clear();
  if (!whole_machine_) return;
  const std::string text = read_file(proc_ + "/diskstats");
  for (const DiskStat& stat : parse_diskstats(text)) {
    std::string name(stat.name);
    std::replace(name.begin(), name.end(), '/', '!');  // as sysfs does: cciss/c0d0
    const std::string directory = sys_ + "/block/" + name;
    Disk& disk = disks_[{stat.major, stat.minor}];
    std::error_code error;
    if (!disk.known) disk.whole = std::filesystem::exists(directory, error);
    disk.known = true;
    if (!disk.whole) continue;
    shm::DeviceRecord record{};
    record.major = stat.major;
    record.minor = stat.minor;
    for (std::size_t op = 0; op < shm::kOperations; ++op)
      record.block.bytes[op] = disk.bytes[op](stat.bytes[op]);
    if (const auto inflight = parse_inflight(read_file(directory + "/inflight")))
      std::copy_n(inflight->data(), shm::kOperations, record.block.inflight);
    const auto any = [](const std::uint64_t(&values)[shm::kOperations]) {
      return std::any_of(std::begin(values), std::end(values), [](auto n) { return n != 0; });
    };
    if (!any(record.block.bytes) && !any(record.block.inflight)) continue;
    record.valid = shm::kValidBlockBytes;
    set_text(record.name, name);
    out.push_back(record);
  }
}

}  // namespace optipod::agent
