// SPDX-License-Identifier: Apache-2.0
//
// The file behind the rings: how it comes to be and how a reader comes to it. What the rings hold
// is tick_writer.cpp's and tick_reader.cpp's business.
#pragma once

#include <sys/stat.h>

#include <boost/interprocess/mapped_region.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <tl/expected.hpp>

#include "shm/fd.hpp"
#include "shm/layout.hpp"
#include "shm/ring.hpp"
#include "shm/tick.hpp"

namespace optipod::shm {

/// What Boost.Interprocess wants of something mappable: here a descriptor that we opened ourselves,
/// with O_NOFOLLOW and checks that its own file classes do not make.
struct Mappable {
  int fd;
  [[nodiscard]] boost::interprocess::mapping_handle_t get_mapping_handle() const {
    return boost::interprocess::ipcdetail::mapping_handle_from_file_handle(fd);
  }
};

/// A segment that this process writes. Made complete under a temporary name, locked, then renamed
/// to its path: nobody can open a half-built one. Its memory is allocated beforehand, so a store
/// never fails for want of space.
class WritableSegment {
 public:
  /// Takes <dir>/agent.lock (creating the directory, 0750, if it is missing), removes what dead
  /// writers left under temporary names, and puts a new segment at options.path.
  static tl::expected<WritableSegment, std::string> create(const WriterOptions& options);

  /// Call once per record kind: a ring has one writer object.
  template <class Record>
  [[nodiscard]] RingWriter ring() const {
    const Section& section = *find_section(block_, SectionOf<Record>::kKind);
    return {reinterpret_cast<std::uint64_t*>(base() + section.offset), section.capacity,
            slot_bytes(section.record_bytes) / kWordBytes};
  }
  [[nodiscard]] WriterLine* line() const {
    return reinterpret_cast<WriterLine*>(base() + kWriterLineOffset);
  }
  [[nodiscard]] const HeaderBlock& block() const { return block_; }

 private:
  WritableSegment() = default;
  [[nodiscard]] std::byte* base() const { return static_cast<std::byte*>(region_.get_address()); }

  Fd lock_;  // agent.lock: one writer per directory
  Fd file_;  // holds the write lock by which readers see that this process lives
  boost::interprocess::mapped_region region_;
  HeaderBlock block_{};
};

struct OpenResult;

/// A segment that this process reads. The header block was copied and checked once; no word of the
/// mapping can lead a read outside it.
class ReadableSegment {
 public:
  static OpenResult open(const std::string& path, std::optional<std::uint32_t> owner_uid);

  /// Whether there is a ring of such records: a segment of a lower minor may lack some.
  template <class Record>
  [[nodiscard]] bool has() const {
    return find_section(block_, SectionOf<Record>::kKind) != nullptr;
  }
  template <class Record>
  [[nodiscard]] RingReader ring() const {
    const Section& section = *find_section(block_, SectionOf<Record>::kKind);
    return {reinterpret_cast<const std::uint64_t*>(base() + section.offset), section.capacity,
            slot_bytes(section.record_bytes) / kWordBytes, section.record_bytes / kWordBytes};
  }
  [[nodiscard]] const WriterLine* line() const {
    return reinterpret_cast<const WriterLine*>(base() + kWriterLineOffset);
  }
  [[nodiscard]] const HeaderBlock& block() const { return block_; }

  /// The mapping, for SigbusGuard.
  [[nodiscard]] const std::byte* base() const {
    return static_cast<const std::byte*>(region_.get_address());
  }
  [[nodiscard]] std::size_t bytes() const { return region_.get_size(); }

  /// False when somebody truncated the file under us: touching the mapping would be SIGBUS.
  [[nodiscard]] bool whole() const;
  [[nodiscard]] bool is(const struct stat& file) const {
    return file.st_ino == inode_ && file.st_dev == device_;
  }
  /// The writer lives: its lock is held.
  [[nodiscard]] bool writer_holds_lock() const { return locked_for_writing(file_); }

 private:
  ReadableSegment() = default;

  Fd file_;
  boost::interprocess::mapped_region region_;
  HeaderBlock block_{};
  ino_t inode_ = 0;
  dev_t device_ = 0;
};

/// Either kAttached and a segment, or why not.
struct OpenResult {
  AttachState state = AttachState::kNoSegment;
  std::string detail;
  std::optional<ReadableSegment> segment;
};

/// CLOCK_BOOTTIME: monotonic, and goes on while the machine sleeps.
std::uint64_t boottime_ns();

}  // namespace optipod::shm
