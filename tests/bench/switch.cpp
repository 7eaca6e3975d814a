// SPDX-License-Identifier: Apache-2.0
//
// What a context switch costs more because somebody is looking: OptiPod's one program against
// libbpf-tools' runqlat, as it comes and per process (-P).
//
// Two processes in two cgroups, pinned to one CPU, hand a byte back and forth through pipes: every
// hand-over is a context switch. The watchers take turns, pass by pass, so that whatever else the
// machine does meets all of them. Two views:
//   added_cpu   CPU time of the two processes per switch, less that of the unwatched pass before
//               it; the median of the passes
//   bpf_stats   the kernel's own account of the time in eBPF programs, all hooks summed up, per
//               switch; net of what the account itself takes, which an empty program shows
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "agent/profiler/kernel.hpp"
#include "tests/agent/kernel/support.hpp"
#include "tests/support/bench.hpp"

using namespace optipod;
using namespace optipod::agent;
using namespace optipod::agent::test;
using namespace std::chrono_literals;

extern char** environ;

namespace {

// A run takes some 15 ms: so short that some are not disturbed. What else the machine does only
// adds, so the fastest of a pass counts, which the first, with cold caches, never is.
constexpr int kRounds = 2'500;
constexpr int kRunsOfAPass = 30;
constexpr int kPasses = 11;

struct Account {
  std::uint64_t runs = 0, ns = 0;
};
using Accounts = std::map<std::string, Account>;  // by program

class Watcher {
 public:
  virtual ~Watcher() = default;
  /// The kernel's account of this watcher's programs.
  [[nodiscard]] virtual Accounts accounts() const { return {}; }
};
using MakeWatcher = std::function<std::unique_ptr<Watcher>(const Cgroup&, const Cgroup&)>;

Account account_of(int program_fd, std::string* name = nullptr) {
  bpf_prog_info info{};
  __u32 length = sizeof info;
  if (bpf_obj_get_info_by_fd(program_fd, &info, &length) != 0) return {};
  if (name != nullptr) *name = info.name;
  return {.runs = info.run_cnt, .ns = info.run_time_ns};
}

class OptiPod : public Watcher {
 public:
  OptiPod(const Cgroup& a, const Cgroup& b) : kernel_(open()) {
    if (!kernel_.assign(a.fd(), a.id(), kFirstSlot) ||
        !kernel_.assign(b.fd(), b.id(), kFirstSlot + 1))
      throw std::runtime_error("assigning slots failed");
    if ((kernel_.valid() & shm::kValidRunqueueWait) == 0)
      throw std::runtime_error("this kernel gives no run-queue wait: " + kernel_.diagnostics());
  }
  ~OptiPod() override {
    if (kernel_.slot_values(kFirstSlot).cpu.switches[shm::kVoluntary] == 0) {
      std::fputs("OptiPod counted nothing\n", stderr);
      std::exit(1);
    }
  }
  [[nodiscard]] Accounts accounts() const override {
    Accounts all;
    for (const auto& p : kernel_.programs())
      if (std::string(p.name).rfind("switch_", 0) == 0) all["switch"] = {p.runs, p.run_ns};
    return all;
  }

