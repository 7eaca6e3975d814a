// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/syscall_filter.hpp"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "agent/profiler/kernel/commands.hpp"

namespace optipod::agent {
namespace {

constexpr int kFree[] = {
    // Files that are open, and what there is to know about others.
    SCMP_SYS(read), SCMP_SYS(pread64), SCMP_SYS(readv), SCMP_SYS(preadv), SCMP_SYS(write),
    SCMP_SYS(writev), SCMP_SYS(close), SCMP_SYS(lseek), SCMP_SYS(_llseek), SCMP_SYS(fcntl),
    SCMP_SYS(fcntl64), SCMP_SYS(flock), SCMP_SYS(fstat), SCMP_SYS(fstat64), SCMP_SYS(stat),
    SCMP_SYS(stat64), SCMP_SYS(lstat), SCMP_SYS(lstat64), SCMP_SYS(newfstatat), SCMP_SYS(fstatat64),
    SCMP_SYS(statx), SCMP_SYS(fstatfs), SCMP_SYS(fstatfs64), SCMP_SYS(access), SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getcwd),
    SCMP_SYS(getdents), SCMP_SYS(getdents64),
    // Memory that is never executable: brk() cannot make such.
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(msync),
    // Time, waiting, and the thread itself.
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_gettime64), SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep),
    SCMP_SYS(clock_nanosleep_time64), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(ppoll_time64),
    SCMP_SYS(futex), SCMP_SYS(futex_time64), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
    SCMP_SYS(restart_syscall), SCMP_SYS(rseq), SCMP_SYS(set_robust_list), SCMP_SYS(getrandom),
    // Its own identity, limits, cost and end.
    SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
    SCMP_SYS(getegid), SCMP_SYS(uname), SCMP_SYS(sysinfo), SCMP_SYS(getrusage), SCMP_SYS(getrlimit),
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(exit),
    SCMP_SYS(exit_group)};

constexpr unsigned kWriting = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC;

class Filter {
 public:
  Filter() : context_(::seccomp_init(SCMP_ACT_ERRNO(ENOSYS)), ::seccomp_release) {
    if (!context_) error_ = ENOMEM;
  }

  /// A call this architecture does not have is no error: libseccomp leaves it out.
  template <typename... Conditions>
  void allow(int syscall, Conditions... conditions) {
    if (error_ != 0) return;
    error_ = -::seccomp_rule_add(context_.get(), SCMP_ACT_ALLOW, syscall, sizeof...(conditions),
                                 conditions...);
  }

  int load() {
    if (error_ == 0) error_ = -::seccomp_load(context_.get());
    return error_;
  }

 private:
  std::unique_ptr<void, void (*)(scmp_filter_ctx)> context_;
  int error_ = 0;
};

}  // namespace

tl::expected<void, std::string> limit_syscalls(bool counters) {
  Filter filter;
  for (const int syscall : kFree) filter.allow(syscall);
  for (const int command : kernel::steady_commands())
    filter.allow(SCMP_SYS(bpf), SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(command)));
  filter.allow(SCMP_SYS(open), SCMP_A1(SCMP_CMP_MASKED_EQ, kWriting, 0));
  filter.allow(SCMP_SYS(openat), SCMP_A2(SCMP_CMP_MASKED_EQ, kWriting, 0));
  for (const int syscall : {SCMP_SYS(mmap), SCMP_SYS(mmap2), SCMP_SYS(mprotect)})
    filter.allow(syscall, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  if (counters) {  // held ones start and stop; no more can be opened
    for (const unsigned long request : {PERF_EVENT_IOC_ENABLE, PERF_EVENT_IOC_DISABLE})
      filter.allow(SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, static_cast<scmp_datum_t>(request)));
  }
  // sysconf() and the like read limits; none is set.
  filter.allow(SCMP_SYS(prlimit64), SCMP_A2(SCMP_CMP_EQ, 0));
  // abort() ends the agent itself and nobody else.
  filter.allow(SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(::getpid())));
  if (const int error = filter.load(); error != 0)
    return tl::unexpected(std::string(std::strerror(error)));
  return {};
}

}  // namespace optipod::agent
