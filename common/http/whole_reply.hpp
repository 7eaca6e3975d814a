// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/http/client.hpp"
#include "common/http/head.hpp"

namespace optipod::http {

/// Replies that have come whole and need no more than to be looked at, as most do: a sized body in
/// no encoding, and nothing behind it. Peers of a kind send the same head each time but for the
/// date and the length: the last one that was parsed is recognised by a comparison. Not
/// thread-safe.
class WholeReplies {
 public:
  /// Nothing for any other reply, or a body of more than `max_body_bytes`: an Exchange knows more
  /// of these. The views are good until the next call, and as long as `received`.
  std::optional<Fetcher::Reply> take(std::string_view received, std::size_t max_body_bytes);
  /// Whether the connection of the last one taken can serve another request.
  [[nodiscard]] bool keep_alive() const { return keep_alive_; }

 private:
  /// A part of known_ that differs from head to head.
  struct Hole {
    std::size_t at = 0, size = 0;
  };
  struct Begin {
    std::size_t head = 0;    ///< bytes of it
    std::uint64_t body = 0;  ///< announced
  };
  [[nodiscard]] std::optional<Begin> recognise(std::string_view received) const;
  std::optional<Begin> parse(std::string_view received);

  Head head_;           ///< its memory is used again
  std::string known_;   ///< the whole head; "" before the first
  Hole date_, length_;  ///< no date: size 0
  unsigned status_ = 0;
  std::string content_type_;
  bool keep_alive_ = false;
};

}  // namespace optipod::http
