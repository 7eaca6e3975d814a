// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <fmt/format.h>
#include <grp.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <boost/interprocess/exceptions.hpp>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <limits>
#include <memory>
#include <system_error>
#include <vector>

#include "shm/segment.hpp"

namespace optipod::shm {
namespace {

using Error = tl::unexpected<std::string>;

constexpr std::uint32_t kMaxContainers = 1u << 16;
constexpr std::uint32_t kMaxDevices = 1u << 12;
constexpr gid_t kOwnGroup = static_cast<gid_t>(-1);

std::string reason(int error) {
  return std::generic_category().message(error);
}

struct Place {
  std::string directory, name;
  [[nodiscard]] std::string temporary_prefix() const { return "." + name + "."; }
};

Place split(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

tl::expected<gid_t, std::string> group_id(const std::string& group) {
  if (group.empty()) return kOwnGroup;
  std::vector<char> buffer(16384);
  struct group entry {};
  struct group* found = nullptr;
  ::getgrnam_r(group.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) {
    return Error(fmt::format("no group \"{}\" on this machine; create it or name another", group));
  }
  return found->gr_gid;
}

tl::expected<Fd, std::string> take_agent_lock(const Place& place) {
  const std::string path = place.directory + "/agent.lock";
  Fd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!lock) {
    return Error(
        fmt::format("cannot open {}: {}; the agent must own its directory", path, reason(errno)));
  }
  if (!lock_for_writing(lock)) {
    char holder[128] = {};
    const ssize_t n = ::pread(lock.get(), holder, sizeof holder - 1, 0);
    return Error(
        fmt::format("{} is held by another agent ({}): one agent per directory; stop it or "
                    "choose another path",
                    path, n > 0 ? holder : "which did not say who it is"));
  }
  const std::string self = fmt::format("pid {}, writing {}", ::getpid(), place.name);
  // Only for people: a failure costs the next agent the name of this one, nothing more.
  if (::ftruncate(lock.get(), 0) == 0) {
    [[maybe_unused]] const ssize_t n = ::pwrite(lock.get(), self.data(), self.size(), 0);
  }
  return lock;
}

/// A writer that died before its rename leaves a temporary file. agent.lock is ours, so all are
/// dead.
void remove_stale(const Place& place) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(place.directory.c_str()), ::closedir);
  if (!dir) return;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name.starts_with(place.temporary_prefix()) && name.ends_with(".tmp")) {
      ::unlinkat(::dirfd(dir.get()), entry->d_name, 0);
    }
  }
}

void fill_identity(Header& header, std::chrono::microseconds interval) {
  while (header.epoch == 0) {
    if (::getrandom(&header.epoch, sizeof header.epoch, 0) != sizeof header.epoch) {
      header.epoch = boottime_ns();
    }
  }
  header.created_boottime_ns = boottime_ns();
  header.writer_pid = static_cast<std::uint32_t>(::getpid());
  header.tick_interval_us = static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(interval.count(), 1, std::numeric_limits<std::uint32_t>::max()));

  std::string boot_id;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), boot_id);
  std::erase(boot_id, '-');
  for (std::size_t i = 0; i < sizeof header.boot_id && 2 * i + 1 < boot_id.size(); ++i) {
    header.boot_id[i] =
        static_cast<std::uint8_t>(std::strtoul(boot_id.substr(2 * i, 2).c_str(), nullptr, 16));
  }
  // Field 22; the second one is the command in brackets and may hold anything.
  std::string stat;
  std::getline(std::ifstream("/proc/self/stat"), stat);
  const auto bracket = stat.rfind(')');
  if (bracket != std::string::npos) {
    std::size_t at = bracket;
    for (int field = 2; field < 22 && at != std::string::npos; ++field) at = stat.find(' ', at + 1);
    if (at != std::string::npos) {
      header.writer_start_ticks = std::strtoull(stat.c_str() + at, nullptr, 10);
    }
  }
}