 private:
  static Kernel open() {
    auto kernel = Kernel::open(options_for());
    if (!kernel) throw std::runtime_error(kernel.error());
    return std::move(*kernel);
  }
  Kernel kernel_;
};

std::set<__u32> program_ids() {
  std::set<__u32> ids;
  __u32 id = 0;
  while (bpf_prog_get_next_id(id, &id) == 0) ids.insert(id);
  return ids;
}

/// runqlat as a child process; its programs are those that appear with it and hook the scheduler.
class Runqlat : public Watcher {
 public:
  explicit Runqlat(const char* option) {
    const std::set<__u32> before = program_ids();
    std::vector<std::string> words = {"runqlat"};
    if (option != nullptr) words.emplace_back(option);
    words.emplace_back("9999");
    std::vector<char*> arguments;
    arguments.reserve(words.size() + 1);
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t files;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    const int failed = ::posix_spawnp(&pid_, "runqlat", &files, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&files);
    if (failed != 0) throw std::runtime_error("starting runqlat failed: install libbpf-tools");
    for (int i = 0; i < 200 && !complete(); ++i) {
      ::usleep(50'000);
      find_programs(before);
    }
    if (!complete()) throw std::runtime_error("runqlat did not load its programs");
    ::usleep(300'000);  // attaching comes right after
  }
  Runqlat(const Runqlat&) = delete;
  Runqlat& operator=(const Runqlat&) = delete;
  ~Runqlat() override {
    for (const auto& [name, fd] : programs_) ::close(fd);
    ::kill(pid_, SIGINT);
    ::waitpid(pid_, nullptr, 0);
  }
  [[nodiscard]] Accounts accounts() const override {
    Accounts all;
    for (const auto& [name, fd] : programs_)
      all[name.find("switch") != std::string::npos ? "switch" : name] = account_of(fd);
    return all;
  }

 private:
  [[nodiscard]] bool complete() const { return programs_.size() >= 3; }
  void find_programs(const std::set<__u32>& before) {
    for (const auto& [name, fd] : programs_) ::close(fd);
    programs_.clear();
    for (const __u32 id : program_ids()) {
      if (before.count(id) != 0) continue;
      const int fd = bpf_prog_get_fd_by_id(id);
      if (fd < 0) continue;
      std::string name;
      account_of(fd, &name);
      const bool ours = name.find("sched_") != std::string::npos;
      if (!ours || !programs_.emplace(name, fd).second) ::close(fd);
    }
  }
  pid_t pid_ = -1;
  std::map<std::string, int> programs_;
};

/// A program that does nothing: what being called and accounted for costs.
class Empty : public Watcher {
 public:
  Empty() {
    const std::unique_ptr<btf, void (*)(btf*)> types(btf__load_vmlinux_btf(), btf__free);
    const int id = types == nullptr ? -1
                                    : btf__find_by_name_kind(types.get(), "btf_trace_sched_switch",
                                                             BTF_KIND_TYPEDEF);
    bpf_insn code[2]{};
    code[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
    code[1].code = BPF_JMP | BPF_EXIT;
    bpf_prog_load_opts options{};
    options.sz = sizeof options;
    options.expected_attach_type = BPF_TRACE_RAW_TP;
    options.attach_btf_id = static_cast<__u32>(std::max(0, id));
    program_ =
        bpf_prog_load(BPF_PROG_TYPE_TRACING, "empty", "GPL", code, std::size(code), &options);
    link_ = program_ < 0 ? -1 : bpf_raw_tracepoint_open(nullptr, program_);
    if (link_ < 0) throw std::runtime_error("attaching an empty program failed; needs root");
  }
  Empty(const Empty&) = delete;
  Empty& operator=(const Empty&) = delete;
  ~Empty() override {
    ::close(link_);
    ::close(program_);
  }
  [[nodiscard]] Accounts accounts() const override { return {{"switch", account_of(program_)}}; }

 private:
  int program_ = -1, link_ = -1;
};

/// CPU time of a process so far, ns.
double cpu_ns(pid_t pid) {
  clockid_t clock{};
  timespec time{};
  if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &time) != 0) ::_exit(1);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

/// CPU time of both processes per context switch of a ping-pong, in the fastest of its runs.
double ping_pong(const Cgroup& a, const Cgroup& b) {
  int there[2];
  int back[2];
  int told[2];
  if (::pipe2(there, O_CLOEXEC) != 0 || ::pipe2(back, O_CLOEXEC) != 0 ||
      ::pipe2(told, O_CLOEXEC) != 0)
    throw std::runtime_error("pipe");
  double fastest = 0;
  {
    Worker pong(b.path(), test_cpu(), [&] {
      ::close(there[1]);
      char byte = 0;
      while (::read(there[0], &byte, 1) == 1)
        if (::write(back[1], &byte, 1) != 1) ::_exit(1);
    });
    Worker ping(a.path(), test_cpu(), [&] {
      char byte = 0;
      const auto spent = [&pong] { return cpu_ns(::getpid()) + cpu_ns(pong.pid()); };
      double least = std::numeric_limits<double>::infinity();
      for (int run = 0; run < kRunsOfAPass; ++run) {
        const double before = spent();
        for (int i = 0; i < kRounds; ++i)
          if (::write(there[1], &byte, 1) != 1 || ::read(back[0], &byte, 1) != 1) ::_exit(1);
        least = std::min(least, spent() - before);
      }
      if (::write(told[1], &least, sizeof least) != sizeof least) ::_exit(1);
    });
    ::close(there[1]);
    const int status = ping.join();
    if (status != 0 || pong.join() != 0) throw std::runtime_error("the ping-pong failed");
    if (::read(told[0], &fastest, sizeof fastest) != sizeof fastest)
      throw std::runtime_error("the ping-pong told nothing");
  }
  for (const int fd : {there[0], back[0], back[1], told[0], told[1]}) ::close(fd);
  return fastest / (2.0 * kRounds);
}

/// The value that `part` of them are below.
double quantile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(part * static_cast<double>(values.size()))];
}
double median(const std::vector<double>& values) {
  return quantile(values, 0.5);
}

struct Case {
  std::string name;
  MakeWatcher make;
  std::vector<double> cpu_ns;  // per switch
  std::vector<double> bpf_ns;  // per switch, all hooks
  std::vector<double> runs;    // hooks run per switch
};

void measure_cpu(Case& one, const Cgroup& a, const Cgroup& b) {
  const std::unique_ptr<Watcher> watcher = one.make(a, b);
  one.cpu_ns.push_back(ping_pong(a, b));
}

void measure_bpf(Case& one, const Cgroup& a, const Cgroup& b) {
  const std::unique_ptr<Watcher> watcher = one.make(a, b);
  if (!watcher) return;
  ping_pong(a, b);
  const Accounts then = watcher->accounts();
  ping_pong(a, b);
  const Accounts now = watcher->accounts();
  double ns = 0;
  double runs = 0;
  double switches = 0;
  for (const auto& [name, account] : now) {
    const Account& start = then.at(name);
    ns += static_cast<double>(account.ns - start.ns);
    runs += static_cast<double>(account.runs - start.runs);
    if (name == "switch") switches = static_cast<double>(account.runs - start.runs);
  }
  if (switches < 2.0 * kRounds * kRunsOfAPass * 0.9)
    throw std::runtime_error(one.name + " missed switches");
  one.bpf_ns.push_back(ns / switches);
  one.runs.push_back(runs / switches);
}

int run(bench::Report& report) {
  const Cgroup a = Cgroup::top("bench-a");
  const Cgroup b = Cgroup::top("bench-b");
  std::vector<Case> cases;
  cases.push_back({"none", [](auto&, auto&) { return nullptr; }, {}, {}, {}});
  cases.push_back(
      {"OptiPod", [](auto& x, auto& y) { return std::make_unique<OptiPod>(x, y); }, {}, {}, {}});
  cases.push_back(
      {"runqlat", [](auto&, auto&) { return std::make_unique<Runqlat>(nullptr); }, {}, {}, {}});
  cases.push_back(
      {"runqlat -P", [](auto&, auto&) { return std::make_unique<Runqlat>("-P"); }, {}, {}, {}});
  Case empty{"empty", [](auto&, auto&) { return std::make_unique<Empty>(); }, {}, {}, {}};

  for (int pass = 0; pass < kPasses; ++pass)
    for (Case* one : {&cases[0], &cases[1], &cases[2], &cases[3], &empty}) measure_cpu(*one, a, b);

  const int accounting = bpf_enable_stats(BPF_STATS_RUN_TIME);
  if (accounting < 0) throw std::runtime_error("switching eBPF statistics on failed; needs root");
  for (int pass = 0; pass < 3; ++pass) {
    measure_bpf(empty, a, b);
    for (Case& one : cases) measure_bpf(one, a, b);
  }
  ::close(accounting);

  const double bare = median(cases[0].cpu_ns);
  const double clock = median(empty.bpf_ns);
  // Passes are paired with the unwatched one before: slow spells of the machine cancel out.
  const auto differences = [&](const Case& one) {
    std::vector<double> values;
    for (std::size_t i = 0; i < one.cpu_ns.size(); ++i)
      values.push_back(one.cpu_ns[i] - cases[0].cpu_ns[i]);
    return values;
  };
  const auto added = [&](const Case& one) {
    return std::max(1.0, median(differences(one)));  // less cannot be told apart
  };
  const auto net = [&](const Case& one) {
    return std::max(1.0, median(one.bpf_ns) - clock * median(one.runs));
  };
  report.add({"switch", "unwatched", bare, "ns", "", 0, true});
  report.add({"switch", "empty_program_added_cpu", added(empty), "ns", "", 0, true});
  report.add({"switch", "empty_program_bpf_stats", clock, "ns", "", 0, true});
  for (std::size_t peer = 2; peer < cases.size(); ++peer) {
    const std::string suffix = peer == 2 ? "" : "_per_process";
    const Case& other = cases[peer];
    report.add(
        {"switch", "added_cpu" + suffix, added(cases[1]), "ns", other.name, added(other), true});
    report.add({"switch", "bpf_stats" + suffix, median(cases[1].bpf_ns), "ns", other.name,
                median(other.bpf_ns), true});
    report.add(
        {"switch", "bpf_stats_net" + suffix, net(cases[1]), "ns", other.name, net(other), true});
  }
  if (report.json()) return 0;
  for (const Case* one : {&cases[1], &cases[2], &cases[3], &empty}) {
    const std::vector<double> passes = differences(*one);
    std::printf("  %-12s added_cpu, quartiles of %d passes: %.0f %.0f %.0f ns\n", one->name.c_str(),
                kPasses, quantile(passes, 0.25), median(passes), quantile(passes, 0.75));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  bench::Report report(argc, argv);
  try {
    return run(report);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "bench_switch: %s\n", failure.what());
    return 1;
  }
}
