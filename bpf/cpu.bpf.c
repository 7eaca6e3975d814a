// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// Everything OptiPod knows about the CPU scheduler. From one program on sched_switch: how long the
// task that comes had to wait, and how much of that its own quota's fault was; who preempted the
// task that goes, and how it went. From another on sched_migrate_task: who is moved about.
//
// There are no wakeup hooks and no start times of our own: the scheduler stamps every enqueue in
// sched_info.last_queued, with the run queue's clock. See dispatched_at() for its one weakness.
#include "bpf/slot.bpf.h"
// after the types, which it needs:
#include <bpf/bpf_tracing.h>

const volatile __u32 cpu_count = 1;
const volatile bool use_storage = false;   // slots from cgroup storage, else from the table
const volatile bool measure_wait = false;  // this kernel has sched_info and a reachable run queue
const volatile bool split_throttled = false;  // quotas can be seen
const volatile bool state_argument = false;   // sched_switch passes prev_state (Linux 5.18)
const volatile bool tell_far = false;         // cpu_places are known

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
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);  // cpu_count
  __type(key, __u32);
  __type(value, struct CpuState);
} cpu_states SEC(".maps");

// NUMA node << 16 | last level cache of each CPU, or kNoPlace. Filled before the programs run.
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);  // cpu_count
  __type(key, __u32);
  __type(value, __u32);
} cpu_places SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, kThrottleMarks);  // * cpu_count
  __type(key, __u32);
  __type(value, struct ThrottleMark);
} throttle_marks SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 2 * kPairs);  // * cpu_count
  __type(key, __u32);
  __type(value, struct Pair);
} pairs SEC(".maps");

__u64 pair_generation = 0;  // the agent counts it up; its lowest bit says which set is filled

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

static __always_inline __u32 state_of(struct task_struct* task, bool direct) {
  if (bpf_core_field_exists(task->__state)) return FIELD(direct, task, __state);
  struct task_struct___state* old = (void*)task;
  return FIELD(direct, old, state);
}

/// When the task that comes was dispatched, on its run queue's clock, which says `rq_now`.
///
/// That clock was brought up to date when this switch began, unless a wakeup that preempts had just
/// done so: then it stands where it stood when the task was queued, and the wait seems to be
/// nothing. Only then we ask for the live clock, which costs as much as all the rest: the monotonic
/// clock less its distance to the run queue's. ktime - rq->clock is that distance plus the time
/// since the last update, so the distance is its minimum. It is looked at once a millisecond when
/// the clock does not stand: where a task blocks and leaves the CPU idle (`exact`) the update was
/// just now; elsewhere the minimum relaxes by 1/1024 of the time that passed, twice as fast as the
/// kernel slews the monotonic clock against the hardware's. `queued` is 0 when nothing waited.
static __always_inline __u64 dispatched_at(struct CpuState* clock, __u64 rq_now, __u64 queued,
                                           bool exact, bool was_idle) {
  const __u64 seen = clock->at_ns;
  const __u64 passed = rq_now - seen;
  const bool stands = rq_now - queued < kStandingNs;
  if (!stands && LIKELY(passed < kLookNs)) return rq_now;
  const __u64 now = bpf_ktime_get_ns();
  const __s64 distance = (__s64)(now - rq_now);
  __s64 behind = (__s64)clock->behind_ns;
  if (!stands) {
    if (!was_idle) behind += (__s64)(passed >> 10);
    clock->at_ns = rq_now;
  }
  if (exact || seen == 0 || behind > distance) behind = distance;
  clock->behind_ns = (__u64)behind;
  return now - (__u64)behind;
}

/// How long the group whose run queue this is was throttled on this CPU ever, its ancestors'
/// throttling included.
static __always_inline __u64 throttled_total(struct cfs_rq* queue, bool direct) {
  if (bpf_core_field_exists(queue->throttled_clock_self_time))
    return FIELD(direct, queue, throttled_clock_self_time);
  if (bpf_core_field_exists(queue->throttled_clock_pelt_time))
    return FIELD(direct, queue, throttled_clock_pelt_time);
  struct cfs_rq___task* old = (void*)queue;
  return BPF_CORE_READ(old, throttled_clock_task_time);
}

/// The task's run queue as a number: the verifier lets nobody calculate with pointers.
static __always_inline __u64 queue_number(struct task_struct* task) {
  __u64 number = 0;
  bpf_probe_read_kernel(&number, sizeof(number), &task->se.cfs_rq);
  return number;
}

static __always_inline struct ThrottleMark* throttle_mark(__u64 queue, __u32 cpu) {
  // The queues are large objects: their lowest bits are all alike.
  const __u32 place = ((__u32)(queue >> 6) * 0x9e3779b1u >> 16) & (kThrottleMarks - 1);
  const __u32 index = cpu * kThrottleMarks + place;
  return bpf_map_lookup_elem(&throttle_marks, &index);
}

static __always_inline bool of_quota(struct task_struct* task, bool direct) {
  return FIELD(direct, task, prio) >= 100;  // the others run on although the group is throttled
}