std::string no_space(const Place& place, std::uint64_t needed, int error) {
  struct statvfs fs {};
  const bool known = ::statvfs(place.directory.c_str(), &fs) == 0;
  return fmt::format(
      "the segment needs {} bytes in {}{}: {}; give that tmpfs more (mount -o remount,size=…) or "
      "lower the maximum of containers",
      needed, place.directory,
      known ? fmt::format(", which has {} free", fs.f_bavail * fs.f_frsize) : "", reason(error));
}

/// Removes the temporary name unless the segment got its real one.
struct TemporaryName {
  std::string path;
  ~TemporaryName() {
    if (!path.empty()) ::unlink(path.c_str());
  }
};

}  // namespace

std::uint64_t boottime_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u +
         static_cast<std::uint64_t>(now.tv_nsec);
}

tl::expected<WritableSegment, std::string> WritableSegment::create(const WriterOptions& options) {
  const Place place = split(options.path);
  if (place.name.empty()) return Error("the segment's path names no file");
  if (options.max_containers > kMaxContainers || options.max_devices > kMaxDevices) {
    return Error(fmt::format("at most {} containers and {} devices fit a segment", kMaxContainers,
                             kMaxDevices));
  }
  const auto group = group_id(options.group);
  if (!group) return Error(group.error());
  if (::mkdir(place.directory.c_str(), 0750) == 0) {
    if (*group != kOwnGroup && ::chown(place.directory.c_str(), uid_t(-1), *group) != 0) {
      return Error(fmt::format("cannot give {} to group {}: {}", place.directory, options.group,
                               reason(errno)));
    }
  } else if (errno != EEXIST) {
    return Error(fmt::format("cannot create directory {}: {}", place.directory, reason(errno)));
  }

  WritableSegment segment;
  auto lock = take_agent_lock(place);
  if (!lock) return Error(lock.error());
  segment.lock_ = std::move(*lock);
  remove_stale(place);

  HeaderBlock& block = segment.block_;
  block = plan_layout(options.max_containers, options.max_devices);
  fill_identity(block.header, options.interval);
  block.header.checksum = checksum(block);

  TemporaryName temporary{fmt::format("{}/{}{:016x}.tmp", place.directory, place.temporary_prefix(),
                                      block.header.epoch)};
  segment.file_ =
      Fd(::open(temporary.path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!segment.file_) {
    const int error = errno;
    temporary.path.clear();
    return Error(fmt::format("cannot create a segment in {}: {}", place.directory, reason(error)));
  }
  const int fd = segment.file_.get();
  if (const int error = ::posix_fallocate(fd, 0, static_cast<off_t>(block.header.total_bytes))) {
    return Error(no_space(place, block.header.total_bytes, error));
  }
  try {
    // Populated: the writer's first ticks take no page faults, and the pages lie on its node.
    segment.region_ =
        boost::interprocess::mapped_region(Mappable{fd}, boost::interprocess::read_write, 0,
                                           block.header.total_bytes, nullptr, MAP_POPULATE);
  } catch (const boost::interprocess::interprocess_exception& e) {
    return Error(fmt::format("cannot map {}: {}", temporary.path, e.what()));
  }
  std::memcpy(segment.base(), &block, sizeof block);
  WriterLine* line = segment.line();
  line->heartbeat_boottime_ns = block.header.created_boottime_ns;
  line->state = static_cast<std::uint32_t>(SegmentState::kLive);

  // Locked before anybody else can open it, so no reader can hold a lock against us.
  if (!lock_for_writing(segment.file_)) {
    return Error(fmt::format("cannot lock {}: {}", temporary.path, reason(errno)));
  }
  if (*group != kOwnGroup && ::fchown(fd, uid_t(-1), *group) != 0) {
    return Error(fmt::format("cannot give the segment to group {}: {}; run as root or as a member",
                             options.group, reason(errno)));
  }
  if (::fchmod(fd, 0640) != 0 || ::rename(temporary.path.c_str(), options.path.c_str()) != 0) {
    return Error(fmt::format("cannot put the segment at {}: {}", options.path, reason(errno)));
  }
  temporary.path.clear();
  return segment;
}

}  // namespace optipod::shm
