// SPDX-License-Identifier: Apache-2.0
#include "aggregator/store.hpp"

#include <utility>

namespace optipod::aggregator {

void Store::publish(std::shared_ptr<const TargetView> view) {
  Place place;
  publish(std::move(view), place);
}

void Store::publish(std::shared_ptr<const TargetView> view, Place& place) {
  const std::lock_guard lock(mutex_);
  if (place.slot_ == nullptr) place.slot_ = &views_[view->target->node];
  place.slot_->swap(view);
}  // the old view goes when `view` does, behind the lock

void Store::remove(const std::string& node) {
  std::shared_ptr<const TargetView> old;
  const std::lock_guard lock(mutex_);
  const auto at = views_.find(node);
  if (at == views_.end()) return;
  old = std::move(at->second);
  views_.erase(at);
}

Views Store::views() const {
  Views all;
  const std::lock_guard lock(mutex_);
  all.reserve(views_.size());
  for (const auto& [node, view] : views_) all.push_back(view);
  return all;
}

}  // namespace optipod::aggregator
