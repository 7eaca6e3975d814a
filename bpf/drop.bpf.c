// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// Packets that the kernel throws away, by its own reason (Linux 5.17). Whose they were it does not
// say: mostly nobody's yet. Which reasons are no loss at all is the agent's to know.
#include "bpf/kernel_types.h"
// after the types, which it needs:
#include <bpf/bpf_helpers.h>

#include "bpf/shared.h"

const volatile __u32 cpu_count = 1;

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);  // cpu_count
  __type(key, __u32);
  __type(value, struct DropCpu);
} drop_cpus SEC(".maps");

/// ctx: packet, where, reason. Atomically, because an interrupt may drop one, too.
SEC("raw_tp/kfree_skb")
int dropped(__u64* ctx) {
  const __u32 cpu = bpf_get_smp_processor_id();
  struct DropCpu* counts = cpu < cpu_count ? bpf_map_lookup_elem(&drop_cpus, &cpu) : NULL;
  if (!counts) return 0;
  __u32 reason = (__u32)ctx[2];
  if (reason >= kDropReasonCount) reason = kDropReasonCount - 1;
  __sync_fetch_and_add(&counts->packets[reason], 1);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
