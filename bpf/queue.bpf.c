// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// How many tasks wait for each CPU, looked at many times a second by one timer of the kernel's
// (Linux 5.15) for all of them: no interrupt on CPUs that are idle, no event of perf.
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

/// A group of tasks has a queue on every CPU there can be, each of which knows the CPU's own. That
/// one stays where it is for ever, and not every kernel tells its address by name.
static long find_queue(__u32 cpu, struct cfs_rq*** queues) {
  struct QueueCpu* counts = bpf_map_lookup_elem(&queue_cpus, &cpu);
  struct cfs_rq* queue = NULL;
  if (!counts || bpf_probe_read_kernel(&queue, sizeof queue, *queues + cpu)) return 0;
  counts->queue = (__u64)BPF_CORE_READ(queue, rq);
  return 0;
}

/// Run once, by the agent.
SEC("syscall")
int start_looking(void* unused) {
  (void)unused;
  struct task_struct* task = (void*)bpf_get_current_task();
  struct cfs_rq** queues = BPF_CORE_READ(task, sched_task_group, cfs_rq);
  bpf_loop(cpu_count, find_queue, &queues, 0);
  const __u32 key = 0;
  struct Timer* one = bpf_map_lookup_elem(&timers, &key);
  if (!one) return 1;
  enum { kMonotonic = 1 };
  return bpf_timer_init(&one->timer, &timers, kMonotonic) ||
         bpf_timer_set_callback(&one->timer, look) || bpf_timer_start(&one->timer, period_ns, 0);
}

char LICENSE[] SEC("license") = "GPL";
