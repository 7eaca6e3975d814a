// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/recording.hpp"

#include <cstring>
#include <type_traits>

namespace optipod::exporter {
namespace {

/// The next value of a recording.
template <class Value>
Value take(std::string_view& bytes) {
  static_assert(std::is_trivially_copyable_v<Value>);
  Value value;
  std::memcpy(&value, bytes.data(), sizeof value);
  bytes.remove_prefix(sizeof value);
  return value;
}

}  // namespace

void Recording::begin() {
  at_ = 0;
  differs_ = false;
}

bool Recording::end() {
  if (at_ < bytes_.size()) {
    bytes_.resize(at_);
    differs_ = true;
  }
  return differs_;
}

void Recording::put(const void* data, std::size_t size) {
  if (size == 0) return;  // labels may be at no address
  if (!differs_) {
    if (size <= bytes_.size() - at_ && std::memcmp(bytes_.data() + at_, data, size) == 0) {
      at_ += size;
      return;
    }
    differs_ = true;
    bytes_.resize(at_);
  }
  bytes_.append(static_cast<const char*>(data), size);
  at_ += size;
}

template <class Value>
void Recording::put_call(Kind kind, std::string_view labels, const Label* more,
                         const Value& value) {
  static_assert(std::has_unique_object_representations_v<Call>);
  const Call call{kind, static_cast<std::uint32_t>(labels.size()), more};
  put(&call, sizeof call);
  put(labels.data(), labels.size());
  put(&value, sizeof value);
}

void Recording::family(const Metric& metric) {
  const Call call{Kind::kFamily, 0, &metric};
  put(&call, sizeof call);
}

void Recording::sample(std::string_view labels, const Label* more, std::uint64_t value) {
  put_call(Kind::kSample, labels, more, value);
}

void Recording::sample_number(std::string_view labels, double value) {
  put_call(Kind::kNumber, labels, nullptr, value);
}

void Recording::sample_seconds(std::string_view labels, const Label* more, std::uint64_t ns) {
  put_call(Kind::kSeconds, labels, more, ns);
}

void Recording::histogram(std::string_view labels, const Label* more,
                          const shm::Histogram& histogram) {
  static_assert(std::has_unique_object_representations_v<shm::Histogram>);
  put_call(Kind::kHistogram, labels, more, histogram);
}

void Recording::queue_lengths(std::string_view labels, const shm::QueueLengths& lengths) {
  static_assert(std::has_unique_object_representations_v<shm::QueueLengths>);
  put_call(Kind::kQueueLengths, labels, nullptr, lengths);
}

void Recording::replay(Page& page) const {
  std::string_view bytes = bytes_;
  while (!bytes.empty()) {
    const Call call = take<Call>(bytes);
    const std::string_view labels = bytes.substr(0, call.labels_size);
    bytes.remove_prefix(call.labels_size);
    const auto* more = static_cast<const Label*>(call.subject);
    switch (call.kind) {
      case Kind::kFamily:
        page.family(*static_cast<const Metric*>(call.subject));
        break;
      case Kind::kSample:
        page.sample(labels, more, take<std::uint64_t>(bytes));
        break;
      case Kind::kNumber:
        page.sample_number(labels, take<double>(bytes));
        break;
      case Kind::kSeconds:
        page.sample_seconds(labels, more, take<std::uint64_t>(bytes));
        break;
      case Kind::kHistogram:
        page.histogram(labels, more, take<shm::Histogram>(bytes));
        break;
      case Kind::kQueueLengths:
        page.queue_lengths(labels, take<shm::QueueLengths>(bytes));
        break;
    }
  }
}

}  // namespace optipod::exporter
