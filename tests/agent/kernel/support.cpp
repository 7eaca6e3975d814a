// SPDX-License-Identifier: Apache-2.0
#include "tests/agent/kernel/support.hpp"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

namespace optipod::agent::test {
namespace {

/// Mount point of the first file system of this type whose super options hold `option`.
std::optional<std::string> find_mount(const std::string& type, const std::string& option) {
  std::ifstream file("/proc/self/mountinfo");
  std::string line;
  while (std::getline(file, line)) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream before(line.substr(0, dash));
    std::istringstream after(line.substr(dash + 3));
    std::string skip;
    std::string point;
    std::string found;
    std::string super;
    before >> skip >> skip >> skip >> skip >> point;
    after >> found >> skip >> super;
    if (found != type) continue;
    if (option.empty() || ("," + super + ",").find("," + option + ",") != std::string::npos)
      return point;
  }
  return std::nullopt;
}

}  // namespace

std::string cgroup2_mount() {
  const auto found = find_mount("cgroup2", "");
  if (!found) throw std::runtime_error("no cgroup v2 hierarchy is mounted");
  return *found;
}

std::optional<std::string> cgroup1_mount(const std::string& controller) {
  return find_mount("cgroup", controller);
}

Cgroup::Cgroup(std::string path) : path_(std::move(path)) {
  if (::mkdir(path_.c_str(), 0755) != 0)
    throw std::runtime_error("mkdir " + path_ + ": " + std::strerror(errno));
  fd_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct stat info {};
  if (fd_ < 0 || ::fstat(fd_, &info) != 0) throw std::runtime_error("opening " + path_);
  id_ = info.st_ino;
}

Cgroup Cgroup::top(const std::string& name) {
  return Cgroup(cgroup2_mount() + "/optipod-test-" + std::to_string(::getpid()) + "-" + name);
}

Cgroup Cgroup::child(const std::string& name) const {
  return Cgroup(path_ + "/" + name);
}

Cgroup::Cgroup(Cgroup&& other) noexcept
    : path_(std::exchange(other.path_, {})), id_(other.id_), fd_(std::exchange(other.fd_, -1)) {}

Cgroup::~Cgroup() {
  if (fd_ < 0) return;
  ::close(fd_);
  for (int tries = 0; tries < 200 && ::rmdir(path_.c_str()) != 0 && errno != ENOENT; ++tries) {
    std::istringstream left(read_file(path_ + "/cgroup.procs"));
    pid_t pid = 0;
    while (left >> pid)
      if (pid > 1) ::kill(pid, SIGKILL);
    ::usleep(10'000);
  }
}

std::string Cgroup::from_mount() const {
  return path_.substr(cgroup2_mount().size());
}

std::uint64_t Cgroup::stat(const std::string& file, const std::string& key) const {
  std::istringstream lines(read_file(path_ + "/" + file));
  std::string name;
  std::uint64_t value = 0;
  while (lines >> name >> value)
    if (name == key) return value;
  throw std::runtime_error("no " + key + " in " + path_ + "/" + file);
}

std::uint64_t Cgroup::pressure_us(const std::string& file, const std::string& line) const {
  std::istringstream lines(read_file(path_ + "/" + file));
  std::string text;
  while (std::getline(lines, text)) {
    const std::size_t total = text.find("total=");
    if (text.rfind(line, 0) == 0 && total != std::string::npos)
      return std::stoull(text.substr(total + 6));
  }
  throw std::runtime_error("no " + line + " in " + path_ + "/" + file);
}

Limited::Limited(const std::string& name, const std::string& controller)
    : group_(Cgroup::top(name)) {
  if (const auto mount = cgroup1_mount(controller)) {
    v1_.emplace(*mount + "/optipod-test-" + std::to_string(::getpid()) + "-" + name);
    return;
  }
  write_file(cgroup2_mount() + "/cgroup.subtree_control", "+" + controller);
}

void Limited::set(const std::string& file, const std::string& text) const {
  write_file(control().path() + "/" + file, text);
}

Worker::Worker(const std::string& cgroup_path, int cpu, const std::function<void()>& body) {
  int ready[2];
  if (::pipe2(ready, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("fork");
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(99);
    try {
      if (!cgroup_path.empty())
        write_file(cgroup_path + "/cgroup.procs", std::to_string(::getpid()));
      if (cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(static_cast<unsigned>(cpu), &set);
        if (::sched_setaffinity(0, sizeof set, &set) != 0) ::_exit(98);
      }
      if (::write(ready[1], "", 1) != 1) ::_exit(97);
      body();
    } catch (...) {
      ::_exit(96);
    }
    ::_exit(0);
  }
  ::close(ready[1]);
  char byte = 0;
  const bool started = ::read(ready[0], &byte, 1) == 1;
  ::close(ready[0]);
  if (!started) {
    join();
    throw std::runtime_error("the worker did not start in " + cgroup_path);
  }
}

Worker::Worker(Worker&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}

Worker::~Worker() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  join();
}

int Worker::join() {
  int status = -1;
  while (pid_ > 0 && ::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void burn(std::chrono::nanoseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
  }
}

void pin(pid_t pid, int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  if (::sched_setaffinity(pid, sizeof set, &set) != 0)
    throw std::runtime_error("cannot pin " + std::to_string(pid));
}

void spin() {
  for (;;) burn(std::chrono::seconds(1));
}

void spin_threads(unsigned count) {
  for (unsigned i = 1; i < count; ++i) std::thread(spin).detach();
  spin();
}

void pulse(std::chrono::microseconds run, std::chrono::microseconds rest) {
  for (;;) {
    burn(run);
    std::this_thread::sleep_for(rest);
  }
}

SchedStat schedstat(pid_t pid) {
  SchedStat sum;
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks)) {
    std::istringstream file(read_file(task.path().string() + "/schedstat"));
    SchedStat one;
    if (file >> one.run_ns >> one.run_delay_ns >> one.timeslices) {
      sum.run_ns += one.run_ns;
      sum.run_delay_ns += one.run_delay_ns;
      sum.timeslices += one.timeslices;
    }
  }
  return sum;
}

