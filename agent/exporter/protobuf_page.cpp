// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/protobuf_page.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>

#include "agent/exporter/text_page.hpp"
#include "common/text/number.hpp"
#include "common/text/protobuf.hpp"

namespace optipod::exporter {
namespace {

using namespace text::protobuf;

namespace histogram_field {
constexpr std::uint32_t kCount = 1, kSum = 2, kBucket = 3, kSchema = 5, kZeroThreshold = 6,
                        kZeroCount = 7, kPositiveSpan = 12, kPositiveDelta = 13;
}

constexpr int kSchema = 0;  // bounds 2^n
/// The records' buckets that stand for the native one up to 2^0: s, tasks.
constexpr std::int64_t kOneSecond = 30, kOneTask = 1;
constexpr double kZeroThreshold = 0x1p-30;

/// The double nearest to it: what a reader makes of the text.
double seconds(std::uint64_t ns) {
  constexpr std::uint64_t kExact = std::uint64_t{1} << 53;
  if (ns < kExact) return static_cast<double>(ns) / 1e9;
  std::string text;
  append_seconds(text, ns);
  return text::parse_number(text).value_or(0);
}

Type type_of(text::MetricType type) {
  if (type == text::MetricType::kCounter) return kCounterType;
  return type == text::MetricType::kHistogram ? kHistogramType : kGaugeType;
}

}  // namespace

void ProtobufPage::family(const Metric& metric) {
  end_family();
  metric_ = &metric;
}

void ProtobufPage::begin_family() {
  if (!family_.empty()) return;
  add_bytes(family_, family_field::kName, full_name(*metric_));
  add_bytes(family_, family_field::kHelp, metric_->help);
  add_integer(family_, family_field::kType, type_of(metric_->type));
}

void ProtobufPage::end_family() {
  if (family_.empty()) return;
  append_varint(out_, family_.size());
  out_.append(family_);
  family_.clear();
}

void ProtobufPage::begin_metric(std::string_view labels, const Label* more) {
  begin_family();
  one_.clear();
  value_.clear();
  add_labels(labels);
  if (more != nullptr) add_label(more->name, more->value);
}

void ProtobufPage::add_label(std::string_view name, std::string_view value) {
  inner_.clear();
  add_bytes(inner_, kFirst, name);
  add_bytes(inner_, kSecond, value);
  add_bytes(one_, metric_field::kLabel, inner_);
}

/// Undoes text::append_label.
void ProtobufPage::add_labels(std::string_view labels) {
  while (!labels.empty()) {
    const std::size_t equals = labels.find('=');
    const std::string_view name = labels.substr(0, equals);
    unescaped_.clear();
    std::size_t at = equals + 2;  // behind the quote
    for (; labels[at] != '"'; ++at) {
      if (labels[at] != '\\') {
        unescaped_.push_back(labels[at]);
        continue;
      }
      ++at;
      unescaped_.push_back(labels[at] == 'n' ? '\n' : labels[at]);
    }
    add_label(name, unescaped_);
    labels.remove_prefix(std::min(at + 2, labels.size()));  // the quote, and a comma
  }
}

void ProtobufPage::end_metric(std::uint32_t field) {
  add_bytes(one_, field, value_);
  add_bytes(family_, family_field::kMetric, one_);
}

void ProtobufPage::add_scalar(std::string_view labels, const Label* more, double value) {
  begin_metric(labels, more);
  add_double(value_, kValue, value);
  const bool counter = metric_->type == text::MetricType::kCounter;
  end_metric(counter ? metric_field::kCounter : metric_field::kGauge);
}

void ProtobufPage::sample(std::string_view labels, const Label* more, std::uint64_t value) {
  add_scalar(labels, more, static_cast<double>(value));
}

void ProtobufPage::sample_number(std::string_view labels, double value) {
  add_scalar(labels, nullptr, value);
}

void ProtobufPage::sample_seconds(std::string_view labels, const Label* more, std::uint64_t ns) {
  add_scalar(labels, more, seconds(ns));
}

void ProtobufPage::histogram(std::string_view labels, const Label* more,
                             const shm::Histogram& histogram) {
  begin_metric(labels, more);
  std::uint64_t count = 0;
  for (const std::uint64_t bucket : histogram.bucket) count += bucket;
  add_integer(value_, histogram_field::kCount, count);
  add_double(value_, histogram_field::kSum, seconds(histogram.sum_ns));
  add_bounds(histogram);
  add_native(histogram.bucket, kOneSecond);
  end_metric(metric_field::kHistogram);
}

void ProtobufPage::queue_lengths(std::string_view labels, const shm::QueueLengths& lengths) {
  begin_metric(labels, nullptr);
  const std::uint64_t count =
      std::accumulate(std::begin(lengths.looks), std::end(lengths.looks), std::uint64_t{0});
  add_integer(value_, histogram_field::kCount, count);
  add_double(value_, histogram_field::kSum, static_cast<double>(lengths.waiting));
  std::uint64_t up_to = 0;
  for (std::size_t k = 0; k + 1 < shm::kQueueBuckets; ++k)
    add_bound(up_to += lengths.looks[k], static_cast<double>(queue_bound(k)));
  add_native(lengths.looks, kOneTask);
  end_metric(metric_field::kHistogram);
}

void ProtobufPage::add_bounds(const shm::Histogram& histogram) {
  std::uint64_t count = 0;
  std::size_t next = 0;
  for (const std::size_t shown : buckets_) {
    for (; next <= shown; ++next) count += histogram.bucket[next];
    add_bound(count, seconds(1ULL << shown));
  }
}

/// Never +Inf: a reader takes the count for it.
void ProtobufPage::add_bound(std::uint64_t up_to, double bound) {
  inner_.clear();
  add_integer(inner_, kFirst, up_to);
  add_double(inner_, kSecond, bound);
  add_bytes(value_, histogram_field::kBucket, inner_);
}

/// One span from the first bucket that has something to the last.
void ProtobufPage::add_native(std::span<const std::uint64_t> buckets, std::int64_t one) {
  add_signed(value_, histogram_field::kSchema, kSchema);
  add_double(value_, histogram_field::kZeroThreshold, kZeroThreshold);
  add_integer(value_, histogram_field::kZeroCount, buckets[0]);
  std::size_t first = 1;
  std::size_t end = buckets.size();
  while (first < end && buckets[first] == 0) ++first;
  while (end > first && buckets[end - 1] == 0) --end;
  if (first == end) return;
  inner_.clear();
  add_signed(inner_, kFirst, static_cast<std::int64_t>(first) - one);
  add_integer(inner_, kSecond, end - first);
  add_bytes(value_, histogram_field::kPositiveSpan, inner_);
  std::uint64_t before = 0;
  for (std::size_t k = first; k < end; ++k) {
    // The difference of what was counted, which fits but for counts no machine lives to see.
    add_signed(value_, histogram_field::kPositiveDelta,
               static_cast<std::int64_t>(buckets[k] - before));
    before = buckets[k];
  }
}

}  // namespace optipod::exporter
