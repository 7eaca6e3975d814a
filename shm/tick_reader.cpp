// SPDX-License-Identifier: Apache-2.0
//
// Everything in the mapping is untrusted and may change between two loads: what is decoded here is
// a private copy, and every index and count in it is checked before use.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <thread>

#include "shm/futex.hpp"
#include "shm/sanitize.hpp"
#include "shm/segment.hpp"
#include "shm/sigbus_guard.hpp"
#include "shm/tick.hpp"

namespace optipod::shm {
namespace {

/// Copies of a tick that are tried before read() gives up: a writer would have to lap the
/// containers section (four ticks) each time.
constexpr int kAttempts = 8;
/// No ring gets here in this universe; larger heads are garbage, and 2 * index + 2 cannot overflow.
constexpr std::uint64_t kMaxIndex = 1ull << 62;
/// Intervals without a heartbeat after which a live writer counts as hung.
constexpr std::uint64_t kHungIntervals = 3;
/// How often wait() looks for a segment, when there is none to wait on.
constexpr std::chrono::milliseconds kLookInterval{50};

}  // namespace

struct TickReader::Impl {
  enum class Copy { kDone, kNothing, kRetry, kCorrupt };

  explicit Impl(ReaderOptions&& o) : options(std::move(o)) {
    if (options.sigbus_guard) install_sigbus_guard();
  }

  void drop(AttachState why, std::string what) {
    segment.reset();
    state = why;
    detail = std::move(what);
  }
  void drop_truncated() {
    drop(AttachState::kTruncated,
         options.path + ": was truncated while in use; restart the agent, which writes a new one");
  }

  bool follow_path();
  void adopt(ReadableSegment&& opened);
  bool read(Tick& out);
  bool read_back(std::uint64_t number, Tick& out);
  Copy copy_newest(bool last_attempt);
  Copy copy_tick(std::uint64_t number, bool last_attempt);
  template <class Record>
  Copy copy_range(const RingReader& ring, std::uint64_t first, std::uint64_t count,
                  bool last_attempt, std::vector<Record>& out);
  template <class Record>
  Copy copy_one(const RingReader& ring, std::uint64_t index, bool last_attempt, Record& out);
  void account(std::uint64_t index);
  WriterState judge_writer();
  bool newer_than_read();

