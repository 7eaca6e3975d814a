// SPDX-License-Identifier: Apache-2.0
//
// One target's bodies → series with the server's labels. All or nothing: a body that is wrong
// anywhere or over a limit gives no series at all.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "aggregator/alike.hpp"
#include "aggregator/intern.hpp"
#include "aggregator/series.hpp"
#include "common/text/exposition.hpp"
#include "common/text/skeleton.hpp"

namespace optipod::aggregator {

struct ParseLimits {
  std::size_t max_samples = 100'000;  ///< a body with more fails; a series shown again counts again
  // As Prometheus counts them: of a series as it is served, with the target's labels, renamed ones,
  // and its name as that of a label __name__.
  std::size_t max_labels = 64;                   ///< of one series
  std::size_t max_label_name_bytes = 8 * 1024;   ///< of one label's name
  std::size_t max_label_value_bytes = 8 * 1024;  ///< of one label's value
};

/// What bodies have in common, so that it is held once for all targets: also of pages that differ
/// in a few lines, as in the node's name. Thread-safe; what it gave out may outlive it.
class SharedPages {
 public:
  /// `max_skeleton_bytes`: of the bytes between the values, of all different pieces together. A
  /// page that finds no place is read in full each time: slower, never wrong.
  explicit SharedPages(std::size_t max_skeleton_bytes = std::size_t{64} << 20)
      : max_skeleton_bytes_(max_skeleton_bytes) {}

  struct Stats {
    std::size_t schemas = 0, shapes = 0, label_sets = 0, skeletons = 0, skeleton_bytes = 0;
  };
  [[nodiscard]] Stats stats() const;

 private:
  friend class BodyParser;
  /// In the page's order. Each counts in skeleton_bytes_ while it is there.
  using Pieces = AlikeList<text::Skeleton>;
  /// Empty when there is no place.
  Pieces keep(const text::Skeleton& skeleton);

  const std::size_t max_skeleton_bytes_;
  std::shared_ptr<std::atomic<std::size_t>> skeleton_bytes_ =
      std::make_shared<std::atomic<std::size_t>>(0);
  SchemaParts parts_;
  SchemaPool schemas_;
  InternPool<text::Skeleton> pieces_;
  AlikeLists<text::Skeleton> pages_;
};

struct BodyError {
  enum class Kind { kSyntax, kLimit };
  Kind kind = Kind::kSyntax;
  std::string what;
};

/// Remembers the last body in the text format: one that differs in values only costs a comparison
/// and its numbers, and shares the schema. OpenMetrics, which asks something of the values too, is
/// read in full each time. Not thread-safe; one a target.
class BodyParser {
 public:
  /// `labels` (sorted) go onto every series; an exposed label of the same name becomes
  /// exported_<name>, with the prefix repeated until it is free. Exposed labels never win: the
  /// scheduler trusts ours. `shared`: with whom pages are shared; null: with nobody.
  BodyParser(const LabelPairs& labels, ParseLimits limits,
             std::shared_ptr<SharedPages> shared = nullptr);
  ~BodyParser();
  BodyParser(BodyParser&&) noexcept;
  BodyParser& operator=(BodyParser&&) noexcept;

  /// Times: an explicit one counts unless it lies behind `received_ms`. Series measured on the node
  /// (see is_measured) have the page's optipod_sample_timestamp_seconds, unless that is absent or
  /// lies behind `received_ms`, or the page says that its agent is gone; all others have
  /// `scraped_ms`, the moment when the target was asked.
  ///
  /// Of a series that the body shows again the newest explicit time counts, among equal ones the
  /// first, and none counts after any other: as in Prometheus. No time is then `scraped_ms`.
  ///
  /// `format`: kText or kOpenMetrics, which is read strictly (common/text/openmetrics.hpp). Of
  /// that, _created and the like are series as any other, and exemplars are left out, as in
  /// Prometheus.
  tl::expected<SeriesSet, BodyError> parse(std::string_view body, std::int64_t scraped_ms,
                                           std::int64_t received_ms,
                                           text::Format format = text::Format::kText);

  /// Of the last good body: samples it had, and how many of them were left out because they came
  /// after another of the same series and time.
  [[nodiscard]] std::size_t samples() const { return samples_; }
  [[nodiscard]] std::size_t repeated() const { return repeated_; }
  /// Of the last body that was read in full: a series it shows again, "name{labels}"; "": none.
  [[nodiscard]] std::string repeated_series() const;

  /// Those that go onto every series.
  [[nodiscard]] const std::shared_ptr<const LabelSet>& labels() const { return labels_; }

 private:
  class Sink;
  bool replay(std::string_view body);
  void fold(std::int64_t scraped_ms);
  tl::expected<void, BodyError> learn(std::string_view body, text::Format format);

  ParseLimits limits_;
  std::shared_ptr<SharedPages> shared_;
  std::shared_ptr<const LabelSet> labels_;
  // Of the last body that was read in full:
  SharedPages::Pieces pieces_;   ///< empty of OpenMetrics, or without a place
  bool has_timestamps_ = false;  ///< any sample
  std::shared_ptr<const Schema> schema_;
  std::vector<std::uint32_t> places_;  ///< which series each sample is; empty: one a series
  std::optional<std::uint32_t> sample_time_, agent_up_;  ///< the first series of that name
  std::size_t samples_ = 0, repeated_ = 0;
  // What is being read:
  std::vector<double> values_;
  std::vector<std::int64_t> own_ms_;
};

/// Whether a metric of the exporter's page was read by the agent rather than made by the exporter.
bool is_measured(std::string_view name);

/// The value of the first series of that name; stale() when there is none.
double value_of(const SeriesSet& set, std::string_view name);

}  // namespace optipod::aggregator
