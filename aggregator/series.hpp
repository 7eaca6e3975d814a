// SPDX-License-Identifier: Apache-2.0
//
// What the aggregator keeps of a page: a schema (names and labels as the page shows them), the
// target's own labels, and one column of values. All are immutable once published. Schemas and
// labels are shared by all targets that show the same: what a target has for itself is the column.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <memory>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

#include "aggregator/alike.hpp"
#include "aggregator/intern.hpp"
#include "aggregator/packed_number.hpp"
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

/// Labels of a series or of a target, split and as exposition text. Immutable; views point into it.
class LabelSet {
 public:
  /// Copies. `labels` are sorted by name, none twice; those with empty values are left out.
  explicit LabelSet(std::span<const text::Label> labels);
  static std::shared_ptr<const LabelSet> of(const LabelPairs& sorted);
  static const LabelSet& none();
  LabelSet(const LabelSet&) = delete;
  LabelSet& operator=(const LabelSet&) = delete;

  [[nodiscard]] std::span<const text::Label> labels() const { return labels_; }
  /// As text::append_label writes them, without braces.
  [[nodiscard]] std::string_view text() const {
    return std::string_view(arena_).substr(0, text_size_);
  }
  /// The text of labels()[from, to), without the commas around it. from < to.
  [[nodiscard]] std::string_view text(std::size_t from, std::size_t to) const;
  /// "" when absent.
  [[nodiscard]] std::string_view value(std::string_view name) const;

  [[nodiscard]] std::uint64_t hash() const { return hash_; }
  friend bool operator==(const LabelSet& a, const LabelSet& b) { return a.arena_ == b.arena_; }

 private:
  std::string arena_;  ///< the text, and behind it values that are escaped there, as they are
  std::size_t text_size_ = 0;
  std::vector<text::Label> labels_;
  std::uint64_t hash_ = 0;
};

/// Appends the labels of both by name; no name is in both.
void append_merged(const LabelSet& a, const LabelSet& b, std::string& out);

/// Names and labels of a set of series. Immutable; views point into it. What takes room, some 20
/// bytes a series beside the label sets, is shared by schemas that differ in a few label sets only,
/// such as those of nodes that all show a series with the node's name.
class Schema {
 public:
  struct Shape;  ///< which name and which label set each series has
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

  [[nodiscard]] inline std::size_t size() const;
  [[nodiscard]] inline Series at(std::size_t i) const;
  /// By position, each made when it is asked for.
  [[nodiscard]] auto series() const {
    return std::views::iota(std::size_t{0}, size()) |
           std::views::transform([this](std::size_t i) { return at(i); });
  }
  [[nodiscard]] inline const LabelSet& label_set(std::size_t i) const;
  [[nodiscard]] inline bool measured(std::size_t i) const;
  /// Positions of series, by name, then by label text.
  [[nodiscard]] inline std::span<const std::uint32_t> order() const;
  [[nodiscard]] inline std::span<const Run> runs() const;

  [[nodiscard]] std::uint64_t hash() const { return hash_; }
  friend bool operator==(const Schema& a, const Schema& b);

 private:
  friend class SchemaBuilder;
  std::shared_ptr<const Shape> shape_;
  AlikeList<LabelSet> sets_;
  std::uint64_t hash_ = 0;
};

struct Schema::Shape {
  struct Entry {
    std::uint32_t run;
    std::uint32_t set : 31, measured : 1;
    friend bool operator==(const Entry& a, const Entry& b) {
      return a.run == b.run && a.set == b.set && a.measured == b.measured;
    }
  };
  std::string names;
  std::vector<Run> runs;
  std::vector<Entry> entries;
  std::vector<std::uint32_t> order;
  std::uint64_t hash_ = 0;

  [[nodiscard]] std::uint64_t hash() const { return hash_; }
  friend bool operator==(const Shape& a, const Shape& b);
};

