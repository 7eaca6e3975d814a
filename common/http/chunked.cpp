// SPDX-License-Identifier: Apache-2.0
#include "common/http/chunked.hpp"

#include <algorithm>

namespace optipod::http {

bool ChunkedDecoder::size_digit(char c) {
  unsigned digit = 0;
  if (c >= '0' && c <= '9') {
    digit = static_cast<unsigned>(c - '0');
  } else if (c >= 'a' && c <= 'f') {
    digit = static_cast<unsigned>(c - 'a') + 10;
  } else if (c >= 'A' && c <= 'F') {
    digit = static_cast<unsigned>(c - 'A') + 10;
  } else {
    return false;
  }
  size_ = size_ * 16 + digit;
  return ++digits_ <= 15;  // 60 bits, cannot overflow
}

bool ChunkedDecoder::step(char c) {
  switch (state_) {
    case State::kSize:
      if (size_digit(c)) return true;
      if (digits_ == 0 || digits_ > 15) return false;
      if (c == '\r') {
        state_ = State::kSizeLf;
        return true;
      }
      state_ = State::kExtension;
      return c == ';' || c == ' ' || c == '\t';
    case State::kExtension:
      if (c == '\r') state_ = State::kSizeLf;
      return c != '\n' && ++extra_ <= kMaxExtra;
    case State::kSizeLf:
      state_ = size_ == 0 ? State::kTrailer : State::kData;
      return c == '\n';
    case State::kDataCr:
      state_ = State::kDataLf;
      return c == '\r';
    case State::kDataLf:
      state_ = State::kSize;
      size_ = 0;
      digits_ = 0;
      return c == '\n';
    case State::kTrailer:  // at the start of a line
      state_ = c == '\r' ? State::kEndLf : State::kTrailerLine;
      return c != '\n' && ++extra_ <= kMaxExtra;
    case State::kTrailerLine:
      if (c == '\r') state_ = State::kTrailerLf;
      return c != '\n' && ++extra_ <= kMaxExtra;
    case State::kTrailerLf:
      state_ = State::kTrailer;
      return c == '\n';
    case State::kEndLf:
      state_ = State::kDone;
      return c == '\n';
    case State::kData:
    case State::kDone:
      break;
  }
  return false;
}

ChunkedDecoder::Result ChunkedDecoder::feed(std::string_view input, std::size_t& used,
                                            const std::function<void(std::string_view)>& sink) {
  used = 0;
  while (used < input.size()) {
    if (state_ == State::kData) {
      const std::size_t n =
          static_cast<std::size_t>(std::min<std::uint64_t>(size_, input.size() - used));
      sink(input.substr(used, n));
      used += n;
      size_ -= n;
      if (size_ == 0) state_ = State::kDataCr;
      continue;
    }
    if (!step(input[used])) return Result::kMalformed;
    ++used;
    if (state_ == State::kDone) return Result::kDone;
    if (state_ == State::kData) {
      if (size_ > left_) return Result::kTooLarge;
      left_ -= static_cast<std::size_t>(size_);
    }
  }
  return Result::kNeedMore;
}

}  // namespace optipod::http
