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
  rows_.reserve(names.size());
  for (const std::string& name : names) {
    Row row{};
    row.name = static_cast<std::uint32_t>(text_.size());
    row.name_size = static_cast<std::uint32_t>(name.size());
    text_ += name;
    row.piece = static_cast<std::uint32_t>(text_.size());
    text_ += R"({"Host":)";
    wire::append_string(text_, name);
    text_ += R"(,"Score":)";
    row.piece_size = static_cast<std::uint32_t>(text_.size() - row.piece);
    rows_.push_back(row);
  }
  slots_.resize(std::bit_ceil(names.size() * 2 + 1));
  mask_ = slots_.size() - 1;
  for (std::uint32_t row = 0; row < rows_.size(); ++row) {
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
