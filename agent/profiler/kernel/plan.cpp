// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/kernel/plan.hpp"

namespace optipod::agent::kernel {
namespace {

/// What stands in the way of any eBPF program of ours; "" when nothing does.
std::string obstacle(const Probes& p) {
  if (!p.wanted) return "switched off";
  if (!p.refused.empty()) return p.refused;
  if (!p.btf) return "no kernel BTF";
  if (!p.mmapable) return "no mappable arrays";
  return {};
}

void plan_switch(const Probes& p, const std::string& in_the_way, Plan& plan) {
  const bool typed = p.tp_btf;
  std::string off = in_the_way;
  if (off.empty() && !typed && !p.raw_tp)
    off = p.switch_failed.empty() ? "sched_switch cannot be traced" : p.switch_failed;
  if (!off.empty()) {
    for (const char* name : {"runqueue_wait", "throttled_wait", "preemptions", "context_switches",
                             "migrations", "far_migrations", "cgroup_slots"})
      plan.features.push_back({name, off, false});
    return;
  }
  plan.sched_switch = typed ? Plan::Hook::kTpBtf : Plan::Hook::kRawTp;
  plan.storage = typed && p.cgroup_storage && p.cgroup_mkdir;
  plan.switch_state = p.switch_state;
  plan.wait = p.sched_info && p.run_queue;
  plan.throttled_wait = plan.wait && p.quotas;
  plan.migrations = p.migrate_task;
  plan.far_migrations = plan.migrations && p.cpu_places;
  const std::string source = typed ? "tp_btf" : "raw_tp";
  if (plan.wait) {
    plan.features.push_back({"runqueue_wait", source, true});
  } else {
    plan.features.push_back({"runqueue_wait",
                             p.sched_info ? "run queue out of reach" : "kernel without SCHED_INFO",
                             false});
  }
  plan.features.push_back({"throttled_wait",
                           !plan.wait         ? "no run-queue wait"
                           : !p.quotas        ? "kernel without CPU quotas"
                           : p.throttled_self ? "cfs_rq, wall clock"
                                              : "cfs_rq, load clock",
                           plan.throttled_wait});
  plan.features.push_back({"preemptions", source, true});
  plan.features.push_back({"context_switches", source, true});
  plan.features.push_back(
      {"migrations", plan.migrations ? source : "no sched_migrate_task", plan.migrations});
  plan.features.push_back({"far_migrations",
                           plan.far_migrations ? source
                           : plan.migrations   ? "caches of CPUs not told"
                                               : "no sched_migrate_task",
                           plan.far_migrations});
  plan.features.push_back({"cgroup_slots", plan.storage ? "table+cgroup_storage" : "table", true});
}

void plan_iterator(const Probes& p, const std::string& in_the_way, Plan& plan) {
  std::string off = in_the_way;
  if (off.empty() && !p.cgroup_iter)
    off = p.iterator_failed.empty() ? "no cgroup iterator" : p.iterator_failed;
  plan.iterator_cpu_time = off.empty() && p.flush != Flush::kNone;
  plan.iterator_pressure = off.empty() && p.pressure;
  plan.flush = plan.iterator_cpu_time ? p.flush : Flush::kNone;
  plan.iterator_throttling = off.empty() && p.cfs_bandwidth;
  plan.iterator = plan.iterator_cpu_time || plan.iterator_pressure || plan.iterator_throttling;
  if (off.empty() && !plan.iterator) off = "nothing to read with it";
  std::string source;
  const auto gives = [&source](bool given, const char* what) {
    if (given) source += (source.empty() ? "" : "+") + std::string(what);
  };
  gives(plan.iterator_cpu_time, "cpu_time");
  gives(plan.iterator_pressure, "pressure");
  gives(plan.iterator_throttling, "throttling");
  plan.features.push_back({"cgroup_iter", plan.iterator ? source : off, plan.iterator});
}

void plan_interrupts(const Probes& p, const std::string& in_the_way, Plan& plan) {
  std::string off = in_the_way;
  if (off.empty()) off = p.irq_failed;
  if (off.empty() && !p.tp_btf && !p.raw_tp) off = "interrupts cannot be traced";
  plan.softirqs = off.empty() && p.softirq && !p.softirq_preempted;
  plan.hardirqs = off.empty() && p.irq_handler;
  if (plan.softirqs || plan.hardirqs)
    plan.interrupts = p.tp_btf ? Plan::Hook::kTpBtf : Plan::Hook::kRawTp;
  const std::string source = p.tp_btf ? "tp_btf" : "raw_tp";
  plan.features.push_back({"softirq_time",
                           plan.softirqs         ? source
                           : !off.empty()        ? off
                           : p.softirq_preempted ? "preempted softirqs (PREEMPT_RT)"
                                                 : "no softirq tracepoints",
                           plan.softirqs});
  plan.features.push_back({"hardirq_time",
                           plan.hardirqs  ? source
                           : !off.empty() ? off
                                          : "no irq_handler tracepoints",
                           plan.hardirqs});
}

void plan_queues(const Probes& p, const std::string& in_the_way, Plan& plan) {
  std::string off = in_the_way;
  if (off.empty()) off = p.queue_failed;
  if (off.empty() && !p.queue_timer) off = "no eBPF timers";
  if (off.empty() && !p.queue_tasks) off = "run queues out of reach";
  plan.queue_lengths = off.empty();
  plan.features.push_back(
      {"runqueue_length", plan.queue_lengths ? "timer" : off, plan.queue_lengths});
}

void plan_block(const Probes& p, const std::string& in_the_way, Plan& plan) {
  std::string off = in_the_way;
  if (off.empty()) off = p.block_failed;
  if (off.empty() && !p.raw_tp) off = "raw_tp refused";
  if (off.empty() && !p.atomics) off = "no eBPF compare-and-swap";
  if (off.empty() && !p.block_rq) off = "no block tracepoints";
  if (!off.empty()) {
    plan.features.push_back({"block_io", off, false});
    return;
  }
  // An insertion may be merged away again, so it only counts where that is seen.
  plan.block_merge = p.block_rq_merge;
  plan.block = !p.block_rq_merge  ? Plan::BlockStart::kIssue
               : p.block_io_start ? Plan::BlockStart::kIoStart
                                  : Plan::BlockStart::kInsert;
  plan.block_rq_queue_first = p.block_rq_queue_first;
  plan.charge_bio = p.bio_cgroup && p.io_controller;
  std::string source = plan.block == Plan::BlockStart::kIoStart  ? "io_start"
                       : plan.block == Plan::BlockStart::kInsert ? "rq_insert"
                                                                 : "rq_issue";
  source += plan.charge_bio ? ", charged to bio" : ", charged to submitter";
  plan.features.push_back({"block_io", source, true});
}

/// Rare events, for which untyped programs are as good.
std::string rare_obstacle(const Probes& p, const std::string& in_the_way) {
  if (!in_the_way.empty()) return in_the_way;
  if (!p.raw_tp) return "raw_tp refused";
  return p.atomics ? "" : "no eBPF compare-and-swap";
}

void plan_memory(const Probes& p, const std::string& in_the_way, Plan& plan) {
  std::string off = rare_obstacle(p, in_the_way);
  if (off.empty()) off = p.memory_failed;
  plan.reclaim = off.empty() && p.reclaim;
  plan.oom_kills = off.empty() && p.oom_victim_task;
  const auto note = [&](const char* name, bool on, const char* lacking) {
    plan.features.push_back({name, on ? "raw_tp" : off.empty() ? lacking : off, on});
  };
  note("reclaim_stall", plan.reclaim, "no reclaim tracepoints");
  note("oom_kills", plan.oom_kills, "mark_victim passes no task");
}

void plan_tasks(const Probes& p, const std::string& in_the_way, Plan& plan) {
  std::string off = in_the_way;
  if (off.empty()) off = p.task_failed;
  if (off.empty() && !p.tp_btf) off = "no tp_btf";
  if (off.empty() && !p.atomics) off = "no eBPF compare-and-swap";
  if (off.empty() && !p.task_storage) off = "no task storage";
  if (off.empty() && !p.task_exit) off = "no sched_process_exit";
  if (off.empty() && !p.task_iter && !p.task_walk) off = "no task iterator";
  if (off.empty() && !p.task_iter && !p.host_pids) off = "needs hostPID or Linux 6.7";
  const bool on = off.empty();
  if (on) plan.tasks = p.task_iter ? Plan::TaskWalk::kAll : Plan::TaskWalk::kEach;
  plan.task_io = on && p.task_io;
  plan.features.push_back({"page_faults", on ? "tasks" : off, on});
  plan.features.push_back({"file_io",
                           plan.task_io ? "tasks"
                           : on         ? "kernel without TASK_XACCT"
                                        : off,
                           plan.task_io});
}

void plan_tcp(const Probes& p, const std::string& in_the_way, Plan& plan) {
  std::string off = rare_obstacle(p, in_the_way);
  if (off.empty()) off = p.tcp_failed;
  plan.tcp_retransmits = off.empty() && p.tcp_retransmit;
  plan.features.push_back({"tcp_retransmits",
                           plan.tcp_retransmits ? "raw_tp"
                           : off.empty()        ? "no tcp_retransmit_skb"
                                                : off,
                           plan.tcp_retransmits});
  if (off.empty() && !p.tp_btf) off = "no tp_btf";
  if (off.empty() && !p.socket_storage) off = "no walk over socket storage";
  if (off.empty() && !p.socket_state) off = "no inet_sock_set_state";
  plan.tcp = off.empty();
  plan.features.push_back({"tcp_connections", plan.tcp ? "socket_storage" : off, plan.tcp});
}

void plan_counters(const Probes& p, const std::string& in_the_way, Plan& plan) {
  if (!p.counters_wanted) return;
  std::string off = in_the_way;
  if (off.empty()) off = p.counters_failed;
  if (off.empty() && !p.raw_tp) off = "raw_tp refused";
  plan.counters = off.empty();
  plan.features.push_back(
      {"hardware_counters", plan.counters ? "raw_tp, in windows" : off, plan.counters});
}

void plan_allocations(const Probes& p, const std::string& in_the_way, Plan& plan) {
  if (!p.allocations_wanted) return;
  std::string off = rare_obstacle(p, in_the_way);
  if (off.empty()) off = p.allocations_failed;
  if (off.empty() && !p.page_alloc) off = "no mm_page_alloc";
  plan.allocations = off.empty();
  plan.features.push_back(
      {"page_allocations", plan.allocations ? "raw_tp" : off, plan.allocations});
}

void plan_drops(const Probes& p, const std::string& in_the_way, Plan& plan) {
  std::string off = in_the_way;
  if (off.empty()) off = p.drop_failed;
  if (off.empty() && !p.raw_tp) off = "raw_tp refused";
  if (off.empty() && !p.kfree_skb) off = "no kfree_skb";
  if (off.empty() && p.drop_reasons.empty()) off = "kfree_skb passes no reason";
  if (off.empty() && !p.whole_machine) off = "only of a whole machine";
  plan.drops = off.empty();
  if (plan.drops) plan.drop_reasons = p.drop_reasons;
  plan.features.push_back({"packet_drops", plan.drops ? "raw_tp" : off, plan.drops});
}

}  // namespace

Plan plan(const Probes& probes) {
  Plan result;
  const std::string in_the_way = obstacle(probes);
  plan_switch(probes, in_the_way, result);
  plan_iterator(probes, in_the_way, result);
  plan_interrupts(probes, in_the_way, result);
  plan_queues(probes, in_the_way, result);
  plan_block(probes, in_the_way, result);
  plan_memory(probes, in_the_way, result);
  plan_tasks(probes, in_the_way, result);
  plan_tcp(probes, in_the_way, result);
  plan_drops(probes, in_the_way, result);
  plan_counters(probes, in_the_way, result);
  plan_allocations(probes, in_the_way, result);
  return result;
}

}  // namespace optipod::agent::kernel
