// SPDX-License-Identifier: Apache-2.0
#include "common/http/request_reader.hpp"

#include <algorithm>
#include <string_view>

#include "common/http/percent.hpp"

namespace optipod::http {
namespace {

constexpr std::size_t kReadSize = 16 * 1024;    ///< room behind the longest head
constexpr std::size_t kFirstBody = 64 * 1024;   ///< granted to a Content-Length unseen
constexpr std::size_t kKeepBody = 1024 * 1024;  ///< larger ones are freed after each request
constexpr std::size_t kSmallBody = 64 * 1024;   ///< larger ones are freed when idle for long

}  // namespace

RequestReader::RequestReader(std::size_t max_head_bytes, std::size_t max_body_bytes)
    : max_head_(max_head_bytes), max_body_(max_body_bytes) {
  request_.header = [this](std::string_view name) { return head_.field(name); };
}

void RequestReader::begin() {
  phase_ = Phase::kHead;
  searched_ = 0;
  if (body_.capacity() > kKeepBody) body_.release();
  in_.reserve(max_head_ + kReadSize);
}

/// A sized body goes straight into its place. Its memory follows what has really come, at twice the
/// pace.
std::span<char> RequestReader::room() {
  if (phase_ != Phase::kSizedBody) return {in_.end(), in_.room()};
  const std::size_t size = static_cast<std::size_t>(*head_.content_length);
  if (body_.room() == 0) body_.reserve(std::min(size, body_.size() * 2));
  return {body_.end(), std::min(body_.room(), size - body_.size())};
}

RequestReader::Step RequestReader::commit(std::size_t n) {
  if (phase_ == Phase::kSizedBody) return take_sized_body(n);
  in_.commit(n);
  return phase_ == Phase::kHead ? search_head() : feed_chunks();
}

RequestReader::Step RequestReader::fail(unsigned status) {
  status_ = status;
  chunks_.reset();
  return Step::kFailed;
}

RequestReader::Step RequestReader::search_head() {
  // An empty line before a request is forgiven: some clients end a body with one.
  std::size_t blank = 0;
  while (blank + 1 < in_.size() && in_.data()[blank] == '\r' && in_.data()[blank + 1] == '\n') {
    blank += 2;
  }
  if (blank > 0) {
    in_.consume(blank);
    searched_ = 0;
  }
  const std::size_t length = head_length(in_.view(), searched_);
  if (length == std::string_view::npos) {
    if (in_.size() >= max_head_) return fail(431);
    searched_ = in_.size();
    return Step::kMore;
  }
  return length > max_head_ ? fail(431) : take_head(length);
}

RequestReader::Step RequestReader::take_head(std::size_t length) {
  head_size_ = length;
  if (!parse_request_head(in_.view().substr(0, length), head_)) return fail(400);
  if (!split_target()) return fail(400);
  return begin_body();
}

bool RequestReader::split_target() {
  std::string_view target = head_.target;
  if (!target.starts_with('/')) {  // http://host/path, as sent to a proxy
    const std::size_t scheme = target.find("://");
    if (scheme == std::string_view::npos) return false;
    const std::size_t path = target.find('/', scheme + 3);
    target = path == std::string_view::npos ? "/" : target.substr(path);
  }
  target = target.substr(0, target.find('#'));
  const std::size_t question = target.find('?');
  const bool has_query = question != std::string_view::npos;
  request_.query = has_query ? target.substr(question + 1) : std::string_view{};
  const std::string_view path = target.substr(0, question);
  if (path.find('%') == std::string_view::npos) {
    request_.path = path;
    return true;
  }
  path_.clear();
  if (!percent_decode(path, false, path_)) return false;
  request_.path = path_;
  return true;
}

RequestReader::Step RequestReader::begin_body() {
  body_.clear();
  body_.reserve(1);
  const std::string_view behind = in_.view().substr(head_size_);
  if (head_.chunked) {
    phase_ = Phase::kChunkedBody;
    chunks_.emplace(max_body_);
    return behind.empty() ? continue_or_more(true) : feed_chunks();
  }
  const std::uint64_t length = head_.content_length.value_or(0);
  if (length > max_body_) return fail(413);
  const std::size_t size = static_cast<std::size_t>(length);
  const std::size_t here = std::min(size, behind.size());
  body_.reserve(std::min(size, std::max(kFirstBody, here)));
  body_.append(behind.substr(0, here));
  if (here == size) return complete(head_size_ + here);
  phase_ = Phase::kSizedBody;
  in_.truncate(head_size_);
  return continue_or_more(here == 0);
}

/// A peer with a large body asks first.
RequestReader::Step RequestReader::continue_or_more(bool nothing_came) {
  const bool asks = nothing_came && list_has_token(head_.field("Expect"), "100-continue");
  return asks ? Step::kContinue : Step::kMore;
}

RequestReader::Step RequestReader::take_sized_body(std::size_t n) {
  body_.commit(n);
  return body_.size() < *head_.content_length ? Step::kMore : complete(head_size_);
}

RequestReader::Step RequestReader::feed_chunks() {
  std::size_t used = 0;
  const auto result = chunks_->feed(in_.view().substr(head_size_), used,
                                    [this](std::string_view piece) { body_.append(piece); });
  switch (result) {
    case ChunkedDecoder::Result::kMalformed:
      return fail(400);
    case ChunkedDecoder::Result::kTooLarge:
      return fail(413);
    case ChunkedDecoder::Result::kNeedMore:
      in_.truncate(head_size_);  // all of it was consumed
      return Step::kMore;
    case ChunkedDecoder::Result::kDone:
      break;
  }
  chunks_.reset();
  return complete(head_size_ + used);
}

RequestReader::Step RequestReader::complete(std::size_t used) {
  used_ = used;
  body_.pad();
  request_.method = head_.method;
  request_.body = body_.view();
  return Step::kComplete;
}

void RequestReader::finish() {
  in_.consume(used_);
  used_ = 0;
}

std::span<char> RequestReader::discard() {
  phase_ = Phase::kHead;
  body_.release();
  in_.clear();
  in_.reserve(kReadSize);
  return {in_.end(), in_.room()};
}

void RequestReader::release_memory() {
  if (body_.capacity() > kSmallBody) body_.release();
}

}  // namespace optipod::http
