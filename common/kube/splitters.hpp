// SPDX-License-Identifier: Apache-2.0
//
// A watch's stream of bytes, which come in any pieces, split into its events.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

#include "common/http/buffer.hpp"
#include "common/http/message.hpp"

namespace optipod::kube {

enum class Split { kMore, kTooLong, kStopped };

/// JSON: a line each. Keeps no more than one unfinished line.
class LineSplitter {
 public:
  /// False: stop here. The line has no line end, and http::kBodyPadding readable bytes behind it.
  using Line = std::function<bool(std::string_view line)>;

  /// `max`: bytes of a line without its end.
  explicit LineSplitter(std::size_t max) : max_(max) {}
  Split feed(std::string_view bytes, const Line& line);

 private:
  std::size_t max_;
  http::Buffer<http::kBodyPadding> pending_;
};

/// Protobuf: each behind its length, four bytes, the highest first. Keeps no more than one
/// unfinished frame, and memory for what has come of it, whatever length it claims.
class FrameSplitter {
 public:
  /// False: stop here.
  using Frame = std::function<bool(std::string_view frame)>;

  /// `max`: bytes of a frame without its length.
  explicit FrameSplitter(std::size_t max) : max_(max) {}
  Split feed(std::string_view bytes, const Frame& frame);

 private:
  std::size_t max_;
  http::Buffer<0> pending_;  ///< from the frame's length on
};

}  // namespace optipod::kube
