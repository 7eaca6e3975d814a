// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "agent/top/recording.hpp"
#include "shm/fd.hpp"
#include "shm/layout.hpp"
#include "shm/sanitize.hpp"

namespace optipod::top {
namespace {

class FileBytes final : public Bytes {
 public:
  FileBytes(shm::Fd fd, std::uint64_t size) : fd_(std::move(fd)), size_(size) {}
  [[nodiscard]] std::uint64_t size() const override { return size_; }
  bool read(std::uint64_t offset, std::span<std::byte> out) override {
    while (!out.empty()) {
      const ssize_t n = ::pread(fd_.get(), out.data(), out.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;  // an error, or somebody shortened the file
      out = out.subspan(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
    return true;
  }

 private:
  shm::Fd fd_;
  std::uint64_t size_;
};

/// Deflate cannot do better than this: a sample that claims more is none, and its memory is spared.
constexpr std::uint64_t kMaxRatio = 1040;

bool plausible(const SampleHead& head) {
  return std::memcmp(head.magic, "SMPL", sizeof head.magic) == 0 && head.crc == crc_of(head) &&
         head.plain_bytes <= kMaxPlainBytes &&
         head.plain_bytes <= kMaxRatio * (std::uint64_t{head.stored_bytes} + 1);
}

/// Takes apart what a sample unpacked to.
class Sections {
 public:
  explicit Sections(std::span<const std::byte> plain) : left_(plain) {}

  /// Empty when all is well, else what is wrong.
  std::string read(shm::Tick& tick) {
    while (!left_.empty()) {
      if (!next_section()) return "a section does not fit";
      switch (static_cast<shm::SectionKind>(kind_)) {
        case shm::SectionKind::kNode:
          if (!take_one(tick.node, node_)) return "there is not exactly one node";
          break;
        case shm::SectionKind::kAgent:
          if (!take_one(tick.agent, agent_)) return "there is not exactly one agent";
          break;
        case shm::SectionKind::kContainers:
          if (!take(tick.containers)) return "there are too many containers";
          break;
        case shm::SectionKind::kDevices:
          if (!take(tick.devices)) return "there are too many disks";
          break;
        case shm::SectionKind::kNeighbours:
          if (!take(tick.neighbours)) return "there are too many neighbours";
          break;
        default:
          break;  // a newer version's
      }
    }
    return node_ && agent_ ? "" : "node or agent is missing";
  }

 private:
  template <class T>
  T word() {
    T value;
    std::memcpy(&value, left_.data(), sizeof value);
    left_ = left_.subspan(sizeof value);
    return value;
  }

  bool next_section() {
    if (left_.size() < 16) return false;
    kind_ = word<std::uint32_t>();
    record_bytes_ = word<std::uint32_t>();
    count_ = word<std::uint64_t>();
    if (record_bytes_ == 0 || count_ > left_.size() / record_bytes_) return false;
    records_ = left_.first(count_ * record_bytes_);
    left_ = left_.subspan(records_.size());
    return true;
  }

  /// The bytes that both versions know; the others are 0.
  template <class Record>
  void copy(std::uint64_t i, Record& out) const {
    out = Record{};
    std::memcpy(static_cast<void*>(&out), records_.data() + i * record_bytes_,
                std::min<std::size_t>(sizeof out, record_bytes_));
    shm::sanitize(out);
  }

  template <class Record>
  bool take_one(Record& out, bool& taken) const {
    if (taken || count_ != 1) return false;
    copy(0, out);
    return taken = true;
  }

  template <class Record>
  bool take(std::vector<Record>& out) const {
    if (!out.empty() || count_ > kMaxRecords) return false;
    out.resize(count_);
    for (std::uint64_t i = 0; i < count_; ++i) copy(i, out[i]);
    return true;
  }

  std::span<const std::byte> left_, records_;
  std::uint32_t kind_ = 0, record_bytes_ = 0;
  std::uint64_t count_ = 0;
  bool node_ = false, agent_ = false;
};

std::string version_problem(const FileHead& head) {
  const bool same = head.abi_major == shm::kAbiMajor &&
                    (head.abi_minor != shm::kAbiMinor || head.abi_hash == shm::kAbiHash);
  if (same) return {};
  return fmt::format(
      "was recorded by another version (records {}.{}.{:016x}, this program's are "
      "{}.{}.{:016x}); replay it with the optipod-top that recorded it",
      head.abi_major, head.abi_minor, head.abi_hash, shm::kAbiMajor, shm::kAbiMinor, shm::kAbiHash);
}

}  // namespace

tl::expected<RecordingReader, std::string> RecordingReader::open(const std::string& path) {
  shm::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat file {};
  if (!fd || ::fstat(fd.get(), &file) != 0) {
    return tl::unexpected(fmt::format("{}: cannot be read: {}", path, std::strerror(errno)));
  }
  if (!S_ISREG(file.st_mode)) return tl::unexpected(path + ": is no regular file");
  const auto size = static_cast<std::uint64_t>(file.st_size);
  return parse(std::make_unique<FileBytes>(std::move(fd), size), path);
}

tl::expected<RecordingReader, std::string> RecordingReader::parse(std::unique_ptr<Bytes> bytes,
                                                                  std::string name) {
  RecordingReader reader(std::move(bytes), std::move(name));
  const auto first = reader.check_head();
  if (!first) return tl::unexpected(reader.name_ + ": " + first.error());
  reader.scan(*first);
  return reader;
}

/// Offset of the first sample.
tl::expected<std::uint64_t, std::string> RecordingReader::check_head() {
  FileHead head{};
  const bool whole = bytes_->read(0, std::as_writable_bytes(std::span(&head, 1)));
  if (std::memcmp(head.magic, "OPTIREC", sizeof head.magic) != 0) {
    return tl::unexpected(std::string("is no recording; --record FILE makes one"));
  }
  if (!whole) return tl::unexpected(std::string("ends within its head: it was cut"));
  if (head.format != kFormat || head.byte_order != shm::kByteOrder) {
    return tl::unexpected(fmt::format(
        "has format {}, this program reads format {}; use the optipod-top that recorded it",
        head.format, kFormat));
  }
  if (head.crc != crc_of(head) || head.head_bytes < sizeof head) {
    return tl::unexpected(std::string("its head is damaged (checksum does not match)"));
  }
  if (auto problem = version_problem(head); !problem.empty()) return tl::unexpected(problem);
  return head.head_bytes;
}

void RecordingReader::scan(std::uint64_t offset) {
  std::uint64_t damaged = 0, expected = 0, lost = 0;
  bool cut = false;
  while (offset < bytes_->size() && index_.size() < kMaxSamples) {
    SampleHead head{};
    const std::uint64_t data = offset + sizeof head;
    const bool whole =
        data <= bytes_->size() && bytes_->read(offset, std::as_writable_bytes(std::span(&head, 1)));
    if (whole && plausible(head) && head.stored_bytes <= bytes_->size() - data) {
      index_.push_back({data, head.epoch, head.stored_bytes, head.plain_bytes, head.data_crc});
      if (head.number > expected) lost += head.number - expected;
      expected = std::uint64_t{head.number} + 1;
      offset = data + head.stored_bytes;
      continue;
    }
    const std::uint64_t next = next_head(offset + 1);
    if (next == bytes_->size()) {
      cut = true;
    } else {
      damaged += next - offset;
    }
    offset = next;
  }
  if (damaged > 0)
    notice_ = fmt::format("{} damaged bytes are left out, {} samples", damaged, lost);
  if (cut) notice_ += notice_.empty() ? "the last sample is incomplete" : "; the end is incomplete";
  if (offset < bytes_->size()) notice_ += fmt::format("; only the first {} samples", kMaxSamples);
}

/// Offset of the next sample at or after this one; the file's size when there is none.
std::uint64_t RecordingReader::next_head(std::uint64_t offset) {
  constexpr std::size_t kChunk = 64u << 10;
  std::vector<std::byte> chunk(kChunk);
  while (bytes_->size() - offset >= sizeof(SampleHead)) {
    const auto size = std::min<std::uint64_t>(kChunk, bytes_->size() - offset);
    if (!bytes_->read(offset, std::span(chunk).first(size))) break;
    const std::string_view text(reinterpret_cast<const char*>(chunk.data()), size);
    for (std::size_t at = text.find("SMPL"); at != std::string_view::npos;
         at = text.find("SMPL", at + 1)) {
      if (size - at < sizeof(SampleHead)) break;
      SampleHead head{};
      std::memcpy(static_cast<void*>(&head), text.data() + at, sizeof head);
      if (plausible(head)) return offset + at;
    }
    offset += size - sizeof(SampleHead) + 1;  // one may lie across the chunk's end
  }
  return bytes_->size();
}

tl::expected<Sample, std::string> RecordingReader::read(std::uint64_t number) {
  const auto problem = [&](std::string_view what) {
    return tl::unexpected(
        fmt::format("sample {} of {} is left out: {}", number + 1, index_.size(), what));
  };
  if (number >= index_.size()) return problem("there is no such sample");
  const Place& place = index_[number];
  std::vector<std::byte> stored(place.stored_bytes), plain(place.plain_bytes);
  if (!bytes_->read(place.offset, stored)) return problem("the file became shorter");
  const auto* const data = reinterpret_cast<const Bytef*>(stored.data());
  if (crc32(0, data, place.stored_bytes) != place.data_crc) return problem("it is damaged");
  uLongf size = place.plain_bytes;
  if (uncompress(reinterpret_cast<Bytef*>(plain.data()), &size, data, place.stored_bytes) != Z_OK ||
      size != place.plain_bytes) {
    return problem("it does not unpack");
  }
  Sample sample;
  sample.epoch = place.epoch;
  if (const std::string wrong = Sections(plain).read(sample.tick); !wrong.empty()) {
    return problem(wrong);
  }
  return sample;
}

SamplePtr Replay::at(std::uint64_t number) {
  if (number >= end()) return nullptr;
  const auto known = std::find_if(kept_.begin(), kept_.end(),
                                  [&](const auto& entry) { return entry.first == number; });
  if (known != kept_.end()) {
    kept_.splice(kept_.begin(), kept_, known);
    return kept_.front().second;
  }
  auto sample = reader_.read(number);
  if (!sample) damage_ = sample.error();
  kept_.emplace_front(number,
                      sample ? std::make_shared<const Sample>(std::move(*sample)) : nullptr);
  if (kept_.size() > kKept) kept_.pop_back();
  return kept_.front().second;
}

const std::string& Replay::notice() const {
  return damage_.empty() ? reader_.notice() : damage_;
}

}  // namespace optipod::top
