// SPDX-License-Identifier: Apache-2.0
#include <block.skel.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <utility>

#include "agent/profiler/kernel/mapping.hpp"
#include "agent/profiler/kernel/object.hpp"
#include "agent/profiler/kernel/programs.hpp"

namespace optipod::agent::kernel {

static_assert(sizeof(bpf::HistogramWords) == sizeof(shm::Histogram));
static_assert(offsetof(bpf::HistogramWords, sum_ns) == offsetof(shm::Histogram, sum_ns));
static_assert(std::size_t{bpf::kBuckets} == shm::kHistogramBuckets);
static_assert(std::size_t{bpf::kOperationCount} == shm::kOperations);
static_assert(offsetof(bpf::BlockSlot, bytes) == offsetof(shm::BlockStats, bytes));

struct BlockPrograms::State {
  Object<block_bpf, block_bpf__destroy> object;
  Mapping<bpf::BlockSlot> slots;
  std::uint32_t slot_count = 2;
  std::uint32_t shards = 1;

  /// Devices come after the slots.
  [[nodiscard]] std::span<bpf::BlockSlot> shards_of(std::size_t slot) const {
    return slots.values().subspan(slot * shards, shards);
  }
  void add(std::size_t slot, shm::BlockStats& sum) const {
    std::uint64_t started[shm::kOperations]{};
    std::uint64_t finished[shm::kOperations]{};
    for (const bpf::BlockSlot& one : shards_of(slot)) {
      for (std::size_t op = 0; op < shm::kOperations; ++op) {
        for (std::size_t i = 0; i < shm::kHistogramBuckets; ++i)
          sum.latency[op].bucket[i] += load_word(one.latency[op].bucket[i]);
        sum.latency[op].sum_ns += load_word(one.latency[op].sum_ns);
        sum.bytes[op] += load_word(one.bytes[op]);
        finished[op] += load_word(one.finished[op]);
        started[op] += load_word(one.started[op]);
      }
    }
    for (std::size_t op = 0; op < shm::kOperations; ++op) {
      // Shards are read one after another while they change: a moment's negative is zero.
      const auto inflight = static_cast<std::int64_t>(started[op] - finished[op]);
      sum.inflight[op] += static_cast<std::uint64_t>(std::max<std::int64_t>(0, inflight));
    }
  }
};

namespace {

/// What ends a request before what begins one: a request that was seen to begin and not to end
/// would be remembered, and the next at its address be taken for it. False with errno.
bool attach(block_bpf* object) {
  const std::pair<bpf_program*, bpf_link**> beginning[] = {
      {object->progs.io_start, &object->links.io_start},
      {object->progs.rq_insert, &object->links.rq_insert},
      {object->progs.rq_issue, &object->links.rq_issue}};
  for (const auto& [program, link] : beginning) bpf_program__set_autoattach(program, false);
  if (block_bpf__attach(object) != 0) return false;
  for (const auto& [program, link] : beginning) {
    if (!bpf_program__autoload(program)) continue;
    *link = bpf_program__attach(program);
    if (*link == nullptr) return false;
  }
  return true;
}

}  // namespace

tl::expected<BlockPrograms, std::string> BlockPrograms::load(const Plan& plan,
                                                             const Layout& layout) {
  auto state = std::make_unique<State>();
  state->object.reset(block_bpf__open());
  block_bpf* object = state->object.get();
  if (object == nullptr) return tl::unexpected(error("opening block.bpf.o"));
  state->slot_count = layout.slots;
  state->shards = std::min<std::uint32_t>(bpf::kBlockShards, std::bit_ceil(layout.possible_cpus));
  auto& config = *object->rodata;
  set_layout(config, layout);
  config.shard_mask = state->shards - 1;
  config.charge_bio = plan.charge_bio;
  config.end_at_done = plan.block == Plan::BlockStart::kIoStart;
  config.queue_argument = plan.block_rq_queue_first;
  config.whole_machine = layout.root_level == 0;
  const bool by_start = plan.block == Plan::BlockStart::kIoStart;
  bpf_program__set_autoload(object->progs.io_start, by_start);
  bpf_program__set_autoload(object->progs.io_done, by_start);
  bpf_program__set_autoload(object->progs.rq_insert, plan.block == Plan::BlockStart::kInsert);
  bpf_program__set_autoload(object->progs.rq_issue, !by_start);
  bpf_program__set_autoload(object->progs.rq_requeue, !by_start);
  bpf_program__set_autoload(object->progs.rq_merge, plan.block_merge);
  const std::uint32_t count = (layout.slots + bpf::kMaxDevices) * state->shards;
  bpf_map__set_max_entries(object->maps.block_slots, count);
  bpf_map__set_max_entries(object->maps.slot_table, 1u << layout.table_bits);
  if (bpf_map__reuse_fd(object->maps.slot_table, layout.table_fd) != 0)
    return tl::unexpected(error("preparing block.bpf.o"));
  if (block_bpf__load(object) != 0) return tl::unexpected(error("loading block.bpf.o"));
  auto slots = Mapping<bpf::BlockSlot>::open(bpf_map__fd(object->maps.block_slots), count, true);
  if (!slots) return tl::unexpected(slots.error());
  state->slots = std::move(*slots);
  if (!attach(object)) return tl::unexpected(error("attaching block.bpf.o"));
  return BlockPrograms(std::move(state));
}

BlockPrograms::BlockPrograms(std::unique_ptr<State> state) : state_(std::move(state)) {}
BlockPrograms::BlockPrograms(BlockPrograms&&) noexcept = default;
BlockPrograms& BlockPrograms::operator=(BlockPrograms&&) noexcept = default;
BlockPrograms::~BlockPrograms() = default;

void BlockPrograms::add(Slot slot, shm::BlockStats& sum) const {
  state_->add(slot, sum);
}

void BlockPrograms::reset(Slot slot) {
  // Everything is taken off by what was read, never set: completions may come in meanwhile.
  const auto take = [](bpf::U64& word) {
    const std::uint64_t seen = load_word(word);
    std::atomic_ref(word).fetch_sub(seen, std::memory_order_relaxed);
    return seen;
  };
  const auto shards = state_->shards_of(slot);
  for (std::size_t op = 0; op < shm::kOperations; ++op) {
    std::uint64_t finished = 0;
    for (bpf::BlockSlot& one : shards) {
      for (bpf::U64& bucket : one.latency[op].bucket) take(bucket);
      take(one.latency[op].sum_ns);
      take(one.bytes[op]);
      finished += take(one.finished[op]);
    }
    std::atomic_ref(shards.front().started[op]).fetch_sub(finished, std::memory_order_relaxed);
  }
}

std::vector<Device> BlockPrograms::devices() const {
  std::vector<Device> result;
  const auto& keys = state_->object->bss->device_keys;
  for (std::size_t i = 0; i < std::size(keys); ++i) {
    const std::uint64_t key = load_word(keys[i]);
    if (key == 0) break;  // taken in order
    Device device;
    device.major = static_cast<std::uint32_t>(key >> 20) & 0xfff;
    device.minor = static_cast<std::uint32_t>(key) & 0xfffff;
    state_->add(state_->slot_count + i, device.block);
    bool any = false;
    for (std::size_t op = 0; op < shm::kOperations; ++op) {
      any = any || device.block.bytes[op] != 0 || device.block.inflight[op] != 0;
      for (const std::uint64_t n : device.block.latency[op].bucket) any = any || n != 0;
    }
    if (any) result.push_back(device);
  }
  return result;
}

std::uint64_t BlockPrograms::dropped() const {
  return load_word(state_->object->bss->requests_dropped);
}

std::vector<LoadedProgram> BlockPrograms::programs() const {
  return loaded_programs(state_->object->obj);
}

}  // namespace optipod::agent::kernel
