// SPDX-License-Identifier: Apache-2.0
#include "common/kube/splitters.hpp"

#include <algorithm>

namespace optipod::kube {

namespace {

constexpr std::size_t kKeptCapacity = 256 * 1024;  ///< after a long event memory is given back
constexpr std::size_t kLengthBytes = 4;

std::size_t length_of(std::string_view frame) {
  std::size_t length = 0;
  for (const char c : frame.substr(0, kLengthBytes)) {
    length = length << 8 | static_cast<unsigned char>(c);
  }
  return length;
}

}  // namespace

Split LineSplitter::feed(std::string_view bytes, const Line& line) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end);
    if (piece.size() > max_ - pending_.size()) return Split::kTooLong;
    pending_.append(piece);
    if (end == std::string_view::npos) return Split::kMore;
    bytes.remove_prefix(end + 1);
    if (pending_.size() > 0 && !line(pending_.view())) return Split::kStopped;
    pending_.clear();
    if (pending_.capacity() > kKeptCapacity) pending_.release();
  }
  return Split::kMore;
}

Split FrameSplitter::feed(std::string_view bytes, const Frame& frame) {
  while (!bytes.empty()) {
    // The length first, then as much as it says.
    const bool knows_length = pending_.size() >= kLengthBytes;
    const std::size_t whole = kLengthBytes + (knows_length ? length_of(pending_.view()) : 0);
    const std::string_view piece = bytes.substr(0, whole - pending_.size());
    pending_.append(piece);
    bytes.remove_prefix(piece.size());
    if (pending_.size() < kLengthBytes) return Split::kMore;
    const std::size_t length = length_of(pending_.view());
    if (length > max_) return Split::kTooLong;
    if (pending_.size() < kLengthBytes + length) continue;
    if (!frame(pending_.view().substr(kLengthBytes))) return Split::kStopped;
    pending_.clear();
    if (pending_.capacity() > kKeptCapacity) pending_.release();
  }
  return Split::kMore;
}

}  // namespace optipod::kube
