// SPDX-License-Identifier: Apache-2.0
#include "aggregator/scrape_report.hpp"

#include <utility>

namespace optipod::aggregator {
namespace {

std::shared_ptr<const Schema> make_schema(bool extra) {
  SchemaBuilder builder;
  for (const char* name : {"up", "scrape_duration_seconds", "scrape_samples_scraped",
                           "scrape_samples_post_metric_relabeling", "scrape_series_added"}) {
    builder.add(name, {});
  }
  if (extra) {
    for (const char* name :
         {"scrape_timeout_seconds", "scrape_sample_limit", "scrape_body_size_bytes"}) {
      builder.add(name, {});
    }
  }
  return builder.finish().value_or(nullptr);  // cannot fail: names differ
}

}  // namespace

ScrapeReport::ScrapeReport(std::shared_ptr<const LabelSet> labels,
                           std::chrono::milliseconds timeout, std::size_t max_samples, bool extra)
    : labels_(std::move(labels)) {
  if (!extra) return;
  extra_ = {std::chrono::duration<double>(timeout).count(), static_cast<double>(max_samples)};
}

SeriesSet ScrapeReport::make(const TargetView& view, std::size_t added, double body) const {
  static const std::shared_ptr<const Schema> kPlain = make_schema(false);
  static const std::shared_ptr<const Schema> kWithExtra = make_schema(true);
  const auto samples = static_cast<double>(view.samples);
  SeriesSet set{.schema = extra_.empty() ? kPlain : kWithExtra,
                .values = {view.up ? 1.0 : 0.0, view.duration_seconds, samples, samples,
                           static_cast<double>(added)},
                .scraped_ms = view.scraped_ms,
                .measured_ms = 0,
                .own_ms = {},
                .max_age_ms = {},
                .labels = labels_};
  if (!extra_.empty()) {
    set.values.insert(set.values.end(), extra_.begin(), extra_.end());
    set.values.push_back(body);
  }
  return set;
}

}  // namespace optipod::aggregator
