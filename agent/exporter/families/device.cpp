// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/families/families.hpp"
#include "agent/exporter/families/shared.hpp"

namespace optipod::exporter {
namespace {

using shm::DeviceRecord;

constexpr auto kOwn = std::to_array<Family<DeviceRecord>>({
    {{Subject::kNode, Topic::kBlock, "block_io_inflight", MetricType::kGauge, "",
      "device,operation={read,write}", "as the latency; without eBPF `/sys/block/*/inflight`",
      "Block requests submitted and not yet completed.", "a long queue at the device"},
     shm::kValidBlockBytes,
     [](Series& s, const DeviceRecord& r) { s.values(kOperation, r.block.inflight); }},
});

}  // namespace

std::span<const Family<DeviceRecord>> device_families() {
  static const auto families = [] {
    std::vector<Family<DeviceRecord>> all;
    append(all, block_families<DeviceRecord>(Subject::kNode, "device,operation={read,write}"));
    append(all, kOwn);
    return all;
  }();
  return families;
}

}  // namespace optipod::exporter
