// SPDX-License-Identifier: Apache-2.0
#include "common/text/exposition.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "common/text/decimal.hpp"
#include "common/text/utf8.hpp"

namespace optipod::text {
namespace {

/// Appends `s` with backslash and newline escaped, and the quote too when `quote`. What is not
/// UTF-8, and NUL, becomes U+FFFD: one bad byte from a kernel name must not cost a scraper the
/// whole page.
void append_escaped(std::string& out, std::string_view s, bool quote) {
  while (!s.empty()) {
    const std::size_t valid = utf8_valid_prefix(s);
    std::size_t plain = 0;  // start of the run not yet copied
    for (std::size_t i = 0; i < valid; ++i) {
      const char c = s[i];
      if (c != '\\' && c != '\n' && c != '\0' && (c != '"' || !quote)) continue;
      out.append(s.substr(plain, i - plain));
      plain = i + 1;
      if (c == '\0') {
        out.append(kReplacement);
      } else {
        out.push_back('\\');
        out.push_back(c == '\n' ? 'n' : c);
      }
    }
    out.append(s.substr(plain, valid - plain));
    if (valid == s.size()) return;
    out.append(kReplacement);
    s.remove_prefix(valid + 1);
  }
}

void append_signed(std::string& out, std::int64_t value) {
  char text[24];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  out.append(text, end);
}

void append_series(std::string& out, std::string_view name, std::string_view suffix,
                   std::string_view labels) {
  out.append(name).append(suffix);
  if (!labels.empty()) {
    out.push_back('{');
    out.append(labels);
    out.push_back('}');
  }
  out.push_back(' ');
}

}  // namespace

std::string_view to_string(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return "counter";
    case MetricType::kGauge:
      return "gauge";
    case MetricType::kHistogram:
      return "histogram";
    case MetricType::kSummary:
      return "summary";
    case MetricType::kUntyped:
      break;
  }
  return "untyped";
}

void append_label(std::string& labels, std::string_view name, std::string_view value) {
  if (!labels.empty()) labels.push_back(',');
  labels.append(name).append("=\"");
  append_escaped(labels, value, true);
  labels.push_back('"');
}

void append_number(std::string& out, double value) {
  char text[kNumberRoom];
  out.append(text, write_number(text, value));
}

char* write_number(char* to, double value) {
  if (char* const end = write_decimal(to, value); end != nullptr) return end;
  const auto put = [to](std::string_view text) { return std::copy(text.begin(), text.end(), to); };
  if (std::isnan(value)) return put("NaN");
  if (std::isinf(value)) return put(value > 0 ? "+Inf" : "-Inf");
  return std::to_chars(to, to + kNumberRoom, value, std::chars_format::general).ptr;
}

void append_number(std::string& out, std::uint64_t value) {
  char text[24];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  out.append(text, end);
}

void ExpositionWriter::family(std::string_view name, MetricType type, std::string_view help,
                              std::string_view unit) {
  if (format_ == Format::kOpenMetrics) {
    name_.assign(name);
    return open_metrics_family(type, help, unit);
  }
  out_.append("# HELP ").append(name);
  if (!help.empty()) {
    out_.push_back(' ');
    append_escaped(out_, help, false);
  }
  out_.push_back('\n');
  family(name, type);
}

void ExpositionWriter::open_metrics_family(MetricType type, std::string_view help,
                                           std::string_view unit) {
  std::string_view family = name_;
  std::string_view type_name = to_string(type);
  const auto take_off = [&family](std::string_view suffix) {
    if (!family.ends_with(suffix)) return false;
    family.remove_suffix(suffix.size());
    return true;
  };
  if (type == MetricType::kCounter) take_off("_total");
  if (type == MetricType::kGauge && take_off("_info")) type_name = "info";
  if (type == MetricType::kUntyped) type_name = "unknown";
  out_.append("# TYPE ").append(family).append(" ").append(type_name).append("\n");
  if (!unit.empty()) {
    out_.append("# UNIT ").append(family).append(" ").append(unit).append("\n");
  }
  if (help.empty()) return;
  out_.append("# HELP ").append(family).append(" ");
  append_escaped(out_, help, true);
  out_.push_back('\n');
}

void ExpositionWriter::family(std::string_view name, MetricType type) {
  name_.assign(name);
  out_.append("# TYPE ").append(name).append(" ").append(to_string(type)).append("\n");
}

void ExpositionWriter::sample(std::string_view labels, double value) {
  sample_suffixed({}, labels, value);
}

void ExpositionWriter::sample(std::string_view labels, std::uint64_t value) {
  sample_suffixed({}, labels, value);
}

void ExpositionWriter::sample(std::string_view labels, double value, std::int64_t timestamp_ms) {
  append_series(out_, name_, {}, labels);
  append_number(out_, value);
  out_.push_back(' ');
  append_signed(out_, timestamp_ms);
  out_.push_back('\n');
}

void ExpositionWriter::sample_suffixed(std::string_view suffix, std::string_view labels,
                                       double value) {
  append_series(out_, name_, suffix, labels);
  append_number(out_, value);
  out_.push_back('\n');
}

void ExpositionWriter::sample_suffixed(std::string_view suffix, std::string_view labels,
                                       std::uint64_t value) {
  append_series(out_, name_, suffix, labels);
  append_number(out_, value);
  out_.push_back('\n');
}

}  // namespace optipod::text
