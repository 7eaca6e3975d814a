// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// The cgroup tree: a walk that copies out what the kernel keeps per cgroup (cpu time and pressure)
// at a fraction of a microsecond each, and a hook that gives every new cgroup below the root its
// slot before its first task can run.
#include "bpf/slot.bpf.h"
// after the types, which it needs:
#include <bpf/bpf_tracing.h>

const volatile __u32 sample_count = 2;    // of `samples`
const volatile bool read_quotas = false;  // task groups keep what their quotas did

// How the last walk went.
__u64 walk_count = 0;       // samples written
__u64 walk_root_level = 0;  // depth of the walk's root, plus 1; 0: not known yet

struct {
  __uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, __u32);
} slots SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 2);  // sample_count
  __type(key, __u32);
  __type(value, struct CgroupSample);
} samples SEC(".maps");

// Cgroups that were made. Full: the agent finds them at its next look, as without this.
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 17);
} made SEC(".maps");

__u64 made_now[sizeof(struct MadeCgroup) / 8];  // one: the kernel makes one at a time
__u64 made_dropped = 0;

// Sums up a cgroup's per-CPU counts and its descendants'. Built three times, because the kernel
// calls that by two names (cgroup_rstat.bpf.c, cgroup_css.bpf.c) or, as here, not at all: with a
// weak symbol for each, libbpf would look for the missing one in every module, which takes
// CAP_SYS_ADMIN.
#ifndef OPTIPOD_FLUSH
#define OPTIPOD_FLUSH(group) ((void)(group))
#endif

static __always_inline void read_pressure(struct CgroupSample* out, struct cgroup* cgroup) {
  struct psi_group* psi = cgroup->psi;
  if (!psi) return;
  if (bpf_core_field_exists(psi->enabled) && !BPF_CORE_READ(psi, enabled)) return;
  __u64 total[6];  // the first row: the regular averages
  const struct psi_group___nested* nested = (void*)psi;
  const void* from =
      bpf_core_field_exists(nested->total) ? (void*)&nested->total : (void*)&psi->total;
  if (bpf_probe_read_kernel(total, sizeof(total), from)) return;
  out->waiting_ns[0] = total[PSI_CPU_SOME];
  out->stalled_ns[0] = total[PSI_CPU_FULL];
  out->waiting_ns[1] = total[PSI_MEM_SOME];
  out->stalled_ns[1] = total[PSI_MEM_FULL];
  out->waiting_ns[2] = total[PSI_IO_SOME];
  out->stalled_ns[2] = total[PSI_IO_FULL];
  out->valid |= kSamplePressure;
}

/// What cpu.stat says of the quota, where the cgroup has a cpu controller of its own on v2.
static __always_inline void read_quota(struct CgroupSample* out, struct cgroup* cgroup) {
  struct cgroup_subsys_state* css = NULL;
  const __u64 cpu = bpf_core_enum_value(enum cgroup_subsys_id, cpu_cgrp_id);
  bpf_probe_read_kernel(&css, sizeof(css),
                        (const char*)cgroup +
                            bpf_core_field_offset(struct cgroup___subsys, subsys) +
                            sizeof(css) * cpu);
  if (!css) return;
  struct task_group* group = (void*)css - bpf_core_field_offset(struct task_group, css);
  out->throttled_ns = BPF_CORE_READ(group, cfs_bandwidth.throttled_time);
  out->periods = (__u32)BPF_CORE_READ(group, cfs_bandwidth.nr_periods);
  out->throttled_periods = (__u32)BPF_CORE_READ(group, cfs_bandwidth.nr_throttled);
  out->valid |= kSampleThrottling;
}

SEC("iter.s/cgroup")
int walk_cgroups(struct bpf_iter__cgroup* ctx) {
  struct cgroup* cgroup = ctx->cgroup;
  if (!cgroup) return 0;
  if (ctx->meta->seq_num == 0) {  // parents come first: this is the root of the walk
    walk_count = 0;
    walk_root_level = cgroup->level + 1;
    OPTIPOD_FLUSH(cgroup);
  }
  const __u64 id = cgroup->kn->id;
  __u32 index = walk_count;
  // The second half of the room is kept for cgroups with a slot of their own.
  if (index >= sample_count / 2 && table_find(id, kSlotNodeOther) <= kSlotNodeOther) return 0;
  struct CgroupSample* out = bpf_map_lookup_elem(&samples, &index);
  if (!out) return 0;
  out->cgroup_id = id;
  out->valid = 0;
  if (cgroup->level > 0) {  // the kernel keeps none for the hierarchy's root
    out->exec_ns = cgroup->bstat.cputime.sum_exec_runtime;
    out->user_ns = cgroup->bstat.cputime.utime;
    out->system_ns = cgroup->bstat.cputime.stime;
    out->valid |= kSampleCpuTime;
    if (read_quotas) read_quota(out, cgroup);
  }
  read_pressure(out, cgroup);
  walk_count = index + 1;
  return 0;
}

/// ctx: cgroup, path. Nothing to do until it is known how deep the root lies (from the first walk,
/// or the agent): the agent goes through the tree itself once this is attached.
SEC("tp_btf/cgroup_mkdir")
int cgroup_made(__u64* ctx) {
  struct cgroup* cgroup = (void*)ctx[0];
  const __u32 level = walk_root_level;
  if (level == 0 || !inside_root(cgroup, level - 1)) return 0;
  __u32 slot = kSlotNodeOther;
  bpf_cgrp_storage_get(&slots, cgroup, &slot, BPF_LOCAL_STORAGE_GET_F_CREATE);
  struct MadeCgroup* now = (void*)made_now;
  now->id = cgroup->kn->id;
  const long length = bpf_probe_read_kernel_str(now->path, sizeof(now->path), (void*)ctx[1]);
  if (length <= 0 || length > (long)sizeof(now->path)) return 0;
  if (bpf_ringbuf_output(&made, now, sizeof(now->id) + length, 0)) made_dropped++;
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
