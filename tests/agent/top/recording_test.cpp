// SPDX-License-Identifier: Apache-2.0
// What is recorded comes back; what is damaged is left out and said; nothing in a file hurts.
#include "agent/top/recording.hpp"

#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <random>

#include "shm/layout.hpp"
#include "tests/agent/top/fabricate.hpp"
#include "tests/agent/top/memory_bytes.hpp"
#include "tests/shm/scratch.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::top;
using namespace optipod::top::test;

namespace {

auto parse(std::string bytes) {
  return RecordingReader::parse(std::make_unique<MemoryBytes>(std::move(bytes)), "file");
}

Sample sample_of(std::uint64_t i) {
  Sample s = sample(i, {container(1, "/a"), pod(2, "shop", "web", "nginx")});
  s.tick.node.cpu_time.usage_ns = i * 12345;
  s.tick.containers[1].cpu.runqueue_wait.bucket[7] = i;
  s.tick.devices.resize(1);
  s.tick.devices[0].tick = i;
  set(s.tick.devices[0].name, "sda");
  s.tick.neighbours.resize(3);
  s.tick.neighbours[2].taken_ns = i;
  return s;
}

std::string file_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Bytes of a recording of `count` samples.
std::string recorded(std::uint64_t count) {
  const shm::test::ScratchDirectory dir;
  const std::string path = dir.path() + "/rec";
  {
    auto writer = RecordingWriter::create(path, 1u << 30);
    REQUIRE(writer.has_value());
    for (std::uint64_t i = 0; i < count; ++i) REQUIRE(writer->append(sample_of(i)).value());
    CHECK(writer->samples() == count);
    CHECK(writer->bytes() == file_of(path).size());
  }
  return file_of(path);
}

bool same(const Sample& a, const Sample& b) {
  const auto equal = [](const auto& x, const auto& y) {
    return x.size() == y.size() &&
           std::memcmp(x.data(), y.data(), x.size() * sizeof(*x.data())) == 0;
  };
  return a.epoch == b.epoch && std::memcmp(&a.tick.node, &b.tick.node, sizeof a.tick.node) == 0 &&
         std::memcmp(&a.tick.agent, &b.tick.agent, sizeof a.tick.agent) == 0 &&
         equal(a.tick.containers, b.tick.containers) && equal(a.tick.devices, b.tick.devices) &&
         equal(a.tick.neighbours, b.tick.neighbours);
}

/// Samples that can be read; each must be one that was written.
std::size_t good_samples(RecordingReader& reader, std::uint64_t written) {
  std::size_t good = 0;
  for (std::uint64_t i = 0; i < reader.samples(); ++i) {
    const auto read = reader.read(i);
    if (!read) {
      CHECK(has(read.error(), "is left out"));
      continue;
    }
    REQUIRE(read->tick.node.tick < written);
    REQUIRE(same(*read, sample_of(read->tick.node.tick)));
    ++good;
  }
  return good;
}

/// A file whose one sample unpacks to `plain`.
std::string file_with(const std::string& plain, std::uint32_t claimed_bytes) {
  std::string out = recorded(0);
  uLongf stored = compressBound(static_cast<uLong>(plain.size()));
  std::string data(stored, '\0');
  compress(reinterpret_cast<Bytef*>(data.data()), &stored,
           reinterpret_cast<const Bytef*>(plain.data()), static_cast<uLong>(plain.size()));
  data.resize(stored);
  SampleHead head{};
  std::memcpy(head.magic, "SMPL", 4);
  head.stored_bytes = static_cast<std::uint32_t>(stored);
  head.plain_bytes = claimed_bytes;
  head.data_crc = static_cast<std::uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(data.data()), static_cast<uInt>(stored)));
  head.crc = crc_of(head);
  out.append(reinterpret_cast<const char*>(&head), sizeof head);
  return out + data;
}

template <class T>
void put(std::string& out, const T& value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_section(std::string& out, std::uint32_t kind, std::uint32_t bytes, std::uint64_t count,
                 const std::string& records) {
  put(out, kind);
  put(out, bytes);
  put(out, count);
  out += records;
}

template <class Record>
std::string raw(const Record& record, std::size_t bytes = sizeof(Record)) {
  std::string out(reinterpret_cast<const char*>(&record), std::min(bytes, sizeof record));
  return out + std::string(bytes - out.size(), 'x');
}

/// A node and an agent, the least that a sample has.
std::string least() {
  const Sample s = sample(3);
  std::string out;
  put_section(out, 1, sizeof s.tick.node, 1, raw(s.tick.node));
  put_section(out, 4, sizeof s.tick.agent, 1, raw(s.tick.agent));
  return out;
}

std::string error_of(const std::string& plain) {
  auto reader = parse(file_with(plain, static_cast<std::uint32_t>(plain.size())));
  REQUIRE(reader.has_value());
  REQUIRE(reader->samples() == 1);
  const auto read = reader->read(0);
  return read ? "" : read.error();
}

}  // namespace

