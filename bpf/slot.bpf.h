// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// From a cgroup to the slot it is charged to. The slot table holds the cgroups with a slot of their
// own; the agent writes it through its mapping, and a look into it needs nothing but reads of
// kernel memory. Whether another cgroup is inside the agent's root at all, its cgroup storage says
// (Linux 6.2, trusted pointers only) or a look at its ancestors.
#pragma once

#include "bpf/kernel_types.h"
// after the types, which it needs:
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/shared.h"

// Set before loading: the verifier then drops what is not used.
const volatile __u32 slot_count = 2;
const volatile __u32 table_bits = 4;
const volatile __u64 root_id = 1;     // the agent's cgroup root
const volatile __u32 root_level = 0;  // its depth; 0: the whole machine

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 16);
  __type(key, __u32);
  __type(value, struct SlotEntry);
} slot_table SEC(".maps");

/// Reads a member, directly where the verifier knows the pointer (tp_btf, iterators), through
/// bpf_probe_read_kernel() where it does not (raw_tp). `direct` is a compile-time constant.
#define FIELD(direct, pointer, member) \
  ((direct) ? (pointer)->member : BPF_CORE_READ(pointer, member))

#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/// Whether the cgroup is the root, which lies `level` deep, or below it.
static __always_inline bool inside_root(struct cgroup* cgroup, __u32 level) {
  if (level == 0) return true;
  if (BPF_CORE_READ(cgroup, level) < (int)level) return false;
  const char* base = (const char*)cgroup;
  __u64 id = 0;
  if (bpf_core_field_exists(cgroup->ancestors)) {
    struct cgroup* ancestor = NULL;
    bpf_probe_read_kernel(
        &ancestor, sizeof(ancestor),
        base + bpf_core_field_offset(struct cgroup, ancestors) + sizeof(ancestor) * level);
    id = BPF_CORE_READ(ancestor, kn, id);
  } else {
    bpf_probe_read_kernel(
        &id, sizeof(id),
        base + bpf_core_field_offset(struct cgroup___ids, ancestor_ids) + sizeof(id) * level);
  }
  return id == root_id;
}

#define kNoSlot (~0u)

/// What lies beyond the first place. A function of its own keeps it out of the way of the rest.
static __noinline __u32 table_search(__u64 id, __u32 missing) {
  const __u32 bits = table_bits;
  const __u32 mask = (1u << bits) - 1;
  const __u32 start = slot_hash(id, bits);
#pragma clang loop unroll(disable)
  for (__u32 i = 0; i < kSlotProbes; i++) {
    __u32 at = (start + i) & mask;
    const struct SlotEntry* entry = bpf_map_lookup_elem(&slot_table, &at);
    if (!entry) break;
    const __u64 found = entry->cgroup_id;
    if (found == id) return entry->slot;
    if (found == OPTIPOD_EMPTY_ID) break;
  }
  return missing;
}

/// The slot the table holds for this cgroup, or `missing`. Most stand in the first place where they
/// are looked for.
static __always_inline __u32 table_find(__u64 id, __u32 missing) {
  const __u32 at = slot_hash(id, table_bits);
  const struct SlotEntry* entry = bpf_map_lookup_elem(&slot_table, &at);
  if (LIKELY(entry && entry->cgroup_id == id)) return entry->slot;
  return table_search(id, missing);
}

/// The slot this cgroup is charged to, by reads of kernel memory alone.
static __always_inline __u32 charged_to(struct cgroup* cgroup) {
  const __u32 own = table_find(BPF_CORE_READ(cgroup, kn, id), kNoSlot);
  if (own != kNoSlot) return own;
  return inside_root(cgroup, root_level) ? kSlotNodeOther : kSlotOutside;
}

static __always_inline __u32 slot_of_task(struct task_struct* task) {
  return charged_to(BPF_CORE_READ(task, cgroups, dfl_cgrp));
}

/// Counts a duration. Atomically: any CPU may be at it.
static __always_inline void count_duration(struct HistogramWords* histogram, __u64 ns) {
  __sync_fetch_and_add(&histogram->bucket[bucket_of(ns)], 1);
  __sync_fetch_and_add(&histogram->sum_ns, ns);
}

/// Adds what `now` has over `seen` to `counter` and remembers it. Whoever else does the same at the
/// same time, nothing is counted twice or lost. True when there was something to add.
static __always_inline bool add_since(__u64* seen, __u64 now, __u64* counter) {
#pragma clang loop unroll(disable)
  for (int tries = 0; tries < 4; tries++) {
    const __u64 before = *(volatile __u64*)seen;
    if (now <= before) return false;
    if (__sync_val_compare_and_swap(seen, before, now) != before) continue;
    __sync_fetch_and_add(counter, now - before);
    return true;
  }
  return false;
}
