// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/scrape_peer.hpp"

#include <cstdint>
#include <string_view>

#include <prometheus/text_serializer.h>

#include "common/text/number.hpp"
#include "common/text/parse.hpp"

namespace optipod::bench {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricType;

bool take_off(std::string_view& name, std::string_view suffix) {
  if (!name.ends_with(suffix)) return false;
  name.remove_suffix(suffix.size());
  return true;
}

class Families : public text::ParseSink {
 public:
  std::vector<prometheus::MetricFamily> made;

  void help(std::string_view, std::string_view help) override { help_ = help; }
  void type(std::string_view family, text::MetricType type) override {
    made.push_back({.name = std::string(family), .help = help_, .type = MetricType::Gauge});
    if (type == text::MetricType::kCounter) made.back().type = MetricType::Counter;
    if (type == text::MetricType::kHistogram) made.back().type = MetricType::Histogram;
  }
  void sample(const text::Sample& sample) override {
    std::vector<ClientMetric::Label> labels;
    for (const auto& label : *sample.labels) {
      if (label.name == "le") continue;
      labels.push_back({std::string(label.name), std::string(label.value)});
    }
    auto& metrics = made.back().metric;
    if (metrics.empty() || metrics.back().label != labels) {
      metrics.emplace_back().label = std::move(labels);
    }
    set(metrics.back(), sample);
  }

 private:
  void set(ClientMetric& metric, const text::Sample& sample) const {
    std::string_view name = sample.name;
    const auto count = static_cast<std::uint64_t>(sample.value);
    if (made.back().type == MetricType::Counter) {
      metric.counter.value = sample.value;
    } else if (made.back().type == MetricType::Gauge) {
      metric.gauge.value = sample.value;
    } else if (take_off(name, "_sum")) {
      metric.histogram.sample_sum = sample.value;
    } else if (take_off(name, "_count")) {
      metric.histogram.sample_count = count;
    } else {
      const double bound = text::parse_number(sample.label("le")).value_or(0);
      metric.histogram.bucket.push_back({.cumulative_count = count, .upper_bound = bound});
    }
  }

  std::string help_;
};

}  // namespace

std::vector<prometheus::MetricFamily> as_families(const std::string& page) {
  Families families;
  if (!text::parse(page, families)) families.made.clear();
  return std::move(families.made);
}

std::string serialize(const std::vector<prometheus::MetricFamily>& families) {
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace optipod::bench
