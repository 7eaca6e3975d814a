// SPDX-License-Identifier: Apache-2.0
//
// The exchange as its users see it: the agent publishes one Tick per interval, readers copy the
// newest one out. Everything about bytes, rings and memory orders is below this header
// (segment.hpp, ring.hpp, README.md).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "shm/records.hpp"

namespace optipod::shm {

/// One moment of one node. The writer fills in the linking fields of `node` (first_*, *_count,
/// agent_index, tick of every record) itself.
struct Tick {
  NodeRecord node{};
  AgentRecord agent{};
  std::vector<ContainerRecord> containers;
  std::vector<DeviceRecord> devices;
  std::vector<NeighbourRecord> neighbours;  ///< a container's together, the worst first
};

struct WriterOptions {
  std::string path;  ///< e.g. /run/optipod/current.shm
  std::chrono::microseconds interval{1'000'000};
  std::uint32_t max_containers = 512;  ///< sizes the containers section: four ticks of it
  std::uint32_t max_devices = 32;
  std::string group;  ///< group that may read the segment; "" keeps the process' own
};

/// The only writer of a segment. One thread. Holds `<dir>/agent.lock` while it lives: a second
/// writer on the same path gets an error that names the holder. A process that dies at any
/// instruction leaves every reader unharmed.
class TickWriter {
 public:
  static tl::expected<TickWriter, std::string> create(const WriterOptions& options);
  TickWriter(TickWriter&&) noexcept;
  TickWriter& operator=(TickWriter&&) noexcept;
  ~TickWriter();  ///< as close()

  /// Never blocks and never fails. Containers and devices beyond the maxima are cut and counted in
  /// the published node.containers_cut; neighbours beyond kNeighboursKept per container are cut.
  void publish(Tick& tick);
  /// Clean stop: readers see WriterState::kClosed.
  void close();
  [[nodiscard]] std::uint64_t ticks() const;

 private:
  struct Impl;
  explicit TickWriter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Why there is no data, or kAttached. Each has one sentence in to_string().
enum class AttachState {
  kAttached,
  kNoSegment,    ///< no file at the path: no agent has run yet
  kRefused,      ///< not a regular file, wrong owner or mode, or no permission
  kTruncated,    ///< shorter than its header says
  kForeign,      ///< no OptiPod magic or another byte order
  kAbiMismatch,  ///< another ABI: both identities are in detail()
  kCorrupt,      ///< checksum or section table do not hold
};
const char* to_string(AttachState state);

enum class WriterState {
  kUnknown,  ///< not attached
  kLive,
  kHung,    ///< lock held, no heartbeat for three intervals
  kGone,    ///< lock free without a clean stop: killed or crashed
  kClosed,  ///< clean stop
};
const char* to_string(WriterState state);

struct ReaderOptions {
  std::string path;
  /// Owner the segment must have besides root; unset: the reader's own effective uid.
  std::optional<std::uint32_t> owner_uid;
  /// Survive a truncation of the file in the middle of a copy: installs, once per process, a SIGBUS
  /// handler that minds only such copies and passes every other SIGBUS to the handler before it.
  bool sigbus_guard = true;
};

/// A reader. Maps the file read-only, holds no state in it, cannot disturb the writer. Not
/// thread-safe; use one per thread. No method throws, blocks or loops without bound, whatever the
/// file contains.
class TickReader {
 public:
  explicit TickReader(ReaderOptions options);
  TickReader(TickReader&&) noexcept;
  TickReader& operator=(TickReader&&) noexcept;
  ~TickReader();

  /// Looks whether another segment stands at the path (a restarted writer) and attaches to it, then
  /// copies the newest complete tick. True: `out` was replaced (its vectors keep their capacity).
  /// False: nothing to read (see attach_state()) or the tick was overwritten while being copied
  /// more often than the bounded retries allow; `out` is as it was.
  bool read(Tick& out);

  /// Copies tick `number` of the life that is attached, if the rings still hold all of it: up to 64
  /// ticks back where there are few containers, 4 where there are as many as the segment takes.
  /// False: they do not, or nothing is attached; `out` is as it was. Counts nothing as read or
  /// lost.
  bool read_back(std::uint64_t number, Tick& out);

  /// Whether read() may give something new: a newer tick, or another segment at the path. Cheap.
  [[nodiscard]] bool has_news();

  /// Waits until a tick newer than the last one read is there, or the timeout. For live views.
  void wait(std::chrono::milliseconds timeout);

  [[nodiscard]] AttachState attach_state() const;
  [[nodiscard]] const std::string& detail()
      const;                                       ///< what, where and what to do; "" when attached
  [[nodiscard]] WriterState writer_state() const;  ///< judged now, by lock and heartbeat
  [[nodiscard]] std::uint64_t epoch() const;       ///< random id of the writer's life; 0 unattached
  [[nodiscard]] std::chrono::microseconds interval() const;

  struct Counters {
    std::uint64_t attaches = 0, ticks_read = 0;
    std::uint64_t ticks_lost = 0;  ///< published and overwritten before we read (exact)
    std::uint64_t torn = 0;        ///< copies discarded because the writer lapped us meanwhile
    std::uint64_t corrupt = 0;     ///< records skipped because their content cannot be right
  };
  [[nodiscard]] const Counters& counters() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace optipod::shm
