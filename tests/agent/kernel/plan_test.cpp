// SPDX-License-Identifier: Apache-2.0
//
// The plan for kernels that are not here: one ability taken away at a time.
#include "agent/profiler/kernel/plan.hpp"

#include <algorithm>
#include <functional>
#include <set>

#include "agent/profiler/kernel/drop_reasons.hpp"
#include "shm/records.hpp"
#include "tests/support/catch.hpp"

using namespace optipod::agent::kernel;

namespace {

Probes full() {
  Probes p;
  p.wanted = p.btf = p.mmapable = p.tp_btf = p.raw_tp = true;
  p.cgroup_storage = p.cgroup_mkdir = p.cgroup_iter = p.pressure = true;
  p.flush = Flush::kCssRstat;
  p.sched_info = p.run_queue = p.switch_state = p.atomics = true;
  p.migrate_task = p.cpu_places = p.quotas = p.throttled_self = p.softirq = p.irq_handler = true;
  p.block_io_start = p.block_rq = p.block_rq_merge = true;
  p.bio_cgroup = p.io_controller = true;
  p.reclaim = p.oom_victim_task = true;
  p.task_storage = p.task_exit = p.task_io = p.task_iter = p.task_walk = p.host_pids = true;
  p.socket_storage = p.socket_state = p.tcp_retransmit = true;
  p.cfs_bandwidth = p.whole_machine = p.kfree_skb = p.page_alloc = true;
  p.queue_timer = p.queue_tasks = true;
  p.drop_reasons = {"", "", "not_specified", "no_socket"};
  return p;
}

std::string source(const Plan& plan, const std::string& name) {
  for (const FeatureNote& f : plan.features)
    if (f.name == name) return (f.enabled ? "+" : "-") + f.source;
  return "missing";
}

/// All features, each once, with a reason, in what fits a record.
void check_features(const Plan& plan) {
  std::set<std::string> names;
  for (const FeatureNote& f : plan.features) {
    CHECK(names.insert(f.name).second);
    CHECK_FALSE(f.source.empty());
    CHECK(f.name.size() < sizeof(optipod::shm::AgentRecord::Feature::name));
    CHECK(f.source.size() < sizeof(optipod::shm::AgentRecord::Feature::source));
  }
  CHECK(names.size() == 19);
}

struct Row {
  const char* without;
  std::function<void(Probes&)> take;
  const char* runqueue_wait;
  const char* preemptions;
  const char* cgroup_slots;
  const char* cgroup_iter;
  const char* block_io;
};

constexpr const char* kTyped = "+tp_btf";
constexpr const char* kStorage = "+table+cgroup_storage";
constexpr const char* kWalk = "+cpu_time+pressure+throttling";
constexpr const char* kBlock = "+io_start, charged to bio";

const std::vector<Row>& table() {
  static const std::vector<Row> rows = {
      {"nothing", [](Probes&) {}, kTyped, kTyped, kStorage, kWalk, kBlock},
      {"wish", [](Probes& p) { p.wanted = false; }, "-switched off", "-switched off",
       "-switched off", "-switched off", "-switched off"},
      {"rights", [](Probes& p) { p.refused = "no CAP_BPF"; }, "-no CAP_BPF", "-no CAP_BPF",
       "-no CAP_BPF", "-no CAP_BPF", "-no CAP_BPF"},
      {"BTF", [](Probes& p) { p.btf = false; }, "-no kernel BTF", "-no kernel BTF",
       "-no kernel BTF", "-no kernel BTF", "-no kernel BTF"},
      {"mappable arrays", [](Probes& p) { p.mmapable = false; }, "-no mappable arrays",
       "-no mappable arrays", "-no mappable arrays", "-no mappable arrays", "-no mappable arrays"},
      {"tp_btf", [](Probes& p) { p.tp_btf = false; }, "+raw_tp", "+raw_tp", "+table", kWalk,
       kBlock},
      {"raw_tp", [](Probes& p) { p.raw_tp = false; }, kTyped, kTyped, kStorage, kWalk,
       "-raw_tp refused"},
      {"any tracing", [](Probes& p) { p.tp_btf = p.raw_tp = false; },
       "-sched_switch cannot be traced", "-sched_switch cannot be traced",
       "-sched_switch cannot be traced", kWalk, "-raw_tp refused"},
      {"cgroup storage", [](Probes& p) { p.cgroup_storage = false; }, kTyped, kTyped, "+table",
       kWalk, kBlock},
      {"cgroup_mkdir", [](Probes& p) { p.cgroup_mkdir = false; }, kTyped, kTyped, "+table", kWalk,
       kBlock},
      {"cgroup iterator", [](Probes& p) { p.cgroup_iter = false; }, kTyped, kTyped, kStorage,
       "-no cgroup iterator", kBlock},
      {"rstat flush", [](Probes& p) { p.flush = Flush::kNone; }, kTyped, kTyped, kStorage,
       "+pressure+throttling", kBlock},
      {"PSI", [](Probes& p) { p.pressure = false; }, kTyped, kTyped, kStorage,
       "+cpu_time+throttling", kBlock},
      {"kept quotas", [](Probes& p) { p.cfs_bandwidth = false; }, kTyped, kTyped, kStorage,
       "+cpu_time+pressure", kBlock},
      {"PSI, rstat flush and kept quotas",
       [](Probes& p) {
         p.pressure = p.cfs_bandwidth = false;
         p.flush = Flush::kNone;
       },
       kTyped, kTyped, kStorage, "-nothing to read with it", kBlock},
      {"sched_info", [](Probes& p) { p.sched_info = false; }, "-kernel without SCHED_INFO", kTyped,
       kStorage, kWalk, kBlock},
      {"run queue", [](Probes& p) { p.run_queue = false; }, "-run queue out of reach", kTyped,
       kStorage, kWalk, kBlock},
      {"compare-and-swap", [](Probes& p) { p.atomics = false; }, kTyped, kTyped, kStorage, kWalk,
       "-no eBPF compare-and-swap"},
      {"block_io_start", [](Probes& p) { p.block_io_start = false; }, kTyped, kTyped, kStorage,
       kWalk, "+rq_insert, charged to bio"},
      {"block_rq_merge", [](Probes& p) { p.block_rq_merge = false; }, kTyped, kTyped, kStorage,
       kWalk, "+rq_issue, charged to bio"},
      {"block tracepoints", [](Probes& p) { p.block_rq = false; }, kTyped, kTyped, kStorage, kWalk,
       "-no block tracepoints"},
      {"bio cgroups", [](Probes& p) { p.bio_cgroup = false; }, kTyped, kTyped, kStorage, kWalk,
       "+io_start, charged to submitter"},
      {"io controller on v2", [](Probes& p) { p.io_controller = false; }, kTyped, kTyped, kStorage,
       kWalk, "+io_start, charged to submitter"},
  };
  return rows;
}

}  // namespace

