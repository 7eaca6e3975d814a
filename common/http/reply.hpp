// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "common/http/gzip_writer.hpp"
#include "common/http/message.hpp"

namespace optipod::http {

/// The bytes of a reply, made of a handler's response. Keeps its memory from one to the next. A
/// body in pieces is chunked, or to a client of HTTP/1.0 ends with the connection.
class Reply {
 public:
  struct Terms {
    unsigned version = 11;  ///< the request's, 10 or 11
    bool keep_alive = false;
    bool head_only = false;            ///< the length, without the body
    std::string_view accept_encoding;  ///< the request's
  };

  /// `response` must stay as it is until the reply is written: body() looks into it.
  void render(const Response& response, const Terms& terms);
  /// The same for `response.body` as the next piece of a body in pieces: head() is what goes before
  /// it. False when it cannot be compressed (gzip.hpp).
  bool render_piece(const Response& response);
  [[nodiscard]] std::string_view head() const { return head_; }
  [[nodiscard]] std::string_view body() const { return body_; }
  [[nodiscard]] std::string_view tail() const { return tail_; }
  [[nodiscard]] std::size_t size() const { return head_.size() + body_.size() + tail_.size(); }

  /// Frees buffers larger than `most`. Only when nothing is being written.
  void release_memory(std::size_t most);

 private:
  bool add_piece(const Response& response);

  std::string head_, gzip_;
  std::string_view body_, tail_;
  bool chunked_ = false;              ///< of a body in pieces
  std::optional<GzipWriter> pieces_;  ///< of a body in pieces that is compressed
};

}  // namespace optipod::http
