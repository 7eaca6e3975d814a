// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// How long softirqs and the handlers of device interrupts run, per CPU, and whose tasks had the CPU
// meanwhile. A hardirq that comes in a softirq is taken out of the softirq's time. The clocks and
// the interrupts between processors come without these hooks: /proc/stat counts them.
#include "bpf/slot.bpf.h"
// after the types, which it needs:
#include <bpf/bpf_tracing.h>

const volatile __u32 cpu_count = 1;

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);  // cpu_count
  __type(key, __u32);
  __type(value, struct IrqCpu);
} irq_cpus SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 2);  // cpu_count * slot_count: a CPU's together, so that no two share lines
  __type(key, __u32);
  __type(value, struct IrqStolen);
} irq_stolen SEC(".maps");

static __always_inline struct IrqCpu* this_cpu(void) {
  const __u32 cpu = bpf_get_smp_processor_id();
  return cpu < cpu_count ? bpf_map_lookup_elem(&irq_cpus, &cpu) : NULL;
}

/// What the slot of the task that has the CPU lost there; NULL when nobody with a slot has it.
static __always_inline struct IrqStolen* stolen_from(bool direct) {
  struct task_struct* task = direct ? bpf_get_current_task_btf() : (void*)bpf_get_current_task();
  if (FIELD(direct, task, pid) == 0) return NULL;
  const __u64 id =
      direct ? task->cgroups->dfl_cgrp->kn->id : BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
  const __u32 slot = table_find(id, kNoSlot);
  if (slot == kNoSlot) return NULL;
  const __u32 index = bpf_get_smp_processor_id() * slot_count + slot;
  return bpf_map_lookup_elem(&irq_stolen, &index);
}

static __always_inline int softirq_begins(__u32 vector) {
  struct IrqCpu* cpu = this_cpu();
  if (!cpu) return 0;
  cpu->hardirq_inside_ns = 0;
  cpu->softirq_vector = vector;
  cpu->softirq_since = bpf_ktime_get_ns();
  return 0;
}

/// An end without its beginning, or of another vector, is one that began before we were there.
static __always_inline int softirq_ends(__u32 vector, bool direct) {
  struct IrqCpu* cpu = this_cpu();
  if (!cpu) return 0;
  const __u64 since = cpu->softirq_since;
  cpu->softirq_since = 0;
  if (since == 0 || cpu->softirq_vector != vector || vector >= kSoftirqs) return 0;
  const __u64 passed = bpf_ktime_get_ns() - since;
  const __u64 inside = cpu->hardirq_inside_ns;
  if (inside > passed) return 0;
  cpu->softirq_ns[vector] += passed - inside;
  struct IrqStolen* stolen = stolen_from(direct);
  if (stolen) stolen->softirq_ns += passed - inside;
  return 0;
}

static __always_inline int hardirq_begins(void) {
  struct IrqCpu* cpu = this_cpu();
  if (cpu) cpu->hardirq_since = bpf_ktime_get_ns();
  return 0;
}

static __always_inline int hardirq_ends(bool direct) {
  struct IrqCpu* cpu = this_cpu();
  if (!cpu) return 0;
  const __u64 since = cpu->hardirq_since;
  cpu->hardirq_since = 0;
  if (since == 0) return 0;
  const __u64 passed = bpf_ktime_get_ns() - since;
  cpu->hardirq_ns += passed;
  if (cpu->softirq_since) cpu->hardirq_inside_ns += passed;
  struct IrqStolen* stolen = stolen_from(direct);
  if (stolen) stolen->hardirq_ns += passed;
  return 0;
}

// clang-format off
#define TWINS(tracepoint, name, call_btf, call_raw) \
  SEC("tp_btf/" tracepoint) int name##_btf(__u64* ctx) { (void)ctx; return call_btf; } \
  SEC("raw_tp/" tracepoint) int name##_raw(__u64* ctx) { (void)ctx; return call_raw; }
// clang-format on

TWINS("softirq_entry", softirq_entry, softirq_begins((__u32)ctx[0]), softirq_begins((__u32)ctx[0]))
TWINS("softirq_exit", softirq_exit, softirq_ends((__u32)ctx[0], true),
      softirq_ends((__u32)ctx[0], false))
TWINS("irq_handler_entry", hardirq_entry, hardirq_begins(), hardirq_begins())
TWINS("irq_handler_exit", hardirq_exit, hardirq_ends(true), hardirq_ends(false))

char LICENSE[] SEC("license") = "GPL";
