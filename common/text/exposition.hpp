// SPDX-License-Identifier: Apache-2.0
//
// Writing the Prometheus text format 0.0.4, what `promtool check metrics` accepts in silence, and
// OpenMetrics 1.0. Numbers are shortest round trip, spelled as Go spells them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace optipod::text {

enum class Format {
  kText,         ///< Prometheus text format 0.0.4
  kOpenMetrics,  ///< OpenMetrics 1.0; whoever made the page ends it with kOpenMetricsEnd
  kProtobuf,     ///< io.prometheus.client.MetricFamily, delimited; ExpositionWriter knows only text
};
inline constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";
inline constexpr std::string_view kOpenMetricsContentType =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";
inline constexpr std::string_view kProtobufContentType =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
inline constexpr std::string_view kOpenMetricsEnd = "# EOF\n";

enum class MetricType { kCounter, kGauge, kHistogram, kSummary, kUntyped };
std::string_view to_string(MetricType type);

/// Appends name="value" with value escaped, preceded by a comma when `labels` is not empty.
void append_label(std::string& labels, std::string_view name, std::string_view value);
void append_number(std::string& out, double value);  ///< as strconv.FormatFloat(v, 'g', -1, 64)
void append_number(std::string& out, std::uint64_t value);
/// As append_number(), to room for kNumberRoom bytes; returns the end.
char* write_number(char* to, double value);
inline constexpr std::size_t kNumberRoom = 40;

/// Appends to a caller-owned buffer. Families must not be interleaved; the writer does not check.
class ExpositionWriter {
 public:
  explicit ExpositionWriter(std::string& out, Format format = Format::kText)
      : out_(out), format_(format) {}

  /// Starts a family: # HELP (escaped) and # TYPE. The name is copied and used by the calls below.
  /// It is the samples' name: OpenMetrics gets the family's, without _total of a counter, and a
  /// gauge <name>_info as what it is. `unit` is said to OpenMetrics only; the name must end in it.
  void family(std::string_view name, MetricType type, std::string_view help,
              std::string_view unit = {});
  /// Same without HELP, as Prometheus' /federate writes.
  void family(std::string_view name, MetricType type);

  /// `labels` is rendered text as append_label makes it, without braces; "" for none.
  void sample(std::string_view labels, double value);
  void sample(std::string_view labels, std::uint64_t value);
  /// With an explicit timestamp, ms since the epoch.
  void sample(std::string_view labels, double value, std::int64_t timestamp_ms);
  /// name + suffix ("_bucket", "_sum", "_count").
  void sample_suffixed(std::string_view suffix, std::string_view labels, double value);
  void sample_suffixed(std::string_view suffix, std::string_view labels, std::uint64_t value);

 private:
  void open_metrics_family(MetricType type, std::string_view help, std::string_view unit);

  std::string& out_;
  const Format format_;
  std::string name_;
};

}  // namespace optipod::text
