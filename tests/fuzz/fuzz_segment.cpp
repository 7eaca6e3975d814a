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
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "shm/layout.hpp"
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

}  // namespace

// One byte of mode, then changes of 12 bytes each: where (4), and a word to put there (8).
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Victim victim;
  if (size == 0) return 0;
  const std::uint8_t mode = *data++;
  --size;
  if ((mode & 1) != 0) {  // a foreign file
    victim.resize(size);
    victim.put(0, data, size);
  } else {
    const std::size_t words = victim.good().size() / 8;
    for (; size >= 12; data += 12, size -= 12) {
      std::uint32_t where = 0;
      std::memcpy(&where, data, 4);
      // Half of the changes hit the header and the first slots, where most decisions lie.
      const std::size_t at = (where & 1) != 0 ? (where >> 1) % 0x400 : (where >> 1) % words;
      victim.put(8 * at, data + 4, 8);
    }
    if ((mode & 2) != 0) victim.sign();
    if ((mode & 4) != 0) victim.resize(victim.good().size() * (mode >> 3) / 32);
  }
  read_everything(victim.path());
  victim.heal();
  return 0;
}
