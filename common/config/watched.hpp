// SPDX-License-Identifier: Apache-2.0
//
// What is made of a file and of those it names, as they are at the moment.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>
#include <tl/expected.hpp>

#include "common/config/files.hpp"

namespace optipod::config {

/// Thread-safe.
template <class T>
class Watched {
 public:
  using Made = tl::expected<std::shared_ptr<const T>, std::string>;
  /// The error says what is wrong, in which file. `files` becomes what was looked at, in any case.
  using Read = std::function<Made(const std::string& path, std::vector<std::string>& files)>;
  /// Why `next` cannot take the place of `now`; "" when it can.
  using Refuse = std::function<std::string(const T& now, const T& next)>;

  static tl::expected<std::shared_ptr<Watched>, std::string> open(const std::string& path,
                                                                  Read read, Refuse refuse = {}) {
    const std::shared_ptr<Watched> file(new Watched(path, std::move(read), std::move(refuse)));
    auto made = file->read();
    if (!made) return tl::unexpected(made.error());
    file->value_ = std::move(*made);
    return file;
  }

  /// Looks at the files. After a change that cannot be used, what was in use before it; the log
  /// says why.
  std::shared_ptr<const T> current() {
    const std::lock_guard lock(mutex_);
    if (version_of(files_) == version_) return value_;
    auto made = read();
    if (!made) {
      spdlog::error("{}; what it said before stays in use", made.error());
      return value_;
    }
    const std::string why = refuse_ ? refuse_(*value_, **made) : std::string();
    if (!why.empty()) {
      spdlog::error("{}: {}", path_, why);
      return value_;
    }
    spdlog::info("{}: changed, and in use", path_);
    value_ = std::move(*made);
    return value_;
  }

 private:
  Watched(std::string path, Read read, Refuse refuse)
      : path_(std::move(path)), read_(std::move(read)), refuse_(std::move(refuse)) {}

  static std::string version_of(const std::vector<std::string>& files) {
    std::string out;
    for (const std::string& file : files) out.append(file_version(file)).append("\n");
    return out;
  }

  /// A file that changes while it is read is read again: its version was taken before.
  Made read() {
    version_ = version_of(files_);
    const std::vector<std::string> known = files_;
    auto made = read_(path_, files_);
    if (files_ != known) version_ = version_of(files_);
    return made;
  }

  const std::string path_;
  const Read read_;
  const Refuse refuse_;
  std::mutex mutex_;
  std::shared_ptr<const T> value_;  // these under mutex_
  std::vector<std::string> files_;  ///< that were looked at last
  std::string version_;             ///< of all of them, then
};

}  // namespace optipod::config
