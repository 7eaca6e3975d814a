// SPDX-License-Identifier: Apache-2.0
#include "shm/layout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace optipod::shm {
namespace {

// Bounds that no honest section passes; they also keep every product below in 64 bits.
constexpr std::uint64_t kMaxCapacity = 1ull << 24;
constexpr std::uint32_t kMaxRecordBytes = 1u << 16;

constexpr std::uint64_t align_up(std::uint64_t n) {
  return (n + kSectionAlign - 1) / kSectionAlign * kSectionAlign;
}

/// Appends a section behind the others.
template <class Record>
void add_section(HeaderBlock& block, std::uint64_t capacity) {
  Section& section = block.sections[block.header.section_count++];
  section.kind = static_cast<std::uint32_t>(SectionOf<Record>::kKind);
  section.record_bytes = sizeof(Record);
  section.offset = block.header.total_bytes;
  section.capacity = capacity;
  section.record_hash = type_hash<Record>();
  constexpr std::string_view kName = SectionOf<Record>::kName;
  static_assert(kName.size() < sizeof section.name);
  std::copy(kName.begin(), kName.end(), section.name);
  block.header.total_bytes += align_up(ring_bytes(sizeof(Record), capacity));
}

LayoutVerdict corrupt(const std::string& what) {
  return {AttachState::kCorrupt,
          what + "; restart the agent, which writes a new segment, and look who else writes there"};
}

std::uint64_t section_bytes(const Section& section) {
  return ring_bytes(section.record_bytes, section.capacity);
}

LayoutVerdict check_abi(const HeaderBlock& block) {
  const Header& h = block.header;
  if (h.abi_major == kAbiMajor && (h.abi_minor != kAbiMinor || h.abi_hash == kAbiHash)) return {};
  return {AttachState::kAbiMismatch,
          fmt::format("the segment's ABI is {}, this program's is {}; run agent and readers of one "
                      "release",
                      abi_identity(block), abi_identity())};
}

/// A section of ours: same version, same record; another minor, at least as long or at most so.
/// A segment older than the minor version `since` has none.
template <class Record, std::uint16_t since = 0>
LayoutVerdict check_known_section(const HeaderBlock& block) {
  const Section* section = find_section(block, SectionOf<Record>::kKind);
  if (section == nullptr) {
    if (block.header.abi_minor < since) return {};
    return corrupt(fmt::format("section \"{}\" is missing", SectionOf<Record>::kName));
  }
  const std::uint16_t minor = block.header.abi_minor;
  const bool fits = minor == kAbiMinor ? section->record_bytes == sizeof(Record) &&
                                             section->record_hash == type_hash<Record>()
                    : minor > kAbiMinor ? section->record_bytes >= sizeof(Record)
                                        : section->record_bytes <= sizeof(Record);
  if (!fits) {
    return {
        AttachState::kAbiMismatch,
        fmt::format("records of section \"{}\" have {} bytes and hash {:016x}, this program's {} "
                    "and {:016x}; run agent and readers of one release",
                    SectionOf<Record>::kName, section->record_bytes, section->record_hash,
                    sizeof(Record), type_hash<Record>())};
  }
  return {};
}

LayoutVerdict check_bounds(const HeaderBlock& block) {
  const Header& h = block.header;
  if (h.section_count > kMaxSections) return corrupt("the section count is too large");
  for (std::uint32_t i = 0; i < h.section_count; ++i) {
    const Section& s = block.sections[i];
    if (s.capacity < 2 || s.capacity > kMaxCapacity || !std::has_single_bit(s.capacity) ||
        s.record_bytes == 0 || s.record_bytes > kMaxRecordBytes ||
        s.record_bytes % kWordBytes != 0) {
      return corrupt(fmt::format("section {} has an impossible capacity or record size", i));
    }
    if (s.offset < kFirstSectionOffset || s.offset % kSectionAlign != 0 ||
        s.offset > h.total_bytes || section_bytes(s) > h.total_bytes - s.offset) {
      return corrupt(fmt::format("section {} lies outside the segment", i));
    }
    for (std::uint32_t j = 0; j < i; ++j) {
      const Section& t = block.sections[j];
      if (s.kind == t.kind) return corrupt(fmt::format("sections {} and {} are of one kind", j, i));
      if (s.offset < t.offset + section_bytes(t) && t.offset < s.offset + section_bytes(s)) {
        return corrupt(fmt::format("sections {} and {} overlap", j, i));
      }
    }
  }
  return {};
}

}  // namespace

const char* to_string(AttachState state) {
  switch (state) {
    case AttachState::kAttached:
      return "attached to a segment";
    case AttachState::kNoSegment:
      return "no segment: no agent has run here yet";
    case AttachState::kRefused:
      return "segment refused: its kind, owner, mode or access is wrong";
    case AttachState::kTruncated:
      return "segment truncated: shorter than its header says";
    case AttachState::kForeign:
      return "not an OptiPod segment, or of another byte order";
    case AttachState::kAbiMismatch:
      return "segment of another ABI: agent and reader differ";
    case AttachState::kCorrupt:
      return "segment corrupt: checksum or section table do not hold";
  }
  return "unknown";
}