inline std::size_t Schema::size() const {
  return shape_->entries.size();
}
inline const LabelSet& Schema::label_set(std::size_t i) const {
  return *sets_[shape_->entries[i].set];
}
inline bool Schema::measured(std::size_t i) const {
  return shape_->entries[i].measured != 0;
}
inline std::span<const std::uint32_t> Schema::order() const {
  return shape_->order;
}
inline std::span<const Schema::Run> Schema::runs() const {
  return shape_->runs;
}
inline Schema::Series Schema::at(std::size_t i) const {
  const LabelSet& set = label_set(i);
  return {.name = shape_->runs[shape_->entries[i].run].name,
          .labels = set.labels(),
          .text = set.text(),
          .measured = measured(i)};
}

/// What schemas share.
struct SchemaParts {
  InternPool<LabelSet> label_sets;
  AlikeLists<LabelSet> set_lists;
  InternPool<Schema::Shape> shapes;
};
using SchemaPool = InternPool<Schema>;

class SchemaBuilder {
 public:
  /// `parts` outlives the builder; null: nothing is shared with other schemas.
  explicit SchemaBuilder(SchemaParts* parts = nullptr) : parts_(parts != nullptr ? parts : &own_) {}
  SchemaBuilder(const SchemaBuilder&) = delete;
  SchemaBuilder& operator=(const SchemaBuilder&) = delete;

  /// Labels in any order; empty values are left out. Series keep the order of the calls; of those
  /// added again, the first is there.
  void add(std::string_view name, std::vector<text::Label> labels, bool measured = false);
  /// An error names a label name given twice.
  tl::expected<std::shared_ptr<const Schema>, std::string> finish();
  /// After finish(), when a series was added again: which series each add() was. Else empty.
  [[nodiscard]] std::vector<std::uint32_t>& places() { return places_; }

 private:
  std::uint32_t name_index(std::string_view name);
  std::vector<std::uint32_t> sort_names();
  bool sort_series();
  void leave_out_repeats();
  std::shared_ptr<const Schema> share();

  SchemaParts own_;
  SchemaParts* parts_;
  std::shared_ptr<Schema::Shape> shape_ = std::make_shared<Schema::Shape>();
  std::vector<std::shared_ptr<const LabelSet>> sets_;  ///< in order of appearance
  std::vector<std::string> names_;                     ///< in order of appearance
  std::unordered_map<std::string, std::uint32_t> name_indices_;
  std::unordered_map<const LabelSet*, std::uint32_t> set_indices_;
  std::uint32_t last_name_ = 0;
  std::vector<std::uint32_t> places_;
  std::string duplicate_label_;
};

/// One column of values over a schema.
struct SeriesSet {
  std::shared_ptr<const Schema> schema;  ///< null when there is nothing
  std::vector<double> values;            ///< one a series; stale() where it is not there; or none:
  std::shared_ptr<const PackedNumber> packed = {};  ///< null, or one a series instead of `values`
  std::int64_t scraped_ms = 0;                      ///< Unix time, ms
  std::int64_t measured_ms = 0;                     ///< of series marked `measured`
  std::vector<std::int64_t> own_ms;  ///< empty, or one a series: its explicit time or kNoTime
  /// Empty, or one a series: not served when older. Of an array that outlives all sets.
  std::span<const std::int64_t> max_age_ms;
  /// On every series, beside the schema's; no series has a label of the same name. Null: none.
  std::shared_ptr<const LabelSet> labels = {};

  [[nodiscard]] std::size_t size() const { return packed ? schema->size() : values.size(); }
  [[nodiscard]] double value(std::size_t i) const {
    return packed ? packed.get()[i].value() : values[i];
  }
  [[nodiscard]] std::int64_t time_ms(std::size_t i) const {
    if (!own_ms.empty() && own_ms[i] != kNoTime) return own_ms[i];
    return schema->measured(i) ? measured_ms : scraped_ms;
  }
  /// Appends all labels of a series, sorted by name, as exposition text without braces.
  void append_labels(std::size_t i, std::string& out) const;
};

}  // namespace optipod::aggregator
