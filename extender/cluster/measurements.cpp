// SPDX-License-Identifier: Apache-2.0
#include "extender/cluster/measurements.hpp"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <vector>

#include <fmt/core.h>

#include "common/text/parse.hpp"

namespace optipod::extender {
namespace {

std::optional<Signal> signal_of(std::string_view series) {
  for (std::size_t s = 0; s < kSignals; ++s) {
    if (kSignalInfo[s].series == series) return static_cast<Signal>(s);
  }
  return std::nullopt;
}

/// What the columns of these rows say, by row.
void summarize_rows(Measurements& measured, std::size_t begin, std::size_t end) {
  for (std::size_t s = 0; s < kSignals; ++s) {
    for (std::size_t row = begin; row < end; ++row) {
      if (std::isnan(measured.value[s][row])) continue;
      const std::int64_t at = measured.measured_ms[s][row];
      const std::int64_t age =
          std::clamp<std::int64_t>(measured.received_ms - at, INT32_MIN, INT32_MAX);
      measured.readings[row * kSignals + s] = {static_cast<float>(measured.value[s][row]),
                                               static_cast<std::int32_t>(age)};
      if (static_cast<Signal>(s) == Signal::kUp) continue;
      std::int64_t& oldest = measured.oldest_ms[row];
      oldest = oldest == 0 ? at : std::min(oldest, at);
      measured.newest_ms[row] = std::max(measured.newest_ms[row], at);
    }
  }
}

/// Rows `from[i]` of `source` under the i-th name; kUnknown: a row without values.
std::shared_ptr<Measurements> pick(const Measurements& source, std::span<const std::string> names,
                                   std::span<const std::uint32_t> from) {
  auto out = std::make_shared<Measurements>();
  out->nodes = std::make_shared<const NodeTable>(names);
  out->received_ms = source.received_ms;
  for (std::size_t s = 0; s < kSignals; ++s) {
    out->value[s].reserve(from.size());
    out->measured_ms[s].reserve(from.size());
    for (const std::uint32_t row : from) {
      const bool there = row != NodeTable::kUnknown;
      out->value[s].push_back(there ? source.value[s][row] : kMissing);
      out->measured_ms[s].push_back(there ? source.measured_ms[s][row] : 0);
    }
  }
  summarize(*out);
  return out;
}

bool has_expired(const Measurements& measured, std::int64_t limit_ms) {
  return std::ranges::any_of(measured.oldest_ms, [limit_ms](std::int64_t oldest) {
    return oldest != 0 && oldest < limit_ms;
  });
}

}  // namespace

/// Columns under construction: the rows of `before` first, then nodes seen for the first time.
class MeasurementsReader::Columns {
 public:
  Columns(const Measurements& before, std::int64_t now_ms, std::int64_t keep_ms)
      : before_(before), now_ms_(now_ms), keep_ms_(keep_ms), told_(before.size(), 0) {
    for (std::size_t s = 0; s < kSignals; ++s) {
      made.value[s].resize(before.size(), kMissing);
      made.measured_ms[s].resize(before.size(), 0);
    }
  }

  void take(Place place, double value, std::int64_t time_ms) {
    if (place.signal == Place::kForeign) {
      ++counts.foreign;
      return;
    }
    if (place.signal == Place::kNameless) {
      ++counts.nameless;
      return;
    }
    if (from_future(time_ms)) {
      ++counts.from_future;
      return;
    }
    if (!usable(value)) {
      ++counts.bad_value;
      return;
    }
    ++counts.samples;
    const std::int64_t at = time_ms == text::kNoTimestamp ? now_ms_ : time_ms;
    told_[place.row] = 1;
    if (at + keep_ms_ < now_ms_) return;  // too old to be of use; the node has told all the same
    made.value[place.signal][place.row] = value;
    made.measured_ms[place.signal][place.row] = at;
  }

  /// A row for the node; a new one only when there is something to put into it, else kUnknown.
  std::uint32_t row_of(std::string_view node, double value, std::int64_t time_ms) {
    std::uint32_t row = before_.nodes->find(node, last_row_ + 1);
    if (row == NodeTable::kUnknown) {
      const auto known = new_rows_.find(std::string(node));
      if (known != new_rows_.end()) {
        row = known->second;
      } else if (usable(value) && !from_future(time_ms)) {
        row = add_row(node);
      } else {
        return row;
      }
    }
    return last_row_ = row;
  }

