// SPDX-License-Identifier: Apache-2.0
//
// One connection's requests out of the bytes that come, without a socket: whoever has one receives
// into room(), says how much came, and is told what to do next.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "common/http/buffer.hpp"
#include "common/http/chunked.hpp"
#include "common/http/head.hpp"
#include "common/http/message.hpp"

namespace optipod::http {

/// Not thread-safe. Memory is bounded by the two limits, and grows with what has really come.
class RequestReader {
 public:
  enum class Step {
    kMore,      ///< receive into room()
    kContinue,  ///< first say "100 Continue", which the peer waits for; then as kMore
    kComplete,  ///< request() is whole
    kFailed     ///< answer status() and read nothing more
  };

  RequestReader(std::size_t max_head_bytes, std::size_t max_body_bytes);
  RequestReader(const RequestReader&) = delete;
  RequestReader& operator=(const RequestReader&) = delete;

  /// Before each request; frees what an unusual one before it needed.
  void begin();
  /// Where the next bytes go; never empty between kMore and commit().
  std::span<char> room();
  /// `n` bytes have come into room(). With 0 it looks at what came behind the request before.
  Step commit(std::size_t n);
  /// Of kFailed: 400, 413 or 431.
  [[nodiscard]] unsigned status() const { return status_; }

  /// Of kComplete: views that live until finish().
  [[nodiscard]] const Request& request() const { return request_; }
  [[nodiscard]] const Head& head() const { return head_; }
  /// Forgets the request, and keeps what came behind it.
  void finish();
  /// Whether bytes of a next request have come.
  [[nodiscard]] bool has_input() const { return in_.size() > 0; }

  /// Forgets everything; room for bytes that nobody looks at.
  std::span<char> discard();
  /// Frees large buffers. Only between requests.
  void release_memory();
  /// What the body takes, or has left allocated.
  [[nodiscard]] std::size_t body_memory() const { return body_.capacity(); }

 private:
  enum class Phase { kHead, kSizedBody, kChunkedBody };

  Step fail(unsigned status);
  Step search_head();
  Step take_head(std::size_t length);
  Step begin_body();
  Step continue_or_more(bool nothing_came);
  Step take_sized_body(std::size_t n);
  Step feed_chunks();
  Step complete(std::size_t used);
  bool split_target();

  const std::size_t max_head_, max_body_;
  Phase phase_ = Phase::kHead;
  Buffer<0> in_;  ///< head, then what follows it; never reallocated while a head is used
  std::size_t searched_ = 0;   ///< bytes of in_ known not to end the head
  std::size_t head_size_ = 0;  ///< of in_, once the head is whole
  std::size_t used_ = 0;       ///< of in_, by the request that is complete
  unsigned status_ = 0;
  Head head_;
  Buffer<kBodyPadding> body_;
  std::optional<ChunkedDecoder> chunks_;
  Request request_;
  std::string path_;  ///< decoded, when that makes a difference
};

}  // namespace optipod::http