/// Whether the task had to go because its group's quota, or an ancestor's, is used up: the kernel
/// throttles the group before it switches, and no task of it is chosen again until that is over.
static __always_inline bool throttled_away(struct task_struct* task, __u64 rq_now, __u32 cpu,
                                           bool direct) {
  struct cfs_rq* queue = FIELD(direct, task, se.cfs_rq);
  if (LIKELY(FIELD(direct, queue, throttle_count) <= 0) || !of_quota(task, direct)) return false;
  const __u64 number = queue_number(task);
  struct ThrottleMark* mark = throttle_mark(number, cpu);
  __u64 start = 0;
  if (bpf_core_field_exists(queue->throttled_clock_self))
    start = FIELD(direct, queue, throttled_clock_self);
  if (start == 0 || start > rq_now) start = rq_now;
  if (mark) mark_throttled(mark, number, throttled_total(queue, direct), start);
  return true;
}

static __always_inline void count_wait(struct CpuSlot* slot, struct task_struct* task,
                                       struct cfs_rq* queue, __u64 queued, __u64 now, __u32 cpu,
                                       bool quotas, bool direct) {
  // Preempted while falling asleep: the scheduler has no stamp either.
  if (UNLIKELY(queued == 0)) return;
  if (UNLIKELY(now < queued)) {
    slot->discarded++;
    return;
  }
  const __u64 wait = now - queued;
  slot->runqueue_wait.bucket[bucket_of(wait)]++;
  slot->runqueue_wait.sum_ns += wait;
  if (!quotas) return;
  const __u64 total = throttled_total(queue, direct);
  if (LIKELY(total == 0) || !of_quota(task, direct)) return;
  const __u64 number = queue_number(task);
  struct ThrottleMark* mark = throttle_mark(number, cpu);
  const __u64 part = mark ? throttled_part(mark, number, total, queued, now) : 0;
  if (part == 0) return;
  slot->throttled_wait_ns += part;
  slot->throttled_waits++;
}

static __always_inline struct Pair* pair_at(__u32 index) {
  return bpf_map_lookup_elem(&pairs, &index);
}

/// Where the pair stands in the set that is being filled, of which `first` is the first; kNoSlot
/// when there is no room for it.
static __noinline __u32 find_pair(__u32 first, __u32 start, __u32 victim, __u32 aggressor) {
#pragma clang loop unroll(disable)
  for (__u32 i = 0; i < kPairProbes; i++) {
    const __u32 index = first + ((start + i) & (kPairs - 1));
    struct Pair* pair = pair_at(index);
    if (!pair) break;
    if (pair->victim == 0) {
      pair->aggressor = aggressor;
      pair->victim = victim;
      return index;
    }
    if (pair->victim == victim && pair->aggressor == aggressor) return index;
  }
  return kNoSlot;
}

static __always_inline void begin_preemption(struct CpuState* state, __u32 cpu, __u32 victim,
                                             __u32 aggressor, __u64 rq_now) {
  const __u64 generation = *(volatile __u64*)&pair_generation;
  const __u32 first = ((generation & 1) * cpu_count + cpu) * kPairs;
  const __u32 start = (victim * 0x9e3779b1u + aggressor * 0x85ebca6bu) >> 16;
  __u32 index = first + (start & (kPairs - 1));
  struct Pair* pair = pair_at(index);
  if (UNLIKELY(!pair || pair->victim != victim || pair->aggressor != aggressor)) {
    index = find_pair(first, start, victim, aggressor);
    pair = pair_at(index);
    if (!pair) {
      state->pairs_untold++;
      return;
    }
  }
  pair->preemptions++;
  if (UNLIKELY(rq_now == 0)) return;
  state->victim = victim;
  state->since_ns = rq_now;
  state->generation = generation;
  state->pair = index;
}

/// The task that took the CPU from another goes. When the agent has begun a new generation
/// meanwhile, how long it ran is dropped: by the time that is read the slots may be others'.
static __always_inline void end_preemption(struct CpuState* state, __u64 rq_now) {
  state->victim = 0;
  if (*(volatile __u64*)&pair_generation != state->generation || rq_now <= state->since_ns) return;
  struct Pair* pair = pair_at(state->pair);
  if (pair) pair->taken_ns += rq_now - state->since_ns;
}

/// The task that goes could have stayed: `to_slot`'s came, or its quota is used up.
static __always_inline void count_pushed(struct CpuState* state, struct CpuSlot* slot,
                                         struct task_struct* prev, struct task_struct* next,
                                         __u32 from_slot, __u32 to_slot, bool same_cgroup,
                                         __u64 rq_now, __u32 cpu, bool quotas, bool direct) {
  if (quotas && throttled_away(prev, rq_now, cpu, direct)) {
    slot->throttled_switches++;
    return;
  }
  if (FIELD(direct, next, pid) == 0) return;
  if (FIELD(direct, next, flags) & PF_KTHREAD) {
    slot->preemptions[2]++;
  } else if (same_cgroup || (from_slot == to_slot && from_slot > kSlotNodeOther)) {
    // One slot may hold a whole subtree, which is then one party; the catch-alls are not.
    slot->preemptions[0]++;
  } else {
    slot->preemptions[1]++;
    if (from_slot > kSlotNodeOther) begin_preemption(state, cpu, from_slot, to_slot, rq_now);
  }
}

