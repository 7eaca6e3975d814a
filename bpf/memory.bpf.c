// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// Memory shortage, charged to whom it hits: how long tasks were held up while they had to free
// memory themselves, because the machine had none (direct) or their memory controller's limit was
// reached (memcg); and whom the OOM killer took, counted and one by one.
//
// A task in reclaim is remembered in a preallocated hash: here, of all places, nothing may be
// allocated. The stamp goes at the end, so an end whose beginning was not seen times nothing.
#include "bpf/slot.bpf.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 2);  // slot_count
  __type(key, __u32);
  __type(value, struct MemorySlot);
} memory_slots SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, kMaxReclaims);
  __type(key, __u64);
  __type(value, struct Reclaim);
} reclaims SEC(".maps");

// Kills, for those who want to know when and what. Full: they are counted all the same.
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} kills SEC(".maps");

__u64 stalls_dropped = 0;

static __always_inline int begin(__u32 kind) {
  const __u64 key = bpf_get_current_task();
  const struct Reclaim reclaim = {.start_ns = bpf_ktime_get_ns(), .kind = kind};
  if (bpf_map_update_elem(&reclaims, &key, &reclaim, BPF_ANY))
    __sync_fetch_and_add(&stalls_dropped, 1);
  return 0;
}

static __always_inline int end(__u32 kind) {
  const __u64 now = bpf_ktime_get_ns();
  const __u64 key = bpf_get_current_task();
  const struct Reclaim* found = bpf_map_lookup_elem(&reclaims, &key);
  if (!found || found->kind != kind || now < found->start_ns) return 0;
  const __u64 took = now - found->start_ns;
  bpf_map_delete_elem(&reclaims, &key);
  const __u32 index = slot_of_task((void*)key);
  struct MemorySlot* slot = bpf_map_lookup_elem(&memory_slots, &index);
  if (!slot) return 0;
  count_duration(&slot->reclaim_stall[kind], took);
  return 0;
}

SEC("raw_tp/mm_vmscan_direct_reclaim_begin")
int direct_begin(void) {
  return begin(0);
}

SEC("raw_tp/mm_vmscan_direct_reclaim_end")
int direct_end(void) {
  return end(0);
}

SEC("raw_tp/mm_vmscan_memcg_reclaim_begin")
int memcg_begin(void) {
  return begin(1);
}

SEC("raw_tp/mm_vmscan_memcg_reclaim_end")
int memcg_end(void) {
  return end(1);
}

/// ctx: the victim (Linux 6.9; before it was only its number), user id.
SEC("raw_tp/mark_victim")
int oom_victim(__u64* ctx) {
  struct task_struct* task = (void*)ctx[0];
  const __u32 index = slot_of_task(task);
  struct MemorySlot* slot = bpf_map_lookup_elem(&memory_slots, &index);
  if (slot) __sync_fetch_and_add(&slot->oom_kills, 1);
  struct OomKill kill = {.slot = index, .pid = (__u32)BPF_CORE_READ(task, tgid)};
  BPF_CORE_READ_STR_INTO(&kill.command, task, comm);
  bpf_ringbuf_output(&kills, &kill, sizeof(kill), BPF_RB_NO_WAKEUP);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
