// SPDX-License-Identifier: Apache-2.0
//
// Node names: found by string_view in some nanoseconds, and rendered beforehand as the prioritize
// reply needs them. Immutable, so that snapshots of an unchanged set of nodes share one.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace optipod::extender {

class NodeTable {
 public:
  static constexpr std::uint32_t kUnknown = UINT32_MAX;

  NodeTable() = default;
  /// Names must be distinct; their order is the rows' order.
  explicit NodeTable(std::span<const std::string> names);
  // Views into own text.
  NodeTable(const NodeTable&) = delete;
  NodeTable& operator=(const NodeTable&) = delete;

  [[nodiscard]] std::size_t size() const { return names_.size(); }
  /// Another for each table that was ever made (0: the empty default), unlike its address.
  [[nodiscard]] std::uint64_t id() const { return id_; }
  [[nodiscard]] std::string_view name(std::uint32_t row) const {
    return names_[row].of(name_text_);
  }
  /// `{"Host":"<name>","Score":`
  [[nodiscard]] std::string_view host_piece(std::uint32_t row) const {
    return pieces_[row].of(piece_text_);
  }

  /// Whether that row has this name; false for what is no row.
  [[nodiscard]] bool is(std::uint32_t row, std::string_view wanted) const {
    return row < names_.size() && same(name(row), wanted);
  }
  /// Row or kUnknown. `hint`, a row that it probably is, is tried first.
  [[nodiscard]] std::uint32_t find(std::string_view wanted, std::uint32_t hint = kUnknown) const {
    return is(hint, wanted) ? hint : look_up(wanted);
  }
  /// For is() and a name that is asked for soon; nothing for what is no row.
  void prefetch_name(std::uint32_t row) const {
    if (row < names_.size()) __builtin_prefetch(name_text_.data() + names_[row].at);
  }

 private:
  /// a == b, inline: of thousands of short names in a request most are compared once.
  static bool same(std::string_view a, std::string_view b) {
    if (a.size() != b.size()) return false;
    if (a.size() < kWord) return a == b;
    const auto differ = [a, b](std::size_t at) { return word(a, at) ^ word(b, at); };
    const std::size_t end = a.size();
    if (end >= 2 * kWord && end <= 4 * kWord) {  // most names: four words that cover it
      return (differ(0) | differ(kWord) | differ(end - 2 * kWord) | differ(end - kWord)) == 0;
    }
    std::size_t at = 0;
    for (const std::size_t last = end - kWord; at < last; at += kWord) {
      if (differ(at) != 0) return false;
    }
    return differ(end - kWord) == 0;  // overlaps the one before
  }
  static constexpr std::size_t kWord = sizeof(std::uint64_t);
  static std::uint64_t word(std::string_view text, std::size_t at) {
    std::uint64_t w = 0;
    std::memcpy(&w, text.data() + at, kWord);
    return w;
  }
  [[nodiscard]] std::uint32_t look_up(std::string_view wanted) const;

  struct Place {
    std::uint32_t at = 0, size = 0;
    [[nodiscard]] std::string_view of(const std::string& text) const {
      return {text.data() + at, size};
    }
  };
  struct Slot {
    std::uint32_t tag = 0;
    std::uint32_t row = kUnknown;
  };

  // [row]. Apart, because a request's names are all compared and only some are in the reply: the
  // names of 5,000 nodes then stay in a CPU's own cache.
  std::string name_text_, piece_text_;
  std::vector<Place> names_, pieces_;
  std::vector<Slot> slots_;  // open addressing, at most half full, size a power of two
  std::size_t mask_ = 0;
  std::uint64_t id_ = 0;
};

}  // namespace optipod::extender
