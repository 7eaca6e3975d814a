// SPDX-License-Identifier: Apache-2.0
#include "common/http/whole_reply.hpp"

namespace optipod::http {

bool take_whole_reply(std::string_view received, std::size_t max_body_bytes, Head& head,
                      ClientResponse& into) {
  const std::size_t length = head_length(received);
  if (length == std::string_view::npos || length > received.size()) return false;
  if (!parse_response_head(received.substr(0, length), head)) return false;
  // 1xx comes before the reply; 204 and 304 have no body, whatever they say.
  const bool plain = head.status >= 200 && head.status != 204 && head.status != 304 &&
                     !head.chunked && head.field("Content-Encoding").empty();
  if (!plain || !head.content_length || *head.content_length > max_body_bytes) return false;
  const std::string_view body = received.substr(length);
  if (body.size() != *head.content_length) return false;
  into.status = head.status;
  into.content_type.assign(head.field("Content-Type"));
  into.body.assign(body);
  return true;
}

}  // namespace optipod::http