TEST_CASE("samples come back word for word, in any order") {
  auto reader = parse(recorded(10));
  REQUIRE(reader.has_value());
  CHECK(reader->samples() == 10);
  CHECK(reader->notice().empty());
  for (const std::uint64_t i : {9U, 0U, 5U, 5U}) CHECK(same(reader->read(i).value(), sample_of(i)));
  CHECK_FALSE(reader->read(10).has_value());
}

TEST_CASE("a recording never overwrites a file, and has the rights of a log") {
  const shm::test::ScratchDirectory dir;
  const std::string path = dir.path() + "/rec";
  { REQUIRE(RecordingWriter::create(path, 1000).has_value()); }
  struct stat file {};
  REQUIRE(::stat(path.c_str(), &file) == 0);
  CHECK((file.st_mode & 0137) == 0);
  const auto again = RecordingWriter::create(path, 1000);
  REQUIRE_FALSE(again.has_value());
  CHECK(has(again.error(), "exists already"));
  CHECK(has(RecordingWriter::create(dir.path() + "/no/rec", 1000).error(), "No such file"));
}

TEST_CASE("the limit is kept, and the file is whole at it") {
  const shm::test::ScratchDirectory dir;
  const std::string path = dir.path() + "/rec";
  constexpr std::uint64_t kLimit = 5000;
  auto writer = RecordingWriter::create(path, kLimit);
  std::uint64_t taken = 0;
  while (writer->append(sample_of(taken)).value()) ++taken;
  CHECK(taken > 0);
  CHECK(file_of(path).size() <= kLimit);
  auto reader = RecordingReader::open(path);
  REQUIRE(reader.has_value());
  CHECK(reader->samples() == taken);
  CHECK(reader->notice().empty());
}

TEST_CASE("a full disk ends the recording with a message, and spares what is there") {
  const auto writer = RecordingWriter::create("/dev/full", 1000);
  REQUIRE_FALSE(writer.has_value());  // it exists; nothing is written to what is not ours
}

TEST_CASE("every truncation leaves the samples before it") {
  constexpr std::uint64_t kSamples = 3;
  const std::string whole = recorded(kSamples);
  const std::size_t head = recorded(0).size();
  std::size_t most = 0;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    auto reader = parse(whole.substr(0, size));
    if (size < head) {
      REQUIRE_FALSE(reader.has_value());
      continue;
    }
    REQUIRE(reader.has_value());
    REQUIRE(reader->samples() < kSamples);
    REQUIRE(reader->samples() >= most);  // more bytes are never fewer samples
    most = reader->samples();
    // Only a cut between two samples cannot be seen.
    if (reader->notice().empty()) REQUIRE(good_samples(*reader, kSamples) == reader->samples());
  }
  CHECK(most == kSamples - 1);
}

TEST_CASE("a flipped bit costs one sample at most, and is noticed") {
  constexpr std::uint64_t kSamples = 3;
  const std::string whole = recorded(kSamples);
  const std::size_t head = recorded(0).size();
  std::mt19937 random(1);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ (1u << random() % 8));
    auto reader = parse(bytes);
    if (at < head) {
      REQUIRE_FALSE(reader.has_value());
      continue;
    }
    REQUIRE(reader.has_value());
    REQUIRE(good_samples(*reader, kSamples) == kSamples - 1);
    REQUIRE((!reader->notice().empty() || reader->samples() == kSamples));
  }
}

TEST_CASE("damage in the middle is passed over, and what is lost is counted") {
  std::string bytes = recorded(5);
  const std::size_t second = bytes.find("SMPL", bytes.find("SMPL") + 1);
  const std::size_t fourth = bytes.find("SMPL", bytes.find("SMPL", second + 1) + 1);
  std::fill(bytes.begin() + static_cast<long>(second), bytes.begin() + static_cast<long>(fourth),
            'x');
  auto reader = parse(bytes);
  REQUIRE(reader.has_value());
  CHECK(good_samples(*reader, 5) == 3);
  CHECK(has(reader->notice(), "2 samples"));
}

