// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/families/families.hpp"
#include "agent/exporter/families/shared.hpp"

namespace optipod::exporter {

std::span<const Family<shm::DeviceRecord>> device_families() {
  static const auto families =
      block_families<shm::DeviceRecord>(Subject::kNode, "device,operation={read,write}");
  return families;
}

}  // namespace optipod::exporter
