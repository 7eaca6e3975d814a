// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// Everything OptiPod knows about the CPU scheduler, from one program on sched_switch: how long the
// task that comes had to wait, who preempted the task that goes, and how it went.
//
// There are no wakeup hooks and no start times of our own: the scheduler stamps every enqueue in
// sched_info.last_queued, with the run queue's clock. See dispatched_at() for its one weakness.
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

enum {
  kStandingNs = 1000,  // a wait this short on the run queue's clock may be one it slept through
  kLookNs = 1000000,   // how often the clocks are compared at least
};

static __always_inline struct cgroup* cgroup_of(struct task_struct* task, bool direct) {
  return direct ? task->cgroups->dfl_cgrp : BPF_CORE_READ(task, cgroups, dfl_cgrp);
}

/// The table answers for cgroups with a slot of their own, at two thirds of the cost of the storage
/// helper. For the others the storage knows whether they are inside the root, without climbing.
static __always_inline __u32 slot_of(struct cgroup* cgroup, bool direct) {
  const __u64 id = direct ? cgroup->kn->id : BPF_CORE_READ(cgroup, kn, id);
  const __u32 own = table_find(id, kNoSlot);
  if (own != kNoSlot) return own;
  if (root_level == 0) return kSlotNodeOther;
  if (direct && use_storage) {
    const __u32* slot = bpf_cgrp_storage_get(&slots, cgroup, NULL, 0);
    return slot && *slot < slot_count ? *slot : kSlotOutside;
  }
  return inside_root(cgroup, root_level) ? kSlotNodeOther : kSlotOutside;
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

/// When the task that comes was dispatched, on its run queue's clock. The run queue is reached
/// through the task, which is on it whatever its class.
///
/// That clock was brought up to date when this switch began, unless a wakeup that preempts had just
/// done so: then it stands where it stood when the task was queued, and the wait seems to be
/// nothing. Only then we ask for the live clock, which costs as much as all the rest: the monotonic
/// clock less its distance to the run queue's. ktime - rq->clock is that distance plus the time
/// since the last update, so the distance is its minimum. It is looked at once a millisecond when
/// the clock does not stand: where a task blocks and leaves the CPU idle (`exact`) the update was
/// just now; elsewhere the minimum relaxes by 1/1024 of the time that passed, twice as fast as the
/// kernel slews the monotonic clock against the hardware's.
static __always_inline __u64 dispatched_at(struct task_struct* task, __u64 queued, __u32 cpu,
                                           bool exact, bool was_idle, bool direct) {
  const __u64 rq_now =
      direct ? task->se.cfs_rq->rq->clock : BPF_CORE_READ(task, se.cfs_rq, rq, clock);
  struct RunClock* clock = bpf_map_lookup_elem(&run_clocks, &cpu);
  if (!clock) return rq_now;
  const __u64 passed = rq_now - clock->at_ns;
  const bool stands = queued != 0 && rq_now - queued < kStandingNs;
  if (!stands && passed < kLookNs) return rq_now;
  const __u64 now = bpf_ktime_get_ns();
  const __s64 distance = (__s64)(now - rq_now);
  const bool relax = !stands && !was_idle;
  __s64 behind = (__s64)(clock->behind_ns + (relax ? passed >> 10 : 0));
  if (exact || clock->at_ns == 0 || behind > distance) behind = distance;
  clock->behind_ns = (__u64)behind;
  if (!stands) clock->at_ns = rq_now;
  return now - (__u64)behind;
}

static __always_inline void count_wait(struct CpuSlot* slot, __u64 queued, __u64 now) {
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
    const __u64 queued = next_idle ? 0 : FIELD(direct, next, sched_info.last_queued);
    const __u64 now = dispatched_at(next, queued, cpu, next_idle && !preempt, prev_idle, direct);
    struct CpuSlot* slot = next_idle ? NULL : counters(to_slot, cpu);
    if (slot) count_wait(slot, queued, now);
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
