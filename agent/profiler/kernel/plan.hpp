// SPDX-License-Identifier: Apache-2.0
//
// From what this kernel can do to what will be loaded. A pure function, so that every kernel we do
// not have is a row in a test.
#pragma once

#include <string>
#include <vector>

namespace optipod::agent::kernel {

/// Name of the kernel function that brings a cgroup's cpu time up to date.
enum class Flush { kNone, kCgroupRstat, kCssRstat };

/// What was found out about this kernel, our rights on it, and its configuration. A default
/// Probes{} is a kernel that can do nothing.
struct Probes {
  bool wanted = false;          ///< eBPF was not switched off by an option
  std::string refused;          ///< why bpf() said no; "" when it works
  bool btf = false;             ///< the kernel describes its types (/sys/kernel/btf/vmlinux)
  bool mmapable = false;        ///< arrays can be mapped (5.5)
  bool tp_btf = false;          ///< typed tracepoint programs (5.5)
  bool raw_tp = false;          ///< untyped ones
  bool cgroup_storage = false;  ///< 6.2
  bool cgroup_mkdir = false;    ///< the hook that fills the storage of new cgroups
  bool cgroup_iter = false;     ///< 6.1
  Flush flush = Flush::kNone;   ///< 6.1, other name since 6.16
  bool pressure = false;      ///< PSI is compiled in and switched on, with full for every resource
  bool sched_info = false;    ///< enqueues are stamped (CONFIG_SCHED_INFO)
  bool run_queue = false;     ///< the run queue can be reached from a task
  bool switch_state = false;  ///< sched_switch passes the previous task's state (5.18)
  bool migrate_task = false;  ///< sched_migrate_task can be traced
  bool cpu_places = false;    ///< and which CPUs share caches and nodes is known
  bool quotas = false;        ///< CPU quotas are compiled in (CONFIG_CFS_BANDWIDTH)
  bool throttled_self = false;     ///< and the time each group's queue was throttled is kept (6.6)
  bool softirq = false;            ///< softirq_entry and _exit
  bool softirq_preempted = false;  ///< PREEMPT_RT: softirqs are threads that others interrupt
  bool irq_handler = false;        ///< irq_handler_entry and _exit
  bool atomics = false;            ///< eBPF compare-and-swap (5.12)
  bool block_io_start = false;     ///< and block_io_done (6.5)
  bool block_rq = false;           ///< block_rq_issue, _insert, _requeue and _complete
  bool block_rq_merge = false;     ///< 5.14
  unsigned block_rq_queue_first = 0;  ///< 1: block_rq_issue passes the queue before the request
  bool bio_cgroup = false;            ///< bios carry a cgroup (CONFIG_BLK_CGROUP)
  bool io_controller = false;  ///< and io is enabled on v2 below the root, so it is one of ours

  bool reclaim = false;                   ///< begin and end of direct and of memcg reclaim
  bool oom_victim_task = false;           ///< mark_victim passes the task (6.9)
  bool task_storage = false;              ///< 5.11
  bool task_exit = false;                 ///< sched_process_exit
  bool task_io = false;                   ///< tasks count reads and writes (CONFIG_TASK_XACCT)
  bool task_iter = false;                 ///< a program may go through all tasks itself (6.7)
  bool task_walk = false;                 ///< the kernel goes through those of our pid namespace
  bool host_pids = false;                 ///< which is the host's
  bool socket_storage = false;            ///< with a walk over it
  bool socket_state = false;              ///< inet_sock_set_state
  bool tcp_retransmit = false;            ///< tcp_retransmit_skb passes socket and segment
  bool cfs_bandwidth = false;             ///< task groups keep what their quotas did
  bool whole_machine = false;             ///< the node is all of it
  bool counters_wanted = false;           ///< those of the CPUs
  bool allocations_wanted = false;        ///< pages of each slot
  bool page_alloc = false;                ///< mm_page_alloc can be traced
  bool queue_timer = false;               ///< a program's own timer, and a loop (5.17)
  bool queue_tasks = false;               ///< run queues know how many tasks they have
  bool kfree_skb = false;                 ///< kfree_skb can be traced
  std::vector<std::string> drop_reasons;  ///< why, by number, if it says so (5.17); "": no loss

  // Set when loading failed although the probes promised it, before planning again.
  std::string switch_failed, iterator_failed, block_failed, memory_failed, task_failed, tcp_failed,
      irq_failed, queue_failed, drop_failed, counters_failed, allocations_failed;
};

/// One line of "what this kernel gives": `source` says from where, or why not.
struct FeatureNote {
  std::string name;
  std::string source;
  bool enabled = false;
};

struct Plan {
  enum class Hook { kNone, kTpBtf, kRawTp };
  enum class BlockStart { kNone, kIoStart, kInsert, kIssue };
  enum class TaskWalk { kNone, kAll, kEach };  ///< by the program, by the kernel

  Hook sched_switch = Hook::kNone;
  bool storage = false;         ///< slots from cgroup storage, else from the slot table
  bool wait = false;            ///< run-queue wait is measured
  bool throttled_wait = false;  ///< and the part that is the quota's fault
  bool migrations = false;
  bool far_migrations = false;
  bool switch_state = false;
  bool iterator = false;
  bool iterator_cpu_time = false;
  bool iterator_pressure = false;
  bool iterator_throttling = false;
  Flush flush = Flush::kNone;
  Hook interrupts = Hook::kNone;
  bool softirqs = false, hardirqs = false;
  BlockStart block = BlockStart::kNone;
  bool block_merge = false;
  unsigned block_rq_queue_first = 0;
  bool charge_bio = false;
  bool reclaim = false;
  bool oom_kills = false;
  TaskWalk tasks = TaskWalk::kNone;
  bool task_io = false;
  bool tcp = false;  ///< bytes and round trip times
  bool tcp_retransmits = false;
  bool counters = false;
  bool allocations = false;
  bool queue_lengths = false;
  bool drops = false;
  std::vector<std::string> drop_reasons;  ///< as Probes'
  std::vector<FeatureNote>
      features;  ///< runqueue_wait, throttled_wait, preemptions, context_switches, migrations,
                 ///< far_migrations, cgroup_slots, cgroup_iter, softirq_time, hardirq_time,
                 ///< runqueue_length,
                 ///< block_io, reclaim_stall, oom_kills, page_faults, file_io, tcp_retransmits,
                 ///< tcp_connections, packet_drops; one each, always all of them;
                 ///< and hardware_counters, page_allocations when they are wanted
};

[[nodiscard]] Plan plan(const Probes& probes);

}  // namespace optipod::agent::kernel
