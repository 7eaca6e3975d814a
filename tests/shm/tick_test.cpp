// SPDX-License-Identifier: Apache-2.0
// TickWriter and TickReader as agent and exporter use them, in one process.
#include "shm/tick.hpp"

#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "shm/layout.hpp"
#include "tests/shm/scratch.hpp"
#include "tests/support/catch.hpp"

using namespace optipod::shm;
using namespace optipod::shm::test;

namespace {
TickWriter writer_at(const WriterOptions& options) {
  auto writer = TickWriter::create(options);
  if (!writer) FAIL(writer.error());
  return std::move(*writer);
}
TickReader reader_at(const std::string& path) {
  return TickReader({.path = path});
}
}  // namespace

TEST_CASE("a tick comes back word for word") {
  const ScratchDirectory dir;
  TickWriter writer = writer_at(options_for(dir.segment()));
  TickReader reader = reader_at(dir.segment());
  CHECK(reader.attach_state() == AttachState::kAttached);
  CHECK(reader.detail().empty());
  CHECK(reader.epoch() != 0);
  CHECK(reader.interval() == std::chrono::milliseconds(20));

  Tick out;
  CHECK_FALSE(reader.read(out));  // no tick yet, and that is no error
  CHECK(reader.attach_state() == AttachState::kAttached);

  Tick in;
  for (std::uint64_t t = 0; t < 300; ++t) {
    const std::size_t containers = t % 9;
    make_tick(in, 1000 + t, containers);
    writer.publish(in);
    REQUIRE(reader.read(out));
    REQUIRE(out.node.tick == t);
    REQUIRE(out.node.sampled_boottime_ns == 1000 + t);
    REQUIRE(is_made_tick(out, containers));
  }
  CHECK(writer.ticks() == 300);
  CHECK(reader.counters().ticks_read == 300);
  CHECK(reader.counters().ticks_lost == 0);
  CHECK(reader.counters().torn == 0);
  CHECK(reader.counters().corrupt == 0);
  CHECK(reader.read(out));  // the same tick again
  CHECK(reader.counters().ticks_read == 300);
}

TEST_CASE("what is over the maxima is cut and counted, also when a tick is used again") {
  const ScratchDirectory dir;
  TickWriter writer = writer_at(options_for(dir.segment(), 8));
  TickReader reader = reader_at(dir.segment());
  Tick in, out;
  make_tick(in, 5, 11, 6);
  in.node.containers_cut = 100;
  for (int again = 0; again < 2; ++again) {
    writer.publish(in);
    REQUIRE(reader.read(out));
    CHECK(out.containers.size() == 8);
    CHECK(out.devices.size() == 4);
    CHECK(out.node.containers_cut == 100 + 3 + 2);
  }
}

TEST_CASE("ticks overwritten before they were read are counted exactly") {
  const ScratchDirectory dir;
  TickWriter writer = writer_at(options_for(dir.segment()));
  TickReader reader = reader_at(dir.segment());
  Tick in, out;
  make_tick(in, 1, 1);
  const auto publish = [&](std::uint64_t n) {
    for (; n > 0; --n) writer.publish(in);
  };
  publish(200);  // before the first read: not ours to lose
  REQUIRE(reader.read(out));
  CHECK(reader.counters().ticks_lost == 0);
  publish(kTickHistory);  // all of them are still there
  REQUIRE(reader.read(out));
  CHECK(reader.counters().ticks_lost == 0);
  publish(kTickHistory + 17);
  REQUIRE(reader.read(out));
  CHECK(reader.counters().ticks_lost == 17);
  CHECK(reader.counters().ticks_read == 3);
}

TEST_CASE("a clean stop is seen, and the last tick stays readable") {
  const ScratchDirectory dir;
  TickReader reader = reader_at(dir.segment());
  CHECK(reader.attach_state() == AttachState::kNoSegment);
  CHECK(reader.writer_state() == WriterState::kUnknown);
  CHECK(reader.detail().find(dir.segment()) != std::string::npos);
  Tick in, out;
  {
    TickWriter writer = writer_at(options_for(dir.segment()));
    make_tick(in, 3, 2);
    writer.publish(in);
    REQUIRE(reader.read(out));
    CHECK(reader.writer_state() == WriterState::kLive);
  }
  CHECK(reader.writer_state() == WriterState::kClosed);
  REQUIRE(reader.read(out));
  CHECK(is_made_tick(out, 2));
}

TEST_CASE("a reader follows a restarted writer and keeps its counters") {
  const ScratchDirectory dir;
  TickReader reader = reader_at(dir.segment());
  Tick in, out;
  make_tick(in, 1, 1);
  std::uint64_t before = 0;
  for (std::uint64_t life = 1; life <= 5; ++life) {
    TickWriter writer = writer_at(options_for(dir.segment()));
    writer.publish(in);
    REQUIRE(reader.read(out));
    CHECK(out.node.tick == 0);
    CHECK(reader.epoch() != before);
    CHECK(reader.counters().attaches == life);
    CHECK(reader.counters().ticks_read == life);
    before = reader.epoch();
  }
  TickWriter writer = writer_at(options_for(dir.segment()));
  for (std::uint64_t i = 0; i < kTickHistory + 3; ++i) writer.publish(in);
  REQUIRE(reader.read(out));
  CHECK(reader.counters().ticks_lost == 3);  // those of the new writer that we never saw
}

