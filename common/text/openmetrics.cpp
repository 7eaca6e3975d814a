// SPDX-License-Identifier: Apache-2.0
#include "common/text/openmetrics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "common/text/openmetrics_family.hpp"
#include "common/text/openmetrics_line.hpp"
#include "common/text/printable.hpp"
#include "common/text/utf8.hpp"

namespace optipod::text {
namespace {

MetricType plain_type(OpenMetricsType type) {
  switch (type) {
    case OpenMetricsType::kGauge:
      return MetricType::kGauge;
    case OpenMetricsType::kCounter:
      return MetricType::kCounter;
    case OpenMetricsType::kHistogram:
      return MetricType::kHistogram;
    case OpenMetricsType::kSummary:
      return MetricType::kSummary;
    default:
      return MetricType::kUntyped;
  }
}

/// Whole milliseconds, as far as they fit.
std::int64_t milliseconds(double seconds) {
  constexpr double kMost = 9.2e18;
  return static_cast<std::int64_t>(std::clamp(std::floor(seconds * 1e3), -kMost, kMost));
}

class Reader {
 public:
  Reader(std::string_view body, ParseSink& sink) : body_(body), sink_(sink) {}

  tl::expected<std::size_t, ParseError> run() {
    const std::size_t valid = utf8_valid_prefix(body_);
    if (valid != body_.size()) return fail(valid, "not valid UTF-8");
    for (std::size_t p = 0; p < body_.size();) {
      const std::size_t end = std::min(body_.find('\n', p), body_.size());
      const std::string_view line = body_.substr(p, end - p);
      start_ = p;
      if (line == "# EOF") return finish(end);
      if (!read(line)) return fail(start_ + error_.at, std::move(error_.what));
      p = end + 1;
    }
    return fail(body_.size(), "the body does not end in \"# EOF\"");
  }

 private:
  [[nodiscard]] tl::unexpected<ParseError> fail(std::size_t at, std::string what) const {
    const std::string_view before = body_.substr(0, at);
    const auto lines = static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n'));
    const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
    return tl::unexpected(
        ParseError{.line = lines + 1, .column = at - line_start + 1, .what = std::move(what)});
  }
  /// False when `what` says something.
  bool good(std::size_t at, std::string what) {
    if (what.empty()) return true;
    error_ = {at, std::move(what)};
    return false;
  }

  tl::expected<std::size_t, ParseError> finish(std::size_t end) {
    if (end + 1 < body_.size()) return fail(end + 1, "text behind \"# EOF\"");
    if (!close_family()) return fail(start_ + error_.at, std::move(error_.what));
    return samples_;
  }

  bool read(std::string_view line) {
    if (line.empty()) return good(0, "a blank line; OpenMetrics has none");
    if (line[0] == '#') return metadata(line);
    const OpenMetricsSample* sample = reader_.read(line);
    if (sample == nullptr) {
      error_ = reader_.error();
      return false;
    }
    if ((!family_ || !family_->takes(sample->name)) && !open_family(sample->name)) return false;
    if (!good(0, family_->add(*sample))) return false;
    tell(*sample);
    return true;
  }

  /// `# TYPE|UNIT|HELP name text`, with single blanks.
  bool metadata(std::string_view line) {
    constexpr std::size_t kKeyword = 2;
    constexpr std::size_t kName = 7;
    const std::string_view keyword = line.substr(0, kName);
    const bool help = keyword == "# HELP ";
    const bool type = keyword == "# TYPE ";
    if (!help && !type && keyword != "# UNIT ") {
      return good(std::min(kKeyword, line.size() - 1),
                  "expected HELP, TYPE or UNIT behind \"# \"; OpenMetrics has no comments");
    }
    const std::size_t name_end = line.find(' ', kName);
    const std::string_view name = line.substr(kName, name_end - kName);
    if (name_end == std::string_view::npos || !is_metric_name(name)) {
      return good(kName, "expected a metric's name, a blank and text");
    }
    if ((!family_ || family_->name() != name) && !open_family(name)) return false;
    const std::string_view text = line.substr(name_end + 1);
    if (help) {
      sink_.help(name, unescaped(text));
      return good(0, family_->set_help());
    }
    return type ? set_type(name, text, name_end + 1) : good(name_end + 1, family_->set_unit(text));
  }

  bool set_type(std::string_view name, std::string_view text, std::size_t at) {
    const auto type = open_metrics_type(text);
    if (!type) {
      return good(at, fmt::format("\"{}\" is not a type: unknown, gauge, counter, histogram, "
                                  "gaugehistogram, summary, info or stateset",
                                  printable(text)));
    }
    sink_.type(name, plain_type(*type));
    return good(0, family_->set_type(*type));
  }

  std::string_view unescaped(std::string_view text) {
    help_.clear();
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char next = text[i] == '\\' && i + 1 < text.size() ? text[i + 1] : '\0';
      if (next == 'n' || next == '\\' || next == '"') {
        help_.push_back(next == 'n' ? '\n' : next);
        ++i;
      } else {
        help_.push_back(text[i]);
      }
    }
    return help_;
  }

  bool open_family(std::string_view name) {
    if (!close_family()) return false;
    family_.emplace(name);
    family_start_ = start_;
    return true;
  }
  /// An error is at the family's first line.
  bool close_family() {
    if (!family_ || good(0, family_->finish(taken_))) return true;
    start_ = family_start_;
    return false;
  }

  void tell(const OpenMetricsSample& from) {
    Sample sample{.name = from.name,
                  .labels = &from.labels,
                  .value = from.value,
                  .value_text = from.value_text,
                  .timestamp_text = from.timestamp_text};
    if (from.timestamp) sample.timestamp_ms = milliseconds(*from.timestamp);
    ++samples_;
    sink_.sample(sample);
  }

  std::string_view body_;
  ParseSink& sink_;
  std::size_t samples_ = 0, start_ = 0, family_start_ = 0;
  OpenMetricsLine reader_;
  std::optional<OpenMetricsFamily> family_;
  std::unordered_set<std::string> taken_;
  std::string help_;
  LineError error_;
};

}  // namespace

tl::expected<std::size_t, ParseError> parse_openmetrics(std::string_view body, ParseSink& sink) {
  return Reader(body, sink).run();
}

}  // namespace optipod::text
