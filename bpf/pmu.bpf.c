// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// What the CPUs' own counters say of each slot: cycles, instructions, cache misses. The agent opens
// the counters, one group per CPU, and lets them count in windows; here they are read whenever a
// task leaves the CPU, and what they have grown by is its slot's. Outside windows one word is
// looked at, and nothing is read.
#include "bpf/slot.bpf.h"

const volatile __u32 cpu_count = 1;
const volatile __u32 counter_count = kCounters;  // the last one may be missing

struct {
  __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
  __uint(max_entries, kCounters);  // * cpu_count
  __type(key, __u32);
  __type(value, __u32);
} counters SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 2);  // slot_count * cpu_count
  __type(key, __u32);
  __type(value, struct CounterSlot);
} counter_slots SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);  // cpu_count
  __type(key, __u32);
  __type(value, struct CounterCpu);
} counter_cpus SEC(".maps");

__u64 open_window = 0;  // the agent's number of the window that is open; 0: none is

/// Reads this CPU's counters; false when one of them cannot be read.
static __always_inline bool read_counters(__u32 cpu, struct CounterCpu* now) {
#pragma clang loop unroll(full)
  for (__u32 i = 0; i < kCounters; i++) {
    if (i >= counter_count) break;
    struct bpf_perf_event_value value = {};
    if (bpf_perf_event_read_value(&counters, i * cpu_count + cpu, &value, sizeof(value)))
      return false;
    now->counts[i] = value.counter;
    if (i == 0) now->running_ns = value.running;  // of the whole group: they count together
  }
  return true;
}

/// ctx: preempted, the task that goes, the one that comes.
SEC("raw_tp/sched_switch")
int count_task(__u64* ctx) {
  const __u64 window = open_window;
  if (window == 0) return 0;
  const __u32 cpu = bpf_get_smp_processor_id();
  struct CounterCpu* last = cpu < cpu_count ? bpf_map_lookup_elem(&counter_cpus, &cpu) : NULL;
  if (!last) return 0;
  struct CounterCpu now = {.window = window};
  if (!read_counters(cpu, &now)) {
    last->window = 0;
    return 0;
  }
  struct task_struct* task = (void*)ctx[1];
  // What ran when the window opened is known from its first switch on only.
  if (last->window == window && BPF_CORE_READ(task, pid) != 0) {
    const __u32 index = slot_of_task(task) * cpu_count + cpu;
    struct CounterSlot* slot = bpf_map_lookup_elem(&counter_slots, &index);
    if (slot) {
#pragma clang loop unroll(full)
      for (__u32 i = 0; i < kCounters; i++) slot->counts[i] += now.counts[i] - last->counts[i];
      slot->running_ns += now.running_ns - last->running_ns;
    }
  }
  *last = now;
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
