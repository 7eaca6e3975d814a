// SPDX-License-Identifier: Apache-2.0
//
// Samples in a file: what --record writes and --replay reads.
//
//   FileHead      once, 64 bytes
//   then samples  each a SampleHead of 40 bytes and `stored_bytes` of zlib data
//
// A sample unpacked is a row of sections: u32 kind (shm::SectionKind), u32 record_bytes, u64 count,
// then the records of the segment's ABI (shm/records.hpp), one node, one agent, any containers,
// devices and neighbours. The ABI's rules for versions hold here too (shm/README.md): records may
// be longer or shorter than the reader's when abi_minor differs, sections of unknown kind are
// passed over. All integers are little-endian. Heads and data have CRC-32 (zlib's) of their own,
// and samples do not depend on each other: what is damaged is left out and counted, the rest is
// read. There is no index or end mark, so a recorder that is killed leaves a valid file up to its
// last sample.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "agent/top/model.hpp"
#include "shm/fd.hpp"

namespace optipod::top {

struct FileHead {
  char magic[8];             ///< "OPTIREC\0"
  std::uint32_t format;      ///< kFormat
  std::uint32_t byte_order;  ///< 0x01020304
  std::uint16_t abi_major, abi_minor;
  std::uint32_t head_bytes;  ///< where the first sample stands
  std::uint64_t abi_hash;
  std::uint64_t created_realtime_ns;
  std::uint8_t reserved[20];  ///< 0
  std::uint32_t crc;          ///< of the bytes before it
};
static_assert(sizeof(FileHead) == 64);

struct SampleHead {
  char magic[4];  ///< "SMPL"
  std::uint32_t stored_bytes, plain_bytes;
  std::uint32_t data_crc;  ///< of the stored bytes
  std::uint64_t epoch;     ///< of the segment it was read from
  std::uint64_t realtime_ns;
  std::uint32_t number;  ///< 0, 1, 2 … in this file
  std::uint32_t crc;     ///< of the bytes before it
};
static_assert(sizeof(SampleHead) == 40);

/// What the `crc` of a head must be.
std::uint32_t crc_of(const FileHead& head);
std::uint32_t crc_of(const SampleHead& head);

inline constexpr std::uint32_t kFormat = 1;
/// Bounds on what is believed of a file, and kept by the writer.
inline constexpr std::uint32_t kMaxPlainBytes = 128u << 20;
inline constexpr std::uint64_t kMaxRecords = 65536;      ///< in a section
inline constexpr std::uint64_t kMaxSamples = 4'000'000;  ///< in a file: 46 days of seconds

/// Appends to a file of its own. One thread.
class RecordingWriter {
 public:
  /// Makes the file (0640); one that exists is never overwritten. It never grows over `limit`
  /// bytes.
  static tl::expected<RecordingWriter, std::string> create(const std::string& path,
                                                           std::uint64_t limit);
  /// False when the limit leaves no room: the file is complete. An error (disk full) leaves the
  /// file as it was before.
  tl::expected<bool, std::string> append(const Sample& sample);

  [[nodiscard]] std::uint64_t samples() const { return samples_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  RecordingWriter(shm::Fd fd, std::string path, std::uint64_t limit)
      : fd_(std::move(fd)), path_(std::move(path)), limit_(limit) {}
  tl::expected<void, std::string> write_whole(std::span<const std::byte> bytes);

  shm::Fd fd_;
  std::string path_;
  std::uint64_t limit_;
  std::uint64_t bytes_ = 0, samples_ = 0;
};

/// Where a recording's bytes come from.
class Bytes {
 public:
  virtual ~Bytes() = default;
  [[nodiscard]] virtual std::uint64_t size() const = 0;
  /// Fills `out` from this offset; false when it could not be filled.
  virtual bool read(std::uint64_t offset, std::span<std::byte> out) = 0;
};

/// A recording. Trusts nothing in it: memory is bounded by the limits above, time by the file's
/// size.
class RecordingReader {
 public:
  static tl::expected<RecordingReader, std::string> open(const std::string& path);
  /// `name` stands in messages.
  static tl::expected<RecordingReader, std::string> parse(std::unique_ptr<Bytes> bytes,
                                                          std::string name);

  [[nodiscard]] std::uint64_t samples() const { return index_.size(); }
  tl::expected<Sample, std::string> read(std::uint64_t number);
  /// What was left out because of damage or an early end, in one sentence; "" when all is well.
  [[nodiscard]] const std::string& notice() const { return notice_; }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  struct Place {
    std::uint64_t offset;  ///< of the data
    std::uint64_t epoch;
    std::uint32_t stored_bytes, plain_bytes, data_crc;
  };
  RecordingReader(std::unique_ptr<Bytes> bytes, std::string name)
      : bytes_(std::move(bytes)), name_(std::move(name)) {}
  tl::expected<std::uint64_t, std::string> check_head();
  void scan(std::uint64_t offset);
  std::uint64_t next_head(std::uint64_t offset);

  std::unique_ptr<Bytes> bytes_;
  std::string name_, notice_;
  std::vector<Place> index_;
};

/// A recording as a timeline; the samples used last stay unpacked.
class Replay final : public Timeline {
 public:
  explicit Replay(RecordingReader reader) : reader_(std::move(reader)) {}
  [[nodiscard]] std::uint64_t begin() const override { return 0; }
  [[nodiscard]] std::uint64_t end() const override { return reader_.samples(); }
  SamplePtr at(std::uint64_t number) override;
  /// Of the recording, or of the last sample that could not be read.
  [[nodiscard]] const std::string& notice() const;

 private:
  static constexpr std::size_t kKept = 130;  ///< two screens' worth of sparkline
  RecordingReader reader_;
  std::string damage_;
  std::list<std::pair<std::uint64_t, SamplePtr>> kept_;  ///< the one used last is in front
};

}  // namespace optipod::top
