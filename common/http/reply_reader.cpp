// SPDX-License-Identifier: Apache-2.0
#include "common/http/reply_reader.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "common/http/chunked.hpp"

namespace optipod::http {
namespace {

constexpr std::size_t kMaxHead = 64 * 1024;
constexpr std::size_t kInput = kMaxHead + 4 * 1024;
constexpr int kMostInformational = 8;

tl::unexpected<std::string> broke_off() {
  return tl::unexpected(std::string("the peer closed the connection in the body"));
}
tl::unexpected<std::string> too_long(std::size_t max) {
  return tl::unexpected(fmt::format("body is longer than {} bytes", max));
}

}  // namespace

tl::expected<std::size_t, std::string> ReplyReader::read_some(const Patience& patience) {
  in_.reserve(kInput);
  auto n = connection_.read(in_.end(), in_.room(), patience);
  if (n && *n > 0) {
    in_.commit(*n);
    received_ = true;
  }
  return n;
}

tl::expected<void, std::string> ReplyReader::read_head(const Patience& patience) {
  std::size_t searched = 0;
  for (int informational = 0; informational <= kMostInformational;) {
    const std::size_t length = head_length(in_.view(), searched);
    if (std::min(length, in_.size()) > kMaxHead) {
      return tl::unexpected(fmt::format("head is longer than {} bytes", kMaxHead));
    }
    if (length == std::string_view::npos) {
      searched = in_.size();
      const auto n = read_some(patience);
      if (!n) return tl::unexpected(n.error());
      if (*n == 0) return tl::unexpected(std::string("the peer closed the connection"));
      continue;
    }
    head_bytes_.clear();
    head_bytes_.append(in_.view().substr(0, length));
    in_.consume(length);
    searched = 0;
    head_ = Head{};
    const auto parsed = parse_response_head(head_bytes_.view(), head_);
    if (!parsed) return tl::unexpected("malformed reply: " + parsed.error());
    if (head_.status / 100 != 1) return {};
    if (head_.status == 101) break;
    ++informational;
  }
  return tl::unexpected(fmt::format("unexpected status {}", head_.status));
}

tl::expected<ReplyReader::End, std::string> ReplyReader::read_body(std::size_t max,
                                                                   const NextPatience& patience,
                                                                   const Sink& sink) {
  const std::string_view encoding = head_.field("Content-Encoding");
  if (!encoding.empty() && !equals_no_case(encoding, "identity")) {
    return tl::unexpected(std::string("reply in an encoding nobody asked for"));
  }
  const bool bodiless = head_.status == 204 || head_.status == 304;
  framed_ = bodiless || head_.chunked || head_.content_length.has_value();
  if (bodiless) return End::kComplete;
  if (head_.chunked) return read_chunked(max, patience, sink);
  if (!head_.content_length) return read_to_end(max, patience, sink);
  if (*head_.content_length > max) return too_long(max);
  return read_sized(static_cast<std::size_t>(*head_.content_length), patience, sink);
}

tl::expected<ReplyReader::End, std::string> ReplyReader::read_sized(std::size_t size,
                                                                    const NextPatience& patience,
                                                                    const Sink& sink) {
  while (size > 0) {
    if (in_.size() == 0) {
      const auto n = read_some(patience());
      if (!n) return tl::unexpected(n.error());
      if (*n == 0) return broke_off();
    }
    const std::size_t piece = std::min(size, in_.size());
    if (!sink(in_.view().substr(0, piece))) return End::kSinkHadEnough;
    in_.consume(piece);
    size -= piece;
  }
  return End::kComplete;
}

tl::expected<ReplyReader::End, std::string> ReplyReader::read_chunked(std::size_t max,
                                                                      const NextPatience& patience,
                                                                      const Sink& sink) {
  ChunkedDecoder chunks(max);
  for (;;) {
    bool wanted = true;
    std::size_t used = 0;
    const auto result = chunks.feed(in_.view(), used, [&](std::string_view piece) {
      wanted = wanted && (piece.empty() || sink(piece));
    });
    if (!wanted) return End::kSinkHadEnough;
    in_.consume(used);
    switch (result) {
      case ChunkedDecoder::Result::kDone:
        return End::kComplete;
      case ChunkedDecoder::Result::kTooLarge:
        return too_long(max);
      case ChunkedDecoder::Result::kMalformed:
        return tl::unexpected(std::string("malformed chunk in the body"));
      case ChunkedDecoder::Result::kNeedMore:
        break;
    }
    const auto n = read_some(patience());
    if (!n) return tl::unexpected(n.error());
    if (*n == 0) return broke_off();
  }
}

tl::expected<ReplyReader::End, std::string> ReplyReader::read_to_end(std::size_t max,
                                                                     const NextPatience& patience,
                                                                     const Sink& sink) {
  for (std::size_t total = 0;;) {
    if (in_.size() > max - total) return too_long(max);
    total += in_.size();
    if (in_.size() > 0 && !sink(in_.view())) return End::kSinkHadEnough;
    in_.clear();
    const auto n = read_some(patience());
    if (!n) return tl::unexpected(n.error());
    if (*n == 0) return End::kComplete;
  }
}

}  // namespace optipod::http
