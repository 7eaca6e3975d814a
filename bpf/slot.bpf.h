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

/// The slot the table holds for this cgroup, or `missing`.
static __always_inline __u32 table_find(__u64 id, __u32 missing) {
  const __u32 mask = (1u << table_bits) - 1;
  const __u32 start = slot_hash(id, table_bits);
#pragma clang loop unroll(disable)
  for (__u32 i = 0; i < kSlotProbes; i++) {
    __u32 at = (start + i) & mask;
    const struct SlotEntry* entry = bpf_map_lookup_elem(&slot_table, &at);
    if (!entry) break;
    const __u64 found = entry->cgroup_id;
    if (found == id) {
      const __u32 slot = entry->slot;
      return slot < slot_count ? slot : missing;
    }
    if (found == OPTIPOD_EMPTY_ID) break;
  }
  return missing;
}
