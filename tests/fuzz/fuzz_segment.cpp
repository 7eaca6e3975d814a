// SPDX-License-Identifier: Apache-2.0
//
// A segment whose owner is hostile. The input says how a good segment's bytes, header or slots, and
// its size are changed; then a reader attaches and reads. Whatever comes, it ends soon, in a state
// with a sentence, and within its memory.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "shm/layout.hpp"
#include "shm/ring.hpp"
#include "shm/tick.hpp"

using namespace optipod::shm;

namespace {

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "fuzz_segment: %s\n", what);
  std::abort();
}

/// A good segment in a file of its own, which each input spoils and which is then made good again.
class Victim {
 public:
  Victim() {
    char directory[] = "/dev/shm/optipod-fuzz-XXXXXX";
    if (::mkdtemp(directory) == nullptr) fail("mkdtemp in /dev/shm");
    directory_ = directory;
    WriterOptions options;
    options.path = path_ = directory_ + "/current.shm";
    options.max_containers = 2;
    options.max_devices = 1;
    auto writer = TickWriter::create(options);
    if (!writer) fail(writer.error().c_str());
    Tick tick;
    tick.containers.resize(2);
    tick.devices.resize(1);
    for (int i = 0; i < 5; ++i) writer->publish(tick);
    writer->close();

    fd_ = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
    struct stat file {};
    if (fd_ < 0 || ::fstat(fd_, &file) != 0) fail("open");
    good_.resize(static_cast<std::size_t>(file.st_size));
    if (::pread(fd_, good_.data(), good_.size(), 0) != file.st_size) fail("read");
  }
  ~Victim() {
    ::close(fd_);
    ::unlink(path_.c_str());
    ::unlink((directory_ + "/agent.lock").c_str());
    ::rmdir(directory_.c_str());
  }
  Victim(const Victim&) = delete;
  Victim& operator=(const Victim&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const std::vector<char>& good() const { return good_; }

  void put(std::size_t offset, const void* bytes, std::size_t count) const {
    if (::pwrite(fd_, bytes, count, static_cast<off_t>(offset)) < 0) fail("write");
  }
  void resize(std::size_t bytes) const {
    if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0) fail("resize");
  }
  /// Signs the header, so that what is behind the checksum is reached.
  void sign() const {
    HeaderBlock block{};
    if (::pread(fd_, &block, sizeof block, 0) < 0) fail("read");
    block.header.checksum = checksum(block);
    put(0, &block, sizeof block);
  }
  void heal() const {
    resize(good_.size());
    put(0, good_.data(), good_.size());
  }

 private:
  std::string directory_, path_;
  int fd_ = -1;
  std::vector<char> good_;
};

const Victim& victim() {
  static const Victim the_one;
  return the_one;
}

void read_everything(const std::string& path) {
  TickReader reader({.path = path});
  Tick tick;
  for (int i = 0; i < 2; ++i) {
    if (reader.read(tick)) {
      if (std::memchr(tick.node.node_name, 0, sizeof tick.node.node_name) == nullptr) {
        fail("text without an end");
      }
      if (tick.agent.program_count > AgentRecord::kMaxPrograms) fail("count beyond its array");
    }
    if (reader.attach_state() != AttachState::kAttached && reader.detail().empty()) {
      fail("an error without a sentence");
    }
    (void)reader.writer_state();
  }
  reader.wait(std::chrono::milliseconds(0));
}

// ---- Mutations that know what a segment is made of ----

constexpr std::size_t kChange = 12;  // where (4), a word to put there (8)

