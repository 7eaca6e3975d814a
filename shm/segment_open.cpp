// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <boost/interprocess/exceptions.hpp>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "shm/segment.hpp"

namespace optipod::shm {
namespace {

OpenResult failed(AttachState state, const std::string& path, const std::string& why) {
  return {state, path + ": " + why, std::nullopt};
}

OpenResult cannot_open(const std::string& path, int error) {
  if (error == ENOENT || error == ENOTDIR) {
    return failed(AttachState::kNoSegment, path,
                  "no such file; start optipod-agent, or check the path");
  }
  const std::string why = error == ELOOP ? "is a symbolic link, which is not followed"
                                         : std::generic_category().message(error);
  return failed(AttachState::kRefused, path,
                why + "; give the reader the segment's own path and its group");
}

/// "" or what is wrong with the file itself. Who may write it could have written anything into it.
std::string distrust(const struct stat& file, std::uint32_t owner) {
  if (!S_ISREG(file.st_mode)) return "is not a regular file; check the path";
  if (file.st_uid != 0 && file.st_uid != owner) {
    return fmt::format("belongs to uid {}, neither root nor {}; check who runs the agent",
                       file.st_uid, owner);
  }
  if ((file.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return fmt::format("has mode {:04o}: others than its owner may write it; take that away",
                       file.st_mode & 07777);
  }
  return {};
}

}  // namespace

OpenResult ReadableSegment::open(const std::string& path, std::optional<std::uint32_t> owner_uid) {
  ReadableSegment segment;
  // O_NONBLOCK: a FIFO put there must not stop us.
  segment.file_ =
      Fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!segment.file_) return cannot_open(path, errno);
  struct stat file {};
  if (::fstat(segment.file_.get(), &file) != 0) return cannot_open(path, errno);
  if (const std::string why = distrust(file, owner_uid.value_or(::geteuid())); !why.empty()) {
    return failed(AttachState::kRefused, path, why);
  }
  const auto file_bytes = static_cast<std::uint64_t>(file.st_size);
  HeaderBlock& block = segment.block_;
  const ssize_t got = ::pread(segment.file_.get(), &block, sizeof block, 0);
  const bool ours = got < ssize_t{sizeof kMagic} || std::memcmp(&block, kMagic, sizeof kMagic) == 0;
  if (ours && (got != ssize_t{sizeof block} || file_bytes < kFirstSectionOffset)) {
    return failed(
        AttachState::kTruncated, path,
        fmt::format("has {} bytes, too few for a segment; restart the agent, which writes a "
                    "new one, or check the path",
                    file_bytes));
  }
  const LayoutVerdict verdict = check_layout(block, file_bytes);
  if (verdict.state != AttachState::kAttached) return failed(verdict.state, path, verdict.detail);
  try {
    segment.region_ = boost::interprocess::mapped_region(
        Mappable{segment.file_.get()}, boost::interprocess::read_only, 0, block.header.total_bytes);
  } catch (const boost::interprocess::interprocess_exception& e) {
    return failed(AttachState::kRefused, path, fmt::format("cannot be mapped: {}", e.what()));
  }
  segment.inode_ = file.st_ino;
  segment.device_ = file.st_dev;
  return {AttachState::kAttached, {}, std::move(segment)};
}

bool ReadableSegment::whole() const {
  struct stat file {};
  return ::fstat(file_.get(), &file) == 0 &&
         static_cast<std::uint64_t>(file.st_size) >= block_.header.total_bytes;
}

}  // namespace optipod::shm