const char* to_string(WriterState state) {
  switch (state) {
    case WriterState::kUnknown:
      return "no segment, so nothing known of a writer";
    case WriterState::kLive:
      return "the agent is live";
    case WriterState::kHung:
      return "the agent is hung: alive, but without a heartbeat";
    case WriterState::kGone:
      return "the agent is gone without a clean stop";
    case WriterState::kClosed:
      return "the agent stopped cleanly";
  }
  return "unknown";
}

namespace {
std::string identity(std::uint16_t major_version, std::uint16_t minor_version, std::uint64_t hash,
                     std::uint64_t bytes) {
  return fmt::format("{}.{}.{:016x}.{}", major_version, minor_version, hash, bytes);
}
}  // namespace

std::string abi_identity() {
  return identity(kAbiMajor, kAbiMinor, kAbiHash,
                  sizeof(HeaderBlock) + sizeof(NodeRecord) + sizeof(ContainerRecord) +
                      sizeof(DeviceRecord) + sizeof(AgentRecord) + sizeof(NeighbourRecord));
}

std::string abi_identity(const HeaderBlock& block) {
  const Header& h = block.header;
  std::uint64_t bytes = h.header_bytes;
  const std::size_t sections = std::min<std::size_t>(h.section_count, kMaxSections);
  for (std::size_t i = 0; i < sections; ++i) bytes += block.sections[i].record_bytes;
  return identity(h.abi_major, h.abi_minor, h.abi_hash, bytes);
}

HeaderBlock plan_layout(std::uint32_t max_containers, std::uint32_t max_devices) {
  const auto kept = [](std::uint64_t per_tick) {
    return std::bit_ceil(kTicksKept * std::max<std::uint64_t>(per_tick, 1));
  };
  HeaderBlock block{};
  Header& h = block.header;
  std::memcpy(h.magic, kMagic, sizeof kMagic);
  h.abi_major = kAbiMajor;
  h.abi_minor = kAbiMinor;
  h.header_bytes = sizeof(HeaderBlock);
  h.byte_order = kByteOrder;
  h.abi_hash = kAbiHash;
  h.total_bytes = kFirstSectionOffset;
  add_section<NodeRecord>(block, kTickHistory);
  add_section<ContainerRecord>(block, kept(max_containers));
  add_section<DeviceRecord>(block, kept(max_devices));
  add_section<AgentRecord>(block, kTickHistory);
  add_section<NeighbourRecord>(block, kept(kNeighboursKept * std::uint64_t{max_containers}));
  return block;
}

std::uint64_t checksum(const HeaderBlock& block) {
  HeaderBlock copy = block;
  copy.header.checksum = 0;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&copy);
  Fnv1a hash;
  for (std::size_t i = 0; i < sizeof copy; ++i) hash.byte(bytes[i]);
  return hash.value();
}

const Section* find_section(const HeaderBlock& block, SectionKind kind) {
  const std::size_t sections = std::min<std::size_t>(block.header.section_count, kMaxSections);
  for (std::size_t i = 0; i < sections; ++i) {
    if (block.sections[i].kind == static_cast<std::uint32_t>(kind)) return &block.sections[i];
  }
  return nullptr;
}

LayoutVerdict check_layout(const HeaderBlock& untrusted, std::uint64_t file_bytes) {
  const Header& h = untrusted.header;
  if (std::memcmp(h.magic, kMagic, sizeof kMagic) != 0) {
    return {AttachState::kForeign, "the file does not begin as an OptiPod segment; check the path"};
  }
  if (h.byte_order != kByteOrder) {
    return {AttachState::kForeign, "the segment has another byte order; it was not written here"};
  }
  // The version decides what the rest means, so it comes before the checksum.
  if (h.abi_major != kAbiMajor) return check_abi(untrusted);
  if (h.header_bytes != sizeof(HeaderBlock)) return corrupt("the header has an impossible size");
  if (h.checksum != checksum(untrusted)) return corrupt("the header's checksum is wrong");
  if (LayoutVerdict v = check_abi(untrusted); v.state != AttachState::kAttached) return v;
  if (h.total_bytes > kMaxSegmentBytes || h.total_bytes < kFirstSectionOffset) {
    return corrupt(fmt::format("a size of {} bytes is impossible", h.total_bytes));
  }
  if (file_bytes < h.total_bytes) {
    return {AttachState::kTruncated,
            fmt::format("the file has {} bytes of the {} that its header says; somebody truncated "
                        "it: restart the agent, which writes a new one",
                        file_bytes, h.total_bytes)};
  }
  if (h.tick_interval_us == 0 || h.epoch == 0) return corrupt("interval or epoch is zero");
  if (LayoutVerdict v = check_bounds(untrusted); v.state != AttachState::kAttached) return v;
  for (const auto check : {check_known_section<NodeRecord>, check_known_section<ContainerRecord>,
                           check_known_section<DeviceRecord>, check_known_section<AgentRecord>,
                           check_known_section<NeighbourRecord, 2>}) {
    if (LayoutVerdict v = check(untrusted); v.state != AttachState::kAttached) return v;
  }
  return {};
}

}  // namespace optipod::shm
