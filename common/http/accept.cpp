// SPDX-License-Identifier: Apache-2.0
#include "common/http/accept.hpp"

#include <algorithm>
#include <optional>
#include <string>

#include "common/http/head.hpp"
#include "common/text/number.hpp"

namespace optipod::http {
namespace {

std::string_view trimmed(std::string_view s) {
  const std::size_t first = s.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return s.substr(first, s.find_last_not_of(" \t") - first + 1);
}

/// Up to a separator that is in no quoted string.
std::string_view take_until(std::string_view& s, char separator) {
  std::size_t end = 0;
  for (bool quoted = false; end < s.size() && (quoted || s[end] != separator); ++end) {
    if (s[end] == '"') quoted = !quoted;
    if (quoted && s[end] == '\\') ++end;
  }
  end = std::min(end, s.size());
  const std::string_view item = trimmed(s.substr(0, end));
  s.remove_prefix(std::min(end + 1, s.size()));
  return item;
}

/// A parameter's value without its quotes; none when it is not given.
std::optional<std::string_view> parameter(std::string_view parameters, std::string_view name) {
  while (!parameters.empty()) {
    std::string_view value = take_until(parameters, ';');
    if (!equals_no_case(take_until(value, '='), name)) continue;
    value = trimmed(value);
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
      value = value.substr(1, value.size() - 2);
    }
    return value;
  }
  return std::nullopt;
}

/// 0..1; 1 when not given, 0 when it is no number.
double quality(std::string_view parameters) {
  const auto q = parameter(parameters, "q");
  if (!q) return 1;
  const double value = text::parse_number(*q).value_or(0);
  return value >= 0 && value <= 1 ? value : 0;
}

/// What a media range asks for.
std::optional<text::Format> format_of(std::string_view range, std::string_view parameters) {
  const std::string_view version = parameter(parameters, "version").value_or("");
  if (equals_no_case(range, "application/openmetrics-text")) {
    if (version.empty() || version == "1.0.0") return text::Format::kOpenMetrics;
    return std::nullopt;
  }
  if (equals_no_case(range, "application/vnd.google.protobuf")) {
    const bool ours = parameter(parameters, "proto") == "io.prometheus.client.MetricFamily" &&
                      parameter(parameters, "encoding") == "delimited";
    return ours ? std::optional(text::Format::kProtobuf) : std::nullopt;
  }
  if (range == "*/*" || equals_no_case(range, "text/*")) return text::Format::kText;
  if (!equals_no_case(range, "text/plain")) return std::nullopt;
  if (version.empty() || version == "0.0.4" || version == "1.0.0") return text::Format::kText;
  return std::nullopt;
}

}  // namespace

bool accepts_gzip(std::string_view accept_encoding) {
  bool any = false;
  while (!accept_encoding.empty()) {
    std::string_view item = take_until(accept_encoding, ',');
    const std::string_view coding = take_until(item, ';');
    const bool named = equals_no_case(coding, "gzip") || equals_no_case(coding, "x-gzip");
    if (named) return quality(item) > 0;  // what names it outranks "*"
    if (coding == "*") any = quality(item) > 0;
  }
  return any;
}

text::Format accepted_format(std::string_view accept) {
  text::Format best = text::Format::kText;
  double best_quality = 0;
  while (!accept.empty()) {
    std::string_view item = take_until(accept, ',');
    const std::string_view range = take_until(item, ';');
    const auto format = format_of(range, item);
    const double q = quality(item);
    if (!format || q <= best_quality) continue;
    best = *format;
    best_quality = q;
  }
  return best;
}

}  // namespace optipod::http
