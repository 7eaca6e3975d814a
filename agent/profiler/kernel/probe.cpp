// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/kernel/probe.hpp"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string_view>
#include <system_error>

#include "agent/profiler/kernel/drop_reasons.hpp"
#include "agent/profiler/kernel/libbpf_log.hpp"
#include "bpf/shared.h"

namespace optipod::agent::kernel {
namespace {

/// Questions to the kernel's own description of its types.
class KernelTypes {
 public:
  KernelTypes() : btf_(btf__load_vmlinux_btf()) {}

  [[nodiscard]] bool loaded() const { return btf_ != nullptr; }
  [[nodiscard]] int function(const char* name) const { return id(name, BTF_KIND_FUNC); }
  [[nodiscard]] bool has_function(const char* name) const { return function(name) > 0; }
  [[nodiscard]] int tracepoint(const std::string& name) const {
    return id(("btf_trace_" + name).c_str(), BTF_KIND_TYPEDEF);
  }
  /// Arguments a tracepoint passes; -1 when there is no such tracepoint.
  [[nodiscard]] int tracepoint_arguments(const std::string& name) const {
    const btf_type* function = tracepoint_function(name);
    return function == nullptr ? -1 : btf_vlen(function) - 1;  // the first is the probe's own data
  }
  /// Name of the structure the tracepoint's first argument points to, "" when it does not.
  [[nodiscard]] std::string_view first_argument(const std::string& name) const {
    const btf_type* function = tracepoint_function(name);
    if (function == nullptr || btf_vlen(function) < 2) return {};
    const btf_type* type = resolve(btf_params(function)[1].type);
    if (type == nullptr || !btf_is_ptr(type)) return {};
    type = resolve(type->type);
    if (type == nullptr) return {};
    const char* text = btf__name_by_offset(btf_.get(), type->name_off);
    return text == nullptr ? std::string_view{} : text;
  }
  /// Whether the structure has the member, also inside its anonymous ones.
  [[nodiscard]] bool has_member(const char* structure, std::string_view member) const {
    return member_type(id(structure, BTF_KIND_STRUCT), member, 0) != nullptr;
  }
  [[nodiscard]] bool member_is_pointer(const char* structure, std::string_view member) const {
    const btf_type* type = member_type(id(structure, BTF_KIND_STRUCT), member, 0);
    return type != nullptr && btf_is_ptr(type);
  }
  [[nodiscard]] bool has_enumerator(const char* enumeration, std::string_view name) const {
    bool found = false;
    for_enumerators(enumeration, [&](std::string_view one, __u32) { found |= one == name; });
    return found;
  }

  /// Calls `each` with the name and the value of every enumerator.
  template <typename Each>
  void for_enumerators(const char* enumeration, Each each) const {
    const int type_id = id(enumeration, BTF_KIND_ENUM);
    if (type_id <= 0) return;
    const btf_type* type = btf__type_by_id(btf_.get(), static_cast<__u32>(type_id));
    for (int i = 0; i < btf_vlen(type); ++i) {
      const struct btf_enum& one = btf_enum(type)[i];
      each(std::string_view(btf__name_by_offset(btf_.get(), one.name_off)),
           static_cast<__u32>(one.val));
    }
  }

 private:
  struct Free {
    void operator()(btf* b) const { btf__free(b); }
  };

  [[nodiscard]] int id(const char* name, __u32 kind) const {
    return btf_ == nullptr ? -1 : btf__find_by_name_kind(btf_.get(), name, kind);
  }
  /// The type behind typedefs and qualifiers.
  [[nodiscard]] const btf_type* resolve(__u32 type_id) const {
    const btf_type* type = btf__type_by_id(btf_.get(), type_id);
    while (type != nullptr && (btf_is_mod(type) || btf_is_typedef(type)))
      type = btf__type_by_id(btf_.get(), type->type);
    return type;
  }
  [[nodiscard]] const btf_type* tracepoint_function(const std::string& name) const {
    const int type_id = tracepoint(name);
    if (type_id <= 0) return nullptr;
    const btf_type* type = resolve(static_cast<__u32>(type_id));
    if (type == nullptr || !btf_is_ptr(type)) return nullptr;
    type = resolve(type->type);
    return type != nullptr && btf_is_func_proto(type) ? type : nullptr;
  }
  [[nodiscard]] const btf_type* member_type(int structure, std::string_view name, int depth) const {
    if (structure <= 0 || depth > 4) return nullptr;
    const btf_type* type = btf__type_by_id(btf_.get(), static_cast<__u32>(structure));
    for (int i = 0; i < btf_vlen(type); ++i) {
      const btf_member& member = btf_members(type)[i];
      const std::string_view found = btf__name_by_offset(btf_.get(), member.name_off);
      if (found == name) return resolve(member.type);
      const btf_type* inner = found.empty() ? resolve(member.type) : nullptr;
      if (inner == nullptr || !btf_is_composite(inner)) continue;
      if (const btf_type* hit = member_type(static_cast<int>(member.type), name, depth + 1))
        return hit;
    }
    return nullptr;
  }

