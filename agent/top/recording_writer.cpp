// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "agent/top/recording.hpp"
#include "shm/layout.hpp"

namespace optipod::top {
namespace {

template <class T>
void append_bytes(std::vector<std::byte>& out, const T* first, std::size_t count) {
  const auto* bytes = reinterpret_cast<const std::byte*>(first);
  out.insert(out.end(), bytes, bytes + count * sizeof(T));
}

template <class Record>
void append_section(std::vector<std::byte>& out, std::span<const Record> records) {
  const auto kind = static_cast<std::uint32_t>(shm::SectionOf<Record>::kKind);
  const auto bytes = static_cast<std::uint32_t>(sizeof(Record));
  const std::uint64_t count = records.size();
  append_bytes(out, &kind, 1);
  append_bytes(out, &bytes, 1);
  append_bytes(out, &count, 1);
  append_bytes(out, records.data(), records.size());
}

std::vector<std::byte> unpacked(const shm::Tick& tick) {
  std::vector<std::byte> out;
  append_section<shm::NodeRecord>(out, {&tick.node, 1});
  append_section<shm::AgentRecord>(out, {&tick.agent, 1});
  append_section<shm::ContainerRecord>(out, tick.containers);
  append_section<shm::DeviceRecord>(out, tick.devices);
  append_section<shm::NeighbourRecord>(out, tick.neighbours);
  return out;
}

template <class Head>
std::uint32_t crc_before(const Head& head) {
  return static_cast<std::uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(&head), offsetof(Head, crc)));
}

FileHead file_head() {
  FileHead head{};
  std::memcpy(head.magic, "OPTIREC", sizeof head.magic);
  head.format = kFormat;
  head.byte_order = shm::kByteOrder;
  head.abi_major = shm::kAbiMajor;
  head.abi_minor = shm::kAbiMinor;
  head.head_bytes = sizeof head;
  head.abi_hash = shm::kAbiHash;
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  head.created_realtime_ns = static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u +
                             static_cast<std::uint64_t>(now.tv_nsec);
  head.crc = crc_of(head);
  return head;
}

/// Head and data in one piece, so that one write appends them.
tl::expected<std::vector<std::byte>, std::string> packed(const Sample& sample,
                                                         std::uint64_t number) {
  const std::vector<std::byte> plain = unpacked(sample.tick);
  if (plain.size() > kMaxPlainBytes || sample.tick.containers.size() > kMaxRecords ||
      sample.tick.neighbours.size() > kMaxRecords) {
    return tl::unexpected(fmt::format(
        "a sample of {} containers is too large to record; start the agent with a lower "
        "--max-containers",
        sample.tick.containers.size()));
  }
  uLongf stored = compressBound(static_cast<uLong>(plain.size()));
  std::vector<std::byte> out(sizeof(SampleHead) + stored);
  auto* const data = reinterpret_cast<Bytef*>(out.data() + sizeof(SampleHead));
  if (compress2(data, &stored, reinterpret_cast<const Bytef*>(plain.data()),
                static_cast<uLong>(plain.size()), Z_BEST_SPEED) != Z_OK) {
    return tl::unexpected(std::string("not enough memory to compress a sample"));
  }
  SampleHead head{};
  std::memcpy(head.magic, "SMPL", sizeof head.magic);
  head.stored_bytes = static_cast<std::uint32_t>(stored);
  head.plain_bytes = static_cast<std::uint32_t>(plain.size());
  head.data_crc = static_cast<std::uint32_t>(crc32(0, data, static_cast<uInt>(stored)));
  head.epoch = sample.epoch;
  head.realtime_ns = sample.tick.node.sampled_realtime_ns;
  head.number = static_cast<std::uint32_t>(number);
  head.crc = crc_of(head);
  std::memcpy(out.data(), &head, sizeof head);
  out.resize(sizeof head + stored);
  return out;
}

}  // namespace

std::uint32_t crc_of(const FileHead& head) {
  return crc_before(head);
}
std::uint32_t crc_of(const SampleHead& head) {
  return crc_before(head);
}

tl::expected<RecordingWriter, std::string> RecordingWriter::create(const std::string& path,
                                                                   std::uint64_t limit) {
  shm::Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640));
  if (!fd && errno == EEXIST) {
    return tl::unexpected(path +
                          ": exists already; a recording is never overwritten: choose "
                          "another name or remove it");
  }
  if (!fd) {
    return tl::unexpected(fmt::format("{}: cannot be made: {}", path, std::strerror(errno)));
  }
  RecordingWriter writer(std::move(fd), path, limit);
  const FileHead head = file_head();
  if (auto written = writer.write_whole(std::as_bytes(std::span(&head, 1))); !written) {
    ::unlink(path.c_str());
    return tl::unexpected(std::move(written.error()));
  }
  return writer;
}

tl::expected<bool, std::string> RecordingWriter::append(const Sample& sample) {
  const auto bytes = packed(sample, samples_);
  if (!bytes) return tl::unexpected(path_ + ": " + bytes.error());
  if (bytes_ + bytes->size() > limit_ || samples_ == kMaxSamples) return false;
  if (auto written = write_whole(*bytes); !written) return tl::unexpected(written.error());
  ++samples_;
  return true;
}

tl::expected<void, std::string> RecordingWriter::write_whole(std::span<const std::byte> bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::write(fd_.get(), bytes.data() + done, bytes.size() - done);
    if (n > 0) {
      done += static_cast<std::size_t>(n);
    } else if (errno != EINTR) {
      const int error = errno;
      if (::ftruncate(fd_.get(), static_cast<off_t>(bytes_)) != 0 ||
          ::lseek(fd_.get(), 0, SEEK_END) < 0) {
        // A half sample stays at the end, which a reader leaves out.
      }
      return tl::unexpected(fmt::format("{}: cannot be written: {}; the recording ends here", path_,
                                        std::strerror(error)));
    }
  }
  bytes_ += bytes.size();
  return {};
}

}  // namespace optipod::top
