// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/kernel/drop_reasons.hpp"

#include <algorithm>
#include <iterator>

namespace optipod::agent::kernel {
namespace {

constexpr std::string_view kPrefix = "SKB_DROP_REASON_";
/// QUEUE_PURGE since 6.2, SOCKET_CLOSE: nobody reads any more. TCP_OFOMERGE: its bytes are kept.
constexpr std::string_view kNoLoss[] = {"QUEUE_PURGE", "SOCKET_CLOSE", "OTHERHOST",  "TCP_OFOMERGE",
                                        "TCP_OLD_ACK", "MAX",          "SUBSYS_MASK"};

}  // namespace

std::string drop_reason(std::string_view enumerator) {
  if (!enumerator.starts_with(kPrefix)) return {};  // SKB_CONSUMED, SKB_NOT_DROPPED_YET
  const std::string_view name = enumerator.substr(kPrefix.size());
  if (name.starts_with("UNIX_")) return {};
  if (std::find(std::begin(kNoLoss), std::end(kNoLoss), name) != std::end(kNoLoss)) return {};
  std::string told(name);
  for (char& c : told)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return told;
}

}  // namespace optipod::agent::kernel
