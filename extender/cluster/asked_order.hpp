// SPDX-License-Identifier: Apache-2.0
//
// In which order nodes are asked about. kube-scheduler walks them in an order of its own: any, but
// nearly the same in each request until it is started anew. Rows that are laid out in it are read
// one after the other, which the CPU foresees, and neighbours share cache lines and pages.
#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "extender/cluster/node_table.hpp"

namespace optipod::extender {

/// Thread-safe. note() waits for nobody where rows are in the order of the requests already.
class AskedOrder {
 public:
  /// A request was about these rows of the table, in this order, kUnknown among them.
  void note(const NodeTable& table, std::span<const std::uint32_t> rows);

  /// [row to be]: the row now, for every row of the table. Empty while the requests noted since the
  /// last such answer do not tell enough of another order than the table's.
  std::vector<std::uint32_t> take(const NodeTable& table);

 private:
  [[nodiscard]] std::vector<std::uint32_t> chained() const;

  std::mutex mutex_;                 // of all below
  std::uint64_t table_ = 0;          // NodeTable::id()
  std::vector<std::uint32_t> next_;  // [row]: what followed it last, or kUnknown
  std::size_t known_ = 0;            // rows whose next is known
  std::size_t nothing_new_ = 0;      // latest requests that added to none of these
};

}  // namespace optipod::extender
