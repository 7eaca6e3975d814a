// SPDX-License-Identifier: Apache-2.0
//
// Counters of rare events: one array of words per slot, to which any CPU adds atomically.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>

#include "agent/profiler/kernel.hpp"
#include "agent/profiler/kernel/mapping.hpp"
#include "bpf/shared.h"

namespace optipod::agent::kernel {

/// `Counters` is a struct of 64-bit words only.
template <typename Counters>
class SlotWords {
 public:
  static constexpr std::size_t kWords = sizeof(Counters) / sizeof(std::uint64_t);

  static tl::expected<SlotWords, std::string> open(int map_fd, std::size_t slots) {
    auto memory = Mapping<Words>::open(map_fd, slots, true);
    if (!memory) return tl::unexpected(memory.error());
    SlotWords result;
    result.memory_ = std::move(*memory);
    return result;
  }

  [[nodiscard]] Counters read(Slot slot) const {
    Words words;
    for (std::size_t i = 0; i < kWords; ++i)
      words.word[i] = load_word(memory_.values()[slot].word[i]);
    Counters counters;
    std::memcpy(&counters, &words, sizeof counters);
    return counters;
  }

  /// Takes off what was counted so far, never sets: more may come in meanwhile.
  void reset(Slot slot) {
    for (bpf::U64& word : memory_.values()[slot].word)
      std::atomic_ref(word).fetch_sub(load_word(word), std::memory_order_relaxed);
  }

 private:
  struct Words {
    bpf::U64 word[kWords];
  };
  Mapping<Words> memory_;
};

inline void add_histogram(const bpf::HistogramWords& from, shm::Histogram& to) {
  for (std::size_t i = 0; i < shm::kHistogramBuckets; ++i) to.bucket[i] += from.bucket[i];
  to.sum_ns += from.sum_ns;
}

}  // namespace optipod::agent::kernel
