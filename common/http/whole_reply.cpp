// SPDX-License-Identifier: Apache-2.0
#include "common/http/whole_reply.hpp"

#include <algorithm>

namespace optipod::http {
namespace {

constexpr std::size_t kMostDigits = 15;  ///< 50 bits, cannot overflow
constexpr std::size_t kDate = sizeof "Sun, 06 Nov 1994 08:49:37 GMT" - 1;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_of_date(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == ' ' || c == ',' ||
         c == ':';
}

}  // namespace

std::optional<Fetcher::Reply> WholeReplies::take(std::string_view received,
                                                 std::size_t max_body_bytes) {
  auto begin = recognise(received);
  if (!begin) begin = parse(received);
  if (!begin || begin->body > max_body_bytes) return std::nullopt;
  const std::string_view body = received.substr(begin->head);
  if (body.size() != begin->body) return std::nullopt;
  return Fetcher::Reply{.status = status_, .content_type = content_type_, .body = body};
}

std::optional<WholeReplies::Begin> WholeReplies::recognise(std::string_view received) const {
  if (known_.empty()) return std::nullopt;
  const char* at = received.data();
  const char* const end = at + received.size();
  std::size_t from = 0;
  const auto same = [&](std::size_t to) {
    const std::size_t size = to - from;
    if (static_cast<std::size_t>(end - at) < size ||
        !std::equal(at, at + size, known_.data() + from)) {
      return false;
    }
    at += size;
    from = to;
    return true;
  };
  const auto date = [&] {
    if (!same(date_.at) || static_cast<std::size_t>(end - at) < date_.size ||
        !std::all_of(at, at + date_.size, is_of_date)) {
      return false;
    }
    at += date_.size;
    from += date_.size;
    return true;
  };
  const bool dated = date_.size > 0;
  if (dated && date_.at < length_.at && !date()) return std::nullopt;
  if (!same(length_.at)) return std::nullopt;
  Begin begin;
  std::size_t digits = 0;
  for (; at != end && is_digit(*at); ++at, ++digits) {
    if (digits == kMostDigits) return std::nullopt;
    begin.body = 10 * begin.body + static_cast<std::uint64_t>(*at - '0');
  }
  if (digits == 0) return std::nullopt;
  from += length_.size;
  if (dated && date_.at > length_.at && !date()) return std::nullopt;
  if (!same(known_.size())) return std::nullopt;
  begin.head = static_cast<std::size_t>(at - received.data());
  return begin;
}

std::optional<WholeReplies::Begin> WholeReplies::parse(std::string_view received) {
  const std::size_t length = head_length(received);
  if (length == std::string_view::npos) return std::nullopt;
  const std::string_view head = received.substr(0, length);
  if (!parse_response_head(head, head_)) return std::nullopt;
  // 1xx comes before the reply; 204 and 304 have no body, whatever they say.
  const bool plain = head_.status >= 200 && head_.status != 204 && head_.status != 304 &&
                     !head_.chunked && head_.content_length &&
                     head_.field("Content-Encoding").empty();
  if (!plain) return std::nullopt;
  const auto hole = [&](std::string_view name) {
    const std::string_view value = head_.field(name);
    return value.empty() ? Hole{}
                         : Hole{static_cast<std::size_t>(value.data() - head.data()), value.size()};
  };
  known_.assign(head);
  length_ = hole("Content-Length");
  date_ = hole("Date");
  if (date_.size != kDate) date_ = {};  // any other is compared as it is
  status_ = head_.status;
  content_type_.assign(head_.field("Content-Type"));
  keep_alive_ = head_.keep_alive;
  return Begin{length, *head_.content_length};
}

}  // namespace optipod::http
