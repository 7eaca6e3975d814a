// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace optipod::aggregator {

/// Values as /federate writes them: finding a double's shortest digits is the most of a line, and
/// what is asked for every second may be scraped less often. Takes 32 bytes a value. Immutable.
class ValueTexts {
 public:
  static constexpr std::size_t kMost = 24;  ///< bytes of a double's text
  struct alignas(32) Text {                 ///< in one line of the CPU's cache
    char bytes[kMost];
    std::uint8_t size;
    [[nodiscard]] std::string_view view() const { return {bytes, size}; }
  };

  explicit ValueTexts(std::span<const double> values);
  /// One a value; stale() has an empty one.
  [[nodiscard]] const Text* texts() const { return texts_.data(); }

 private:
  std::vector<Text> texts_;
};

}  // namespace optipod::aggregator
