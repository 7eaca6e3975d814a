// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace optipod::test {

/// A directory of its own, removed with everything in it.
class TempDir {
 public:
  TempDir() {
    std::string pattern = std::filesystem::temp_directory_path() / "optipod-test-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  [[nodiscard]] std::string path() const { return path_.string(); }
  [[nodiscard]] std::string path(const std::string& below) const { return path() + "/" + below; }
  /// Makes a directory with its parents.
  std::string make(const std::string& below) const {
    std::filesystem::create_directories(path_ / below);
    return path(below);
  }
  /// Makes a file with its parents.
  std::string write(const std::string& below, const std::string& text) const {
    std::filesystem::create_directories((path_ / below).parent_path());
    std::ofstream(path_ / below) << text;
    return path(below);
  }

 private:
  std::filesystem::path path_;
};

}  // namespace optipod::test