TEST_CASE("each missing ability costs what needs it, and says so") {
  for (const Row& row : table()) {
    INFO("without " << row.without);
    Probes p = full();
    row.take(p);
    const Plan made = plan(p);
    CHECK(source(made, "runqueue_wait") == row.runqueue_wait);
    CHECK(source(made, "preemptions") == row.preemptions);
    CHECK(source(made, "context_switches") == row.preemptions);
    CHECK(source(made, "cgroup_slots") == row.cgroup_slots);
    CHECK(source(made, "cgroup_iter") == row.cgroup_iter);
    CHECK(source(made, "block_io") == row.block_io);
  }
}

namespace {

struct RareRow {
  const char* without;
  std::function<void(Probes&)> take;
  const char* reclaim_stall;
  const char* oom_kills;
  const char* page_faults;
  const char* file_io;
  const char* tcp_retransmits;
  const char* tcp_connections;
};

constexpr const char* kUntyped = "+raw_tp";
constexpr const char* kTasks = "+tasks";
constexpr const char* kSockets = "+socket_storage";

RareRow all_without(const char* without, std::function<void(Probes&)> take, const char* why) {
  return {without, std::move(take), why, why, why, why, why, why};
}

std::vector<RareRow> rare_table() {
  return {
      {"nothing", [](Probes&) {}, kUntyped, kUntyped, kTasks, kTasks, kUntyped, kSockets},
      all_without(
          "wish", [](Probes& p) { p.wanted = false; }, "-switched off"),
      all_without(
          "rights", [](Probes& p) { p.refused = "no CAP_BPF"; }, "-no CAP_BPF"),
      all_without(
          "BTF", [](Probes& p) { p.btf = false; }, "-no kernel BTF"),
      all_without(
          "compare-and-swap", [](Probes& p) { p.atomics = false; }, "-no eBPF compare-and-swap"),
      {"tp_btf", [](Probes& p) { p.tp_btf = false; }, kUntyped, kUntyped, "-no tp_btf",
       "-no tp_btf", kUntyped, "-no tp_btf"},
      {"raw_tp", [](Probes& p) { p.raw_tp = false; }, "-raw_tp refused", "-raw_tp refused", kTasks,
       kTasks, "-raw_tp refused", "-raw_tp refused"},
      {"reclaim tracepoints", [](Probes& p) { p.reclaim = false; }, "-no reclaim tracepoints",
       kUntyped, kTasks, kTasks, kUntyped, kSockets},
      {"the victim's task", [](Probes& p) { p.oom_victim_task = false; }, kUntyped,
       "-mark_victim passes no task", kTasks, kTasks, kUntyped, kSockets},
      {"task storage", [](Probes& p) { p.task_storage = false; }, kUntyped, kUntyped,
       "-no task storage", "-no task storage", kUntyped, kSockets},
      {"sched_process_exit", [](Probes& p) { p.task_exit = false; }, kUntyped, kUntyped,
       "-no sched_process_exit", "-no sched_process_exit", kUntyped, kSockets},
      {"TASK_XACCT", [](Probes& p) { p.task_io = false; }, kUntyped, kUntyped, kTasks,
       "-kernel without TASK_XACCT", kUntyped, kSockets},
      {"a program's task iterator", [](Probes& p) { p.task_iter = false; }, kUntyped, kUntyped,
       kTasks, kTasks, kUntyped, kSockets},
      {"that and the host's pids", [](Probes& p) { p.task_iter = p.host_pids = false; }, kUntyped,
       kUntyped, "-needs hostPID or Linux 6.7", "-needs hostPID or Linux 6.7", kUntyped, kSockets},
      {"the host's pids", [](Probes& p) { p.host_pids = false; }, kUntyped, kUntyped, kTasks,
       kTasks, kUntyped, kSockets},
      {"any task iterator", [](Probes& p) { p.task_iter = p.task_walk = false; }, kUntyped,
       kUntyped, "-no task iterator", "-no task iterator", kUntyped, kSockets},
      {"socket storage", [](Probes& p) { p.socket_storage = false; }, kUntyped, kUntyped, kTasks,
       kTasks, kUntyped, "-no walk over socket storage"},
      {"inet_sock_set_state", [](Probes& p) { p.socket_state = false; }, kUntyped, kUntyped, kTasks,
       kTasks, kUntyped, "-no inet_sock_set_state"},
      {"tcp_retransmit_skb", [](Probes& p) { p.tcp_retransmit = false; }, kUntyped, kUntyped,
       kTasks, kTasks, "-no tcp_retransmit_skb", kSockets},
  };
}

}  // namespace