  /// Rows that were not told keep what they had, while it is young enough.
  void keep_untold() {
    for (std::uint32_t row = 0; row < before_.size(); ++row) {
      if (told_[row] != 0) continue;
      for (std::size_t s = 0; s < kSignals; ++s) {
        if (before_.measured_ms[s][row] + keep_ms_ < now_ms_) continue;
        made.value[s][row] = before_.value[s][row];
        made.measured_ms[s][row] = before_.measured_ms[s][row];
      }
    }
  }

  [[nodiscard]] bool same_nodes() const { return new_names_.empty(); }
  [[nodiscard]] std::string_view name(std::uint32_t row) const {
    return row < before_.size() ? before_.nodes->name(row) : *new_names_[row - before_.size()];
  }
  [[nodiscard]] std::size_t rows() const { return told_.size(); }

  Measurements made;
  Built counts;

 private:
  [[nodiscard]] bool from_future(std::int64_t time_ms) const {
    return time_ms > now_ms_ + keep_ms_;
  }
  static bool usable(double value) { return std::isfinite(value) && value >= 0; }

  std::uint32_t add_row(std::string_view node) {
    const auto row = static_cast<std::uint32_t>(told_.size());
    const auto at = new_rows_.try_emplace(std::string(node), row).first;
    new_names_.push_back(&at->first);  // an unordered_map's keys stay where they are
    told_.push_back(0);
    for (std::size_t s = 0; s < kSignals; ++s) {
      made.value[s].push_back(kMissing);
      made.measured_ms[s].push_back(0);
    }
    return row;
  }

  const Measurements& before_;
  std::int64_t now_ms_, keep_ms_;
  std::vector<std::uint8_t> told_;
  std::unordered_map<std::string, std::uint32_t> new_rows_;
  std::vector<const std::string*> new_names_;
  std::uint32_t last_row_ = NodeTable::kUnknown;
};

/// Finds out where each sample belongs, and takes it there.
class MeasurementsReader::Sink final : public text::ParseSink {
 public:
  Sink(Columns& columns, std::vector<Place>& places) : columns_(columns), places_(places) {}

  void sample(const text::Sample& sample) override {
    if (sample.name != series_) {  // series of one name come together
      series_ = sample.name;
      signal_ = signal_of(series_);
    }
    Place place;
    if (signal_) {
      const std::string_view node = sample.label("node");
      place.signal = node.empty() ? Place::kNameless : static_cast<std::uint8_t>(*signal_);
      const std::int64_t time_ms = sample.timestamp_ms.value_or(text::kNoTimestamp);
      if (!node.empty()) place.row = columns_.row_of(node, sample.value, time_ms);
      if (place.row == NodeTable::kUnknown) places_all_ = false;
    }
    places_.push_back(place);
    columns_.take(place, sample.value, sample.timestamp_ms.value_or(text::kNoTimestamp));
  }

  /// Every sample has a place, which it keeps.
  [[nodiscard]] bool places_all() const { return places_all_ && columns_.same_nodes(); }

