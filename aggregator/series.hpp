// SPDX-License-Identifier: Apache-2.0
//
// What the aggregator keeps of a page: a schema (names and labels, shared by every scrape that
// shows the same series in the same order) and one column of values. Both are immutable once
// published.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

#include "common/text/parse.hpp"

namespace optipod::aggregator {

/// A value that is not there; the bit pattern is Prometheus' staleness marker, which text cannot
/// carry.
inline constexpr std::uint64_t kStaleBits = 0x7ff0000000000002;
inline double stale() {
  return std::bit_cast<double>(kStaleBits);
}
inline bool is_stale(double value) {
  return std::bit_cast<std::uint64_t>(value) == kStaleBits;
}

inline constexpr std::int64_t kNoTime = std::numeric_limits<std::int64_t>::min();

using LabelPairs = std::vector<std::pair<std::string, std::string>>;

/// Names and labels of a set of series. Immutable; views point into it.
class Schema {
 public:
  struct Series {
    std::string_view name;
    std::span<const text::Label> labels;  ///< sorted by name, no empty value, without __name__
    std::string_view text;                ///< the labels as exposition text, without braces
    bool measured = false;                ///< carries the node's sample time, not the scrape's

    /// "" when absent, as Prometheus' matchers see it. `__name__` is the metric's name.
    [[nodiscard]] std::string_view label(std::string_view label_name) const;
  };
  /// Series of one name: order()[begin, end).
  struct Run {
    std::string_view name;
    std::uint32_t begin = 0, end = 0;
  };

  [[nodiscard]] std::span<const Series> series() const { return series_; }
  /// Indices of series(), by name, then by label text.
  [[nodiscard]] std::span<const std::uint32_t> order() const { return order_; }
  [[nodiscard]] std::span<const Run> runs() const { return runs_; }

 private:
  friend class SchemaBuilder;
  std::string arena_;
  std::vector<text::Label> labels_;
  std::vector<Series> series_;
  std::vector<std::uint32_t> order_;
  std::vector<Run> runs_;
};

class SchemaBuilder {
 public:
  /// Labels in any order; empty values are left out. Series keep the order of the calls.
  void add(std::string_view name, std::vector<text::Label> labels, bool measured = false);
  /// An error names a series that was added twice, or a label name given twice.
  tl::expected<std::shared_ptr<const Schema>, std::string> finish();

 private:
  struct Piece {
    std::size_t at = 0, size = 0;
  };
  Piece keep(std::string_view text);
  [[nodiscard]] std::string_view view(const Piece& piece) const {
    return std::string_view(schema_->arena_).substr(piece.at, piece.size);
  }

  struct Pending {
    Piece name, text;
    std::size_t first_label = 0, labels = 0;
    bool measured = false;
  };
  std::shared_ptr<Schema> schema_ = std::make_shared<Schema>();
  std::vector<std::pair<Piece, Piece>> labels_;
  std::vector<Pending> pending_;
  std::string duplicate_label_;
};

/// One column of values over a schema.
struct SeriesSet {
  std::shared_ptr<const Schema> schema;  ///< null when there is nothing
  std::vector<double> values;            ///< one a series; stale() where it is not there
  std::int64_t scraped_ms = 0;           ///< Unix time, ms
  std::int64_t measured_ms = 0;          ///< of series marked `measured`
  std::vector<std::int64_t> own_ms;      ///< empty, or one a series: its explicit time or kNoTime
  std::vector<std::int64_t> max_age_ms;  ///< empty, or one a series: not served when older

  [[nodiscard]] std::int64_t time_ms(std::size_t i) const {
    if (!own_ms.empty() && own_ms[i] != kNoTime) return own_ms[i];
    return schema->series()[i].measured ? measured_ms : scraped_ms;
  }
};

}  // namespace optipod::aggregator