TEST_CASE("a second writer is refused and told who holds the directory") {
  const ScratchDirectory dir;
  std::optional<TickWriter> first = writer_at(options_for(dir.segment()));
  const auto second = TickWriter::create(options_for(dir.segment()));
  REQUIRE_FALSE(second);
  CHECK(second.error().find("pid " + std::to_string(::getpid())) != std::string::npos);
  CHECK(second.error().find("agent.lock") != std::string::npos);
  first.reset();
  CHECK(TickWriter::create(options_for(dir.segment())));
}

TEST_CASE("what a dead writer left under a temporary name is removed, nothing else") {
  const ScratchDirectory dir;
  const std::string stale = dir.path() + "/.current.shm.0123456789abcdef.tmp";
  const std::string other = dir.path() + "/notes.tmp";
  std::ofstream(stale) << "half a segment";
  std::ofstream(other) << "somebody's";
  const TickWriter writer = writer_at(options_for(dir.segment()));
  CHECK_FALSE(std::filesystem::exists(stale));
  CHECK(std::filesystem::exists(other));
  CHECK(std::distance(std::filesystem::directory_iterator(dir.path()), {}) == 3);
}

TEST_CASE("files have the modes the format promises, and the directory is made") {
  const ScratchDirectory dir;
  const std::string inner = dir.path() + "/run";
  WriterOptions options = options_for(inner + "/current.shm");
  options.group = "root";
  const TickWriter writer = writer_at(options);
  struct stat file {};
  REQUIRE(::stat(inner.c_str(), &file) == 0);
  CHECK((file.st_mode & 0777) == 0750);
  REQUIRE(::stat(options.path.c_str(), &file) == 0);
  CHECK((file.st_mode & 0777) == 0640);
  REQUIRE(::stat((inner + "/agent.lock").c_str(), &file) == 0);
  CHECK((file.st_mode & 0777) == 0600);
}

TEST_CASE("a writer's errors say what is wrong") {
  const ScratchDirectory dir;
  WriterOptions options = options_for(dir.segment());
  options.group = "no-such-group-here";
  CHECK(TickWriter::create(options).error().find("no-such-group-here") != std::string::npos);
  CHECK(TickWriter::create(options_for(dir.path() + "/a/b/current.shm")).error().find("/a/b") !=
        std::string::npos);
  options = options_for(dir.segment());
  options.max_containers = 1u << 20;
  CHECK_FALSE(TickWriter::create(options));
  CHECK_FALSE(std::filesystem::exists(dir.segment()));
}

TEST_CASE("wait returns at a tick, at a new segment, and at its timeout") {
  using Clock = std::chrono::steady_clock;
  const ScratchDirectory dir;
  TickReader reader = reader_at(dir.segment());
  reader.wait(std::chrono::milliseconds(1));  // nothing there: the timeout
  CHECK(reader.attach_state() == AttachState::kNoSegment);

  Tick in, out;
  make_tick(in, 1, 1);
  WriterOptions options = options_for(dir.segment());
  options.interval = std::chrono::seconds(60);  // so that only the futex can wake it in time
  std::optional<TickWriter> writer = writer_at(options);
  writer->publish(in);
  REQUIRE(reader.read(out));
  auto begin = Clock::now();
  reader.wait(std::chrono::milliseconds(30));
  CHECK(Clock::now() - begin >= std::chrono::milliseconds(29));

  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    writer->publish(in);
  });
  begin = Clock::now();
  reader.wait(std::chrono::seconds(30));
  CHECK(Clock::now() - begin < std::chrono::seconds(25));
  later.join();
  REQUIRE(reader.read(out));
  CHECK(out.node.tick == 1);

  reader.wait(std::chrono::milliseconds(1));
  writer.reset();
  writer = writer_at(options);
  begin = Clock::now();
  reader.wait(std::chrono::seconds(30));
  CHECK(Clock::now() - begin < std::chrono::seconds(25));
  writer->publish(in);
  REQUIRE(reader.read(out));
  CHECK(reader.counters().attaches == 2);
}

TEST_CASE("ticks before the newest can be read back while the rings hold all of them") {
  const ScratchDirectory dir;
  TickWriter writer = writer_at(options_for(dir.segment(), 8));  // 32 records of containers
  TickReader reader = reader_at(dir.segment());
  Tick in, out;
  CHECK_FALSE(reader.read_back(0, out));
  for (std::uint64_t t = 0; t < 100; ++t) {
    make_tick(in, t, 2, 0);
    writer.publish(in);
  }
  CHECK(reader.has_news());
  REQUIRE(reader.read(out));
  CHECK_FALSE(reader.has_news());
  const auto read = reader.counters().ticks_read;
  for (std::uint64_t t = 99; t > 99 - 16; --t) {  // 16 ticks of two containers
    REQUIRE(reader.read_back(t, out));
    REQUIRE(out.node.tick == t);
    REQUIRE(is_made_tick(out, 2, 0));
  }
  for (const std::uint64_t gone : {83u, 40u, 35u, 0u, 100u, 1u << 31}) {
    CHECK_FALSE(reader.read_back(gone, out));
    CHECK(out.node.tick == 84);  // as it was
  }
  CHECK(reader.counters().ticks_read == read);
  CHECK(reader.counters().ticks_lost == 0);
  CHECK(reader.counters().corrupt == 0);
  writer.publish(in);
  CHECK(reader.has_news());
}
