// SPDX-License-Identifier: Apache-2.0
//
// Reading a page again: between two scrapes of a target usually only values move. What stands
// between them is learnt once; from then on it is compared, and only numbers are parsed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "common/text/parse.hpp"

namespace optipod::text {

/// Stands for "no explicit timestamp"; a body cannot hold it, since its timestamps are digits.
inline constexpr std::int64_t kNoTimestamp = std::numeric_limits<std::int64_t>::min();

/// The bytes between the values (and explicit timestamps) of a body. Immutable, so any thread may
/// read it, and targets whose pages differ only in values can share it. One block of memory: the
/// bytes, and 4 more for each value and timestamp.
class Skeleton {
 public:
  /// Parses `body` as parse() does, telling `sink` the same, and keeps what lies between the
  /// values.
  static tl::expected<std::shared_ptr<const Skeleton>, ParseError> learn(std::string_view body,
                                                                         ParseSink& sink);

  [[nodiscard]] std::size_t samples() const { return samples_; }
  [[nodiscard]] bool has_timestamps() const { return tokens_ != samples_; }  ///< any sample
  [[nodiscard]] std::size_t bytes() const;  ///< memory that it takes

  /// Reads a body that has the same bytes between its values: values and timestamps (kNoTimestamp
  /// where a sample has none) in the body's order; both spans have samples() places. Without
  /// has_timestamps(), `timestamps_ms` may also be empty. False: other bytes between, or no number
  /// where one must stand, or spans of another size. Then the spans hold anything, and parse() has
  /// to say whether the body is good. What this accepts, parse() accepts with the same samples.
  bool replay(std::string_view body, std::span<double> values,
              std::span<std::int64_t> timestamps_ms) const;

  /// The same in pieces that begin with a family: pages of which a line differs have the others in
  /// common. Each has `least_bytes`, but for the last. A piece is a skeleton, of a part of the
  /// body.
  [[nodiscard]] std::vector<std::shared_ptr<const Skeleton>> pieces(std::size_t least_bytes) const;

  /// replay() of a body's part that begins at `p`: returns where it ends, null instead of false.
  /// Of `timestamps_ms`, only those of samples that have one are written.
  const char* replay_part(const char* p, const char* end, std::span<double> values,
                          std::span<std::int64_t> timestamps_ms) const;

  [[nodiscard]] std::uint64_t hash() const { return hash_; }  ///< of what == compares
  friend bool operator==(const Skeleton& a, const Skeleton& b);

 private:
  /// Bytes before a value or timestamp, with kTimestamp set when it is one.
  using Gap = std::uint32_t;
  static constexpr Gap kTimestamp = 1U << 31;

  Skeleton(std::size_t samples, std::size_t tokens, std::size_t bytes)
      : samples_(samples), tokens_(tokens), bytes_(bytes) {}
  [[nodiscard]] const Gap* gaps() const { return reinterpret_cast<const Gap*>(this + 1); }
  static std::shared_ptr<Skeleton> make(std::size_t samples, std::size_t tokens, std::size_t bytes);
  /// Gaps [from, to), whose text begins at `text`, and `bytes` of it.
  [[nodiscard]] std::shared_ptr<const Skeleton> part(std::size_t from, std::size_t to,
                                                     const char* text, std::size_t bytes) const;
  [[nodiscard]] Gap* gaps() { return reinterpret_cast<Gap*>(this + 1); }
  [[nodiscard]] char* text() { return reinterpret_cast<char*>(gaps() + tokens_); }
  /// After gaps and text are there.
  void finish();
  [[nodiscard]] std::string_view content() const;  ///< gaps and text
  [[nodiscard]] const char* text() const { return reinterpret_cast<const char*>(gaps() + tokens_); }

  std::size_t samples_, tokens_, bytes_;
  /// False when a value follows its name at once, as in `a+1`: with another value, `a1`, it would
  /// be a part of the name.
  bool replayable_ = true;
  std::uint64_t hash_ = 0;
};

}  // namespace optipod::text