TEST_CASE("memory, files and network: each missing ability costs what needs it") {
  for (const RareRow& row : rare_table()) {
    INFO("without " << row.without);
    Probes p = full();
    row.take(p);
    const Plan made = plan(p);
    CHECK(source(made, "reclaim_stall") == row.reclaim_stall);
    CHECK(source(made, "oom_kills") == row.oom_kills);
    CHECK(source(made, "page_faults") == row.page_faults);
    CHECK(source(made, "file_io") == row.file_io);
    CHECK(source(made, "tcp_retransmits") == row.tcp_retransmits);
    CHECK(source(made, "tcp_connections") == row.tcp_connections);
    // What is planned is what the features promise.
    CHECK((row.reclaim_stall[0] == '+') == made.reclaim);
    CHECK((row.oom_kills[0] == '+') == made.oom_kills);
    CHECK((row.page_faults[0] == '+') == (made.tasks != Plan::TaskWalk::kNone));
    CHECK((row.file_io[0] == '+') == made.task_io);
    CHECK((row.tcp_retransmits[0] == '+') == made.tcp_retransmits);
    CHECK((row.tcp_connections[0] == '+') == made.tcp);
    check_features(made);
  }
}

TEST_CASE("every plan names the same features once, in what fits a record") {
  for (const Row& row : table()) {
    INFO("without " << row.without);
    Probes p = full();
    row.take(p);
    check_features(plan(p));
  }
}