TEST_CASE("what is no recording, or another version's, is told apart") {
  CHECK(has(parse("").error(), "is no recording"));
  CHECK(has(parse(std::string(1000, 'x')).error(), "is no recording"));
  std::string bytes = recorded(1);
  const auto with = [&](auto change) {
    FileHead head;
    std::memcpy(&head, bytes.data(), sizeof head);
    change(head);
    head.crc = crc_of(head);
    std::string out = bytes;
    std::memcpy(out.data(), &head, sizeof head);
    return parse(out);
  };
  CHECK(has(with([](FileHead& h) { h.format = 9; }).error(), "has format 9"));
  CHECK(has(with([](FileHead& h) { ++h.abi_hash; }).error(), "another version"));
  CHECK(has(with([](FileHead& h) { ++h.abi_major; }).error(), "another version"));
  CHECK(with([](FileHead& h) { ++h.abi_minor, ++h.abi_hash; }).value().read(0).has_value());
  CHECK(has(RecordingReader::open("/dev/null").error(), "no regular file"));
  CHECK(has(RecordingReader::open("/nowhere/x").error(), "No such file"));
}

TEST_CASE("records of a neighbouring version are read as far as both know them") {
  const Sample s = sample(3, {container(5, "/c")});
  constexpr std::uint32_t kLess = sizeof(s.tick.node) - 8, kMore = sizeof(shm::AgentRecord) + 16;
  std::string plain;
  put_section(plain, 1, kLess, 1, raw(s.tick.node, kLess));
  put_section(plain, 4, kMore, 1, raw(s.tick.agent, kMore));
  put_section(plain, 2, sizeof(shm::ContainerRecord), 1, raw(s.tick.containers[0]));
  put_section(plain, 77, 24, 2, std::string(48, 'n'));  // of a kind to come
  auto reader = parse(file_with(plain, static_cast<std::uint32_t>(plain.size())));
  const auto read = reader->read(0);
  REQUIRE(read.has_value());
  CHECK(read->tick.node.tick == 3);
  CHECK(std::string(read->tick.node.node_name) == "node-1");
  CHECK(read->tick.node.tcp_retransmitted_segments == 0);
  CHECK(std::string(read->tick.containers.at(0).container) == "/c");
}

TEST_CASE("texts and counts of a record are made safe") {
  Sample s = sample(3, {container(5, "/c")});
  std::memset(s.tick.containers[0].pod, 'p', sizeof s.tick.containers[0].pod);
  s.tick.agent.feature_count = s.tick.agent.program_count = ~0ull;
  std::string plain;
  put_section(plain, 1, sizeof s.tick.node, 1, raw(s.tick.node));
  put_section(plain, 4, sizeof s.tick.agent, 1, raw(s.tick.agent));
  put_section(plain, 2, sizeof(shm::ContainerRecord), 1, raw(s.tick.containers[0]));
  const auto read = parse(file_with(plain, static_cast<std::uint32_t>(plain.size())))->read(0);
  REQUIRE(read.has_value());
  CHECK(std::strlen(read->tick.containers[0].pod) == sizeof s.tick.containers[0].pod - 1);
  CHECK(read->tick.agent.feature_count == shm::AgentRecord::kMaxFeatures);
}

TEST_CASE("huge counts and sizes are refused before memory is taken for them") {
  CHECK(error_of(least()).empty());
  std::string plain = least();
  put_section(plain, 2, 8, ~0ull, "");
  CHECK(has(error_of(plain), "does not fit"));
  plain = least();
  put_section(plain, 2, 1, kMaxRecords + 1, std::string(kMaxRecords + 1, 'x'));
  CHECK(has(error_of(plain), "too many containers"));
  plain = least();
  put_section(plain, 2, 0, 5, "");
  CHECK(has(error_of(plain), "does not fit"));
  CHECK(has(error_of(least() + least()), "exactly one node"));
  CHECK(has(error_of("short"), "does not fit"));
  CHECK(has(error_of(""), "missing"));
  // A head that claims more than its data can unpack to is none.
  CHECK(parse(file_with(least(), kMaxPlainBytes))->samples() == 0);
  auto wrong = parse(file_with(least(), static_cast<std::uint32_t>(least().size() - 1)));
  CHECK(has(wrong->read(0).error(), "does not unpack"));
}

TEST_CASE("a replay is a timeline with gaps where samples are damaged") {
  std::string bytes = recorded(300);
  const std::size_t second = bytes.find("SMPL", bytes.find("SMPL") + 1);
  bytes[second + sizeof(SampleHead) + 5] ^= 1;
  Replay replay(std::move(parse(bytes).value()));
  CHECK(replay.end() == 300);
  CHECK(replay.at(300) == nullptr);
  CHECK(replay.at(1) == nullptr);
  CHECK(has(replay.notice(), "sample 2 of 300 is left out: it is damaged"));
  for (std::uint64_t i = 2; i < 300; ++i) REQUIRE(replay.at(i)->tick.node.tick == i);
  CHECK(replay.at(2)->tick.node.tick == 2);  // unpacked a second time
  CHECK_FALSE(interval_at(replay, 2).has_value());
  CHECK(interval_at(replay, 3).has_value());
}
