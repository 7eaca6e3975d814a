// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// The few kernel types our programs touch, with only the members they read. Everything is
// relocated at load time against the running kernel's BTF (CO-RE), so offsets here mean nothing and
// nothing of the build host's kernel is needed. A member that some kernels lack is tested with
// bpf_core_field_exists() before use; a flavour (name___suffix) is another kernel's shape of the
// same type.
#pragma once

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;  // a typedef, so that the skeletons, which C++ compiles, say bool, too
#define true 1
#define false 0
#define NULL ((void*)0)

// UAPI numbers, stable for ever (include/uapi/linux/bpf.h); that header may be older than the
// types.
enum {
  BPF_MAP_TYPE_HASH = 1,
  BPF_MAP_TYPE_ARRAY = 2,
  BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
  BPF_MAP_TYPE_SK_STORAGE = 24,
  BPF_MAP_TYPE_RINGBUF = 27,
  BPF_MAP_TYPE_TASK_STORAGE = 29,  // Linux 5.11
  BPF_MAP_TYPE_CGRP_STORAGE = 32,  // Linux 6.2
  BPF_F_NO_PREALLOC = 1u << 0,
  BPF_F_MMAPABLE = 1u << 10,
  BPF_LOCAL_STORAGE_GET_F_CREATE = 1u << 0,
  BPF_SK_STORAGE_GET_F_CREATE = 1u << 0,
  BPF_ANY = 0,
  BPF_NOEXIST = 1,
  BPF_RB_NO_WAKEUP = 1u << 0,
};

#define PF_KTHREAD 0x00200000
#define PF_EXITING 0x00000004

// UAPI, too.
struct bpf_perf_event_value {
  __u64 counter;
  __u64 enabled;
  __u64 running;
};

// State of an open-coded iterator over tasks, which the kernel alone looks into (Linux 6.7).
struct bpf_iter_task {
  __u64 opaque[3];
} __attribute__((aligned(8)));

// A timer in a map's value, likewise (Linux 5.15).
struct bpf_timer {
  __u64 opaque[2];
} __attribute__((aligned(8)));

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
  __u64 id;  // what stat(2) calls the inode of the cgroup directory
};

struct cgroup_subsys_state {
  struct cgroup* cgroup;
};

struct task_cputime {
  __u64 stime;
  __u64 utime;
  unsigned long long sum_exec_runtime;
};

struct cgroup_base_stat {
  struct task_cputime cputime;
};

struct psi_group {
  bool enabled;     // 6.1: cgroup.pressure
  __u64 total[12];  // [who aggregates][state], as compilers that flatten arrays in BTF describe it
};

struct psi_group___nested {
  __u64 total[2][6];  // and as the others do
};

enum psi_states {
  PSI_IO_SOME,
  PSI_IO_FULL,
  PSI_MEM_SOME,
  PSI_MEM_FULL,
  PSI_CPU_SOME,
  PSI_CPU_FULL,  // 5.13
};

struct cgroup {
  struct cgroup_subsys_state self;
  int level;
  struct kernfs_node* kn;
  struct cgroup_base_stat bstat;
  struct psi_group* psi;
  struct cgroup* ancestors[];  // 6.1; [level] is the cgroup itself
};

struct cgroup___subsys {
  struct cgroup_subsys_state* subsys[1];  // by enum cgroup_subsys_id; NULL: none of its own
};

enum cgroup_subsys_id {
  cpu_cgrp_id = 1,  // CONFIG_CGROUP_SCHED; the running kernel's value is used
};

struct cfs_bandwidth {  // CONFIG_CFS_BANDWIDTH
  int nr_periods;
  int nr_throttled;
  __u64 throttled_time;
};

struct task_group {
  struct cgroup_subsys_state css;
  struct cfs_rq** cfs_rq;  // CONFIG_FAIR_GROUP_SCHED: by CPU
  struct cfs_bandwidth cfs_bandwidth;
};

struct cgroup___ids {
  int level;
  __u64 ancestor_ids[];  // before 6.1
};

struct css_set {
  struct cgroup* dfl_cgrp;
};

struct rq {
  __u64 clock;
  unsigned int nr_running;  // all classes, and the one that has the CPU
  int online;               // CONFIG_SMP
  int cpu;
};

struct cfs_rq {  // the throttle members: CONFIG_CFS_BANDWIDTH
  struct rq* rq;
  int throttle_count;               // of itself and its ancestors, how many are throttled
  __u64 throttled_clock_self;       // 6.6: since when on the run queue's clock, 0: not now
  __u64 throttled_clock_self_time;  // 6.6: for how long until now, by that clock
  __u64 throttled_clock_pelt_time;  // 5.18: the same by the load average's clock
};

struct cfs_rq___task {
  __u64 throttled_clock_task_time;  // before 5.18: the same by the clock without interrupts
};

struct sched_entity {
  struct cfs_rq* cfs_rq;
};

struct sched_info {
  unsigned long long last_queued;
};

struct task_io_accounting {  // CONFIG_TASK_XACCT
  __u64 rchar;
  __u64 wchar;
  __u64 syscr;
  __u64 syscw;
};

struct thread_info {
  __u32 cpu;  // 5.16
};

struct task_struct {
  struct thread_info thread_info;
  unsigned int __state;  // 5.14
  unsigned int flags;
  int pid;
  int tgid;
  char comm[16];
  int prio;  // 100 and up: not of a real-time class
  struct sched_entity se;
  struct task_group* sched_task_group;  // CONFIG_CGROUP_SCHED
  struct sched_info sched_info;
  struct css_set* cgroups;
  __u64 start_time;
  unsigned long min_flt;
  unsigned long maj_flt;
  struct task_io_accounting ioac;
};

struct task_struct___state {
  volatile long state;  // before 5.14
};

struct task_struct___cpu {
  unsigned int cpu;  // before 5.16
};

struct gendisk {
  int major;
  int first_minor;
};

struct request_queue {
  struct gendisk* disk;  // 5.15
};

struct blkcg {
  struct cgroup_subsys_state css;
};

struct blkcg_gq {
  struct blkcg* blkcg;
};

struct bio {
  struct blkcg_gq* bi_blkg;
};

struct request {
  struct request_queue* q;
  unsigned int cmd_flags;
  unsigned int __data_len;
  struct bio* bio;
};

struct request___disk {
  struct gendisk* rq_disk;  // before 5.17
};

struct sock_cgroup_data {
  struct cgroup* cgroup;  // 5.16
};

struct sock_cgroup_data___word {
  __u64 val;  // before: the pointer, unless its lowest bit is set
};

struct sock {
  __u16 sk_protocol;
  struct sock_cgroup_data sk_cgrp_data;
};

struct tcp_sock {
  __u64 bytes_received;
  __u64 bytes_sent;
  __u32 srtt_us;  // times 8
};

struct sk_buff {
  char cb[48];
};

struct tcp_skb_cb {
  __u16 tcp_gso_segs;
};

struct bpf_iter_meta {
  struct seq_file* seq;
  __u64 session_id;
  __u64 seq_num;
};

struct bpf_iter__task {
  struct bpf_iter_meta* meta;
  struct task_struct* task;
};

struct bpf_iter__bpf_sk_storage_map {
  struct bpf_iter_meta* meta;
  struct bpf_map* map;
  struct sock* sk;
  void* value;
};

struct bpf_iter__cgroup {
  struct bpf_iter_meta* meta;
  struct cgroup* cgroup;
};

#pragma clang attribute pop
