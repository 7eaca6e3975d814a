// SPDX-License-Identifier: Apache-2.0
//
// Reads one reply from a connection: its head, then its body in pieces.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "common/http/buffer.hpp"
#include "common/http/connection.hpp"
#include "common/http/head.hpp"

namespace optipod::http {

class ReplyReader {
 public:
  explicit ReplyReader(Connection& connection) : connection_(connection) {}

  /// Until the final status and its fields have come; what came before (1xx) is skipped.
  tl::expected<void, std::string> read_head(const Patience& patience);
  [[nodiscard]] const Head& head() const { return head_; }

  /// How long the next read may take; asked before each.
  using NextPatience = std::function<Patience()>;
  /// False ends the reading.
  using Sink = std::function<bool(std::string_view)>;
  enum class End { kComplete, kSinkHadEnough };
  /// `max` bounds the body, which is refused at once when it announces more.
  tl::expected<End, std::string> read_body(std::size_t max, const NextPatience& patience,
                                           const Sink& sink);

  /// Whether any byte of a reply has come.
  [[nodiscard]] bool received() const { return received_; }
  /// After a complete body: whether the connection can serve another request.
  [[nodiscard]] bool reusable() const { return framed_ && head_.keep_alive && in_.size() == 0; }

 private:
  tl::expected<std::size_t, std::string> read_some(const Patience& patience);
  tl::expected<End, std::string> read_sized(std::size_t size, const NextPatience&, const Sink&);
  tl::expected<End, std::string> read_chunked(std::size_t max, const NextPatience&, const Sink&);
  tl::expected<End, std::string> read_to_end(std::size_t max, const NextPatience&, const Sink&);

  Connection& connection_;
  Buffer<0> in_;
  Buffer<0> head_bytes_;  ///< what head_ looks into
  Head head_;
  bool received_ = false;
  bool framed_ = false;  ///< the body's end was told, not guessed
};

}  // namespace optipod::http
