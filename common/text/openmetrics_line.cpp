// SPDX-License-Identifier: Apache-2.0
#include "common/text/openmetrics_line.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "common/text/number.hpp"
#include "common/text/printable.hpp"

namespace optipod::text {
namespace {

constexpr std::size_t kExemplarCharacters = 128;

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::size_t characters(std::string_view utf8) {
  return static_cast<std::size_t>(std::count_if(utf8.begin(), utf8.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

}  // namespace

bool is_metric_name(std::string_view s) {
  return !s.empty() && !is_digit(s[0]) && std::all_of(s.begin(), s.end(), [](char c) {
    return is_letter(c) || is_digit(c) || c == ':';
  });
}

const OpenMetricsSample* OpenMetricsLine::read(std::string_view line) {
  line_ = line;
  p_ = 0;
  unescaped_.clear();
  sample_.labels.clear();
  sample_.timestamp.reset();
  sample_.timestamp_text = {};
  sample_.exemplar = false;

  p_ = std::min(line.find_first_of(" {"), line.size());
  sample_.name = line.substr(0, p_);
  if (!is_metric_name(sample_.name)) {
    p_ = 0;
    fail(fmt::format("\"{}\" is not a metric's name", printable(sample_.name)));
    return nullptr;
  }
  if (at('{') && !labels(sample_.labels)) return nullptr;
  if (!take(' ', "one blank before the value")) return nullptr;
  if (!number(sample_.value, sample_.value_text)) return nullptr;
  if (at(' ') && line.substr(p_, 2) != " #") {
    ++p_;
    if (!timestamp(sample_.timestamp, sample_.timestamp_text)) return nullptr;
  }
  if (at(' ') && !exemplar()) return nullptr;
  if (p_ == line.size()) return &sample_;
  expected("the end of the line");
  return nullptr;
}

bool OpenMetricsLine::fail(std::string what) {
  error_ = {p_, std::move(what)};
  return false;
}

bool OpenMetricsLine::expected(std::string_view what) {
  return fail(p_ == line_.size()
                  ? fmt::format("expected {}, got the end of the line", what)
                  : fmt::format("expected {}, got '{}'", what, printable(line_.substr(p_, 1))));
}

bool OpenMetricsLine::take(char c, std::string_view what) {
  if (!at(c)) return expected(what);
  ++p_;
  return true;
}

std::string_view OpenMetricsLine::token() {
  const std::size_t from = p_;
  p_ = std::min(line_.find(' ', from), line_.size());
  return line_.substr(from, p_ - from);
}

/// p_ stands on '{'; afterwards behind '}'.
bool OpenMetricsLine::labels(std::vector<Label>& out) {
  out.clear();
  ++p_;
  if (at('}')) {
    ++p_;
    return true;
  }
  for (;;) {
    const std::size_t from = p_;
    while (p_ < line_.size() && (is_letter(line_[p_]) || (p_ > from && is_digit(line_[p_])))) ++p_;
    Label label{.name = line_.substr(from, p_ - from), .value = {}};
    if (label.name.empty()) return expected("a label's name");
    if (!take('=', "'=' after the label's name") || !take('"', "a quoted label value"))
      return false;
    if (!label_value(label.value)) return false;
    out.push_back(label);
    if (at('}')) break;
    if (!take(',', "',' or '}' after the label")) return false;
  }
  ++p_;
  return unique(out);
}

/// Behind the opening quote; afterwards behind the closing one.
bool OpenMetricsLine::label_value(std::string_view& value) {
  const std::size_t from = p_;
  std::string* made = nullptr;
  for (; !at('"'); ++p_) {
    if (p_ == line_.size()) {
      p_ = from;
      return fail("label value without a closing quote");
    }
    if (at('\\') && p_ + 1 < line_.size()) {
      if (made == nullptr) made = &unescaped_.emplace_back(line_.substr(from, p_ - from));
      const char next = line_[++p_];
      if (next != 'n' && next != '\\' && next != '"') made->push_back('\\');
      made->push_back(next == 'n' ? '\n' : next);
    } else if (made != nullptr) {
      made->push_back(line_[p_]);
    }
  }
  value = made != nullptr ? std::string_view(*made) : line_.substr(from, p_ - from);
  ++p_;
  return true;
}

bool OpenMetricsLine::unique(const std::vector<Label>& labels) {
  sorted_.clear();
  for (const Label& label : labels) sorted_.push_back(label.name);
  std::sort(sorted_.begin(), sorted_.end());
  const auto twice = std::adjacent_find(sorted_.begin(), sorted_.end());
  return twice == sorted_.end() || fail(fmt::format("label {} is there twice", printable(*twice)));
}

bool OpenMetricsLine::number(double& value, std::string_view& text) {
  const std::size_t from = p_;
  text = token();
  const auto parsed = parse_number(text);
  if (!parsed) {
    p_ = from;
    return fail(text.empty() ? "expected a number"
                             : fmt::format("\"{}\" is not a number", printable(text)));
  }
  value = *parsed;
  return true;
}

bool OpenMetricsLine::timestamp(std::optional<double>& seconds, std::string_view& text) {
  const std::size_t from = p_;
  double value = 0;
  if (!number(value, text)) return false;
  if (text.find_first_of("nN") != std::string_view::npos) {  // nan, inf
    p_ = from;
    return fail(fmt::format("timestamp {} is not a time", text));
  }
  seconds = value;
  return true;
}

/// ` # {labels} value [timestamp]`, to the end of the line.
bool OpenMetricsLine::exemplar() {
  ++p_;
  if (!take('#', "an exemplar or the end of the line") ||
      !take(' ', "one blank before the exemplar's labels"))
    return false;
  if (!at('{')) return expected("the exemplar's labels");
  const std::size_t from = p_;
  if (!labels(exemplar_)) return false;
  std::size_t size = 0;
  for (const Label& label : exemplar_) size += characters(label.name) + characters(label.value);
  if (size > kExemplarCharacters) {
    p_ = from;
    return fail(fmt::format("the exemplar's labels have {} characters; at most {} are allowed",
                            size, kExemplarCharacters));
  }
  double value = 0;
  std::string_view text;
  if (!take(' ', "one blank before the exemplar's value") || !number(value, text)) return false;
  std::optional<double> seconds;
  if (at(' ')) {
    ++p_;
    if (!timestamp(seconds, text)) return false;
  }
  sample_.exemplar = true;
  return true;
}

}  // namespace optipod::text
