// SPDX-License-Identifier: Apache-2.0
// The ABI: the bytes of a header, its hash, and the judgement of headers that are wrong.
#include "shm/layout.hpp"

#include <cstring>
#include <functional>
#include <vector>

#include "tests/support/catch.hpp"

using namespace optipod::shm;

namespace {

HeaderBlock good_block() {
  HeaderBlock block = plan_layout(8, 4);
  block.header.epoch = 0x1122334455667788;
  block.header.created_boottime_ns = 5;
  block.header.writer_pid = 77;
  block.header.tick_interval_us = 1'000'000;
  block.header.writer_start_ticks = 9;
  block.header.checksum = checksum(block);
  return block;
}

AttachState judge(const std::function<void(HeaderBlock&)>& change, bool sign = true) {
  HeaderBlock block = good_block();
  const std::uint64_t bytes = block.header.total_bytes;
  change(block);
  if (sign) block.header.checksum = checksum(block);
  const LayoutVerdict verdict = check_layout(block, bytes);
  CHECK(verdict.detail.empty() == (verdict.state == AttachState::kAttached));
  return verdict.state;
}

template <class T>
T at(const HeaderBlock& block, std::size_t offset) {
  T value;
  std::memcpy(&value, reinterpret_cast<const char*>(&block) + offset, sizeof value);
  return value;
}

}  // namespace

TEST_CASE("golden bytes of a header") {
  const HeaderBlock block = good_block();
  const unsigned char expected[] = {
      'O',  'P',  'T',  'I',  'P', 'O', 'D', 0,  // magic
      1,    0,    5,    0,                       // ABI 1.5
      0x00, 0x08, 0,    0,                       // 2 KiB of header
      0x04, 0x03, 0x02, 0x01,                    // little-endian
      0,    0,    0,    0,                       // flags
  };
  CHECK(std::memcmp(&block, expected, sizeof expected) == 0);
  CHECK(at<std::uint64_t>(block, 0x18) == kAbiHash);
  CHECK(at<std::uint64_t>(block, 0x20) == block.header.total_bytes);
  CHECK(at<std::uint64_t>(block, 0x28) == 0x1122334455667788);
  CHECK(at<std::uint32_t>(block, 0x38) == 77);
  CHECK(at<std::uint32_t>(block, 0x3c) == 5);
  CHECK(at<std::uint32_t>(block, 0x58) == 1'000'000);
  CHECK(at<std::uint64_t>(block, 0x60) == checksum(block));
  // The first section: the node's, right behind the header page.
  CHECK(at<std::uint32_t>(block, 0x100) == 1);
  CHECK(at<std::uint32_t>(block, 0x104) == sizeof(NodeRecord));
  CHECK(at<std::uint64_t>(block, 0x108) == 0x1000);
  CHECK(at<std::uint64_t>(block, 0x110) == kTickHistory);
  CHECK(std::strcmp(reinterpret_cast<const char*>(&block) + 0x120, "node") == 0);
  CHECK(std::strcmp(block.sections[1].name, "containers") == 0);
  CHECK(std::strcmp(block.sections[2].name, "devices") == 0);
  CHECK(std::strcmp(block.sections[3].name, "agent") == 0);
  CHECK(std::strcmp(block.sections[4].name, "neighbours") == 0);
}

// A changed number here is a changed ABI: raise kAbiMinor (fields appended) or kAbiMajor.
TEST_CASE("records have the sizes that ABI 1.5 has") {
  CHECK(sizeof(NodeRecord) == 4072);
  CHECK(sizeof(ContainerRecord) == 2728);
  CHECK(sizeof(DeviceRecord) == 624);
  CHECK(sizeof(AgentRecord) == 4256);
  CHECK(sizeof(NeighbourRecord) == 56);
}

TEST_CASE("the hash depends on each field's name, place, size and type") {
  const auto hash = [](std::string_view name, std::size_t offset, std::size_t size,
                       std::uint64_t type) {
    return Fnv1a{}.text(name).number(offset).number(size).number(type).value();
  };
  const std::uint64_t word = type_hash<std::uint64_t>();
  const std::uint64_t base = hash("tick", 0, 8, word);
  CHECK(base != hash("tock", 0, 8, word));
  CHECK(base != hash("tick", 8, 8, word));
  CHECK(base != hash("tick", 0, 16, word));
  CHECK(base != hash("tick", 0, 8, type_hash<char[8]>()));
  CHECK(type_hash<std::uint64_t[2]>() != type_hash<std::uint64_t[3]>());
  CHECK(type_hash<NodeRecord>() != type_hash<AgentRecord>());
}