/// Words on which a reader's decisions hang: fields of the header and section table, heads, marks
/// of slots, indices and counts in records.
std::vector<std::uint32_t> decisive_words(const std::vector<char>& good) {
  HeaderBlock block;
  std::memcpy(&block, good.data(), sizeof block);
  std::vector<std::uint32_t> words;
  const auto add = [&](std::size_t byte) { words.push_back(static_cast<std::uint32_t>(byte / 8)); };
  for (std::size_t byte = 0; byte < offsetof(Header, padding); byte += 8) add(byte);
  for (std::size_t i = 0; i <= block.header.section_count; ++i) {
    for (std::size_t byte = 0; byte < sizeof(Section); byte += 8) {
      add(offsetof(HeaderBlock, sections) + i * sizeof(Section) + byte);
    }
  }
  add(kWriterLineOffset);
  add(kWriterLineOffset + 8);
  for (std::size_t i = 0; i < block.header.section_count; ++i) {
    const Section& section = block.sections[i];
    add(section.offset);
    for (std::uint64_t k = 0; k < std::min<std::uint64_t>(section.capacity, 8); ++k) {
      const std::size_t slot =
          section.offset + kControlWords * kWordBytes + k * slot_bytes(section.record_bytes);
      add(slot);
      // tick, valid, indices and counts lie at a record's beginning; the agent's a little further
      // on
      for (std::size_t word = 1; word <= 11; ++word) add(slot + word * kWordBytes);
    }
  }
  return words;
}

/// A word near what a field may rightly hold.
std::uint64_t telling_value(std::uint32_t random) {
  static constexpr std::uint64_t kValues[] = {
      0,   1,     2,         4,          5,          8,          9,         10,   11,
      12,  63,    64,        65,         2047,       2048,       4095,      4096, 1u << 16,
      ~0u, ~0ull, ~0ull - 1, 1ull << 30, 1ull << 61, 1ull << 62, 1ull << 63};
  const std::uint64_t value = kValues[(random >> 2) % std::size(kValues)];
  switch (random & 3) {
    case 0:
      return value | std::uint64_t{random >> 8} % 16 << 32;  // two 32-bit fields in a word
    case 1:
      return random >> 8;
    default:
      return value;
  }
}

}  // namespace

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max);

/// Half of the mutations are libFuzzer's own; the others change a decisive word to a telling value
/// in an input that mostly keeps the header signed and the file whole.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max, unsigned seed) {
  static const std::vector<std::uint32_t> words = decisive_words(victim().good());
  std::minstd_rand random(seed);
  if (size == 0 || max < 1 + kChange || random() % 2 == 0) return LLVMFuzzerMutate(data, size, max);
  if ((data[0] & 1) != 0) {  // a foreign file: begin anew
    data[0] = 2;
    size = 1;
  }
  if (random() % 4 == 0)
    data[0] = static_cast<std::uint8_t>(random() % 8 == 0 ? random() & ~1u : 2);
  const std::size_t changes = (size - 1) / kChange;
  const bool append = changes == 0 || (random() % 2 == 0 && size + kChange <= max);
  const std::size_t at = 1 + (append ? changes : random() % changes) * kChange;
  const std::size_t words_in_file = victim().good().size() / 8;
  const std::uint32_t word = words[random() % words.size()];
  // As LLVMFuzzerTestOneInput takes it: even means anywhere.
  const auto where = static_cast<std::uint32_t>(word % words_in_file * 2);
  const std::uint64_t value = telling_value(static_cast<std::uint32_t>(random()));
  std::memcpy(data + at, &where, sizeof where);
  std::memcpy(data + at + sizeof where, &value, sizeof value);
  return std::max(size, at + kChange);
}

// One byte of mode, then changes of 12 bytes each: where (4), and a word to put there (8).
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::uint8_t mode = *data++;
  --size;
  if ((mode & 1) != 0) {  // a foreign file
    victim().resize(size);
    victim().put(0, data, size);
  } else {
    const std::size_t words = victim().good().size() / 8;
    for (; size >= 12; data += 12, size -= 12) {
      std::uint32_t where = 0;
      std::memcpy(&where, data, 4);
      // Half of the changes hit the header and the first slots, where most decisions lie.
      const std::size_t at = (where & 1) != 0 ? (where >> 1) % 0x400 : (where >> 1) % words;
      victim().put(8 * at, data + 4, 8);
    }
    if ((mode & 2) != 0) victim().sign();
    if ((mode & 4) != 0) victim().resize(victim().good().size() * (mode >> 3) / 32);
  }
  read_everything(victim().path());
  victim().heal();
  return 0;
}
