// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

namespace optipod::http {

/// Bytes that grow without being zeroed first, with `kPadding` readable bytes behind them.
template <std::size_t kPadding>
class Buffer {
 public:
  [[nodiscard]] char* data() { return data_.get(); }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  /// Room behind the bytes: received there, then committed.
  [[nodiscard]] char* end() { return data_.get() + size_; }
  [[nodiscard]] std::size_t room() const { return capacity_ - size_; }
  [[nodiscard]] std::string_view view() const { return {data_.get(), size_}; }

  void clear() { size_ = 0; }
  void commit(std::size_t n) { size_ += n; }
  void truncate(std::size_t n) { size_ = std::min(size_, n); }
  void reserve(std::size_t n) {
    if (n <= capacity_ && data_) return;
    auto grown = std::make_unique_for_overwrite<char[]>(n + kPadding);
    if (size_ > 0) std::memcpy(grown.get(), data_.get(), size_);
    std::memset(grown.get() + n, 0, kPadding);
    data_ = std::move(grown);
    capacity_ = n;
  }
  void append(std::string_view s) {
    if (s.size() > room()) reserve(std::max(size_ + s.size(), 2 * capacity_));
    if (!s.empty()) std::memcpy(end(), s.data(), s.size());
    size_ += s.size();
  }
  /// Removes the first `n` bytes.
  void consume(std::size_t n) {
    std::memmove(data_.get(), data_.get() + n, size_ - n);
    size_ -= n;
  }
  void pad() { std::memset(end(), 0, kPadding); }
  void release() {
    data_.reset();
    size_ = capacity_ = 0;
  }

 private:
  std::unique_ptr<char[]> data_;
  std::size_t size_ = 0, capacity_ = 0;
};

}  // namespace optipod::http
