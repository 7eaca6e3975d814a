// SPDX-License-Identifier: Apache-2.0
#include "common/text/openmetrics_family.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "common/text/number.hpp"
#include "common/text/printable.hpp"

namespace optipod::text {
namespace {

using Type = OpenMetricsType;

struct TypeInfo {
  Type type;
  std::string_view name;
  std::vector<std::string_view> suffixes;  ///< of its samples
};

const TypeInfo& info_of(Type type) {
  static const std::array<TypeInfo, 8> kInfos = {{
      {Type::kUnknown, "unknown", {""}},
      {Type::kGauge, "gauge", {""}},
      {Type::kCounter, "counter", {"_total", "_created"}},
      {Type::kHistogram, "histogram", {"_bucket", "_count", "_sum", "_created"}},
      {Type::kGaugeHistogram, "gaugehistogram", {"_bucket", "_gcount", "_gsum"}},
      {Type::kSummary, "summary", {"", "_count", "_sum", "_created"}},
      {Type::kInfo, "info", {"_info"}},
      {Type::kStateSet, "stateset", {""}},
  }};
  return kInfos[static_cast<std::size_t>(type)];
}

bool is_one_of(std::string_view s, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), s) != list.end();
}

const Label* find(const std::vector<Label>& labels, std::string_view name) {
  const auto found = std::find_if(labels.begin(), labels.end(),
                                  [&](const Label& label) { return label.name == name; });
  return found == labels.end() ? nullptr : &*found;
}

/// The labels as one string that is equal when they are equal in any order, without one of them.
std::string key_of(const std::vector<Label>& labels, std::string_view without) {
  std::vector<const Label*> sorted;
  for (const Label& label : labels) {
    if (without.empty() || label.name != without) sorted.push_back(&label);
  }
  std::sort(sorted.begin(), sorted.end(),
            [](const Label* a, const Label* b) { return a->name < b->name; });
  std::string key;
  for (const Label* label : sorted) {
    key.append(label->name).append("=").append(std::to_string(label->value.size()));
    key.append(":").append(label->value);
  }
  return key;
}

}  // namespace

std::optional<OpenMetricsType> open_metrics_type(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(Type::kStateSet); ++i) {
    if (info_of(static_cast<Type>(i)).name == name) return static_cast<Type>(i);
  }
  return std::nullopt;
}

bool OpenMetricsFamily::is_histogram() const {
  return type() == Type::kHistogram || type() == Type::kGaugeHistogram;
}

std::string OpenMetricsFamily::set_once(bool& set, const char* what) {
  if (has_samples_) return fmt::format("{} of {} behind its samples", what, name_);
  if (std::exchange(set, true)) return fmt::format("a second {} of {}", what, name_);
  return {};
}

std::string OpenMetricsFamily::set_type(OpenMetricsType type) {
  type_ = type;
  return set_once(has_type_, "TYPE");
}

std::string OpenMetricsFamily::set_unit(std::string_view unit) {
  unit_ = unit;
  if (!unit.empty() && !(name_.ends_with(unit) && name_.size() > unit.size() &&
                         name_[name_.size() - unit.size() - 1] == '_')) {
    return fmt::format("the name {} does not end in _{}, its unit", name_, printable(unit));
  }
  return set_once(has_unit_, "UNIT");
}

std::string OpenMetricsFamily::set_help() {
  return set_once(has_help_, "HELP");
}

bool OpenMetricsFamily::takes(std::string_view sample_name) const {
  if (!sample_name.starts_with(name_)) return false;
  const std::string_view suffix = sample_name.substr(name_.size());
  const auto& suffixes = info_of(type()).suffixes;
  return std::find(suffixes.begin(), suffixes.end(), suffix) != suffixes.end();
}

std::string OpenMetricsFamily::add(const OpenMetricsSample& sample) {
  const std::string_view suffix = sample.name.substr(name_.size());
  for (const auto check : {&OpenMetricsFamily::check_labels, &OpenMetricsFamily::check_value}) {
    if (std::string wrong = (this->*check)(sample, suffix); !wrong.empty()) return wrong;
  }
  if (sample.exemplar && !(is_histogram() && suffix == "_bucket") &&
      !(type() == Type::kCounter && suffix == "_total")) {
    return "an exemplar: only a counter's _total and a histogram's _bucket can have one";
  }
  if (std::string wrong = check_order(sample, suffix); !wrong.empty()) return wrong;
  has_samples_ = true;
  return is_histogram() ? add_to_histogram(sample, suffix) : std::string();
}

std::string_view OpenMetricsFamily::own_label(std::string_view suffix) const {
  if (is_histogram() && suffix == "_bucket") return "le";
  if (type() == Type::kSummary && suffix.empty()) return "quantile";
  if (type() == Type::kStateSet) return name_;
  return {};
}

std::string OpenMetricsFamily::check_labels(const OpenMetricsSample& sample,
                                            std::string_view suffix) const {
  const std::string_view needed = own_label(suffix);
  if (needed.empty()) return {};
  const Label* label = find(sample.labels, needed);
  if (label == nullptr) return fmt::format("{} without its label {}", sample.name, needed);
  if (type() == Type::kStateSet) return {};
  const std::string shown = printable(label->value);
  const auto number = parse_number(label->value);
  if (!number || std::isnan(*number))
    return fmt::format("{}=\"{}\" is not a number", needed, shown);
  if (*number == std::numeric_limits<double>::infinity() && label->value != "+Inf") {
    return fmt::format("{}=\"{}\" must be spelled +Inf", needed, shown);
  }
  if (needed == "quantile" && !(*number >= 0 && *number <= 1)) {
    return fmt::format("quantile=\"{}\" is not between 0 and 1", shown);
  }
  return {};
}

