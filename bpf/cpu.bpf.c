// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// Everything OptiPod knows about the CPU scheduler, from one program on sched_switch: how long the
// task that comes had to wait, who preempted the task that goes, and how it went.
//
// There are no wakeup hooks and no start times of our own: the scheduler stamps every enqueue in
// sched_info.last_queued, with the run queue's clock. That clock stands still between updates, and
// the scheduler skips the update when a wakeup preempts, so we compare with a live clock instead:
// the monotonic one minus how far the run-queue clock is behind it at best.
#include "bpf/slot.bpf.h"
// after the types, which it needs:
#include <bpf/bpf_tracing.h>

const volatile __u32 cpu_count = 1;
const volatile bool use_storage = false;     // slots from cgroup storage, else from the table
const volatile bool measure_wait = false;    // this kernel has sched_info and a reachable run queue
const volatile bool state_argument = false;  // sched_switch passes prev_state (Linux 5.18)

struct {
  __uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, __u32);
} slots SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 2);  // slot_count * cpu_count
  __type(key, __u32);
  __type(value, struct CpuSlot);
} cpu_slots SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);  // cpu_count
  __type(key, __u32);
  __type(value, struct RunClock);
} run_clocks SEC(".maps");

static __always_inline struct cgroup* cgroup_of(struct task_struct* task, bool direct) {
  return direct ? task->cgroups->dfl_cgrp : BPF_CORE_READ(task, cgroups, dfl_cgrp);
}

static __always_inline __u32 slot_of(struct cgroup* cgroup, bool direct) {
  if (direct && use_storage) {
    const __u32* slot = bpf_cgrp_storage_get(&slots, cgroup, NULL, 0);
    return slot && *slot < slot_count ? *slot : kSlotOutside;
  }
  return table_slot(cgroup);
}

static __always_inline struct CpuSlot* counters(__u32 slot, __u32 cpu) {
  const __u32 index = slot * cpu_count + cpu;
  return bpf_map_lookup_elem(&cpu_slots, &index);
}

static __always_inline bool is_running(struct task_struct* task, bool direct) {
  if (bpf_core_field_exists(task->__state)) return FIELD(direct, task, __state) == 0;
  struct task_struct___state* old = (void*)task;
  return FIELD(direct, old, state) == 0;
}

/// The run-queue clock's "now", read live. The run queue is reached through the task that comes,
/// which is on it whatever its class. ktime - rq->clock is the clocks' distance plus the time since
/// the last update. A task that blocks and leaves the CPU idle has just had the clock updated:
/// there it is the distance. Elsewhere the distance is its minimum, which relaxes by 1/1024 of the
/// time that passes, twice as fast as the kernel slews the monotonic clock against the hardware's;
/// not over an idle time, whose beginning was exact and whose end is a wakeup that skipped the
/// update.
static __always_inline __u64 live_clock(struct task_struct* task, __u32 cpu, bool exact,
                                        bool was_idle, bool direct) {
  const __u64 rq_now =
      direct ? task->se.cfs_rq->rq->clock : BPF_CORE_READ(task, se.cfs_rq, rq, clock);
  struct RunClock* clock = bpf_map_lookup_elem(&run_clocks, &cpu);
  if (!clock) return rq_now;
  const __u64 now = bpf_ktime_get_ns();
  const __s64 distance = (__s64)(now - rq_now);
  __s64 behind = (__s64)(clock->behind_ns + (was_idle ? 0 : (now - clock->at_ns) >> 10));
  if (exact || clock->at_ns == 0 || behind > distance) behind = distance;
  clock->behind_ns = (__u64)behind;
  clock->at_ns = now;
  return now - (__u64)behind;
}

static __always_inline void count_wait(struct CpuSlot* slot, struct task_struct* next, __u64 now,
                                       bool direct) {
  const __u64 queued = FIELD(direct, next, sched_info.last_queued);
  if (queued == 0) return;  // preempted while falling asleep: the scheduler has no stamp either
  if (now < queued) {
    slot->discarded++;
    return;
  }
  const __u64 wait = now - queued;
  slot->runqueue_wait.bucket[bucket_of(wait)]++;
  slot->runqueue_wait.sum_ns += wait;
}

/// `preempt` means preempted whatever the state; a task that goes while runnable was preempted,
/// too.
static __always_inline int on_switch(bool preempt, struct task_struct* prev,
                                     struct task_struct* next, bool runnable, bool direct) {
  const __u32 cpu = bpf_get_smp_processor_id();
  if (cpu >= cpu_count) return 0;
  const bool prev_idle = FIELD(direct, prev, pid) == 0;
  const bool next_idle = FIELD(direct, next, pid) == 0;
  struct cgroup* from = cgroup_of(prev, direct);
  struct cgroup* to = cgroup_of(next, direct);

  const __u32 to_slot = next_idle ? kSlotOutside : slot_of(to, direct);
  __u32 from_slot = to_slot;
  if (!prev_idle) {
    if (next_idle || from != to) from_slot = slot_of(from, direct);
    struct CpuSlot* slot = counters(from_slot, cpu);
    if (slot) {
      const bool involuntary = preempt || runnable;
      slot->switches[involuntary ? 1 : 0]++;
      if (involuntary && !next_idle) {
        // One slot may hold a whole subtree, which is then one party; the catch-alls are not.
        const bool same = from == to || (from_slot == to_slot && from_slot > kSlotNodeOther);
        const bool system = FIELD(direct, next, flags) & PF_KTHREAD;
        slot->preemptions[system ? 2 : same ? 0 : 1]++;
      }
    }
  }
  if (measure_wait) {
    const __u64 now = live_clock(next, cpu, next_idle && !preempt, prev_idle, direct);
    struct CpuSlot* slot = next_idle ? NULL : counters(to_slot, cpu);
    if (slot) count_wait(slot, next, now, direct);
  }
  return 0;
}

SEC("tp_btf/sched_switch")
int switch_btf(__u64* ctx) {
  struct task_struct* prev = (void*)ctx[1];
  const bool runnable = state_argument ? (__u32)ctx[3] == 0 : is_running(prev, true);
  return on_switch((bool)ctx[0], prev, (void*)ctx[2], runnable, true);
}

SEC("raw_tp/sched_switch")
int switch_raw(__u64* ctx) {
  struct task_struct* prev = (void*)ctx[1];
  const bool runnable = state_argument ? (__u32)ctx[3] == 0 : is_running(prev, false);
  return on_switch((bool)ctx[0], prev, (void*)ctx[2], runnable, false);
}

char LICENSE[] SEC("license") = "GPL";
