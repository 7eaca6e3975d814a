// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// What the kernel counts per task anyway (read and write calls and their bytes, page faults),
// summed per slot: a walk over all tasks takes up what is new since the last one, and a task that
// ends is taken up a last time. Nothing is added to any system call or fault.
//
// What was taken up stands in the task's storage. Walk and exit may meet in one task: see
// add_since(). A task older than the agent counts from the first walk on.
#include "bpf/slot.bpf.h"

const volatile __u64 counting_since = 0;  // monotonic ns

struct {
  __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct TaskSeen);
} seen_tasks SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 2);  // slot_count
  __type(key, __u32);
  __type(value, struct TaskSlot);
} task_slots SEC(".maps");

__u64 tasks_dropped = 0;

/// The counters a task's cgroup is charged to. Not static, so that the verifier goes through its
/// loop once, and not once per state of the loop over tasks.
__noinline __u32 slot_at(__u64 cgroup) {
  return charged_to((void*)cgroup);
}

/// Not static, likewise: in the loop over tasks 6.12 finds its jumps too many.
__noinline int add_words(struct TaskSeen* now, struct TaskSeen* seen, struct TaskSlot* slot) {
  if (!now || !seen || !slot) return 0;
  for (__u32 i = 0; i < kTaskWords; i++) add_since(&seen->words[i], now->words[i], &slot->words[i]);
  return 0;
}

static __always_inline void take_up(struct task_struct* task) {
  struct TaskSeen now = {.words = {task->ioac.syscr, task->ioac.syscw, task->ioac.rchar,
                                   task->ioac.wchar, task->min_flt, task->maj_flt}};
  struct TaskSeen* seen = bpf_task_storage_get(&seen_tasks, task, NULL, 0);
  if (!seen) {
    struct TaskSeen base = {};
    if (task->start_time < counting_since) base = now;
    seen = bpf_task_storage_get(&seen_tasks, task, &base, BPF_LOCAL_STORAGE_GET_F_CREATE);
    if (!seen) {
      __sync_fetch_and_add(&tasks_dropped, 1);
      return;
    }
  }
  bool moved = false;
  for (__u32 i = 0; i < kTaskWords; i++) moved |= now.words[i] > seen->words[i];
  if (!moved) return;  // most tasks sleep
  const __u32 index = slot_at((__u64)BPF_CORE_READ(task, cgroups, dfl_cgrp));
  struct TaskSlot* slot = bpf_map_lookup_elem(&task_slots, &index);
  if (!slot) return;
  add_words(&now, seen, slot);
}

// Built twice (task_all.bpf.c), because what walk_tasks() calls there is not in older kernels, and
// libbpf would look for a weak symbol in every module, which takes CAP_SYS_ADMIN.
#ifdef OPTIPOD_WALK_ALL
/// Over all tasks of the machine, whatever the agent's pid namespace. Attached for one task: its
/// own.
SEC("iter/task")
int walk_tasks(struct bpf_iter__task* ctx) {
  if (!ctx->task) return 0;
  struct bpf_iter_task it;
  struct task_struct* task;
  bpf_iter_task_new(&it, NULL, BPF_TASK_ITER_ALL_THREADS);
  while ((task = bpf_iter_task_next(&it))) take_up(task);
  bpf_iter_task_destroy(&it);
  return 0;
}
#else
/// The kernel comes with each task of the agent's pid namespace.
SEC("iter/task")
int walk_tasks(struct bpf_iter__task* ctx) {
  struct task_struct* task = ctx->task;
  if (task) take_up(task);
  return 0;
}
#endif

SEC("tp_btf/sched_process_exit")
int task_exit(__u64* ctx) {
  take_up((void*)ctx[0]);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