  std::unique_ptr<btf, Free> btf_;
};

bool close_if_open(int fd) {
  if (fd < 0) return false;
  ::close(fd);
  return true;
}

/// Whether a mappable array can be made; why bpf() refuses goes into `refused`.
bool probe_maps(std::string& refused) {
  bpf_map_create_opts options{};
  options.sz = sizeof options;
  options.map_flags = BPF_F_MMAPABLE;
  if (close_if_open(bpf_map_create(BPF_MAP_TYPE_ARRAY, "probe", 4, 8, 1, &options))) return true;
  if (errno == EPERM || errno == EACCES) {
    refused = "no CAP_BPF, or bpf() forbidden";
  } else if (errno == ENOSYS) {
    refused = "kernel without bpf()";
  }
  return false;
}

bool loads(bpf_prog_type type, const bpf_insn* code, std::size_t length, int btf_id,
           bpf_attach_type attach = BPF_TRACE_RAW_TP) {
  bpf_prog_load_opts options{};
  options.sz = sizeof options;
  if (btf_id > 0) {
    options.expected_attach_type = attach;
    options.attach_btf_id = static_cast<__u32>(btf_id);
  }
  return close_if_open(bpf_prog_load(type, "probe", "GPL", code, length, &options));
}

constexpr bpf_insn instruction(int code, int to, int from, short offset, int value) {
  bpf_insn made{};
  made.code = static_cast<__u8>(code);
  made.dst_reg = static_cast<__u8>(to & 0xf);
  made.src_reg = static_cast<__u8>(from & 0xf);
  made.off = offset;
  made.imm = value;
  return made;
}
constexpr int kMove = BPF_ALU64 | BPF_MOV | BPF_K;
constexpr bpf_insn kNothing[] = {instruction(kMove, BPF_REG_0, 0, 0, 0),
                                 instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)};
constexpr bpf_insn kCompareAndSwap[] = {
    instruction(BPF_ST | BPF_MEM | BPF_DW, BPF_REG_10, 0, -8, 0),
    instruction(kMove, BPF_REG_0, 0, 0, 0),
    instruction(kMove, BPF_REG_1, 0, 0, 1),
    instruction(BPF_STX | BPF_DW | 0xc0, BPF_REG_10, BPF_REG_1, -8, 0xf1),
    instruction(kMove, BPF_REG_0, 0, 0, 0),
    instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
};

/// The first pid namespace has this number on every kernel.
bool in_host_pid_namespace() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/ns/pid", error) == "pid:[4026531836]";
}

bool pressure_is_on() {
  // Compiled in but switched off, reading fails.
  std::ifstream file("/proc/pressure/memory");
  std::string line;
  return static_cast<bool>(std::getline(file, line));
}

/// Whether children of this cgroup have an io controller of their own, so that I/O is theirs.
bool io_enabled_below(const std::string& cgroup) {
  std::ifstream file(cgroup + "/cgroup.subtree_control");
  std::string controller;
  while (file >> controller)
    if (controller == "io") return true;
  return false;
}

void probe_rare_types(const KernelTypes& types, Probes& p) {
  p.reclaim = types.tracepoint("mm_vmscan_direct_reclaim_begin") > 0 &&
              types.tracepoint("mm_vmscan_direct_reclaim_end") > 0 &&
              types.tracepoint("mm_vmscan_memcg_reclaim_begin") > 0 &&
              types.tracepoint("mm_vmscan_memcg_reclaim_end") > 0;
  p.oom_victim_task = types.first_argument("mark_victim") == "task_struct";
  p.task_storage = types.has_enumerator("bpf_map_type", "BPF_MAP_TYPE_TASK_STORAGE");
  p.task_exit = types.tracepoint("sched_process_exit") > 0;
  p.task_io = types.has_member("task_io_accounting", "syscr");
  p.task_iter = types.has_function("bpf_iter_task_new");
  p.task_walk = types.has_function("bpf_iter_task");
  p.host_pids = in_host_pid_namespace();
  // It may be there and be refused, as on some hosts of virtual machines.
  const int socket_walk = types.function("bpf_iter_bpf_sk_storage_map");
  p.socket_storage = socket_walk > 0 && loads(BPF_PROG_TYPE_TRACING, kNothing, std::size(kNothing),
                                              socket_walk, BPF_TRACE_ITER);
  p.socket_state = types.tracepoint_arguments("inet_sock_set_state") == 3;
  p.tcp_retransmit = types.first_argument("tcp_retransmit_skb") == "sock";
}

/// Up to 5.16 kfree_skb passes no reason, and the enumeration is not there.
void probe_drops(const KernelTypes& types, Probes& p) {
  p.kfree_skb = types.tracepoint("kfree_skb") > 0;
  if (types.tracepoint_arguments("kfree_skb") < 3) return;
  types.for_enumerators("skb_drop_reason", [&p](std::string_view name, __u32 value) {
    if (value >= bpf::kDropReasonCount - 1) return;
    if (p.drop_reasons.size() <= value) p.drop_reasons.resize(value + 1);
    p.drop_reasons[value] = drop_reason(name);
  });
}

