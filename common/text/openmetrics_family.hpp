// SPDX-License-Identifier: Apache-2.0
//
// What OpenMetrics 1.0 asks of a family: its metadata, the samples of its type, their order and
// values. Every check returns "" or what is wrong.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "common/text/openmetrics_line.hpp"

namespace optipod::text {

enum class OpenMetricsType {
  kUnknown,
  kGauge,
  kCounter,
  kHistogram,
  kGaugeHistogram,
  kSummary,
  kInfo,
  kStateSet
};
std::optional<OpenMetricsType> open_metrics_type(std::string_view name);

class OpenMetricsFamily {
 public:
  explicit OpenMetricsFamily(std::string_view name) : name_(name) {}

  [[nodiscard]] std::string_view name() const { return name_; }
  [[nodiscard]] OpenMetricsType type() const { return type_.value_or(OpenMetricsType::kUnknown); }
  std::string set_type(OpenMetricsType type);
  std::string set_unit(std::string_view unit);
  std::string set_help();

  /// Whether a sample of that name belongs here by the family's type.
  [[nodiscard]] bool takes(std::string_view sample_name) const;
  std::string add(const OpenMetricsSample& sample);
  /// All of it was added. `taken` holds the names of the families before, and gets this one's.
  std::string finish(std::unordered_set<std::string>& taken);

 private:
  /// Of one group at one time, as far as read.
  struct Histogram {
    std::optional<double> last_bound, count;
    double last_value = 0;
    bool sum = false, negative_bound = false, negative_sum = false;
  };

  std::string set_once(bool& set, const char* what);
  std::string check_labels(const OpenMetricsSample& sample, std::string_view suffix) const;
  std::string check_value(const OpenMetricsSample& sample, std::string_view suffix) const;
  std::string check_order(const OpenMetricsSample& sample, std::string_view suffix);
  std::string add_to_histogram(const OpenMetricsSample& sample, std::string_view suffix);
  [[nodiscard]] std::string check_histogram() const;
  [[nodiscard]] bool is_histogram() const;
  /// The label that tells a group's samples apart, "" for none.
  [[nodiscard]] std::string_view own_label(std::string_view suffix) const;

  std::string name_, unit_;
  std::optional<OpenMetricsType> type_;
  bool has_type_ = false, has_unit_ = false, has_help_ = false, has_samples_ = false;

  std::string group_;                 ///< the present one's labels
  std::optional<double> group_time_;  ///< of its last sample
  std::unordered_set<std::string> groups_;
  std::unordered_set<std::string> series_;  ///< of the present group and time
  Histogram histogram_;
};

}  // namespace optipod::text
