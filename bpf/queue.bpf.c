// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// How many tasks wait for each CPU, looked at many times a second by one timer of the kernel's
// (Linux 5.17) for all of them: no interrupt on CPUs that are idle, no event of perf.
#include "bpf/kernel_types.h"
// after the types, which it needs:
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/shared.h"

const volatile __u32 cpu_count = 1;
const volatile __u64 period_ns = 1000000000;

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);  // cpu_count
  __type(key, __u32);
  __type(value, struct QueueCpu);
} queue_cpus SEC(".maps");

struct Timer {
  struct bpf_timer timer;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct Timer);
} timers SEC(".maps");

extern const struct rq runqueues __ksym __weak;

/// Without the task that runs. A CPU that is off has no queue.
static long look_at(__u32 cpu, void* unused) {
  (void)unused;
  struct QueueCpu* counts = bpf_map_lookup_elem(&queue_cpus, &cpu);
  if (!counts || !counts->queue) return 0;
  const struct rq* queue = (void*)counts->queue;
  if (!BPF_CORE_READ(queue, online)) return 0;
  const __u32 tasks = BPF_CORE_READ(queue, nr_running);
  const __u32 waiting = tasks ? tasks - 1 : 0;
  counts->looks[queue_bucket_of(waiting)]++;
  counts->waiting += waiting;
  return 0;
}

static int look(void* map, __u32* key, struct bpf_timer* timer) {
  (void)map;
  (void)key;
  bpf_loop(cpu_count, look_at, NULL, 0);
  bpf_timer_start(timer, period_ns, 0);
  return 0;
}

/// Remembers the CPU's run queue, which stays where it is for ever; counts it when it is one.
static void keep(__u32 cpu, const struct rq* queue, __u32* found) {
  struct QueueCpu* counts = bpf_map_lookup_elem(&queue_cpus, &cpu);
  if (!counts || !queue || (__u32)BPF_CORE_READ(queue, cpu) != cpu) return;
  counts->queue = (__u64)queue;
  *found += 1;
}

struct Search {
  struct cfs_rq** queues;
  __u32 found;
};

static long find_in_group(__u32 cpu, struct Search* search) {
  struct cfs_rq* queue = NULL;
  if (bpf_probe_read_kernel(&queue, sizeof queue, search->queues + cpu)) return 0;
  keep(cpu, BPF_CORE_READ(queue, rq), &search->found);
  return 0;
}

static long find_by_name(__u32 cpu, struct Search* search) {
  keep(cpu, bpf_per_cpu_ptr(&runqueues, cpu), &search->found);
  return 0;
}

/// Below 0: an error; else of how many CPUs the run queue was found.
static __always_inline int start(__u32 found) {
  const __u32 key = 0;
  struct Timer* one = bpf_map_lookup_elem(&timers, &key);
  if (!one || !found) return 0;
  enum { kMonotonic = 1 };
  int error = bpf_timer_init(&one->timer, &timers, kMonotonic);
  if (!error) error = bpf_timer_set_callback(&one->timer, look);
  if (!error) error = bpf_timer_start(&one->timer, period_ns, 0);
  return error ? error : (int)found;
}

// The agent runs one of these, once.

/// A group of tasks has a queue on every CPU there can be, each of which knows the CPU's own.
/// Newer kernels keep those elsewhere: then nothing is found.
SEC("syscall")
int start_by_group(void* unused) {
  (void)unused;
  struct task_struct* task = (void*)bpf_get_current_task();
  struct Search search = {.queues = BPF_CORE_READ(task, sched_task_group, cfs_rq)};
  bpf_loop(cpu_count, find_in_group, &search, 0);
  return start(search.found);
}

/// Not every kernel tells where the variable is (CONFIG_KALLSYMS_ALL): then this does not load.
SEC("syscall")
int start_by_name(void* unused) {
  (void)unused;
  struct Search search = {};
  bpf_loop(cpu_count, find_by_name, &search, 0);
  return start(search.found);
}

char LICENSE[] SEC("license") = "GPL";
