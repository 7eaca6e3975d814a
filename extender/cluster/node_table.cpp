// SPDX-License-Identifier: Apache-2.0
#include "extender/cluster/node_table.hpp"

#include <atomic>
#include <bit>
#include <cstring>
#include <functional>

#include "extender/wire/json_text.hpp"

namespace optipod::extender {

NodeTable::NodeTable(std::span<const std::string> names) {
  static std::atomic<std::uint64_t> made{0};
  id_ = made.fetch_add(1, std::memory_order_relaxed) + 1;
  names_.reserve(names.size());
  pieces_.reserve(names.size());
  const auto place = [](std::size_t from, const std::string& text) {
    return Place{static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(text.size() - from)};
  };
  for (const std::string& name : names) {
    const std::size_t name_at = name_text_.size(), piece_at = piece_text_.size();
    name_text_ += name;
    names_.push_back(place(name_at, name_text_));
    piece_text_ += R"({"Host":)";
    wire::append_string(piece_text_, name);
    piece_text_ += R"(,"Score":)";
    pieces_.push_back(place(piece_at, piece_text_));
  }
  slots_.resize(std::bit_ceil(names.size() * 2 + 1));
  mask_ = slots_.size() - 1;
  for (std::uint32_t row = 0; row < names_.size(); ++row) {
    const std::size_t hash = std::hash<std::string_view>{}(name(row));
    std::size_t at = hash & mask_;
    while (slots_[at].row != kUnknown) at = (at + 1) & mask_;
    slots_[at] = {static_cast<std::uint32_t>(hash >> 32), row};
  }
}

std::uint32_t NodeTable::look_up(std::string_view wanted) const {
  if (slots_.empty()) return kUnknown;
  const std::size_t hash = std::hash<std::string_view>{}(wanted);
  const auto tag = static_cast<std::uint32_t>(hash >> 32);
  for (std::size_t at = hash & mask_; slots_[at].row != kUnknown; at = (at + 1) & mask_) {
    if (slots_[at].tag == tag && name(slots_[at].row) == wanted) return slots_[at].row;
  }
  return kUnknown;
}

}  // namespace optipod::extender