bool InitWatch::ran() const {
  sleep_for(std::chrono::milliseconds(20));  // two ticks at 100 Hz
  const SchedStat now = schedstat(1);
  return now.run_ns != before_.run_ns || now.timeslices != before_.timeslices;
}

bool refuses_socket_walk() {
  btf* types = btf__load_vmlinux_btf();
  if (types == nullptr) return false;
  const int walk = btf__find_by_name_kind(types, "bpf_iter_bpf_sk_storage_map", BTF_KIND_FUNC);
  btf__free(types);
  if (walk <= 0) return false;
  bpf_insn nothing[2]{};  // return 0
  nothing[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
  nothing[1].code = BPF_JMP | BPF_EXIT;
  bpf_prog_load_opts options{};
  options.sz = sizeof options;
  options.expected_attach_type = BPF_TRACE_ITER;
  options.attach_btf_id = static_cast<__u32>(walk);
  const int fd = bpf_prog_load(BPF_PROG_TYPE_TRACING, "walk", "GPL", nothing, 2, &options);
  const bool refused = fd < 0 && errno == EPERM;
  if (fd >= 0) ::close(fd);
  return refused;
}

bool kernel_at_least(int major, int minor) {
  utsname name{};
  ::uname(&name);
  char* rest = nullptr;
  const long found = std::strtol(name.release, &rest, 10);
  const long below = *rest == '.' ? std::strtol(rest + 1, nullptr, 10) : 0;
  return found > major || (found == major && below >= minor);
}

int test_cpu() {
  cpu_set_t set;
  CPU_ZERO(&set);
  ::sched_getaffinity(0, sizeof set, &set);
  int last = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(static_cast<unsigned>(cpu), &set)) last = cpu;
  return last;
}

KernelOptions options_for(const std::string& root) {
  KernelOptions options;
  options.cgroup_mount = cgroup2_mount();
  options.cgroup_root = root;
  options.max_slots = 16;
  return options;
}

Kernel open_kernel(std::uint64_t needs, bool raw) {
  KernelOptions options = options_for();
  options.force_raw_tp = raw;
  auto kernel = Kernel::open(options);
  if (!kernel) throw std::runtime_error(kernel.error());
  const std::string kind = raw ? "raw_tp" : "tp_btf";
  std::string wrong;
  for (const auto& feature : kernel->features()) {
    const std::string name = feature.name;
    const bool twin = name == "context_switches" || name == "softirq_time";
    if (twin && feature.source != kind) wrong += name + " is " + feature.source + "\n";
  }
  if ((kernel->valid() & needs) != needs) wrong += "not everything that is needed is there\n";
  if (wrong.empty()) return std::move(*kernel);
  for (const auto& feature : kernel->features())
    if (feature.enabled == 0) wrong += std::string(feature.name) + ": " + feature.source + "\n";
  throw std::runtime_error(wrong + kernel->diagnostics());
}

std::uint64_t events(const shm::Histogram& h) {
  std::uint64_t sum = 0;
  for (const std::uint64_t n : h.bucket) sum += n;
  return sum;
}

shm::Histogram difference(const shm::Histogram& now, const shm::Histogram& then) {
  shm::Histogram d{};
  for (std::size_t i = 0; i < shm::kHistogramBuckets; ++i)
    d.bucket[i] = now.bucket[i] - then.bucket[i];
  d.sum_ns = now.sum_ns - then.sum_ns;
  return d;
}

void sleep_for(std::chrono::milliseconds time) {
  std::this_thread::sleep_for(time);
}

std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.flush();
  if (!file) throw std::runtime_error("writing " + text + " to " + path + " failed");
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace optipod::agent::test
