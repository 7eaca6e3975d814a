// SPDX-License-Identifier: Apache-2.0
#include "extender/cluster/asked_order.hpp"

namespace optipod::extender {
namespace {

constexpr std::uint32_t kUnknown = NodeTable::kUnknown;
constexpr std::size_t kFewest = 64;     ///< candidates; the rows of fewer are in the caches anyway
constexpr std::size_t kSubset = 16;     ///< requests in a row about known rows only: all that come
constexpr std::size_t kMostBreaks = 4;  ///< one in so many: kube-scheduler's threads take turns
constexpr std::size_t kWholeBut = 8;    ///< the order is known but for one row in so many

bool follow_one_another(std::span<const std::uint32_t> rows) {
  std::size_t breaks = 0;
  for (std::size_t i = 1; i < rows.size(); ++i) breaks += rows[i] == rows[i - 1] + 1 ? 0 : 1;
  return breaks * kMostBreaks <= rows.size();
}

}  // namespace

void AskedOrder::note(const NodeTable& table, std::span<const std::uint32_t> rows) {
  if (rows.size() < kFewest || follow_one_another(rows)) return;
  const std::lock_guard lock(mutex_);
  if (table_ != table.id()) {
    table_ = table.id();
    next_.assign(table.size(), kUnknown);
    known_ = nothing_new_ = 0;
  }
  const std::size_t before = known_;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    if (rows[i - 1] == kUnknown || rows[i] == kUnknown) continue;
    std::uint32_t& next = next_[rows[i - 1]];
    known_ += next == kUnknown ? 1 : 0;
    next = rows[i];
  }
  nothing_new_ = known_ == before ? nothing_new_ + 1 : 0;
}

std::vector<std::uint32_t> AskedOrder::take(const NodeTable& table) {
  const std::lock_guard lock(mutex_);
  if (table_ != table.id() || known_ == 0) return {};
  if (known_ + next_.size() / kWholeBut < next_.size() && nothing_new_ < kSubset) return {};
  table_ = 0;
  return chained();
}

/// Where two rows had the same next, the chain that comes first has it.
std::vector<std::uint32_t> AskedOrder::chained() const {
  std::vector<std::uint32_t> order;
  order.reserve(next_.size());
  std::vector<bool> follows(next_.size()), taken(next_.size());
  for (const std::uint32_t next : next_) {
    if (next != kUnknown) follows[next] = true;
  }
  const auto walk = [&](std::uint32_t row) {
    for (; row != kUnknown && !taken[row]; row = next_[row]) {
      taken[row] = true;
      order.push_back(row);
    }
  };
  for (std::uint32_t row = 0; row < next_.size(); ++row) {
    if (next_[row] != kUnknown && !follows[row]) walk(row);
  }
  for (std::uint32_t row = 0; row < next_.size(); ++row)
    walk(row);  // circles; what nobody asked of
  return order;
}

}  // namespace optipod::extender
