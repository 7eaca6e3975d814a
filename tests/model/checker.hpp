// SPDX-License-Identifier: Apache-2.0
//
// An exhaustive checker for one writer and readers that only load, over the C++20 memory model.
//
// Because readers never store, the writer's stores do not depend on them. So the writer runs once,
// and what remains is which store each load of a reader returns. The rules, as in the view-based
// presentations of the model (release/acquire, relaxed, fences; no consume, no seq_cst, no RMW
// here):
//
//   A view says, for each location, the oldest store that may still be read there.
//   Each store carries a view: a release store the writer's own at that time; a relaxed one the
//   writer's at its last release fence; either also its own place.
//   A load may return any store not older than the reader's view, and moves the view there. An
//   acquire load joins the store's view into the reader's at once; a relaxed one when an acquire
//   fence comes.
//
// That gives all of C++20's executions for such programs: no reader store means no cycle of
// program order and reads-from, so there is nothing out of thin air. Several readers are no further
// case: none can see another. A writer that dies is none either: what a reader can see of it is
// what it can see of a live one while it looks at older stores only.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace optipod::model {

inline constexpr std::size_t kLocations = 96;

struct View {
  std::array<std::uint8_t, kLocations> oldest{};
  void join(const View& other) {
    for (std::size_t i = 0; i < kLocations; ++i) {
      if (other.oldest[i] > oldest[i]) oldest[i] = other.oldest[i];
    }
  }
};

constexpr bool acquires(std::memory_order order) {
  return order == std::memory_order::acquire || order == std::memory_order::acq_rel;
}
constexpr bool releases(std::memory_order order) {
  return order == std::memory_order::release || order == std::memory_order::acq_rel;
}

/// Memory of `kLocations` words, what was stored in each, and one reader's path through it.
class Checker {
 public:
  Checker() {
    for (auto& history : history_) history.push_back({0, {}});
  }

  /// Word 0 of the modelled memory. Only addresses count; nothing is stored there.
  std::uint64_t* base() { return words_.data(); }

  void store(const std::uint64_t* word, std::uint64_t value, std::memory_order order) {
    const std::size_t at = location(word);
    if (history_[at].size() > 255) throw std::logic_error("too many stores to one location");
    const auto place = static_cast<std::uint8_t>(history_[at].size());
    writer_.oldest[at] = place;
    View carried = releases(order) ? writer_ : released_;
    carried.oldest[at] = place;
    history_[at].push_back({value, carried});
  }

  std::uint64_t load(const std::uint64_t* word, std::memory_order order) {
    const std::size_t at = location(word);
    const std::size_t oldest = reader_.oldest[at];
    const std::size_t place = oldest + choose(history_[at].size() - oldest);
    const Store& seen = history_[at][place];
    reader_.oldest[at] = static_cast<std::uint8_t>(place);
    pending_.join(seen.view);
    if (acquires(order)) reader_.join(seen.view);
    return seen.value;
  }

  void fence(std::memory_order order) {
    if (releases(order)) released_ = writer_;
    if (acquires(order)) reader_.join(pending_);
  }

  /// Runs `reader` once for every execution. Gives their number.
  template <class Reader>
  std::uint64_t for_all(Reader&& reader) {
    std::uint64_t executions = 0;
    choices_.clear();
    do {
      reader_ = pending_ = {};
      depth_ = 0;
      reader();
      ++executions;
    } while (next_path());
    return executions;
  }

 private:
  struct Store {
    std::uint64_t value;
    View view;
  };
  struct Choice {
    std::size_t taken, options;
  };

  std::size_t location(const std::uint64_t* word) const {
    const auto at = static_cast<std::size_t>(word - words_.data());
    if (at >= kLocations) throw std::logic_error("access outside the modelled memory");
    return at;
  }

  std::size_t choose(std::size_t options) {
    if (depth_ == choices_.size()) choices_.push_back({0, options});
    return choices_[depth_++].taken;
  }

  bool next_path() {
    while (!choices_.empty() && choices_.back().taken + 1 == choices_.back().options) {
      choices_.pop_back();
    }
    if (choices_.empty()) return false;
    ++choices_.back().taken;
    return true;
  }

  std::array<std::uint64_t, kLocations> words_{};
  std::array<std::vector<Store>, kLocations> history_;
  View writer_, released_;  // the writer's view, and the one at its last release fence
  View reader_, pending_;   // the reader's view, and what its next acquire fence adds
  std::vector<Choice> choices_;
  std::size_t depth_ = 0;
};

/// The ring's Atomics policy over a Checker.
struct ModelAtomics {
  static inline Checker* checker = nullptr;

  template <std::memory_order kOrder>
  static std::uint64_t load(const std::uint64_t* word) {
    return checker->load(word, kOrder);
  }
  template <std::memory_order kOrder>
  static void store(std::uint64_t* word, std::uint64_t value) {
    checker->store(word, value, kOrder);
  }
  template <std::memory_order kOrder>
  static void fence() {
    checker->fence(kOrder);
  }
};

}  // namespace optipod::model