std::string OpenMetricsFamily::check_value(const OpenMetricsSample& sample,
                                           std::string_view suffix) const {
  const double value = sample.value;
  const auto must = [&](std::string_view be) {
    return fmt::format("{} is {}, and must be {}", sample.name, printable(sample.value_text), be);
  };
  if (type() == Type::kStateSet && value != 0 && value != 1) return must("0 or 1");
  if (type() == Type::kInfo && value != 1) return must("1");
  if (type() == Type::kSummary && suffix.empty() && value < 0) return must("0 or more");
  if (is_one_of(suffix, {"_total", "_sum", "_count", "_bucket", "_gcount"}) && !(value >= 0)) {
    return must("0 or more");
  }
  if (suffix == "_gsum" && std::isnan(value)) return must("a number");
  const bool counts = is_one_of(suffix, {"_count", "_bucket", "_gcount"});
  if (counts && value != std::floor(value)) return must("a whole number");
  if (counts && std::isinf(value)) return must("a whole number");
  return {};
}

/// Groups stand together, and their times do not go back.
std::string OpenMetricsFamily::check_order(const OpenMetricsSample& sample,
                                           std::string_view suffix) {
  // Metrics of an info cannot be told from points of one.
  std::string group =
      type() == Type::kInfo ? std::string() : key_of(sample.labels, own_label(suffix));
  const bool same_group = has_samples_ && group == group_;
  if (same_group) {
    if (sample.timestamp.has_value() != group_time_.has_value()) {
      return fmt::format("{} with and without timestamps in one group", name_);
    }
    if (group_time_ && *group_time_ > *sample.timestamp && type() != Type::kInfo) {
      return fmt::format("the timestamps of {} go back", name_);
    }
  } else if (!groups_.insert(group).second) {
    return fmt::format("samples of {} with the same labels do not stand together", name_);
  }
  if (!same_group || sample.timestamp != group_time_) {
    if (has_samples_ && is_histogram()) {
      if (std::string wrong = check_histogram(); !wrong.empty()) return wrong;
    }
    histogram_ = {};
    series_.clear();
  }
  group_ = std::move(group);
  group_time_ = sample.timestamp;
  std::string id(sample.name);
  id.append("{").append(key_of(sample.labels, {}));
  // With equal timestamps it may be what a coarse clock made of two.
  if (!series_.insert(std::move(id)).second && !sample.timestamp) {
    return fmt::format("{} is there twice, without timestamps", sample.name);
  }
  return {};
}

std::string OpenMetricsFamily::add_to_histogram(const OpenMetricsSample& sample,
                                                std::string_view suffix) {
  Histogram& h = histogram_;
  if (suffix == "_bucket") {
    const double bound = parse_number(find(sample.labels, "le")->value).value_or(0);
    if (h.last_bound && bound <= *h.last_bound) {
      return fmt::format("buckets of {} are not in ascending order of le", name_);
    }
    if (sample.value < h.last_value) {
      return fmt::format("a bucket of {} is below the one before: buckets are cumulative", name_);
    }
    h.negative_bound = h.negative_bound || bound < 0;
    h.last_bound = bound;
    h.last_value = sample.value;
  } else if (suffix == "_count" || suffix == "_gcount") {
    h.count = sample.value;
  } else if (suffix == "_sum" || suffix == "_gsum") {
    h.sum = true;
    h.negative_sum = sample.value < 0;
  }
  return {};
}

std::string OpenMetricsFamily::check_histogram() const {
  const Histogram& h = histogram_;
  if (h.last_bound != std::numeric_limits<double>::infinity()) {
    return fmt::format("{} has no bucket le=\"+Inf\"", name_);
  }
  if (h.count && *h.count != h.last_value) {
    return fmt::format("the count of {} is not its +Inf bucket", name_);
  }
  if (h.sum != h.count.has_value()) {
    return fmt::format("{} must have both sum and count, or none", name_);
  }
  if (type() == Type::kHistogram && h.negative_bound && h.sum) {
    return fmt::format("{} has negative buckets and so must not have a sum", name_);
  }
  if (h.negative_sum && !h.negative_bound) {
    return fmt::format("{} has a negative sum and no negative bucket", name_);
  }
  return {};
}

std::string OpenMetricsFamily::finish(std::unordered_set<std::string>& taken) {
  if (has_samples_ && is_histogram()) {
    if (std::string wrong = check_histogram(); !wrong.empty()) return wrong;
  }
  if (!unit_.empty() && (type() == Type::kInfo || type() == Type::kStateSet)) {
    return fmt::format("{} is {} and so cannot have a unit", name_, info_of(type()).name);
  }
  std::vector<std::string_view> suffixes = info_of(type()).suffixes;
  if (!suffixes.front().empty()) suffixes.emplace_back();
  for (const std::string_view suffix : suffixes) {
    std::string name = name_ + std::string(suffix);
    if (taken.contains(name)) {
      return fmt::format("{} is a name of a family before: a family's lines stand together", name);
    }
    taken.insert(std::move(name));
  }
  return {};
}

}  // namespace optipod::text
