// SPDX-License-Identifier: Apache-2.0
// Files that a reader must not believe: each attach state provoked on a real file, hostile slots,
// and a file that shrinks under the reader.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <functional>
#include <thread>

#include "shm/fd.hpp"
#include "shm/layout.hpp"
#include "shm/sigbus_guard.hpp"
#include "shm/tick.hpp"
#include "tests/shm/scratch.hpp"
#include "tests/support/catch.hpp"

using namespace optipod::shm;
using namespace optipod::shm::test;

namespace {

/// A segment with three ticks of two containers, its writer still alive.
struct Published {
  Published() : path(dir.segment()), writer(TickWriter::create(options_for(path))) {
    REQUIRE(writer);
    Tick tick;
    for (std::uint64_t i = 0; i < 3; ++i) {
      make_tick(tick, i, 2);
      writer->publish(tick);
    }
  }
  /// The file as its owner may write it, behind the writer's back.
  template <class Change>
  void tamper(Change change) const {
    const Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    REQUIRE(fd);
    HeaderBlock block;
    REQUIRE(::pread(fd.get(), &block, sizeof block, 0) == sizeof block);
    auto* base = static_cast<std::byte*>(
        ::mmap(nullptr, block.header.total_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
    REQUIRE(base != MAP_FAILED);
    change(base, block);
    ::munmap(base, block.header.total_bytes);
  }
  ScratchDirectory dir;
  std::string path;
  tl::expected<TickWriter, std::string> writer;
};

std::uint64_t* ring_of(std::byte* base, const HeaderBlock& block, SectionKind kind) {
  return reinterpret_cast<std::uint64_t*>(base + find_section(block, kind)->offset);
}
template <class Record>
std::uint64_t* slot_of(std::byte* base, const HeaderBlock& block, std::uint64_t index) {
  const Section* s = find_section(block, SectionOf<Record>::kKind);
  return reinterpret_cast<std::uint64_t*>(base + s->offset) + kControlWords +
         (index % s->capacity) * slot_bytes(sizeof(Record)) / 8;
}
template <class Record>
Record* record_of(std::byte* base, const HeaderBlock& block, std::uint64_t index) {
  return reinterpret_cast<Record*>(slot_of<Record>(base, block, index) + 1);
}

AttachState state_of(const std::string& path, std::string* detail = nullptr) {
  TickReader reader({.path = path});
  Tick out;
  CHECK_FALSE(reader.read(out));
  CHECK_FALSE(reader.detail().empty());
  CHECK(reader.detail().find(path) != std::string::npos);
  CHECK(reader.writer_state() == WriterState::kUnknown);
  CHECK(reader.epoch() == 0);
  if (detail != nullptr) *detail = reader.detail();
  return reader.attach_state();
}

std::string file_with(const ScratchDirectory& dir, const std::string& content) {
  std::string path = dir.path() + "/file";
  std::ofstream(path, std::ios::binary) << content;
  ::chmod(path.c_str(), 0640);
  return path;
}

}  // namespace

TEST_CASE("missing, foreign and truncated files are told apart") {
  const ScratchDirectory dir;
  CHECK(state_of(dir.path() + "/nothing") == AttachState::kNoSegment);
  CHECK(state_of(dir.path() + "/nothing/at/all") == AttachState::kNoSegment);
  CHECK(state_of(file_with(dir, "")) == AttachState::kTruncated);
  CHECK(state_of(file_with(dir, "hello, world, this is a text")) == AttachState::kForeign);
  CHECK(state_of(file_with(dir, std::string(1 << 20, 'x'))) == AttachState::kForeign);
  CHECK(state_of(file_with(dir, std::string(kMagic, 8))) == AttachState::kTruncated);
  CHECK(state_of(file_with(dir, std::string(kMagic, 8) + std::string(1 << 16, '\0'))) ==
        AttachState::kForeign);  // no byte order
}

TEST_CASE("what is no regular file, or another's, or writable by others, is refused") {
  const Published segment;
  const std::string link = segment.dir.path() + "/link";
  REQUIRE(::symlink(segment.path.c_str(), link.c_str()) == 0);
  std::string detail;
  CHECK(state_of(link, &detail) == AttachState::kRefused);
  CHECK(detail.find("symbolic link") != std::string::npos);

  const std::string fifo = segment.dir.path() + "/fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0640) == 0);
  CHECK(state_of(fifo) == AttachState::kRefused);
  CHECK(state_of(segment.dir.path()) == AttachState::kRefused);
  CHECK(state_of("/dev/zero") == AttachState::kRefused);

  for (const mode_t mode : {0660u, 0646u, 0666u}) {
    REQUIRE(::chmod(segment.path.c_str(), mode) == 0);
    CHECK(state_of(segment.path, &detail) == AttachState::kRefused);
    CHECK(detail.find("mode") != std::string::npos);
  }
  REQUIRE(::chmod(segment.path.c_str(), 0640) == 0);
  CHECK(TickReader({.path = segment.path}).attach_state() == AttachState::kAttached);
}

TEST_CASE("a segment of another user than root and the expected one is refused") {
  if (::geteuid() != 0) FAIL("needs root to give a file away");
  const Published segment;
  REQUIRE(::chown(segment.path.c_str(), 12345, gid_t(-1)) == 0);
  std::string detail;
  CHECK(state_of(segment.path, &detail) == AttachState::kRefused);
  CHECK(detail.find("12345") != std::string::npos);
  CHECK(TickReader({.path = segment.path, .owner_uid = 12345}).attach_state() ==
        AttachState::kAttached);
}

TEST_CASE("a segment of another ABI is refused with both identities, and the reader stays up") {
  const Published segment;
  segment.tamper([](std::byte* base, HeaderBlock& block) {
    block.header.abi_major = kAbiMajor + 1;
    std::memcpy(base, &block, sizeof block);
  });
  std::string detail;
  CHECK(state_of(segment.path, &detail) == AttachState::kAbiMismatch);
  CHECK(detail.find(abi_identity()) != std::string::npos);
}

TEST_CASE("a header whose checksum is wrong is corrupt") {
  const Published segment;
  segment.tamper([](std::byte* base, HeaderBlock&) { base[0x100] ^= std::byte{1}; });
  CHECK(state_of(segment.path) == AttachState::kCorrupt);
}

TEST_CASE("a file shorter than its header says is truncated, at attach and afterwards") {
  Published segment;
  TickReader attached({.path = segment.path});
  Tick out;
  REQUIRE(attached.read(out));
  REQUIRE(::truncate(segment.path.c_str(), 0x2000) == 0);
  CHECK(attached.writer_state() == WriterState::kUnknown);
  const Tick before = out;
  CHECK_FALSE(attached.read(out));
  CHECK(attached.attach_state() == AttachState::kTruncated);
  CHECK(out.containers.size() == before.containers.size());
  CHECK(state_of(segment.path) == AttachState::kTruncated);
  attached.wait(std::chrono::milliseconds(1));

  // Another agent's segment heals it. The old writer's own mapping is damaged, so it goes first, as
  // a process would: without touching the segment again.
  const std::string path = segment.path;
  REQUIRE(::truncate(path.c_str(), 1 << 24) == 0);
  segment.writer->close();
  auto next = TickWriter::create(options_for(path));
  REQUIRE(next);
  Tick tick;
  make_tick(tick, 9, 1);
  next->publish(tick);
  REQUIRE(attached.read(out));
  CHECK(is_made_tick(out, 1));
}

TEST_CASE("a file that shrinks in the middle of reads never kills the reader") {
  Published segment;
  const Fd fd(::open(segment.path.c_str(), O_RDWR | O_CLOEXEC));
  struct stat whole {};
  REQUIRE(::fstat(fd.get(), &whole) == 0);
  std::atomic<bool> stop = false;
  // Shrinks and grows without a pause, so that many fall between the size check and the copy.
  std::thread vandal([&] {
    while (!stop) {
      if (::ftruncate(fd.get(), 0x1000) != 0 || ::ftruncate(fd.get(), whole.st_size) != 0) break;
    }
  });
  TickReader reader({.path = segment.path});
  Tick out;
  std::uint64_t truncated = 0;
  // As often as it takes: on a busy machine the other thread may not run for long.
  for (int i = 0; i < 3000 || (truncated == 0 && i < 10'000'000); ++i) {
    (void)reader.read(out);
    truncated += reader.attach_state() == AttachState::kTruncated ? 1 : 0;
    (void)reader.writer_state();
    if (i % 64 == 0) reader.wait(std::chrono::milliseconds(0));
  }
  stop = true;
  vandal.join();
  CHECK(truncated > 0);
}

TEST_CASE("a guarded copy over the end of a file finishes with zeros and says so") {
  install_sigbus_guard();
  const ScratchDirectory dir;
  const Fd fd(::open((dir.path() + "/file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  REQUIRE(::ftruncate(fd.get(), 0x4000) == 0);
  auto* page = static_cast<unsigned char*>(
      ::mmap(nullptr, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
  REQUIRE(page != MAP_FAILED);
  std::memset(page, 7, 0x4000);
  const auto sum = [&] {
    unsigned total = 0;
    for (std::size_t i = 0; i < 0x4000; ++i) total += static_cast<volatile unsigned char*>(page)[i];
    return total;
  };
  {
    const SigbusGuard guard(page, 0x4000);
    CHECK(sum() == 7 * 0x4000);
    CHECK_FALSE(guard.faulted());
  }
  REQUIRE(::ftruncate(fd.get(), 0x1000) == 0);
  {
    const SigbusGuard guard(page, 0x4000);
    CHECK(sum() == 7 * 0x1000);
    CHECK(guard.faulted());
  }
  ::munmap(page, 0x4000);
}

TEST_CASE("a fault outside a guarded copy goes to the handler that was there before") {
  const Published segment;  // its reader below installs the guard
  const TickReader reader({.path = segment.path});
  const pid_t child = ::fork();
  if (child == 0) {
    // Like any program without a handler of its own: an unrelated SIGBUS still ends it.
    ::signal(SIGABRT, SIG_DFL);
    ::close(STDERR_FILENO);  // a sanitizer, whose handler was there before, would report it
    const Fd fd(
        ::open((segment.dir.path() + "/other").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (::ftruncate(fd.get(), 4096) != 0) ::_exit(0);
    void* page = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd.get(), 0);
    if (::ftruncate(fd.get(), 0) != 0) ::_exit(0);
    (void)*static_cast<volatile char*>(page);
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK((WIFSIGNALED(status) || WEXITSTATUS(status) != 0));
}

TEST_CASE("hostile slots give an error or are left out, and are counted") {
  using Change = std::function<void(std::byte*, const HeaderBlock&)>;
  struct Case {
    const char* what;
    bool readable;  ///< the tick comes, without what was wrong
    std::size_t containers;
    Change change;
  };
  const std::vector<Case> cases = {
      {"head far beyond", false, 0,
       [](std::byte* b, const HeaderBlock& h) { *ring_of(b, h, SectionKind::kNode) = ~0ull; }},
      {"head one beyond", false, 0,
       [](std::byte* b, const HeaderBlock& h) { *ring_of(b, h, SectionKind::kNode) += 1; }},
      {"newest node odd for ever", false, 0,
       [](std::byte* b, const HeaderBlock& h) { *slot_of<NodeRecord>(b, h, 2) = 5; }},
      {"newest node from the future", false, 0,
       [](std::byte* b, const HeaderBlock& h) { *slot_of<NodeRecord>(b, h, 2) = ~0ull; }},
      {"node says another tick", false, 0,
       [](std::byte* b, const HeaderBlock& h) { record_of<NodeRecord>(b, h, 2)->tick = 1; }},
      {"container count huge", false, 0,
       [](std::byte* b, const HeaderBlock& h) {
         record_of<NodeRecord>(b, h, 2)->container_count = ~0ull;
       }},
      {"first container beyond head", false, 0,
       [](std::byte* b, const HeaderBlock& h) {
         record_of<NodeRecord>(b, h, 2)->first_container = ~0ull - 1;
       }},
      {"container ring's head huge", false, 0,
       [](std::byte* b, const HeaderBlock& h) {
         *ring_of(b, h, SectionKind::kContainers) = ~0ull;
       }},
      {"device count beyond a tick's share", false, 0,
       [](std::byte* b, const HeaderBlock& h) {
         record_of<NodeRecord>(b, h, 2)->device_count = 5;
         record_of<NodeRecord>(b, h, 2)->first_device = 0;
       }},
      {"agent index beyond head", false, 0,
       [](std::byte* b, const HeaderBlock& h) {
         record_of<NodeRecord>(b, h, 2)->agent_index = 1ull << 61;
       }},
      {"agent of another tick", false, 0,
       [](std::byte* b, const HeaderBlock& h) { record_of<NodeRecord>(b, h, 2)->agent_index = 0; }},
      {"neighbour count beyond a tick's share", false, 0,
       [](std::byte* b, const HeaderBlock& h) {
         record_of<NodeRecord>(b, h, 2)->neighbour_count = 1u << 20;
       }},
      {"first neighbour beyond head", false, 0,
       [](std::byte* b, const HeaderBlock& h) {
         record_of<NodeRecord>(b, h, 2)->first_neighbour = ~0ull - 1;
       }},
      {"a container odd for ever", true, 1,
       [](std::byte* b, const HeaderBlock& h) { *slot_of<ContainerRecord>(b, h, 4) = 9; }},
      {"a container from the future", true, 1,
       [](std::byte* b, const HeaderBlock& h) { *slot_of<ContainerRecord>(b, h, 4) = ~0ull - 1; }},
      {"a container never written", true, 1,
       [](std::byte* b, const HeaderBlock& h) { *slot_of<ContainerRecord>(b, h, 5) = 0; }},
      {"a container of another tick", true, 1,
       [](std::byte* b, const HeaderBlock& h) { record_of<ContainerRecord>(b, h, 5)->tick = 0; }},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    const Published segment;
    segment.tamper(c.change);
    TickReader reader({.path = segment.path});
    Tick out;
    CHECK(reader.read(out) == c.readable);
    CHECK(reader.attach_state() == AttachState::kAttached);
    CHECK(reader.counters().corrupt >= 1);
    if (c.readable) CHECK(out.containers.size() == c.containers);
  }
}

TEST_CASE("texts are terminated and counts clamped, whatever the slots hold") {
  const Published segment;
  segment.tamper([](std::byte* base, const HeaderBlock& block) {
    std::memset(record_of<NodeRecord>(base, block, 2)->node_name, 'n', 256);
    std::memset(record_of<ContainerRecord>(base, block, 4)->pod, 'p', 256 + 256 + 40 + 72 + 16);
    AgentRecord* agent = record_of<AgentRecord>(base, block, 2);
    agent->program_count = ~0ull;
    agent->feature_count = 33;
    std::memset(agent->features[31].source, 's', 32);
    std::memset(agent->version, 'v', 32);
  });
  TickReader reader({.path = segment.path});
  Tick out;
  REQUIRE(reader.read(out));
  CHECK(std::strlen(out.node.node_name) == 255);
  CHECK(std::strlen(out.containers[0].pod) == 255);
  CHECK(std::strlen(out.containers[0].container) == 255);
  CHECK(std::strlen(out.containers[0].qos) == 15);
  CHECK(out.agent.program_count == AgentRecord::kMaxPrograms);
  CHECK(out.agent.feature_count == AgentRecord::kMaxFeatures);
  CHECK(std::strlen(out.agent.features[31].source) == 31);
  CHECK(std::strlen(out.agent.version) == 31);
}

TEST_CASE("a hostile read lock on the segment changes nothing") {
  const Published segment;
  const Fd fd(::open(segment.path.c_str(), O_RDONLY | O_CLOEXEC));
  struct flock lock {};
  lock.l_type = F_RDLCK;
  CHECK(::fcntl(fd.get(), F_OFD_SETLK, &lock) != 0);  // the writer's is there first
  const TickReader reader({.path = segment.path});
  CHECK(reader.writer_state() == WriterState::kLive);
}
