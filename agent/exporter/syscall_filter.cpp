// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/syscall_filter.hpp"

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

namespace optipod::exporter {
namespace {

constexpr int kForbidden[] = {SCMP_SYS(execve),
                              SCMP_SYS(execveat),
                              SCMP_SYS(fork),
                              SCMP_SYS(vfork),
                              SCMP_SYS(ptrace),
                              SCMP_SYS(process_vm_readv),
                              SCMP_SYS(process_vm_writev),
                              SCMP_SYS(pidfd_getfd),
                              SCMP_SYS(bpf),
                              SCMP_SYS(perf_event_open),
                              SCMP_SYS(io_uring_setup),
                              SCMP_SYS(userfaultfd),
                              SCMP_SYS(mount),
                              SCMP_SYS(umount2),
                              SCMP_SYS(pivot_root),
                              SCMP_SYS(chroot),
                              SCMP_SYS(unshare),
                              SCMP_SYS(setns),
                              SCMP_SYS(init_module),
                              SCMP_SYS(finit_module),
                              SCMP_SYS(kexec_load),
                              SCMP_SYS(kexec_file_load),
                              SCMP_SYS(add_key),
                              SCMP_SYS(request_key),
                              SCMP_SYS(keyctl),
                              SCMP_SYS(creat),
                              SCMP_SYS(openat2),
                              SCMP_SYS(rename),
                              SCMP_SYS(renameat),
                              SCMP_SYS(renameat2),
                              SCMP_SYS(unlink),
                              SCMP_SYS(unlinkat),
                              SCMP_SYS(link),
                              SCMP_SYS(linkat),
                              SCMP_SYS(symlink),
                              SCMP_SYS(symlinkat),
                              SCMP_SYS(truncate),
                              SCMP_SYS(chmod),
                              SCMP_SYS(fchmodat),
                              SCMP_SYS(chown),
                              SCMP_SYS(fchownat)};

int add_rules(scmp_filter_ctx filter) {
  for (const int syscall : kForbidden)
    if (const int error = ::seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), syscall, 0); error != 0)
      return error;
  for (const int way : {O_WRONLY, O_RDWR}) {
    for (const auto& [syscall, flags] :
         {std::pair{SCMP_SYS(open), 1U}, std::pair{SCMP_SYS(openat), 2U}}) {
      const scmp_arg_cmp writing =
          SCMP_CMP(flags, SCMP_CMP_MASKED_EQ, O_ACCMODE, static_cast<scmp_datum_t>(way));
      if (const int error = ::seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), syscall, 1, writing);
          error != 0)
        return error;
    }
  }
  // Threads are made, processes are not. clone3() hides its flags in memory: without it C libraries
  // take clone().
  if (const int error = ::seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                                           SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
      error != 0)
    return error;
  return ::seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

}  // namespace

tl::expected<void, std::string> forbid_syscalls() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return tl::unexpected(std::string("no_new_privs: ") + std::strerror(errno));
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(::seccomp_init(SCMP_ACT_ALLOW),
                                                                ::seccomp_release);
  int error = filter ? add_rules(filter.get()) : -ENOMEM;
  if (error == 0) error = ::seccomp_load(filter.get());
  if (error != 0) return tl::unexpected(std::string("seccomp: ") + std::strerror(-error));
  return {};
}

}  // namespace optipod::exporter
