// SPDX-License-Identifier: Apache-2.0
#include "common/config/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace optipod::config {

tl::expected<std::string, std::string> read_file(const std::string& path, std::size_t max) {
  const auto fail = [&](const std::string& why) {
    return tl::unexpected(fmt::format("cannot read {}: {}", path, why));
  };
  // Not blocking, so that a pipe in a file's place cannot hold us.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fail(std::strerror(errno));
  std::string out;
  std::array<char, 16 * 1024> block{};
  ssize_t n = 0;
  while (out.size() <= max && (n = read(fd, block.data(), block.size())) > 0) {
    out.append(block.data(), static_cast<std::size_t>(n));
  }
  const int error = errno;
  close(fd);
  if (n < 0) return fail(std::strerror(error));
  if (out.size() > max) return fail(fmt::format("longer than {} bytes", max));
  return out;
}

std::string file_version(const std::string& path) {
  struct stat s {};
  if (stat(path.c_str(), &s) != 0) return {};
  return fmt::format("{}:{}:{}:{}.{}", s.st_dev, s.st_ino, s.st_size, s.st_mtim.tv_sec,
                     s.st_mtim.tv_nsec);
}

std::string trimmed(const std::string& text) {
  constexpr const char* kBlanks = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

}  // namespace optipod::config