TEST_CASE("the identity is major.minor.hash.size, and a segment's is that of its program") {
  const HeaderBlock block = good_block();
  CHECK(abi_identity() == abi_identity(block));
  CHECK(abi_identity().rfind("1.5.", 0) == 0);
  CHECK(abi_identity().size() > 4 + 16 + 1);
}

TEST_CASE("sections keep four ticks, are powers of two, and do not overlap") {
  for (const std::uint32_t containers : {0u, 1u, 7u, 8u, 9u, 511u, 512u, 513u, 65536u}) {
    const HeaderBlock block = plan_layout(containers, 32);
    const Section* section = find_section(block, SectionKind::kContainers);
    REQUIRE(section != nullptr);
    CHECK(section->capacity >= 4 * std::uint64_t{containers});
    CHECK((section->capacity & (section->capacity - 1)) == 0);
    CHECK(block.header.total_bytes <= kMaxSegmentBytes);
  }
  CHECK(plan_layout(512, 32).header.total_bytes < 8u << 20);
}

TEST_CASE("a good header passes, a wrong one is named") {
  CHECK(judge([](HeaderBlock&) {}) == AttachState::kAttached);
  CHECK(judge([](HeaderBlock& b) { b.header.magic[0] = 'X'; }) == AttachState::kForeign);
  CHECK(judge([](HeaderBlock& b) { b.header.byte_order = 0x04030201; }) == AttachState::kForeign);
  CHECK(judge([](HeaderBlock& b) { b.header.abi_major = 2; }) == AttachState::kAbiMismatch);
  CHECK(judge([](HeaderBlock& b) { b.header.abi_hash ^= 1; }) == AttachState::kAbiMismatch);
  CHECK(judge([](HeaderBlock& b) { b.header.epoch ^= 1; }, false) == AttachState::kCorrupt);
  CHECK(judge([](HeaderBlock& b) { b.sections[27].name[31] = 1; }, false) == AttachState::kCorrupt);
  CHECK(judge([](HeaderBlock& b) { b.header.header_bytes = 64; }) == AttachState::kCorrupt);
  CHECK(judge([](HeaderBlock& b) { b.header.total_bytes += 4096; }) == AttachState::kTruncated);
  CHECK(judge([](HeaderBlock& b) { b.header.total_bytes = ~0ull; }) == AttachState::kCorrupt);
  CHECK(judge([](HeaderBlock& b) { b.header.total_bytes = 0; }) == AttachState::kCorrupt);
  CHECK(judge([](HeaderBlock& b) { b.header.tick_interval_us = 0; }) == AttachState::kCorrupt);
  CHECK(judge([](HeaderBlock& b) { b.header.epoch = 0; }) == AttachState::kCorrupt);
}

TEST_CASE("a mismatch names both identities") {
  HeaderBlock block = good_block();
  block.header.abi_major = 9;
  const LayoutVerdict verdict = check_layout(block, block.header.total_bytes);
  CHECK(verdict.detail.find(abi_identity()) != std::string::npos);
  CHECK(verdict.detail.find(abi_identity(block)) != std::string::npos);
}

