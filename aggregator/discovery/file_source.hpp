// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include "aggregator/discovery/source.hpp"

namespace optipod::aggregator {

/// A file_sd file. Looks at its identity, and reads it when that changed or was not read for a
/// minute; a text that is the same is not parsed again.
class FileSource final : public Source {
 public:
  explicit FileSource(std::string path) : Source("file-sd", std::move(path)) {}
  bool refresh(std::chrono::steady_clock::time_point now) override;

 private:
  std::string identity_;       ///< of the last reading: device, inode, size, times
  std::size_t text_hash_ = 0;  ///< of the last reading, when that was good
  std::chrono::steady_clock::time_point read_at_{};
};

}  // namespace optipod::aggregator
