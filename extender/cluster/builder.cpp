// SPDX-License-Identifier: Apache-2.0
#include "extender/cluster/builder.hpp"

#include <algorithm>
#include <numeric>
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

/// Columns under construction: the rows of `before` first, then nodes seen for the first time.
class Sink final : public text::ParseSink {
 public:
  Sink(const Snapshot& before, std::int64_t now_ms, std::int64_t keep_ms)
      : before_(before), now_ms_(now_ms), keep_ms_(keep_ms), told_(before.size(), 0) {
    for (std::size_t s = 0; s < kSignals; ++s) {
      value[s].resize(before.size(), kMissing);
      time[s].resize(before.size(), 0);
    }
  }

  void sample(const text::Sample& sample) override {
    if (sample.name != series_) {  // series of one name come together
      series_ = sample.name;
      signal_ = signal_of(series_);
    }
    if (!signal_) {
      ++counts.foreign;
      return;
    }
    const std::string_view node = sample.label("node");
    if (node.empty()) {
      ++counts.nameless;
      return;
    }
    const std::int64_t at = sample.timestamp_ms.value_or(now_ms_);
    if (at > now_ms_ + keep_ms_) {
      ++counts.from_future;
      return;
    }
    if (!std::isfinite(sample.value) || sample.value < 0) {
      ++counts.bad_value;
      return;
    }
    const std::uint32_t row = row_of(node);
    told_[row] = 1;
    value[index(*signal_)][row] = sample.value;
    time[index(*signal_)][row] = at;
    ++counts.samples;
  }

  /// Fills the rows that were not told from `before`, unless they are too old. Returns the rows to
  /// keep, in order of name where the set of nodes changed.
  std::vector<std::uint32_t> settle() {
    std::vector<std::uint32_t> rows;
    rows.reserve(told_.size());
    for (std::uint32_t row = 0; row < told_.size(); ++row) {
      if (told_[row] == 0) {
        if (before_.newest_ms[row] + keep_ms_ < now_ms_) continue;
        for (std::size_t s = 0; s < kSignals; ++s) {
          value[s][row] = before_.value[s][row];
          time[s][row] = before_.measured_ms[s][row];
        }
      }
      rows.push_back(row);
    }
    same_nodes = rows.size() == before_.size() && new_names_.empty();
    if (!same_nodes) std::ranges::sort(rows, {}, [this](std::uint32_t row) { return name(row); });
    return rows;
  }

  [[nodiscard]] std::string_view name(std::uint32_t row) const {
    return row < before_.size() ? before_.nodes->name(row) : *new_names_[row - before_.size()];
  }

  std::array<std::vector<double>, kSignals> value;
  std::array<std::vector<std::int64_t>, kSignals> time;
  Built counts;
  bool same_nodes = false;

 private:
  std::uint32_t row_of(std::string_view node) {
    std::uint32_t row = before_.nodes->find(node, last_row_ + 1);
    if (row == NodeTable::kUnknown) {
      const auto [at, fresh] =
          new_rows_.try_emplace(std::string(node), static_cast<std::uint32_t>(told_.size()));
      row = at->second;
      if (fresh) {
        new_names_.push_back(&at->first);  // an unordered_map's keys stay where they are
        told_.push_back(0);
        for (std::size_t s = 0; s < kSignals; ++s) {
          value[s].push_back(kMissing);
          time[s].push_back(0);
        }
      }
    }
    return last_row_ = row;
  }

  const Snapshot& before_;
  std::int64_t now_ms_, keep_ms_;
  std::vector<std::uint8_t> told_;
  std::unordered_map<std::string, std::uint32_t> new_rows_;
  std::vector<const std::string*> new_names_;
  std::string series_;
  std::optional<Signal> signal_;
  std::uint32_t last_row_ = NodeTable::kUnknown;
};

void summarize_ages(Snapshot& snapshot) {
  const std::size_t n = snapshot.size();
  snapshot.oldest_ms.assign(n, 0);
  snapshot.newest_ms.assign(n, 0);
  for (std::size_t s = 0; s < kSignals; ++s) {
    if (static_cast<Signal>(s) == Signal::kUp) continue;
    for (std::size_t row = 0; row < n; ++row) {
      if (std::isnan(snapshot.value[s][row])) continue;
      const std::int64_t at = snapshot.measured_ms[s][row];
      std::int64_t& oldest = snapshot.oldest_ms[row];
      oldest = oldest == 0 ? at : std::min(oldest, at);
      snapshot.newest_ms[row] = std::max(snapshot.newest_ms[row], at);
    }
  }
}

}  // namespace

tl::expected<Built, std::string> build_snapshot(std::string_view text, const Snapshot& before,
                                                std::int64_t now_ms, std::int64_t keep_ms) {
  Sink sink(before, now_ms, keep_ms);
  const auto parsed = text::parse(text, sink);
  if (!parsed) {
    return tl::unexpected(fmt::format("line {}: {}", parsed.error().line, parsed.error().what));
  }
  const std::vector<std::uint32_t> rows = sink.settle();

  auto next = std::make_shared<Snapshot>();
  next->received_ms = now_ms;
  if (sink.same_nodes) {
    next->nodes = before.nodes;
    next->value = std::move(sink.value);
    next->measured_ms = std::move(sink.time);
  } else {
    std::vector<std::string> names;
    names.reserve(rows.size());
    for (const std::uint32_t row : rows) names.emplace_back(sink.name(row));
    next->nodes = std::make_shared<const NodeTable>(names);
    for (std::size_t s = 0; s < kSignals; ++s) {
      next->value[s].reserve(rows.size());
      next->measured_ms[s].reserve(rows.size());
      for (const std::uint32_t row : rows) {
        next->value[s].push_back(sink.value[s][row]);
        next->measured_ms[s].push_back(sink.time[s][row]);
      }
    }
  }
  summarize_ages(*next);
  Built built = std::move(sink.counts);
  built.snapshot = std::move(next);
  return built;
}

}  // namespace optipod::extender