TEST_CASE("what is planned is what the features promise") {
  for (const Row& row : table()) {
    INFO("without " << row.without);
    Probes p = full();
    row.take(p);
    const Plan made = plan(p);
    CHECK((source(made, "runqueue_wait")[0] == '+') == made.wait);
    CHECK((source(made, "throttled_wait")[0] == '+') == made.throttled_wait);
    CHECK((!made.throttled_wait || made.wait));
    CHECK((source(made, "migrations")[0] == '+') == made.migrations);
    CHECK((source(made, "far_migrations")[0] == '+') == made.far_migrations);
    CHECK((!made.far_migrations || made.migrations));
    CHECK((!made.migrations || made.sched_switch != Plan::Hook::kNone));
    CHECK((source(made, "softirq_time")[0] == '+') == made.softirqs);
    CHECK((source(made, "hardirq_time")[0] == '+') == made.hardirqs);
    CHECK((made.softirqs || made.hardirqs) == (made.interrupts != Plan::Hook::kNone));
    CHECK((source(made, "runqueue_length")[0] == '+') == made.queue_lengths);
    CHECK((source(made, "preemptions")[0] == '+') == (made.sched_switch != Plan::Hook::kNone));
    CHECK((source(made, "cgroup_iter")[0] == '+') == made.iterator);
    CHECK((source(made, "block_io")[0] == '+') == (made.block != Plan::BlockStart::kNone));
    // Storage lookups take trusted pointers, which only typed programs have.
    CHECK((!made.storage || made.sched_switch == Plan::Hook::kTpBtf));
    // Where a merge is not seen, nothing that can still be merged may count as begun.
    CHECK((made.block == Plan::BlockStart::kNone || made.block == Plan::BlockStart::kIssue ||
           made.block_merge));
  }
}

TEST_CASE("what failed to load although probed is given as the reason") {
  Probes p = full();
  p.switch_failed = p.iterator_failed = "load failed: Permission denied";
  CHECK(source(plan(p), "runqueue_wait") == kTyped);  // another way worked
  p.tp_btf = p.raw_tp = p.cgroup_iter = false;
  CHECK(source(plan(p), "runqueue_wait") == "-load failed: Permission denied");
  CHECK(source(plan(p), "cgroup_iter") == "-load failed: Permission denied");
  p = full();
  p.memory_failed = p.task_failed = p.tcp_failed = "load failed: No space left on device";
  for (const char* name : {"reclaim_stall", "oom_kills", "page_faults", "file_io",
                           "tcp_retransmits", "tcp_connections"})
    CHECK(source(plan(p), name) == "-load failed: No space left on device");
  p = full();
  p.block_failed = "load failed: Invalid argument";
  CHECK(source(plan(p), "block_io") == "-load failed: Invalid argument");
}