void probe_types(const KernelTypes& types, Probes& p) {
  p.cgroup_storage = types.has_enumerator("bpf_map_type", "BPF_MAP_TYPE_CGRP_STORAGE");
  p.cgroup_mkdir = types.tracepoint("cgroup_mkdir") > 0;
  p.cgroup_iter = types.has_function("bpf_iter_cgroup");
  p.flush = types.has_function("css_rstat_flush")      ? Flush::kCssRstat
            : types.has_function("cgroup_rstat_flush") ? Flush::kCgroupRstat
                                                       : Flush::kNone;
  p.pressure = types.member_is_pointer("cgroup", "psi") &&
               types.has_enumerator("psi_states", "PSI_CPU_FULL") && pressure_is_on();
  p.sched_info = types.has_member("sched_info", "last_queued");
  p.run_queue = types.has_member("sched_entity", "cfs_rq") && types.has_member("cfs_rq", "rq") &&
                types.has_member("rq", "clock");
  p.queue_timer = types.has_function("bpf_timer_start") && types.has_function("bpf_loop");
  p.queue_tasks = types.has_member("rq", "nr_running") && types.has_member("cfs_rq", "rq") &&
                  types.has_member("task_group", "cfs_rq") &&
                  types.has_member("task_struct", "sched_task_group");
  p.switch_state = types.tracepoint_arguments("sched_switch") >= 4;
  p.migrate_task = types.tracepoint("sched_migrate_task") > 0;
  p.page_alloc = types.tracepoint("mm_page_alloc") > 0;
  p.throttled_self = types.has_member("cfs_rq", "throttled_clock_self_time");
  p.quotas = types.has_member("cfs_rq", "throttle_count") &&
             (p.throttled_self || types.has_member("cfs_rq", "throttled_clock_pelt_time") ||
              types.has_member("cfs_rq", "throttled_clock_task_time"));
  p.softirq = types.tracepoint("softirq_entry") > 0 && types.tracepoint("softirq_exit") > 0;
  p.softirq_preempted = types.has_member("task_struct", "softirq_disable_cnt");
  p.irq_handler =
      types.tracepoint("irq_handler_entry") > 0 && types.tracepoint("irq_handler_exit") > 0;
  p.block_io_start =
      types.tracepoint("block_io_start") > 0 && types.tracepoint("block_io_done") > 0;
  p.block_rq = types.tracepoint("block_rq_issue") > 0 && types.tracepoint("block_rq_insert") > 0 &&
               types.tracepoint("block_rq_requeue") > 0 &&
               types.tracepoint("block_rq_complete") > 0;
  p.block_rq_merge = types.first_argument("block_rq_merge") == "request";
  p.block_rq_queue_first = types.first_argument("block_rq_issue") == "request_queue" ? 1 : 0;
  probe_rare_types(types, p);
  probe_drops(types, p);
  p.cfs_bandwidth = types.has_enumerator("cgroup_subsys_id", "cpu_cgrp_id") &&
                    types.has_member("task_group", "cfs_bandwidth") &&
                    types.has_member("cfs_bandwidth", "throttled_time");
  p.bio_cgroup = types.has_member("bio", "bi_blkg") && types.has_member("blkcg_gq", "blkcg");
}

}  // namespace

Probes probe(const KernelOptions& options) {
  Probes p;
  p.wanted = !options.force_files;
  p.counters_wanted = options.hardware_counters;
  p.allocations_wanted = options.page_allocations;
  if (!p.wanted) return p;
  const LibbpfLog quiet;
  p.mmapable = probe_maps(p.refused);
  if (!p.refused.empty()) return p;
  const KernelTypes types;
  p.btf = types.loaded();
  if (!p.btf) return p;
  probe_types(types, p);
  p.raw_tp = loads(BPF_PROG_TYPE_RAW_TRACEPOINT, kNothing, std::size(kNothing), 0);
  const int load_error = errno;
  p.tp_btf = !options.force_raw_tp && loads(BPF_PROG_TYPE_TRACING, kNothing, std::size(kNothing),
                                            types.tracepoint("sched_switch"));
  if (!p.raw_tp && !p.tp_btf && load_error == EPERM) p.refused = "no CAP_PERFMON, or lockdown";
  p.atomics = loads(BPF_PROG_TYPE_RAW_TRACEPOINT, kCompareAndSwap, std::size(kCompareAndSwap), 0);
  const auto root = std::filesystem::path(options.cgroup_root).relative_path().lexically_normal();
  p.whole_machine = root.empty() || root == ".";
  p.io_controller = io_enabled_below(options.cgroup_mount + "/" + options.cgroup_root);
  return p;
}

}  // namespace optipod::agent::kernel
