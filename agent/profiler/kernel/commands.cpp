// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/kernel/commands.hpp"

#include <linux/bpf.h>

namespace optipod::agent::kernel {

std::span<const int> steady_commands() {
  static constexpr int kCommands[] = {
      BPF_MAP_LOOKUP_ELEM,  BPF_MAP_UPDATE_ELEM,    BPF_MAP_DELETE_ELEM, BPF_MAP_GET_NEXT_KEY,
      BPF_MAP_LOOKUP_BATCH, BPF_OBJ_GET_INFO_BY_FD, BPF_ITER_CREATE};
  return kCommands;
}

}  // namespace optipod::agent::kernel