TEST_CASE("run queue lengths: what they need") {
  const auto without = [](const std::function<void(Probes&)>& take) {
    Probes p = full();
    take(p);
    return source(plan(p), "runqueue_length");
  };
  CHECK(without([](Probes&) {}) == "+timer");
  CHECK(without([](Probes& p) { p.btf = false; }) == "-no kernel BTF");
  CHECK(without([](Probes& p) { p.queue_timer = false; }) == "-no eBPF timers");
  CHECK(without([](Probes& p) { p.queue_tasks = false; }) == "-run queues out of reach");
  CHECK(without([](Probes& p) { p.queue_failed = "load failed: x"; }) == "-load failed: x");
  CHECK(without([](Probes& p) { p.tp_btf = p.raw_tp = false; }) == "+timer");
}

TEST_CASE("throttled waits, migrations, interrupts: what each needs") {
  const auto without = [](const std::function<void(Probes&)>& take, const char* feature) {
    Probes p = full();
    take(p);
    return source(plan(p), feature);
  };
  const auto nothing = [](Probes&) {};
  CHECK(without(nothing, "throttled_wait") == "+cfs_rq, wall clock");
  CHECK(without(nothing, "migrations") == kTyped);
  CHECK(without([](Probes& p) { p.throttled_self = false; }, "throttled_wait") ==
        "+cfs_rq, load clock");
  CHECK(without([](Probes& p) { p.quotas = false; }, "throttled_wait") ==
        "-kernel without CPU quotas");
  CHECK(without([](Probes& p) { p.sched_info = false; }, "throttled_wait") == "-no run-queue wait");
  CHECK(without([](Probes& p) { p.migrate_task = false; }, "migrations") ==
        "-no sched_migrate_task");
  CHECK(without([](Probes& p) { p.tp_btf = false; }, "migrations") == "+raw_tp");
  CHECK(without(nothing, "far_migrations") == kTyped);
  CHECK(without([](Probes& p) { p.migrate_task = false; }, "far_migrations") ==
        "-no sched_migrate_task");
  CHECK(without([](Probes& p) { p.cpu_places = false; }, "far_migrations") ==
        "-caches of CPUs not told");
  CHECK(without([](Probes& p) { p.cpu_places = false; }, "migrations") == kTyped);
  CHECK(without(nothing, "softirq_time") == kTyped);
  CHECK(without(nothing, "hardirq_time") == kTyped);
  const auto rt = [](Probes& p) { p.softirq_preempted = true; };
  CHECK(without(rt, "softirq_time") == "-preempted softirqs (PREEMPT_RT)");
  CHECK(without(rt, "hardirq_time") == kTyped);
  CHECK(without([](Probes& p) { p.softirq = false; }, "softirq_time") == "-no softirq tracepoints");
  CHECK(without([](Probes& p) { p.irq_handler = false; }, "hardirq_time") ==
        "-no irq_handler tracepoints");
  CHECK(without([](Probes& p) { p.irq_failed = "load failed: x"; }, "hardirq_time") ==
        "-load failed: x");
  CHECK(without([](Probes& p) { p.tp_btf = p.raw_tp = false; }, "softirq_time") ==
        "-interrupts cannot be traced");
  CHECK(without([](Probes& p) { p.tp_btf = p.raw_tp = false; }, "throttled_wait") ==
        "-sched_switch cannot be traced");
}

