// SPDX-License-Identifier: Apache-2.0
//
// The segment's ABI. One file is one life of one agent ("epoch"): it is complete before it gets its
// name, is never re-used, and only ever grows in ticks. shm/README.md is the prose page.
//
//   0x0000  Header         identity and sizes            immutable, checksummed: a reader copies
//   these 0x0100  Section[28]    where each ring lies          2 KiB once, with pread, and uses
//   only its copy 0x0800  WriterLine     state, tick, heartbeat        mutable, on a line of its
//   own 0x1000  sections       one ring each, page-aligned   mutable: control line, then slots
//   (ring.hpp)
//
// Why so: what a reader must trust lies together and never changes, so one check of one copy is
// enough. What the writer changes once a tick lies apart from it, so polling readers do not pull
// the identity out of each other's caches. Sections start on pages so that the kernel can account
// for and fault them one by one.
//
// All integers are little-endian and of fixed width. There is no bool, enum, size_t, pointer, lock
// or bit-field in the file.
//
// Versions. abi_major: another meaning, never read across. abi_minor: fields appended; a reader
// takes the words that both know, and finds the others zero. Equal versions must have equal hashes:
// the hash covers name, place, size and type of every field (dictionary.hpp).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "shm/dictionary.hpp"
#include "shm/records.hpp"
#include "shm/ring.hpp"
#include "shm/tick.hpp"

