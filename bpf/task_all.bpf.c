// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// task.bpf.c for Linux 6.7 and newer, where a program may go through all tasks itself.
#include "bpf/slot.bpf.h"

extern int bpf_iter_task_new(struct bpf_iter_task* it, struct task_struct* task,
                             unsigned int flags) __ksym;
extern struct task_struct* bpf_iter_task_next(struct bpf_iter_task* it) __ksym;
extern void bpf_iter_task_destroy(struct bpf_iter_task* it) __ksym;
#define BPF_TASK_ITER_ALL_THREADS 1
#define OPTIPOD_WALK_ALL

#include "bpf/task.bpf.c"
