// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/protobuf_page.hpp"

#include <algorithm>
#include <bit>

#include "agent/exporter/text_page.hpp"
#include "common/text/number.hpp"

namespace optipod::exporter {
namespace {

// Field numbers of metrics.proto.
namespace family_field {
constexpr std::uint32_t kName = 1, kHelp = 2, kType = 3, kMetric = 4;
}
namespace metric_field {
constexpr std::uint32_t kLabel = 1, kGauge = 2, kCounter = 3, kHistogram = 7;
}
namespace histogram_field {
constexpr std::uint32_t kCount = 1, kSum = 2, kBucket = 3, kSchema = 5, kZeroThreshold = 6,
                        kZeroCount = 7, kPositiveSpan = 12, kPositiveDelta = 13;
}
constexpr std::uint32_t kFirst = 1, kSecond = 2;  // of LabelPair, Bucket, BucketSpan
constexpr std::uint32_t kValue = 1;               // of Gauge and Counter
enum Type : std::uint64_t { kCounterType = 0, kGaugeType = 1, kHistogramType = 4 };

// How a value is encoded.
constexpr std::uint32_t kVarint = 0, kFixed64 = 1, kBytes = 2;

constexpr int kSchema = 0;  // bounds 2^n
/// The record's bucket that stands for the native one up to 2^0 s.
constexpr std::int64_t kOneSecond = 30;
constexpr double kZeroThreshold = 0x1p-30;

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

void append_tag(std::string& out, std::uint32_t field, std::uint32_t kind) {
  append_varint(out, field << 3 | kind);
}

void add_integer(std::string& out, std::uint32_t field, std::uint64_t value) {
  append_tag(out, field, kVarint);
  append_varint(out, value);
}

/// sint32, sint64: small in both directions.
void add_signed(std::string& out, std::uint32_t field, std::int64_t value) {
  const auto bits = static_cast<std::uint64_t>(value);
  add_integer(out, field, bits << 1 ^ (value < 0 ? ~std::uint64_t{0} : 0));
}

void add_double(std::string& out, std::uint32_t field, double value) {
  append_tag(out, field, kFixed64);
  auto bits = std::bit_cast<std::uint64_t>(value);
  for (int i = 0; i < 8; ++i, bits >>= 8) out.push_back(static_cast<char>(bits));
}

void add_bytes(std::string& out, std::uint32_t field, std::string_view bytes) {
  append_tag(out, field, kBytes);
  append_varint(out, bytes.size());
  out.append(bytes);
}

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
  add_native(histogram);
  end_metric(metric_field::kHistogram);
}

/// Without +Inf: a reader takes the count for it.
void ProtobufPage::add_bounds(const shm::Histogram& histogram) {
  std::uint64_t count = 0;
  std::size_t next = 0;
  for (const std::size_t shown : buckets_) {
    for (; next <= shown; ++next) count += histogram.bucket[next];
    inner_.clear();
    add_integer(inner_, kFirst, count);
    add_double(inner_, kSecond, seconds(1ULL << shown));
    add_bytes(value_, histogram_field::kBucket, inner_);
  }
}

/// One span from the first bucket that has something to the last.
void ProtobufPage::add_native(const shm::Histogram& histogram) {
  add_signed(value_, histogram_field::kSchema, kSchema);
  add_double(value_, histogram_field::kZeroThreshold, kZeroThreshold);
  add_integer(value_, histogram_field::kZeroCount, histogram.bucket[0]);
  std::size_t first = 1;
  std::size_t end = shm::kHistogramBuckets;
  while (first < end && histogram.bucket[first] == 0) ++first;
  while (end > first && histogram.bucket[end - 1] == 0) --end;
  if (first == end) return;
  inner_.clear();
  add_signed(inner_, kFirst, static_cast<std::int64_t>(first) - kOneSecond);
  add_integer(inner_, kSecond, end - first);
  add_bytes(value_, histogram_field::kPositiveSpan, inner_);
  std::uint64_t before = 0;
  for (std::size_t k = first; k < end; ++k) {
    // The difference of what was counted, which fits but for counts no machine lives to see.
    add_signed(value_, histogram_field::kPositiveDelta,
               static_cast<std::int64_t>(histogram.bucket[k] - before));
    before = histogram.bucket[k];
  }
}

}  // namespace optipod::exporter