TEST_CASE("no section table leads outside the segment") {
  using Change = std::function<void(HeaderBlock&)>;
  const std::vector<Change> changes = {
      [](HeaderBlock& b) { b.header.section_count = 29; },
      [](HeaderBlock& b) { b.header.section_count = 0xffffffff; },
      [](HeaderBlock& b) { b.header.section_count = 0; },
      [](HeaderBlock& b) { b.header.section_count = 3; },
      [](HeaderBlock& b) { b.sections[1].capacity = 0; },
      [](HeaderBlock& b) { b.sections[1].capacity = 1; },
      [](HeaderBlock& b) { b.sections[1].capacity = 33; },
      [](HeaderBlock& b) { b.sections[1].capacity = 1ull << 40; },
      [](HeaderBlock& b) { b.sections[1].capacity = 1ull << 63; },
      [](HeaderBlock& b) { b.sections[1].capacity *= 2; },
      [](HeaderBlock& b) { b.sections[3].capacity *= 2; },
      [](HeaderBlock& b) { b.sections[0].record_bytes = 0; },
      [](HeaderBlock& b) { b.sections[0].record_bytes = 12; },
      [](HeaderBlock& b) { b.sections[0].record_bytes = 0xfffffff8; },
      [](HeaderBlock& b) { b.sections[0].offset = 0; },
      [](HeaderBlock& b) { b.sections[0].offset = 0x1008; },
      [](HeaderBlock& b) { b.sections[0].offset = ~0ull << 12; },
      [](HeaderBlock& b) { b.sections[0].offset = b.header.total_bytes; },
      [](HeaderBlock& b) { b.sections[2].offset = b.sections[1].offset; },
      [](HeaderBlock& b) { b.sections[2].offset = b.sections[1].offset + 0x1000; },
      [](HeaderBlock& b) { b.sections[2].kind = b.sections[1].kind; },
      [](HeaderBlock& b) { b.sections[2].kind = 99; },
      [](HeaderBlock& b) { b.sections[4].kind = 99; },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    INFO("change " << i);
    CHECK(judge(changes[i]) == AttachState::kCorrupt);
  }
  CHECK(judge([](HeaderBlock& b) { b.sections[0].record_hash ^= 1; }) == AttachState::kAbiMismatch);
  CHECK(judge([](HeaderBlock& b) { b.sections[0].record_bytes -= 8; }) ==
        AttachState::kAbiMismatch);
}

TEST_CASE("another minor is read if its records could have been appended to") {
  const auto newer = [](HeaderBlock& b) {
    b.header.abi_minor = kAbiMinor + 1;
    b.header.abi_hash ^= 1;
    b.sections[0].record_hash ^= 1;
  };
  CHECK(judge([&](HeaderBlock& b) {
          newer(b);
          b.sections[0].record_bytes += 8;
        }) == AttachState::kAttached);
  CHECK(judge([&](HeaderBlock& b) {
          newer(b);
          b.sections[0].record_bytes -= 8;
        }) == AttachState::kAbiMismatch);
  // 1.0: no page faults, no TCP segments in the node's record.
  CHECK(judge([](HeaderBlock& b) {
          b.header.abi_minor = 0;
          b.header.abi_hash ^= 1;
          b.sections[0].record_hash ^= 1;
          b.sections[0].record_bytes = 1144;
        }) == AttachState::kAttached);
  // 1.2: no packet drops, no hardware counters, and nothing said of what was cut.
  CHECK(judge([](HeaderBlock& b) {
          b.header.abi_minor = 2;
          b.header.abi_hash ^= 1;
          b.sections[0].record_bytes = 2232;
          b.sections[1].record_bytes = 2672;
          b.sections[3].record_bytes = 3560;
        }) == AttachState::kAttached);
  // 1.3: no far migrations, no allocated bytes, and nothing said of what was dropped.
  CHECK(judge([](HeaderBlock& b) {
          b.header.abi_minor = 3;
          b.header.abi_hash ^= 1;
          b.sections[0].record_bytes = 3936;
          b.sections[1].record_bytes = 2704;
          b.sections[3].record_bytes = 3576;
        }) == AttachState::kAttached);
  // 1.4: nothing said of block requests that were dropped.
  CHECK(judge([](HeaderBlock& b) {
          b.header.abi_minor = 4;
          b.header.abi_hash ^= 1;
          b.sections[3].record_hash ^= 1;
          b.sections[3].record_bytes = 4248;
        }) == AttachState::kAttached);
  // 1.1: no neighbours. From 1.2 on they must be there.
  const auto without_neighbours = [](HeaderBlock& b) {
    b.sections[--b.header.section_count] = {};
    b.header.abi_hash ^= 1;
    for (Section& s : b.sections) s.record_hash ^= 1;
  };
  CHECK(judge([&](HeaderBlock& b) {
          without_neighbours(b);
          b.header.abi_minor = 1;
        }) == AttachState::kAttached);
  CHECK(judge([&](HeaderBlock& b) {
          without_neighbours(b);
          b.header.abi_minor = kAbiMinor + 1;
        }) == AttachState::kCorrupt);
  // A kind that this program does not know is passed over, if it lies well.
  CHECK(
      judge([&](HeaderBlock& b) {
        newer(b);
        Section& s = b.sections[b.header.section_count++];
        s = {.kind = 99, .record_bytes = 8, .offset = b.header.total_bytes - 0x1000, .capacity = 2};
        b.sections[4].capacity /= 2;
      }) == AttachState::kAttached);
}