  ReaderOptions options;
  std::optional<ReadableSegment> segment;
  RingReader nodes, containers, devices, agents;
  std::optional<RingReader> neighbours;  // of segments since ABI 1.2
  AttachState state = AttachState::kNoSegment;
  std::string detail;
  std::optional<std::uint64_t>
      next;              ///< index after the newest tick read; empty: join at the newest
  bool damaged = false;  ///< a guard replaced pages of the mapping: it is no longer the file
  Counters counters;
  Tick scratch;
};

/// Attaches to the file that stands at the path now, if it is another one than ours.
bool TickReader::Impl::follow_path() {
  struct stat file {};
  if (segment) {
    // No file: an agent is being replaced, or its directory was cleared; ours is still the newest.
    if (::lstat(options.path.c_str(), &file) != 0 || segment->is(file)) return true;
  }
  OpenResult opened = ReadableSegment::open(options.path, options.owner_uid);
  if (!opened.segment) {
    drop(opened.state, std::move(opened.detail));
    return false;
  }
  adopt(std::move(*opened.segment));
  return true;
}

void TickReader::Impl::adopt(ReadableSegment&& opened) {
  // A reader that followed one writer to the next begins at the new one's first tick, so that what
  // it misses there is counted.
  if (counters.attaches > 0) next = 0;
  segment = std::move(opened);
  nodes = segment->ring<NodeRecord>();
  containers = segment->ring<ContainerRecord>();
  devices = segment->ring<DeviceRecord>();
  agents = segment->ring<AgentRecord>();
  neighbours.reset();
  if (segment->has<NeighbourRecord>()) neighbours = segment->ring<NeighbourRecord>();
  damaged = false;
  state = AttachState::kAttached;
  detail.clear();
  ++counters.attaches;
}

bool TickReader::Impl::read(Tick& out) {
  if (damaged) drop_truncated();
  if (!follow_path()) return false;
  if (!segment->whole()) {
    drop_truncated();
    return false;
  }
  Copy result = Copy::kRetry;
  {
    const SigbusGuard guard(segment->base(), segment->bytes());
    for (int attempt = 1; attempt <= kAttempts && result == Copy::kRetry; ++attempt) {
      result = copy_newest(attempt == kAttempts);
      if (guard.faulted()) {
        drop_truncated();
        return false;
      }
      if (result == Copy::kRetry) ++counters.torn;
    }
  }
  if (result == Copy::kCorrupt) ++counters.corrupt;
  if (result != Copy::kDone) return false;
  account(scratch.node.tick);
  std::swap(out, scratch);
  return true;
}

bool TickReader::Impl::read_back(std::uint64_t number, Tick& out) {
  if (!segment || damaged || !segment->whole()) return false;
  const SigbusGuard guard(segment->base(), segment->bytes());
  const std::uint64_t head = nodes.head();
  if (head > kMaxIndex || number >= head || head - number > nodes.capacity()) return false;
  // One attempt: what is overwritten now is gone.
  const std::uint64_t corrupt = counters.corrupt;
  const bool whole = copy_tick(number, true) == Copy::kDone && counters.corrupt == corrupt;
  counters.corrupt = corrupt;
  damaged = guard.faulted();
  if (!whole || damaged) return false;
  std::swap(out, scratch);
  return true;
}

/// Copies the newest tick into `scratch`.
TickReader::Impl::Copy TickReader::Impl::copy_newest(bool last_attempt) {
  const std::uint64_t head = nodes.head();
  if (head == 0) return Copy::kNothing;
  if (head > kMaxIndex) return Copy::kCorrupt;
  return copy_tick(head - 1, last_attempt);
}

/// Copies a published tick into `scratch`.
TickReader::Impl::Copy TickReader::Impl::copy_tick(std::uint64_t number, bool last_attempt) {
  NodeRecord& node = scratch.node;
  if (const Copy c = copy_one(nodes, number, last_attempt, node); c != Copy::kDone) return c;
  if (node.tick != number) return Copy::kCorrupt;

  // The writer's release of the node record made all that it names visible before it, so an honest
  // segment always passes.
  const auto inside = [](const RingReader& ring, std::uint64_t first, std::uint64_t count) {
    const std::uint64_t published = ring.head();
    return published <= kMaxIndex && first <= published && count <= published - first &&
           count <= ring.capacity() / kTicksKept;
  };
  if (!inside(containers, node.first_container, node.container_count) ||
      !inside(devices, node.first_device, node.device_count) ||
      !inside(agents, node.agent_index, 1) ||
      (neighbours && !inside(*neighbours, node.first_neighbour, node.neighbour_count))) {
    return Copy::kCorrupt;
  }
  if (const Copy c = copy_range(containers, node.first_container, node.container_count,
                                last_attempt, scratch.containers);
      c != Copy::kDone) {
    return c;
  }
  if (const Copy c =
          copy_range(devices, node.first_device, node.device_count, last_attempt, scratch.devices);
      c != Copy::kDone) {
    return c;
  }
  scratch.neighbours.clear();
  if (neighbours) {
    if (const Copy c = copy_range(*neighbours, node.first_neighbour, node.neighbour_count,
                                  last_attempt, scratch.neighbours);
        c != Copy::kDone) {
      return c;
    }
  }
  if (const Copy c = copy_one(agents, node.agent_index, last_attempt, scratch.agent);
      c != Copy::kDone) {
    return c;
  }
  return scratch.agent.tick == node.tick ? Copy::kDone : Copy::kCorrupt;
}

/// Records that cannot be right are left out and counted; the vector grows by good ones only.
template <class Record>
TickReader::Impl::Copy TickReader::Impl::copy_range(const RingReader& ring, std::uint64_t first,
                                                    std::uint64_t count, bool last_attempt,
                                                    std::vector<Record>& out) {
  out.clear();
  for (std::uint64_t i = 0; i < count; ++i) {
    Record& record = out.emplace_back();
    const Copy c = copy_one(ring, first + i, last_attempt, record);
    if (c == Copy::kRetry) return c;
    if (c != Copy::kDone || record.tick != scratch.node.tick) {
      out.pop_back();
      ++counters.corrupt;
    }
  }
  return Copy::kDone;
}

/// Copies one published record.
template <class Record>
TickReader::Impl::Copy TickReader::Impl::copy_one(const RingReader& ring, std::uint64_t index,
                                                  bool last_attempt, Record& out) {
  switch (ring.read(index, out)) {
    case ReadStatus::kOk:
      sanitize(out);
      return Copy::kDone;
    case ReadStatus::kNotYet:
      return Copy::kCorrupt;  // head names it, so its slot must say so
    case ReadStatus::kLapped:
      // A slot from the future: no writer was there, so trying for ever would not help.
      if (last_attempt && ring.head() < index + ring.capacity()) return Copy::kCorrupt;
      return Copy::kRetry;
    case ReadStatus::kTorn:
      return Copy::kRetry;
  }
  return Copy::kCorrupt;
}

/// Counts a tick that was read, and those before it that had been overwritten by then.
void TickReader::Impl::account(std::uint64_t index) {
  if (next && index < *next) return;  // read before
  const std::uint64_t published = index + 1;
  const std::uint64_t oldest = published > nodes.capacity() ? published - nodes.capacity() : 0;
  if (next && oldest > *next) counters.ticks_lost += oldest - *next;
  next = published;
  ++counters.ticks_read;
}

WriterState TickReader::Impl::judge_writer() {
  if (!segment || damaged || !segment->whole()) return WriterState::kUnknown;
  std::uint32_t said = 0;
  std::uint64_t heartbeat = 0;
  {
    const SigbusGuard guard(segment->base(), segment->bytes());
    const WriterLine* const line = segment->line();
    // Acquire: pairs with the release in TickWriter::close.
    said = MachineAtomics::load<std::memory_order::acquire>(&line->state);
    heartbeat = MachineAtomics::load<std::memory_order::relaxed>(&line->heartbeat_boottime_ns);
    damaged = guard.faulted();
  }
  if (damaged) return WriterState::kUnknown;
  if (said == static_cast<std::uint32_t>(SegmentState::kClosed)) return WriterState::kClosed;
  if (!segment->writer_holds_lock()) return WriterState::kGone;
  const std::uint64_t now = boottime_ns();
  const std::uint64_t limit =
      kHungIntervals * 1000u * std::uint64_t{segment->block().header.tick_interval_us};
  return now > heartbeat && now - heartbeat > limit ? WriterState::kHung : WriterState::kLive;
}

/// Whether wait() has nothing to wait for: a newer tick, or another segment at the path.
bool TickReader::Impl::newer_than_read() {
  struct stat file {};
  if (::lstat(options.path.c_str(), &file) == 0 && !segment->is(file)) return true;
  if (!segment->whole()) return true;
  const SigbusGuard guard(segment->base(), segment->bytes());
  const bool newer = nodes.head() > next.value_or(0);
  damaged = guard.faulted();
  return newer || damaged;
}

TickReader::TickReader(ReaderOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {
  impl_->follow_path();
}
TickReader::TickReader(TickReader&&) noexcept = default;
TickReader& TickReader::operator=(TickReader&&) noexcept = default;
TickReader::~TickReader() = default;

bool TickReader::read(Tick& out) {
  return impl_->read(out);
}

bool TickReader::read_back(std::uint64_t number, Tick& out) {
  return impl_->read_back(number, out);
}

bool TickReader::has_news() {
  return !impl_->segment || impl_->damaged || impl_->newer_than_read();
}

void TickReader::wait(std::chrono::milliseconds timeout) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + timeout;
  for (auto now = Clock::now(); now < deadline; now = Clock::now()) {
    const std::chrono::nanoseconds left = deadline - now;
    if (!impl_->segment || impl_->damaged) {
      if (!impl_->damaged && impl_->follow_path()) return;
      std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(left, kLookInterval));
      continue;
    }
    // Loaded before the look for news, so a tick in between makes the futex return at once.
    std::uint32_t seen = 0;
    const std::uint32_t* const word = &impl_->segment->line()->tick;
    {
      const SigbusGuard guard(impl_->segment->base(), impl_->segment->bytes());
      // Acquire: pairs with the release in TickWriter::publish.
      seen = MachineAtomics::load<std::memory_order::acquire>(word);
      impl_->damaged = guard.faulted();
    }
    if (impl_->newer_than_read()) return;
    // In slices of an interval: another writer's segment wakes nobody here.
    futex_wait(word, seen, std::min<std::chrono::nanoseconds>(left, interval()));
  }
}

AttachState TickReader::attach_state() const {
  return impl_->state;
}
const std::string& TickReader::detail() const {
  return impl_->detail;
}
WriterState TickReader::writer_state() const {
  return impl_->judge_writer();
}
std::uint64_t TickReader::epoch() const {
  return impl_->segment ? impl_->segment->block().header.epoch : 0;
}
std::chrono::microseconds TickReader::interval() const {
  return std::chrono::microseconds(impl_->segment ? impl_->segment->block().header.tick_interval_us
                                                  : 0);
}
const TickReader::Counters& TickReader::counters() const {
  return impl_->counters;
}

}  // namespace optipod::shm