 private:
  bool places_all_ = true;
  Columns& columns_;
  std::vector<Place>& places_;
  std::string series_;
  std::optional<Signal> signal_;
};

tl::expected<void, std::string> MeasurementsReader::learn(std::string_view text, Columns& columns) {
  skeleton_.reset();
  places_.clear();
  Sink sink(columns, places_);
  auto learnt = text::Skeleton::learn(text, sink);
  if (!learnt) {
    return tl::unexpected(fmt::format("line {}: {}", learnt.error().line, learnt.error().what));
  }
  if (sink.places_all()) skeleton_ = std::move(*learnt);
  return {};
}

tl::expected<Built, std::string> MeasurementsReader::read(std::string_view text,
                                                          const Measurements& before,
                                                          std::int64_t now_ms,
                                                          std::int64_t keep_ms) {
  Columns columns(before, now_ms, keep_ms);
  values_.resize(places_.size());
  times_ms_.resize(places_.size());
  if (skeleton_ && table_ == before.nodes->id() && skeleton_->replay(text, values_, times_ms_)) {
    for (std::size_t i = 0; i < places_.size(); ++i) {
      columns.take(places_[i], values_[i], times_ms_[i]);
    }
  } else {
    if (auto learnt = learn(text, columns); !learnt) return tl::unexpected(learnt.error());
    table_ = before.nodes->id();
  }
  columns.keep_untold();
  Built built = std::move(columns.counts);
  if (columns.same_nodes()) {
    columns.made.nodes = before.nodes;
    columns.made.received_ms = now_ms;
    summarize(columns.made);
    built.measured = std::make_shared<const Measurements>(std::move(columns.made));
    return built;
  }
  std::vector<std::uint32_t> rows(columns.rows());
  for (std::uint32_t row = 0; row < rows.size(); ++row) rows[row] = row;
  std::ranges::sort(std::span(rows).subspan(before.size()), {},
                    [&columns](std::uint32_t row) { return columns.name(row); });
  std::vector<std::string> names;
  names.reserve(rows.size());
  for (const std::uint32_t row : rows) names.emplace_back(columns.name(row));
  columns.made.received_ms = now_ms;
  built.measured = pick(columns.made, names, rows);
  return built;
}

void summarize(Measurements& measured) {
  constexpr std::size_t kBlock = 64;  // rows whose summary stays in a CPU's first cache
  const std::size_t n = measured.size();
  measured.oldest_ms.assign(n, 0);
  measured.newest_ms.assign(n, 0);
  measured.readings.assign(n * kSignals, {});
  for (std::size_t row = 0; row < n; row += kBlock) {
    summarize_rows(measured, row, std::min(n, row + kBlock));
  }
}

void MeasurementsReader::rows_moved(const NodeTable& from, const NodeTable& to,
                                    std::span<const std::uint32_t> order) {
  if (table_ != from.id()) return;
  std::vector<std::uint32_t> row_to_be(order.size());
  for (std::uint32_t row = 0; row < order.size(); ++row) row_to_be[order[row]] = row;
  for (Place& place : places_) {
    if (place.signal < kSignals) place.row = row_to_be[place.row];
  }
  table_ = to.id();
}

std::shared_ptr<const Measurements> without_expired(std::shared_ptr<const Measurements> measured,
                                                    std::int64_t now_ms, std::int64_t keep_ms) {
  const std::int64_t limit = now_ms - keep_ms;
  if (!has_expired(*measured, limit)) return measured;
  auto out = std::make_shared<Measurements>(*measured);
  for (std::size_t s = 0; s < kSignals; ++s) {
    for (std::size_t row = 0; row < out->size(); ++row) {
      if (out->measured_ms[s][row] < limit) out->value[s][row] = kMissing;
    }
  }
  summarize(*out);
  return out;
}

std::shared_ptr<const Measurements> with_rows(std::shared_ptr<const Measurements> measured,
                                              std::span<const std::string> names) {
  const NodeTable& table = *measured->nodes;
  std::vector<std::uint8_t> wanted(table.size(), 0);
  std::vector<std::string> added;
  for (const std::string& name : names) {
    const std::uint32_t row = table.find(name);
    if (row == NodeTable::kUnknown) {
      added.push_back(name);
    } else {
      wanted[row] = 1;
    }
  }
  std::vector<std::uint32_t> kept;
  for (std::uint32_t row = 0; row < table.size(); ++row) {
    if (wanted[row] != 0 || measured->newest_ms[row] != 0) kept.push_back(row);
  }
  if (added.empty() && kept.size() == table.size()) return measured;

  std::vector<std::string> all;
  all.reserve(kept.size() + added.size());
  for (const std::uint32_t row : kept) all.emplace_back(table.name(row));
  std::ranges::sort(added);
  all.insert(all.end(), added.begin(), std::ranges::unique(added).begin());
  kept.resize(all.size(), NodeTable::kUnknown);
  return pick(*measured, all, kept);
}

std::shared_ptr<const Measurements> in_order(const Measurements& measured,
                                             std::span<const std::uint32_t> order) {
  std::vector<std::string> names;
  names.reserve(order.size());
  for (const std::uint32_t row : order) names.emplace_back(measured.nodes->name(row));
  return pick(measured, names, order);
}

}  // namespace optipod::extender
