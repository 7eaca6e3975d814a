// SPDX-License-Identifier: Apache-2.0
//
// Equal things kept once: whoever makes one that is there already gets the one that is there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

namespace optipod::aggregator {

/// T is immutable and has hash() and ==. Holds nothing alive: what nobody uses is gone at once.
/// Thread-safe; what it gave out may outlive it.
template <typename T>
class InternPool {
 public:
  /// `made`, or its equal that somebody else holds.
  std::shared_ptr<const T> intern(std::shared_ptr<const T> made) {
    const std::uint64_t hash = made->hash();
    std::vector<std::shared_ptr<const T>> others;  // let go behind the lock, which that may take
    const std::lock_guard lock(state_->mutex);
    const auto [begin, end] = state_->known.equal_range(hash);
    for (auto at = begin; at != end; ++at) {
      auto held = at->second.weak.lock();  // null: on its way out, on another thread
      if (held && *held == *made) return held;
      others.push_back(std::move(held));
    }
    const T* const object = made.get();
    std::shared_ptr<const T> shared(object, Forget{state_, hash, std::move(made)});
    state_->known.emplace(hash, Known{object, shared});
    return shared;
  }

  [[nodiscard]] std::size_t size() const {
    const std::lock_guard lock(state_->mutex);
    return state_->known.size();
  }

 private:
  struct Known {
    const T* object;
    std::weak_ptr<const T> weak;
  };
  struct State {
    std::mutex mutex;
    std::unordered_multimap<std::uint64_t, Known> known;
  };
  /// Takes the object off the list before it goes.
  struct Forget {
    std::shared_ptr<State> state;
    std::uint64_t hash;
    std::shared_ptr<const T> owner;

    void operator()(const T* object) {
      {
        const std::lock_guard lock(state->mutex);
        const auto [begin, end] = state->known.equal_range(hash);
        for (auto at = begin; at != end; ++at) {
          if (at->second.object != object) continue;
          state->known.erase(at);
          break;
        }
      }
      owner.reset();  // outside the lock: it may let go of things in other pools
    }
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace optipod::aggregator
