// SPDX-License-Identifier: Apache-2.0
#include "aggregator/discovery/file_source.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>

#include <fmt/format.h>

namespace optipod::aggregator {
namespace {

constexpr std::chrono::minutes kReadAgain{1};
constexpr std::size_t kMaxFileBytes = 64 * 1024 * 1024;

/// What changes when a file is written, replaced, or a symlink on the way points elsewhere.
tl::expected<std::string, std::string> identity_of(const std::string& path) {
  struct stat s {};
  if (::stat(path.c_str(), &s) != 0) return tl::unexpected(std::string(std::strerror(errno)));
  if (!S_ISREG(s.st_mode)) return tl::unexpected(std::string("it is not a regular file"));
  if (static_cast<std::uint64_t>(s.st_size) > kMaxFileBytes) {
    return tl::unexpected(
        fmt::format("it has {} bytes; at most {} are read", s.st_size, kMaxFileBytes));
  }
  return fmt::format("{}:{}:{}:{}.{}:{}.{}", s.st_dev, s.st_ino, s.st_size, s.st_mtim.tv_sec,
                     s.st_mtim.tv_nsec, s.st_ctim.tv_sec, s.st_ctim.tv_nsec);
}

tl::expected<std::string, std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text;
  char piece[64 * 1024];
  while (in.read(piece, sizeof piece), in.gcount() > 0) {
    text.append(piece, static_cast<std::size_t>(in.gcount()));
    if (text.size() > kMaxFileBytes)
      return tl::unexpected(std::string("it grew while it was read"));
  }
  if (in.bad() || !in.eof()) return tl::unexpected(std::string("it cannot be read"));
  return text;
}

}  // namespace

bool FileSource::refresh(std::chrono::steady_clock::time_point now) {
  const auto identity = identity_of(state_.name);
  const bool due = !state_.tried || now - read_at_ >= kReadAgain;
  if (!due && identity.value_or("") == identity_) return false;
  read_at_ = now;
  identity_ = identity.value_or("");
  const auto text = identity ? read_file(state_.name) : identity;
  if (!text) {
    ended(tl::unexpected(text.error()), unix_seconds());
    return true;
  }
  const std::size_t hash = std::hash<std::string>()(*text);
  if (state_.good && hash == text_hash_) {  // parsing thousands takes time, and memory meanwhile
    ended_alike(unix_seconds());
    return false;
  }
  text_hash_ = hash;
  const bool json = state_.name.ends_with(".json");
  ended(parse_file_sd(*text, json ? FileFormat::kJson : FileFormat::kYaml), unix_seconds());
  return true;
}

}  // namespace optipod::aggregator
