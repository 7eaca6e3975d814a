// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>

#include "aggregator/discovery/source.hpp"

namespace optipod::aggregator {

/// A file_sd file. Looks at its identity, and reads it when that changed or was not read for a
/// minute.
class FileSource final : public Source {
 public:
  explicit FileSource(std::string path) : Source("file-sd", std::move(path)) {}
  bool refresh(std::chrono::steady_clock::time_point now) override;

 private:
  std::string identity_;  ///< of the last reading: device, inode, size, times
  std::chrono::steady_clock::time_point read_at_{};
};

}  // namespace optipod::aggregator
