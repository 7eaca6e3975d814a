// SPDX-License-Identifier: Apache-2.0
//
// A file whose reads and writes reach a real disk.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace optipod::agent::test {

constexpr std::size_t kBlock = 64 * 1024;
constexpr std::size_t kBlocks = 64;
constexpr std::size_t kBytes = kBlock * kBlocks;

/// A file with all its blocks written, on a disk; removed at the end.
class DiskFile {
 public:
  DiskFile() {
    const char* const places[] = {std::getenv("TMPDIR"), ".", "/var/tmp", "/tmp"};
    for (const char* place : places) {
      if (place == nullptr || !try_place(place)) continue;
      return;
    }
    throw std::runtime_error("no directory on a block device; set TMPDIR to one");
  }
  DiskFile(const DiskFile&) = delete;
  DiskFile& operator=(const DiskFile&) = delete;
  ~DiskFile() { ::unlink(path_.c_str()); }

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] unsigned disk_major() const { return major_; }
  [[nodiscard]] unsigned disk_minor() const { return minor_; }

 private:
  bool try_place(const std::string& place) {
    struct stat info {};
    if (::stat(place.c_str(), &info) != 0 || !find_disk(info.st_dev)) return false;
    path_ = place + "/optipod-block-test-" + std::to_string(::getpid());
    const int fd = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    const std::vector<char> data(kBytes, 'x');
    const bool written = ::write(fd, data.data(), kBytes) == static_cast<ssize_t>(kBytes);
    const bool synced = ::fsync(fd) == 0;
    ::close(fd);
    return written && synced;
  }
  /// The whole disk behind a partition, or the disk itself.
  bool find_disk(dev_t device) {
    std::string dir =
        "/sys/dev/block/" + std::to_string(major(device)) + ":" + std::to_string(minor(device));
    if (!std::filesystem::exists(dir)) return false;
    if (std::filesystem::exists(dir + "/partition")) dir += "/..";
    std::ifstream file(dir + "/dev");
    char colon = 0;
    return static_cast<bool>(file >> major_ >> colon >> minor_);
  }

  std::string path_;
  unsigned major_ = 0, minor_ = 0;
};

/// Reads and writes the whole file past the page cache, one request at a time.
inline void direct_io(const std::string& path, bool read, bool write) {
  const int fd = ::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
  void* buffer = nullptr;
  if (fd < 0 || ::posix_memalign(&buffer, 4096, kBlock) != 0) ::_exit(1);
  std::memset(buffer, 'y', kBlock);
  for (std::size_t i = 0; i < kBlocks; ++i) {
    const auto at = static_cast<off_t>(i * kBlock);
    if (write && ::pwrite(fd, buffer, kBlock, at) != static_cast<ssize_t>(kBlock)) ::_exit(2);
    if (read && ::pread(fd, buffer, kBlock, at) != static_cast<ssize_t>(kBlock)) ::_exit(3);
  }
  std::free(buffer);
  ::close(fd);
}

}  // namespace optipod::agent::test
