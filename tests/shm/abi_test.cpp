// SPDX-License-Identifier: Apache-2.0
//
// Programs of two versions on one node, as during an upgrade: whole segments as a newer and as an
// older agent would write them, read word for word by the reader of today.
#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <vector>

#include "shm/layout.hpp"
#include "shm/ring.hpp"
#include "shm/tick.hpp"
#include "tests/shm/scratch.hpp"
#include "tests/support/catch.hpp"

using namespace optipod::shm;
using namespace optipod::shm::test;

namespace {

constexpr std::size_t kContainers = 3;
constexpr unsigned char kLaterField = 0xab;  // what a reader of today must not take for anything

std::vector<char> bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The segment as an agent would have written it whose node records are `change` bytes longer, and
/// whose minor version is another. `more_kinds`: it has a section that we do not know.
std::vector<char> as_another_version(const std::vector<char>& segment, int minor_change, int change,
                                     bool more_kinds) {
  HeaderBlock from;
  std::memcpy(&from, segment.data(), sizeof from);
  HeaderBlock to = from;
  to.header.abi_minor = static_cast<std::uint16_t>(from.header.abi_minor + minor_change);
  to.header.abi_hash ^= 1;
  std::vector<char> out(kFirstSectionOffset, 0);
  std::copy(segment.begin() + sizeof from, segment.begin() + kFirstSectionOffset,
            out.begin() + sizeof to);
  for (std::size_t i = 0; i < from.header.section_count; ++i) {
    const Section& old = from.sections[i];
    Section& made = to.sections[i];
    if (old.kind == static_cast<std::uint32_t>(SectionKind::kNode)) {
      made.record_bytes = static_cast<std::uint32_t>(static_cast<int>(old.record_bytes) + change);
      made.record_hash ^= 1;
    }
    made.offset = out.size();
    const std::size_t old_slot = slot_bytes(old.record_bytes);
    const std::size_t slot = slot_bytes(made.record_bytes);
    const char* head = segment.data() + old.offset;
    out.insert(out.end(), head, head + kControlWords * kWordBytes);
    for (std::uint64_t k = 0; k < old.capacity; ++k) {
      const char* const record = head + kControlWords * kWordBytes + k * old_slot;
      std::vector<char> copy(slot, static_cast<char>(kLaterField));
      std::copy_n(record, kWordBytes + std::min(old.record_bytes, made.record_bytes), copy.begin());
      out.insert(out.end(), copy.begin(), copy.end());
    }
    out.resize((out.size() + 4095) / 4096 * 4096);
  }
  if (more_kinds) {
    to.sections[to.header.section_count++] = {
        .kind = 99, .record_bytes = 8, .offset = out.size(), .capacity = 2};
    out.resize(out.size() + 4096, static_cast<char>(kLaterField));
  }
  to.header.total_bytes = out.size();
  to.header.checksum = checksum(to);
  std::memcpy(out.data(), &to, sizeof to);
  return out;
}

/// Puts the file in the segment's place, as an agent that starts does.
void replace(const std::string& path, const std::vector<char>& bytes) {
  const std::string made = path + ".new";
  std::ofstream(made, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  REQUIRE(::chmod(made.c_str(), 0640) == 0);
  std::filesystem::rename(made, path);
}

/// A closed segment with five ticks, and a reader that has read the last of them.
struct Upgrade {
  Upgrade() : reader({.path = dir.segment()}) {
    auto writer = TickWriter::create(options_for(dir.segment()));
    REQUIRE(writer);
    Tick tick;
    for (std::uint64_t i = 0; i < 5; ++i) {
      make_tick(tick, i, kContainers);
      tick.node.tcp_retransmitted_segments = 77;  // the last word of a node's record
      writer->publish(tick);
    }
    writer->close();
    // Twice, so that the memory of what comes next is not zero.
    REQUIRE(reader.read(out));
    REQUIRE(reader.read(out));
    segment = bytes_of(dir.segment());
  }
  ScratchDirectory dir;
  TickReader reader;
  Tick out;
  std::vector<char> segment;
};

}  // namespace

TEST_CASE("an agent of a newer minor version is read, what it appended is passed over") {
  Upgrade node;
  const Tick before = node.out;
  replace(node.dir.segment(), as_another_version(node.segment, 1, 64, true));
  REQUIRE(node.reader.read(node.out));
  CHECK(node.reader.counters().attaches == 2);
  CHECK(node.reader.counters().corrupt == 0);
  CHECK(std::memcmp(&before.node, &node.out.node, sizeof before.node) == 0);
  CHECK(same(before.containers, node.out.containers));
}

TEST_CASE("an agent of an older minor version is read, what it does not have is zero") {
  Upgrade node;
  Tick before = node.out;
  constexpr int kMissing = 16;
  replace(node.dir.segment(), as_another_version(node.segment, -1, -kMissing, false));
  REQUIRE(node.reader.read(node.out));
  CHECK(node.reader.counters().attaches == 2);
  std::memset(reinterpret_cast<char*>(&before.node) + sizeof before.node - kMissing, 0, kMissing);
  CHECK(std::memcmp(&before.node, &node.out.node, sizeof before.node) == 0);
  CHECK(same(before.containers, node.out.containers));
}

TEST_CASE("versions that cannot be read are refused, and a good agent's heals it") {
  Upgrade node;
  const auto refused = [&](const std::vector<char>& bytes) {
    replace(node.dir.segment(), bytes);
    CHECK_FALSE(node.reader.read(node.out));
    CHECK(node.reader.attach_state() == AttachState::kAbiMismatch);
    INFO(node.reader.detail());
    CHECK(node.reader.detail().find(node.dir.segment()) != std::string::npos);
  };
  refused(as_another_version(node.segment, 1, -16, false));  // newer, yet fields are gone
  refused(as_another_version(node.segment, -1, 64, false));  // older, yet it has more
  refused(as_another_version(node.segment, 0, 0, false));    // equal, yet another hash
  replace(node.dir.segment(), node.segment);
  REQUIRE(node.reader.read(node.out));
  CHECK(node.out.node.tcp_retransmitted_segments == 77);
}
