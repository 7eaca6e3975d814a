// SPDX-License-Identifier: Apache-2.0
//
// Lists of shared things of which most are alike, such as the lines of thousands of pages that
// differ in a node's name: each is kept as one that was there before, and what it has instead.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace optipod::aggregator {

/// Immutable; holds what is in it. By default nothing.
template <class T>
class AlikeList {
 public:
  [[nodiscard]] std::size_t size() const { return like_ ? like_->size() : 0; }
  [[nodiscard]] bool empty() const { return size() == 0; }
  /// `i` is below size().
  [[nodiscard]] const std::shared_ptr<const T>& operator[](std::size_t i) const {
    const auto at = std::partition_point(own_.begin(), own_.end(),
                                         [i](const auto& own) { return own.first < i; });
    return at != own_.end() && at->first == i ? at->second : (*like_)[i];
  }

 private:
  template <class>
  friend class AlikeLists;
  std::shared_ptr<const std::vector<std::shared_ptr<const T>>> like_;
  std::vector<std::pair<std::uint32_t, std::shared_ptr<const T>>> own_;  ///< by place
};

/// Knows what was there before, as long as somebody holds it. Thread-safe; what it gave out may
/// outlive it.
template <class T>
class AlikeLists {
 public:
  /// Things are alike when they are the same: InternPool makes them so.
  AlikeList<T> keep(std::vector<std::shared_ptr<const T>> items) {
    const std::lock_guard lock(mutex_);
    std::erase_if(known_, [](const auto& known) { return known.expired(); });
    AlikeList<T> kept;
    for (const auto& known : known_) {
      kept.like_ = known.lock();
      if (!kept.like_ || kept.like_->size() != items.size()) continue;
      kept.own_.clear();
      for (std::uint32_t i = 0; i < items.size(); ++i) {
        if ((*kept.like_)[i] != items[i]) kept.own_.emplace_back(i, items[i]);
      }
      if (kept.own_.size() > items.size() / 4) continue;
      kept.own_.shrink_to_fit();
      return kept;
    }
    items.shrink_to_fit();
    kept.like_ = std::make_shared<const std::vector<std::shared_ptr<const T>>>(std::move(items));
    kept.own_ = {};
    if (known_.size() >= kMostKnown) known_.erase(known_.begin());
    known_.push_back(kept.like_);
    return kept;
  }

 private:
  static constexpr std::size_t kMostKnown = 16;  ///< kinds of lists
  std::mutex mutex_;
  std::vector<std::weak_ptr<const std::vector<std::shared_ptr<const T>>>> known_;
};

}  // namespace optipod::aggregator