TEST_CASE("hardware counters: a feature for those who want it, and why not") {
  Probes p = full();
  CHECK(source(plan(p), "hardware_counters") == "missing");
  CHECK_FALSE(plan(p).counters);
  p.counters_wanted = true;
  CHECK(source(plan(p), "hardware_counters") == "+raw_tp, in windows");
  CHECK(plan(p).counters);
  p.counters_failed = "no hardware counters";
  CHECK(source(plan(p), "hardware_counters") == "-no hardware counters");
  CHECK_FALSE(plan(p).counters);
  p.counters_failed.clear();
  p.raw_tp = false;
  CHECK(source(plan(p), "hardware_counters") == "-raw_tp refused");
  p.btf = false;
  CHECK(source(plan(p), "hardware_counters") == "-no kernel BTF");
}

TEST_CASE("page allocations: a feature for those who want it, and why not") {
  Probes p = full();
  CHECK(source(plan(p), "page_allocations") == "missing");
  CHECK_FALSE(plan(p).allocations);
  p.allocations_wanted = true;
  CHECK(source(plan(p), "page_allocations") == kUntyped);
  CHECK(plan(p).allocations);
  const auto without = [&p](const std::function<void(Probes&)>& take) {
    Probes less = p;
    take(less);
    CHECK_FALSE(plan(less).allocations);
    return source(plan(less), "page_allocations");
  };
  CHECK(without([](Probes& l) { l.page_alloc = false; }) == "-no mm_page_alloc");
  CHECK(without([](Probes& l) { l.raw_tp = false; }) == "-raw_tp refused");
  CHECK(without([](Probes& l) { l.atomics = false; }) == "-no eBPF compare-and-swap");
  CHECK(without([](Probes& l) { l.allocations_failed = "load failed: x"; }) == "-load failed: x");
  CHECK(without([](Probes& l) { l.btf = false; }) == "-no kernel BTF");
}

TEST_CASE("packet drops: what they need") {
  const auto without = [](const std::function<void(Probes&)>& take) {
    Probes p = full();
    take(p);
    const Plan made = plan(p);
    CHECK((source(made, "packet_drops")[0] == '+') == made.drops);
    CHECK(made.drops == !made.drop_reasons.empty());
    return source(made, "packet_drops");
  };
  CHECK(without([](Probes&) {}) == kUntyped);
  CHECK(without([](Probes& p) { p.tp_btf = false; }) == kUntyped);
  CHECK(without([](Probes& p) { p.raw_tp = false; }) == "-raw_tp refused");
  CHECK(without([](Probes& p) { p.kfree_skb = false; }) == "-no kfree_skb");
  CHECK(without([](Probes& p) { p.drop_reasons.clear(); }) == "-kfree_skb passes no reason");
  CHECK(without([](Probes& p) { p.whole_machine = false; }) == "-only of a whole machine");
  CHECK(without([](Probes& p) { p.drop_failed = "load failed: x"; }) == "-load failed: x");
  CHECK(without([](Probes& p) { p.btf = false; }) == "-no kernel BTF");
}

TEST_CASE("reasons have the kernel's names, and what is no loss has none") {
  CHECK(drop_reason("SKB_DROP_REASON_NOT_SPECIFIED") == "not_specified");
  CHECK(drop_reason("SKB_DROP_REASON_TCP_RFC7323_PAWS") == "tcp_rfc7323_paws");
  for (const char* none : {"SKB_NOT_DROPPED_YET", "SKB_CONSUMED", "SKB_DROP_REASON_QUEUE_PURGE",
                           "SKB_DROP_REASON_SOCKET_CLOSE", "SKB_DROP_REASON_UNIX_DISCONNECT",
                           "SKB_DROP_REASON_OTHERHOST", "SKB_DROP_REASON_MAX", ""})
    CHECK(drop_reason(none).empty());
}

TEST_CASE("a kernel that can do nothing gets nothing") {
  const Plan made = plan(Probes{});
  for (const FeatureNote& f : made.features) CHECK_FALSE(f.enabled);
  CHECK(made.sched_switch == Plan::Hook::kNone);
  CHECK_FALSE(made.iterator);
}
