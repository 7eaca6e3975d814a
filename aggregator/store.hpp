// SPDX-License-Identifier: Apache-2.0
//
// The latest of every target. Each target's view is immutable and swapped as a whole, so that
// readers never hold up a scrape: they copy pointers, and read at leisure.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "aggregator/discovery.hpp"
#include "aggregator/series.hpp"

namespace optipod::aggregator {

/// What is known of one target after its last scrape. Times are Unix ms.
struct TargetView : std::enable_shared_from_this<TargetView> {
  std::shared_ptr<const Target> target;
  SeriesSet scraped;      ///< empty unless the last scrape was good
  SeriesSet report;       ///< up and its companions, of the last scrape
  SeriesSet derived;      ///< the scheduling view; outlives failed scrapes, with the ages it has
  SeriesSet pods;         ///< what each pod of the node uses; likewise
  bool up = false;        ///< the last scrape was good
  bool agent_up = false;  ///< and it said optipod_agent_up 1
  std::int64_t scraped_ms = 0;   ///< start of the last scrape
  std::int64_t measured_ms = 0;  ///< newest sample ever; 0 when there was none
  double duration_seconds = 0;
  std::size_t samples = 0;
  std::uint64_t scrapes = 0, failures = 0;
  std::string error;  ///< of the last scrape; "" when it was good
};

using Views = std::vector<std::shared_ptr<const TargetView>>;

/// Thread-safe; its lock is held for a pointer's swap, or for copying the pointers.
class Store {
 public:
  /// Where a node's view stands: what finds it without a search. For one node at a time.
  class Place {
   private:
    friend class Store;
    std::shared_ptr<const TargetView>* slot_ = nullptr;
  };

  /// Replaces the view of that node.
  void publish(std::shared_ptr<const TargetView> view);
  /// The same, found by `place`, which a call before has set, unless the node was removed since.
  void publish(std::shared_ptr<const TargetView> view, Place& place);
  void remove(const std::string& node);
  /// All views, by node name.
  [[nodiscard]] Views views() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const TargetView>> views_;
};

}  // namespace optipod::aggregator
