// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

namespace optipod::http {

/// Decodes a chunked body (RFC 9112 §7.1) as its bytes come, in any pieces. Keeps no bytes itself.
/// Strict: hexadecimal sizes only, CRLF only. Extensions and trailers are skipped, and bounded.
class ChunkedDecoder {
 public:
  enum class Result { kNeedMore, kDone, kMalformed, kTooLarge };

  /// `max_body` bounds the decoded bytes, and refuses a chunk when its size is announced.
  explicit ChunkedDecoder(std::size_t max_body) : left_(max_body) {}

  /// Consumes `input` (all of it, unless done or wrong) and gives `sink` the decoded bytes.
  /// `used`: how much of the input belonged to this body.
  Result feed(std::string_view input, std::size_t& used,
              const std::function<void(std::string_view)>& sink);

 private:
  enum class State {
    kSize,
    kExtension,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kTrailer,
    kTrailerLine,
    kTrailerLf,
    kEndLf,
    kDone
  };
  bool step(char c);  ///< false when malformed
  bool size_digit(char c);

  static constexpr std::size_t kMaxExtra = 16 * 1024;  ///< extensions and trailers together

  State state_ = State::kSize;
  std::uint64_t size_ = 0;  ///< of the chunk: announced, then what is left of it
  int digits_ = 0;
  std::size_t left_;
  std::size_t extra_ = 0;
};

}  // namespace optipod::http
