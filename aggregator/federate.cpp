// SPDX-License-Identifier: Apache-2.0
#include "aggregator/federate.hpp"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/text/exposition.hpp"

namespace optipod::aggregator {
namespace {

/// Which selectors accept a metric's name: asked once a name, not once a target.
class NameMatches {
 public:
  explicit NameMatches(std::span<const Selector> selectors) : selectors_(selectors) {}

  const std::vector<const Selector*>& of(std::string_view name) {
    const auto [at, fresh] = known_.try_emplace(name);
    if (fresh) {
      for (const Selector& selector : selectors_) {
        if (selector.matches_name(name)) at->second.push_back(&selector);
      }
    }
    return at->second;
  }

 private:
  std::span<const Selector> selectors_;
  std::unordered_map<std::string_view, std::vector<const Selector*>> known_;
};

/// The series of one name in one set.
struct Part {
  const SeriesSet* set;
  const Schema::Run* run;
  const std::vector<const Selector*>* selectors;
};

/// Labels that the series lacks, behind its own.
void append_missing(const Schema::Series& series, const LabelPairs& wanted, std::string& labels) {
  for (const auto& [name, value] : wanted) {
    if (series.label(name).empty()) text::append_label(labels, name, value);
  }
}

}  // namespace

std::size_t federate(std::span<const SeriesSet* const> sets, std::span<const Selector> selectors,
                     std::int64_t now_ms, const FederateOptions& options, std::string& out) {
  NameMatches names(selectors);
  std::vector<Part> parts;
  for (const SeriesSet* set : sets) {
    if (!set->schema) continue;
    for (const Schema::Run& run : set->schema->runs()) {
      const auto& matching = names.of(run.name);
      if (!matching.empty()) parts.push_back({set, &run, &matching});
    }
  }
  std::stable_sort(parts.begin(), parts.end(),
                   [](const Part& a, const Part& b) { return a.run->name < b.run->name; });

  LabelPairs appended = options.external_labels;
  const auto same = [](const auto& pair) { return pair.first == "instance"; };
  if (std::none_of(appended.begin(), appended.end(), same)) {
    appended.insert(std::lower_bound(appended.begin(), appended.end(),
                                     std::pair<std::string, std::string>("instance", "")),
                    {"instance", ""});
  }

  text::ExpositionWriter writer(out);
  std::string labels;
  std::string_view family;
  std::size_t written = 0;
  for (const Part& part : parts) {
    const SeriesSet& set = *part.set;
    for (std::uint32_t k = part.run->begin; k < part.run->end; ++k) {
      const std::uint32_t i = set.schema->order()[k];
      const Schema::Series& series = set.schema->series()[i];
      if (is_stale(set.values[i])) continue;
      const std::int64_t time = set.time_ms(i);
      std::int64_t oldest = now_ms - options.lookback_ms;
      if (!set.max_age_ms.empty() && set.max_age_ms[i] < options.lookback_ms) {
        oldest = now_ms - set.max_age_ms[i];
      }
      if (time < oldest || time > now_ms) continue;  // a clock that was set back makes such
      if (std::none_of(part.selectors->begin(), part.selectors->end(),
                       [&](const Selector* s) { return s->matches_labels(series); })) {
        continue;
      }
      if (family != part.run->name) {
        family = part.run->name;
        writer.family(family, text::MetricType::kUntyped);
      }
      labels = series.text;
      append_missing(series, appended, labels);
      writer.sample(labels, set.values[i], time);
      ++written;
    }
  }
  return written;
}

std::size_t federate(const Views& views, std::span<const Selector> selectors, std::int64_t now_ms,
                     const FederateOptions& options, std::string& out) {
  std::vector<const SeriesSet*> sets;
  sets.reserve(views.size() * 4);
  for (const auto& view : views) {
    for (const SeriesSet* set : {&view->scraped, &view->report, &view->derived, &view->pods})
      sets.push_back(set);
  }
  return federate(sets, selectors, now_ms, options, out);
}

}  // namespace optipod::aggregator
