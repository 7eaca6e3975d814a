// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// What the page allocator hands out, by whose task asks for it. Every CPU adds up what was
// allocated there, and charges all of it to the task that brings the sum over kChargedPages: one
// look for a slot in so many pages, and who allocates twice as much is met twice as often. What
// interrupts allocate counts for the task they stop.
#include "bpf/slot.bpf.h"

const volatile __u32 cpu_count = 1;

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);  // cpu_count
  __type(key, __u32);
  __type(value, struct AllocationCpu);
} allocation_cpus SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 2);  // slot_count
  __type(key, __u32);
  __type(value, struct AllocationSlot);
} allocation_slots SEC(".maps");

/// ctx: page (NULL: there was none), order.
SEC("raw_tp/mm_page_alloc")
int page_allocated(__u64* ctx) {
  const __u32 order = (__u32)ctx[1];
  const __u32 cpu = bpf_get_smp_processor_id();
  struct AllocationCpu* here = cpu < cpu_count ? bpf_map_lookup_elem(&allocation_cpus, &cpu) : NULL;
  if (!here || !ctx[0] || order >= 32) return 0;
  const __u64 pages = here->pages + (1ull << order);
  if (pages < kChargedPages) {
    here->pages = pages;
    return 0;
  }
  here->pages = 0;
  const __u32 index = slot_of_task((void*)bpf_get_current_task());
  struct AllocationSlot* slot = bpf_map_lookup_elem(&allocation_slots, &index);
  if (slot) __sync_fetch_and_add(&slot->pages, pages);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
