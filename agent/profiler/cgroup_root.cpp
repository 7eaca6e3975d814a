// SPDX-License-Identifier: Apache-2.0
#include "agent/profiler/cgroup_root.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "agent/profiler/read_file.hpp"

namespace optipod::agent {
namespace {

/// Takes the first word and what separates it from the next off the front.
std::string_view take_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  const auto word = line.substr(0, line.find(' '));
  line.remove_prefix(word.size());
  return word;
}

/// mountinfo writes space, tab, newline and backslash as \ooo.
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](std::size_t at) {
      return at < text.size() && text[at] >= '0' && text[at] <= '7';
    };
    if (text[i] == '\\' && digit(i + 1) && digit(i + 2) && digit(i + 3)) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                               (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string holder_of(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return {};
  std::string pid = find_lock_holder(read_file("/proc/locks"), major(info.st_dev),
                                     minor(info.st_dev), info.st_ino);
  if (pid.empty()) return "a process of another PID namespace";
  std::string name = read_file("/proc/" + pid + "/comm");
  while (!name.empty() && name.back() == '\n') name.pop_back();
  return fmt::format("pid {}{}", pid, name.empty() ? "" : " (" + name + ")");
}

}  // namespace

std::string find_cgroup2_mount(std::string_view mountinfo) {
  while (!mountinfo.empty()) {
    std::string_view line = mountinfo.substr(0, mountinfo.find('\n'));
    mountinfo.remove_prefix(std::min(line.size() + 1, mountinfo.size()));
    const auto separator = line.find(" - ");
    if (separator == std::string_view::npos) continue;
    std::string_view source = line.substr(separator + 3);
    if (take_word(source) != "cgroup2") continue;
    for (int skipped = 0; skipped < 4; ++skipped) take_word(line);
    return unescape(take_word(line));
  }
  return {};
}

tl::expected<CgroupRoot, std::string> resolve_cgroup_root(const std::string& mount,
                                                          const std::string& wanted) {
  namespace stdfs = std::filesystem;
  std::string below = stdfs::path("/" + wanted).lexically_normal().string();
  while (below.starts_with("//")) below.erase(0, 1);
  while (below.size() > 1 && below.back() == '/') below.pop_back();
  if (below == mount || below.starts_with(mount + "/")) below.erase(0, mount.size());
  CgroupRoot root{mount, below.empty() ? "/" : below};
  struct stat info {};
  if (::stat((root.directory() + "/cgroup.procs").c_str(), &info) != 0) {
    return tl::unexpected(fmt::format(
        "--cgroup-root {}: {} is no cgroup of the v2 hierarchy ({}); make it, or name another",
        wanted, root.directory(), std::strerror(errno)));
  }
  return root;
}

std::string find_lock_holder(std::string_view locks, unsigned major, unsigned minor,
                             unsigned long inode) {
  const std::string file = fmt::format("{:02x}:{:02x}:{}", major, minor, inode);
  while (!locks.empty()) {
    std::string_view line = locks.substr(0, locks.find('\n'));
    locks.remove_prefix(std::min(line.size() + 1, locks.size()));
    take_word(line);  // "1:"
    if (take_word(line) != "FLOCK") continue;
    take_word(line);  // ADVISORY
    take_word(line);  // WRITE
    const std::string_view pid = take_word(line);
    if (take_word(line) == file && pid != "0" && pid != "-1") return std::string(pid);
  }
  return {};
}

tl::expected<shm::Fd, LockError> lock_cgroup_root(const CgroupRoot& root) {
  const std::string directory = root.directory();
  shm::Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) {
    return tl::unexpected(
        LockError{false, fmt::format("cannot open {}: {}", directory, std::strerror(errno))});
  }
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno != EWOULDBLOCK) {
    return tl::unexpected(
        LockError{false, fmt::format("cannot lock {}: {}", directory, std::strerror(errno))});
  }
  return tl::unexpected(LockError{
      true,
      fmt::format("{} has an agent already: {}; one agent per cgroup root, so stop that one or "
                  "choose another --cgroup-root",
                  directory, holder_of(fd.get()))});
}

}  // namespace optipod::agent
