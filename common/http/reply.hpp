// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/http/message.hpp"

namespace optipod::http {

/// The bytes of a reply, made of a handler's response. Keeps its memory from one to the next.
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
  [[nodiscard]] std::string_view head() const { return head_; }
  [[nodiscard]] std::string_view body() const { return body_; }
  [[nodiscard]] std::size_t size() const { return head_.size() + body_.size(); }

  /// Frees buffers larger than `most`. Only when nothing is being written.
  void release_memory(std::size_t most);

 private:
  std::string head_, gzip_;
  std::string_view body_;
};

}  // namespace optipod::http
