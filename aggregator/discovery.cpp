// SPDX-License-Identifier: Apache-2.0
#include "aggregator/discovery.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <unordered_map>
#include <utility>

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

tl::expected<std::vector<Target>, std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text;
  char piece[64 * 1024];
  while (in.read(piece, sizeof piece), in.gcount() > 0) {
    text.append(piece, static_cast<std::size_t>(in.gcount()));
    if (text.size() > kMaxFileBytes)
      return tl::unexpected(std::string("it grew while it was read"));
  }
  if (in.bad() || !in.eof()) return tl::unexpected(std::string("it cannot be read"));
  return parse_file_sd(text, path.ends_with(".json") ? FileFormat::kJson : FileFormat::kYaml);
}

}  // namespace

Discovery::Discovery(std::vector<Target> fixed, std::vector<std::string> files)
    : fixed_(std::move(fixed)) {
  for (std::string& path : files) {
    files_.emplace_back();
    files_.back().state.path = std::move(path);
  }
  merge();
}

bool Discovery::reload(File& file, std::chrono::steady_clock::time_point now) {
  const auto identity = identity_of(file.state.path);
  const bool due = !file.read || now - file.read_at >= kReadAgain;
  if (!due && identity.value_or("") == file.identity) return false;
  file.read = true;
  file.read_at = now;
  file.identity = identity.value_or("");
  auto list =
      identity ? read_file(file.state.path)
               : tl::expected<std::vector<Target>, std::string>(tl::unexpected(identity.error()));
  file.state.good = list.has_value();
  if (!list) {
    ++file.state.errors;
    file.error = fmt::format("--file-sd {}: {}; its last good list of {} targets stays in use",
                             file.state.path, list.error(), file.targets.size());
    return true;
  }
  file.error.clear();
  file.targets = std::move(*list);
  file.state.targets = file.targets.size();
  return true;
}

bool Discovery::refresh(std::chrono::steady_clock::time_point now) {
  bool read = false;
  for (File& file : files_) read = reload(file, now) || read;
  return read && merge();
}

bool Discovery::merge() {
  std::vector<Target> merged;
  std::vector<std::string> problems;
  std::unordered_map<std::string, std::size_t> index;  // node → place in merged
  std::size_t left_out = 0;
  const auto add = [&](const Target& target, const std::string& source) {
    const auto [at, fresh] = index.try_emplace(target.node, merged.size());
    if (fresh && merged.size() < kMaxTargets) {
      merged.push_back(target);
      return;
    }
    if (fresh) {
      index.erase(at);
    } else if (merged[at->second] == target) {
      return;  // the same target from two sources is one target
    }
    ++left_out;
    if (problems.size() >= 100) return;
    problems.push_back(
        fresh ? fmt::format("{}: {} is left out: there are {} targets already", source,
                            target.address, kMaxTargets)
              : fmt::format("{}: {} is left out: node {} is already scraped at {}; give it another "
                            "`node` label",
                            source, target.url(), target.node, merged[at->second].url()));
  };
  for (const File& file : files_) {
    if (!file.error.empty()) problems.push_back(file.error);
  }
  for (const Target& target : fixed_) add(target, "--target");
  for (const File& file : files_) {
    for (const Target& target : file.targets) add(target, "--file-sd " + file.state.path);
  }
  problems_ = std::move(problems);
  left_out_ = left_out;
  const bool changed = merged != targets_;
  targets_ = std::move(merged);
  return changed;
}

std::vector<Discovery::FileState> Discovery::files() const {
  std::vector<FileState> states;
  states.reserve(files_.size());
  for (const File& file : files_) states.push_back(file.state);
  return states;
}

}  // namespace optipod::aggregator
