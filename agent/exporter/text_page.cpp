// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/text_page.hpp"

#include <array>
#include <charconv>

namespace optipod::exporter {
namespace {

using Ends = std::array<std::string, shm::kHistogramBuckets>;

/// `1.024e-06"} ` and so on: the rest of a bucket line up to the number.
const Ends& bucket_ends() {
  static const Ends ends = [] {
    Ends made;
    for (std::size_t k = 0; k < made.size(); ++k) {
      text::append_number(made[k], static_cast<double>(1ULL << k) / 1e9);
      made[k].append("\"} ");
    }
    return made;
  }();
  return ends;
}

void append_integer(std::string& out, std::uint64_t value) {
  char text[24];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  out.append(text, end);
}

void append_plain(std::string& out, const Label* label) {
  if (label != nullptr) out.append(label->name).append("=\"").append(label->value).push_back('"');
}

/// The whole line's end at once: number and newline.
void end_line(std::string& out, std::uint64_t value) {
  char text[24];
  auto* end = std::to_chars(text, text + sizeof text, value).ptr;
  *end++ = '\n';
  out.append(text, end);
}

}  // namespace

void append_seconds(std::string& out, std::uint64_t ns) {
  constexpr std::uint64_t kSecond = 1'000'000'000;
  append_integer(out, ns / kSecond);
  std::uint64_t fraction = ns % kSecond;
  if (fraction == 0) return;
  std::size_t digits = 9;
  for (; fraction % 10 == 0; fraction /= 10) --digits;
  char text[10] = {'.'};
  for (std::size_t i = digits; i > 0; --i, fraction /= 10) {
    text[i] = static_cast<char>('0' + fraction % 10);
  }
  out.append(text, digits + 1);
}

void TextPage::family(const Metric& metric) {
  metric_ = &metric;
  name_.assign(prefix(metric.subject)).append(metric.name);
  begun_ = false;
}

void TextPage::resume(const Metric& metric) {
  family(metric);
  begun_ = true;
}

void TextPage::begin_family() {
  if (begun_) return;
  exposition_.family(name_, metric_->type, metric_->help, metric_->unit);
  begun_ = true;
}

void TextPage::begin_line(std::string_view suffix, std::string_view labels, const Label* more) {
  begin_family();
  out_.append(name_).append(suffix);
  if (labels.empty() && more == nullptr) {
    out_.push_back(' ');
    return;
  }
  out_.push_back('{');
  out_.append(labels);
  if (!labels.empty() && more != nullptr) out_.push_back(',');
  append_plain(out_, more);
  out_.append("} ");
}

void TextPage::sample(std::string_view labels, const Label* more, std::uint64_t value) {
  begin_line({}, labels, more);
  end_line(out_, value);
}

void TextPage::sample_number(std::string_view labels, double value) {
  begin_line({}, labels, nullptr);
  text::append_number(out_, value);
  out_.push_back('\n');
}

void TextPage::sample_seconds(std::string_view labels, const Label* more, std::uint64_t ns) {
  begin_line({}, labels, more);
  append_seconds(out_, ns);
  out_.push_back('\n');
}

void TextPage::begin_buckets(std::string_view labels, const Label* more) {
  begin_family();
  bucket_.assign(name_).append("_bucket{").append(labels);
  if (!labels.empty()) bucket_.push_back(',');
  append_plain(bucket_, more);
  if (more != nullptr) bucket_.push_back(',');
  bucket_.append("le=\"");
}

void TextPage::histogram(std::string_view labels, const Label* more,
                         const shm::Histogram& histogram) {
  begin_buckets(labels, more);
  const Ends& ends = bucket_ends();
  std::uint64_t count = 0;
  std::size_t next = 0;
  for (const std::size_t shown : buckets_) {
    for (; next <= shown; ++next) count += histogram.bucket[next];
    out_.append(bucket_).append(ends[shown]);
    end_line(out_, count);
  }
  for (; next < shm::kHistogramBuckets; ++next) count += histogram.bucket[next];
  out_.append(bucket_).append("+Inf\"} ");
  end_line(out_, count);
  begin_line("_sum", labels, more);
  append_seconds(out_, histogram.sum_ns);
  out_.push_back('\n');
  begin_line("_count", labels, more);
  end_line(out_, count);
}

void TextPage::queue_lengths(std::string_view labels, const shm::QueueLengths& lengths) {
  begin_buckets(labels, nullptr);
  std::uint64_t count = 0;
  for (std::size_t k = 0; k < shm::kQueueBuckets; ++k) {
    count += lengths.looks[k];
    out_.append(bucket_);
    if (k + 1 == shm::kQueueBuckets) {
      out_.append("+Inf");
    } else {
      append_integer(out_, queue_bound(k));
      out_.append(".0");  // as OpenMetrics has them, and Prometheus since 3.0 keeps them
    }
    out_.append("\"} ");
    end_line(out_, count);
  }
  begin_line("_sum", labels, nullptr);
  end_line(out_, lengths.waiting);
  begin_line("_count", labels, nullptr);
  end_line(out_, count);
}

}  // namespace optipod::exporter
