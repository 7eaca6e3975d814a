// SPDX-License-Identifier: Apache-2.0
#include "common/kube/lines.hpp"

namespace optipod::kube {

namespace {
constexpr std::size_t kKeptCapacity = 256 * 1024;  ///< after a long line memory is given back
}

LineSplitter::Result LineSplitter::feed(std::string_view bytes, const Line& line) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end);
    if (piece.size() > max_ - pending_.size()) return Result::kTooLong;
    pending_.append(piece);
    if (end == std::string_view::npos) return Result::kMore;
    bytes.remove_prefix(end + 1);
    if (pending_.size() > 0 && !line(pending_.view())) return Result::kStopped;
    pending_.clear();
    if (pending_.capacity() > kKeptCapacity) pending_.release();
  }
  return Result::kMore;
}

}  // namespace optipod::kube
