// SPDX-License-Identifier: Apache-2.0
#include "agent/top/history.hpp"

#include <utility>

namespace optipod::top {
namespace {

std::size_t bytes_of(const Sample& sample) {
  return sizeof(Sample) + sample.tick.containers.size() * sizeof(shm::ContainerRecord) +
         sample.tick.devices.size() * sizeof(shm::DeviceRecord) +
         sample.tick.neighbours.size() * sizeof(shm::NeighbourRecord);
}

}  // namespace

void History::add(Sample sample) {
  sample.tick.containers.shrink_to_fit();
  sample.tick.devices.shrink_to_fit();
  sample.tick.neighbours.shrink_to_fit();
  bytes_ += bytes_of(sample);
  samples_.push_back(std::make_shared<const Sample>(std::move(sample)));
  // Two stay in any case: there is nothing to show without.
  while (samples_.size() > 2 && (samples_.size() > max_samples_ || bytes_ > max_bytes_)) {
    bytes_ -= bytes_of(*samples_.front());
    samples_.pop_front();
    ++begin_;
  }
}

SamplePtr History::at(std::uint64_t number) {
  if (number < begin_ || number >= end()) return nullptr;
  return samples_[number - begin_];
}

}  // namespace optipod::top
