// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

#include "common/http/buffer.hpp"
#include "common/http/message.hpp"

namespace optipod::kube {

/// Splits a stream of bytes into lines, as they come, in any pieces. Keeps no more than one
/// unfinished line.
class LineSplitter {
 public:
  enum class Result { kMore, kTooLong, kStopped };
  /// False: stop here. The line has no line end, and http::kBodyPadding readable bytes behind it.
  using Line = std::function<bool(std::string_view line)>;

  /// `max`: bytes of a line without its end.
  explicit LineSplitter(std::size_t max) : max_(max) {}
  Result feed(std::string_view bytes, const Line& line);

 private:
  std::size_t max_;
  http::Buffer<http::kBodyPadding> pending_;
};

}  // namespace optipod::kube