/// ctx: whether preempted (then whatever the state), the task that goes, the task that comes. A
/// task that goes while it is runnable (`prev_state` is 0) was preempted, too. `waits` and `quotas`
/// say what this kernel gives of both.
static __always_inline int on_switch(const __u64* ctx, __u32 prev_state, bool waits, bool quotas,
                                     bool direct) {
  const __u64 preempt = ctx[0];
  struct task_struct* prev = (void*)ctx[1];
  struct task_struct* next = (void*)ctx[2];
  const __u32 cpu = bpf_get_smp_processor_id();
  struct CpuState* state = bpf_map_lookup_elem(&cpu_states, &cpu);
  if (!state) return 0;
  const bool next_idle = FIELD(direct, next, pid) == 0;
  const bool prev_idle = FIELD(direct, prev, pid) == 0;
  struct cgroup* from = cgroup_of(prev, direct);
  struct cgroup* to = cgroup_of(next, direct);
  // The run queue is reached through the task, which is on it whatever its class.
  struct cfs_rq* queue = NULL;
  __u64 rq_now = 0;
  if (waits) {
    queue = FIELD(direct, next, se.cfs_rq);
    rq_now = direct ? queue->rq->clock : BPF_CORE_READ(queue, rq, clock);
    if (state->victim != 0) end_preemption(state, rq_now);
  }

  const __u32 to_slot = next_idle ? kSlotOutside : slot_of(to, direct);
  if (!prev_idle) {
    const __u32 from_slot = next_idle || from != to ? slot_of(from, direct) : to_slot;
    struct CpuSlot* slot = counters(from_slot, cpu);
    if (slot) {
      if (prev_state != 0 && !preempt) {
        slot->switches[0]++;
      } else {
        slot->switches[1]++;
        count_pushed(state, slot, prev, next, from_slot, to_slot, from == to, rq_now, cpu, quotas,
                     direct);
      }
    }
  }
  if (waits) {
    const __u64 queued = next_idle ? 0 : FIELD(direct, next, sched_info.last_queued);
    const __u64 now = dispatched_at(state, rq_now, queued, next_idle && !preempt, prev_idle);
    struct CpuSlot* slot = next_idle ? NULL : counters(to_slot, cpu);
    if (slot) count_wait(slot, next, queue, queued, now, cpu, quotas, direct);
  }
  return 0;
}

/// For kernels that give everything: what is known when this is compiled, is not asked at a switch.
SEC("tp_btf/sched_switch")
int switch_full(__u64* ctx) {
  return on_switch(ctx, (__u32)ctx[3], true, true, true);
}

SEC("tp_btf/sched_switch")
int switch_btf(__u64* ctx) {
  const __u32 prev_state = state_argument ? (__u32)ctx[3] : state_of((void*)ctx[1], true);
  return on_switch(ctx, prev_state, measure_wait, split_throttled, true);
}

SEC("raw_tp/sched_switch")
int switch_raw(__u64* ctx) {
  const __u32 prev_state = state_argument ? (__u32)ctx[3] : state_of((void*)ctx[1], false);
  return on_switch(ctx, prev_state, measure_wait, split_throttled, false);
}

/// Whether the task leaves its last level cache, or even its node, and counts that.
static __always_inline void count_far(struct CpuSlot* slot, struct task_struct* task, __u32 to,
                                      bool direct) {
  __u32 from = 0;
  if (bpf_core_field_exists(task->thread_info.cpu)) {
    from = FIELD(direct, task, thread_info.cpu);
  } else {
    struct task_struct___cpu* old = (void*)task;
    from = BPF_CORE_READ(old, cpu);
  }
  const __u32* old_place = bpf_map_lookup_elem(&cpu_places, &from);
  const __u32* new_place = bpf_map_lookup_elem(&cpu_places, &to);
  if (!old_place || !new_place || *old_place == *new_place) return;
  if (*old_place == kNoPlace || *new_place == kNoPlace) return;
  slot->far_migrations[(*old_place ^ *new_place) >> 16 ? 1 : 0]++;
}

/// Charged to the task that is moved. Whoever runs here is the one that moves it.
static __always_inline int on_migrate(struct task_struct* task, __u32 to, bool direct) {
  const __u32 cpu = bpf_get_smp_processor_id();
  if (cpu >= cpu_count) return 0;
  struct CpuSlot* slot = counters(slot_of(cgroup_of(task, direct), direct), cpu);
  if (!slot) return 0;
  slot->migrations++;
  if (tell_far) count_far(slot, task, to, direct);
  return 0;
}

// ctx: task, the CPU it goes to.

SEC("tp_btf/sched_migrate_task")
int migrate_btf(__u64* ctx) {
  return on_migrate((void*)ctx[0], (__u32)ctx[1], true);
}

SEC("raw_tp/sched_migrate_task")
int migrate_raw(__u64* ctx) {
  return on_migrate((void*)ctx[0], (__u32)ctx[1], false);
}

char LICENSE[] SEC("license") = "GPL";