namespace optipod::shm {

static_assert(std::endian::native == std::endian::little, "the segment is little-endian");

inline constexpr std::uint16_t kAbiMajor = 1;
inline constexpr std::uint16_t kAbiMinor = 5;
inline constexpr char kMagic[8] = {'O', 'P', 'T', 'I', 'P', 'O', 'D', '\0'};
inline constexpr std::uint32_t kByteOrder = 0x01020304;

inline constexpr std::size_t kMaxSections = 28;
inline constexpr std::size_t kWriterLineOffset = 0x800;
inline constexpr std::size_t kFirstSectionOffset = 0x1000;
inline constexpr std::size_t kSectionAlign = 0x1000;
/// No honest segment is larger; a reader maps nothing larger.
inline constexpr std::uint64_t kMaxSegmentBytes = 1ull << 30;
/// Records in the node and agent sections: a minute of one-second ticks.
inline constexpr std::uint64_t kTickHistory = 64;
/// Ticks for which containers and devices stay readable.
inline constexpr std::uint64_t kTicksKept = 4;

struct Header {
  char magic[8];
  std::uint16_t abi_major;
  std::uint16_t abi_minor;
  std::uint32_t header_bytes;  ///< Header and section table together
  std::uint32_t byte_order;
  std::uint32_t flags;  ///< none yet; 0
  std::uint64_t abi_hash;
  std::uint64_t total_bytes;  ///< of the file
  std::uint64_t epoch;        ///< random, never 0
  std::uint64_t created_boottime_ns;
  std::uint32_t writer_pid;  ///< for display: means nothing in another pid namespace
  std::uint32_t section_count;
  std::uint8_t boot_id[16];          ///< of the running kernel
  std::uint64_t writer_start_ticks;  ///< /proc/<pid>/stat starttime: with boot_id and pid unique
  std::uint32_t tick_interval_us;
  std::uint32_t reserved;     ///< 0
  std::uint64_t checksum;     ///< FNV-1a of Header and section table with this field zero
  std::uint8_t padding[152];  ///< 0
};

enum class SectionKind : std::uint32_t {
  kNode = 1,
  kContainers = 2,
  kDevices = 3,
  kAgent = 4,
  kNeighbours = 5,  ///< since 1.2
};

struct Section {
  std::uint32_t kind;
  std::uint32_t record_bytes;  ///< payload; the slot is slot_bytes(record_bytes)
  std::uint64_t offset;        ///< of the ring's control line, from the start of the file
  std::uint64_t capacity;      ///< records, a power of two >= 2
  std::uint64_t record_hash;   ///< type_hash of the record
  char name[32];               ///< for people
};

/// What a reader copies once.
struct HeaderBlock {
  Header header;
  Section sections[kMaxSections];
};

enum class SegmentState : std::uint32_t { kLive = 1, kClosed = 2 };

/// Written by the writer alone, at the end of a tick.
struct WriterLine {
  std::uint32_t state;  ///< SegmentState
  std::uint32_t tick;   ///< ticks so far, modulo 2^32: the futex that wait() waits on
  std::uint64_t heartbeat_boottime_ns;  ///< CLOCK_BOOTTIME of the last tick: suspend is no death
};

static_assert(offsetof(Header, magic) == 0x00 && offsetof(Header, abi_major) == 0x08);
static_assert(offsetof(Header, abi_minor) == 0x0a && offsetof(Header, header_bytes) == 0x0c);
static_assert(offsetof(Header, byte_order) == 0x10 && offsetof(Header, flags) == 0x14);
static_assert(offsetof(Header, abi_hash) == 0x18 && offsetof(Header, total_bytes) == 0x20);
static_assert(offsetof(Header, epoch) == 0x28 && offsetof(Header, created_boottime_ns) == 0x30);
static_assert(offsetof(Header, writer_pid) == 0x38 && offsetof(Header, section_count) == 0x3c);
static_assert(offsetof(Header, boot_id) == 0x40 && offsetof(Header, writer_start_ticks) == 0x50);
static_assert(offsetof(Header, tick_interval_us) == 0x58 && offsetof(Header, reserved) == 0x5c);
static_assert(offsetof(Header, checksum) == 0x60 && offsetof(Header, padding) == 0x68);
static_assert(sizeof(Header) == 0x100);
static_assert(offsetof(Section, kind) == 0 && offsetof(Section, record_bytes) == 4);
static_assert(offsetof(Section, offset) == 8 && offsetof(Section, capacity) == 16);
static_assert(offsetof(Section, record_hash) == 24 && offsetof(Section, name) == 32);
static_assert(sizeof(Section) == 64);
static_assert(offsetof(HeaderBlock, sections) == 0x100);
static_assert(sizeof(HeaderBlock) == kWriterLineOffset);
static_assert(offsetof(WriterLine, state) == 0 && offsetof(WriterLine, tick) == 4);
static_assert(offsetof(WriterLine, heartbeat_boottime_ns) == 8);
static_assert(kControlWords * kWordBytes == 128);

/// Which section holds which record.
template <class Record>
struct SectionOf;
template <>
struct SectionOf<NodeRecord> {
  static constexpr auto kKind = SectionKind::kNode;
  static constexpr std::string_view kName = "node";
};
template <>
struct SectionOf<ContainerRecord> {
  static constexpr auto kKind = SectionKind::kContainers;
  static constexpr std::string_view kName = "containers";
};
template <>
struct SectionOf<DeviceRecord> {
  static constexpr auto kKind = SectionKind::kDevices;
  static constexpr std::string_view kName = "devices";
};
template <>
struct SectionOf<AgentRecord> {
  static constexpr auto kKind = SectionKind::kAgent;
  static constexpr std::string_view kName = "agent";
};
template <>
struct SectionOf<NeighbourRecord> {
  static constexpr auto kKind = SectionKind::kNeighbours;
  static constexpr std::string_view kName = "neighbours";
};

/// Identity of the whole layout: what two programs must agree on.
inline constexpr std::uint64_t kAbiHash = Fnv1a{}
                                              .number(sizeof(HeaderBlock))
                                              .number(kControlWords)
                                              .number(type_hash<NodeRecord>())
                                              .number(type_hash<ContainerRecord>())
                                              .number(type_hash<DeviceRecord>())
                                              .number(type_hash<AgentRecord>())
                                              .number(type_hash<NeighbourRecord>())
                                              .value();

/// "major.minor.hash.size": size is that of the header block and one record of each kind.
std::string abi_identity();
/// The same of a segment.
std::string abi_identity(const HeaderBlock& block);

/// Sizes and section table for these maxima; identity fields and checksum are still zero.
HeaderBlock plan_layout(std::uint32_t max_containers, std::uint32_t max_devices);

std::uint64_t checksum(const HeaderBlock& block);

/// The section of a kind, or nullptr.
const Section* find_section(const HeaderBlock& block, SectionKind kind);

/// What check_layout found. `detail` says what is wrong and what to do; "" for kAttached.
struct LayoutVerdict {
  AttachState state = AttachState::kAttached;
  std::string detail;
};

/// Judges a private copy of an untrusted header block. After kAttached every section lies inside
/// total_bytes <= file_bytes, on a page, apart from the others, and all sections of its
/// version are there.
LayoutVerdict check_layout(const HeaderBlock& untrusted, std::uint64_t file_bytes);

}  // namespace optipod::shm
