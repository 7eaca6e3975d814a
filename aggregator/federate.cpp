// SPDX-License-Identifier: Apache-2.0
#include "aggregator/federate.hpp"

#include <algorithm>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "aggregator/federate_writer.hpp"
#include "aggregator/selection.hpp"

namespace optipod::aggregator {
namespace {

const LabelSet& no_labels() {
  static const LabelSet kNone(std::span<const text::Label>{});
  return kNone;
}

/// Sets that share a selection, in their order.
struct Group {
  Selection selection;
  std::vector<FederatedSet> sources;
};

/// Sorts sets into groups. Each question is asked once: a name's of the selectors once a schema, a
/// target's labels' once a set, a series' labels' once a group.
class Groups {
 public:
  Groups(std::span<const Selector> selectors, const LabelPairs& gaps)
      : selectors_(selectors), gaps_(gaps) {}

  void add(const SeriesSet& set, std::uint32_t place) {
    if (!set.schema || set.values.empty()) return;
    const auto [known, fresh] = by_schema_.try_emplace(set.schema.get());
    if (fresh) known->second = naming(*set.schema);
    if (known->second.empty()) return;
    const LabelSet& labels = set.labels ? *set.labels : no_labels();
    active_.clear();
    const auto address = reinterpret_cast<std::uintptr_t>(known->first);
    key_.assign(reinterpret_cast<const char*>(&address), sizeof address);
    for (const Selector* selector : known->second) {
      const bool takes = selector->matches_labels(no_labels(), labels, true);
      if (takes) active_.push_back(selector);
      key_.push_back(takes ? '1' : '0');
    }
    if (active_.empty()) return;
    for (const text::Label& label : labels.labels()) key_.append(label.name).push_back(',');
    const auto [at, unseen] = by_key_.try_emplace(key_, nullptr);
    if (unseen) {
      groups_.push_back(std::make_unique<Group>(
          Group{.selection = Selection(*set.schema, labels, active_, gaps_), .sources = {}}));
      at->second = groups_.back().get();
    }
    if (!at->second->selection.lines().empty()) {
      at->second->sources.emplace_back(set, labels, place);
    }
  }

  [[nodiscard]] const std::vector<std::unique_ptr<Group>>& all() const { return groups_; }

 private:
  /// Selectors that take a name of the schema.
  std::vector<const Selector*> naming(const Schema& schema) {
    std::vector<const Selector*> found;
    for (std::size_t s = 0; s < selectors_.size(); ++s) {
      if (std::any_of(schema.runs().begin(), schema.runs().end(), [&](const Schema::Run& run) {
            auto& answers = names_[run.name];
            if (answers.empty()) {
              for (const Selector& selector : selectors_)
                answers.push_back(selector.matches_name(run.name) ? '1' : '0');
            }
            return answers[s] == '1';
          })) {
        found.push_back(&selectors_[s]);
      }
    }
    return found;
  }

  std::span<const Selector> selectors_;
  const LabelPairs& gaps_;
  std::unordered_map<std::string_view, std::string> names_;  ///< an answer a selector
  std::unordered_map<const Schema*, std::vector<const Selector*>> by_schema_;
  std::unordered_map<std::string, Group*> by_key_;
  std::vector<std::unique_ptr<Group>> groups_;
  std::vector<const Selector*> active_;
  std::string key_;
};

/// The series of one name in one group.
struct Part {
  const Group* group;
  const Selection::Run* run;
};

/// One family: set by set, whatever group they are in.
void write_family(std::span<const Part> parts, FederateWriter& writer) {
  writer.begin(parts[0].run->name);
  if (parts.size() == 1) {
    for (const FederatedSet& source : parts[0].group->sources)
      writer.write(parts[0].group->selection, *parts[0].run, source);
  } else {
    std::vector<std::pair<const FederatedSet*, const Part*>> all;
    for (const Part& part : parts) {
      for (const FederatedSet& source : part.group->sources) all.emplace_back(&source, &part);
    }
    std::sort(all.begin(), all.end(),
              [](const auto& a, const auto& b) { return a.first->at < b.first->at; });
    for (const auto& [source, part] : all)
      writer.write(part->group->selection, *part->run, *source);
  }
  writer.end();
}

/// External labels, and instance="" where these have no instance.
LabelPairs gaps_of(const FederateOptions& options) {
  LabelPairs gaps = options.external_labels;
  if (std::none_of(gaps.begin(), gaps.end(),
                   [](const auto& pair) { return pair.first == "instance"; })) {
    gaps.emplace_back("instance", "");
    std::sort(gaps.begin(), gaps.end());
  }
  return gaps;
}

}  // namespace

std::size_t federate(std::span<const SeriesSet* const> sets, std::span<const Selector> selectors,
                     std::int64_t now_ms, const FederateOptions& options, std::string& out) {
  const LabelPairs gaps = gaps_of(options);
  Groups groups(selectors, gaps);
  for (std::uint32_t i = 0; i < sets.size(); ++i) groups.add(*sets[i], i);

  std::unordered_map<std::string_view, std::vector<Part>> by_name;
  std::size_t bytes = 0;
  constexpr std::size_t kValueAndTime = 40;
  for (const auto& group : groups.all()) {
    for (const Selection::Run& run : group->selection.runs()) {
      by_name[run.name].push_back({group.get(), &run});
    }
    for (const FederatedSet& source : group->sources) {
      bytes += group->selection.bytes(source.label_text.size()) +
               group->selection.lines().size() * kValueAndTime;
    }
  }
  std::vector<const std::vector<Part>*> families;
  families.reserve(by_name.size());
  for (const auto& [name, parts] : by_name) families.push_back(&parts);
  std::sort(families.begin(), families.end(), [](const auto* a, const auto* b) {
    return a->front().run->name < b->front().run->name;
  });

  out.reserve(out.size() + bytes);
  const auto writer =
      FederateWriter::make(options.format, {now_ms, options.lookback_ms}, gaps, out);
  for (const auto* parts : families) write_family(*parts, *writer);
  return writer->written();
}

std::size_t federate(const Views& views, std::span<const Selector> selectors, std::int64_t now_ms,
                     const FederateOptions& options, std::string& out,
                     std::span<const SeriesSet> more) {
  std::vector<const SeriesSet*> sets;
  sets.reserve(views.size() * 4 + more.size());
  for (const auto& view : views) {
    for (const SeriesSet* set : {&view->scraped, &view->report, &view->derived, &view->pods})
      sets.push_back(set);
  }
  for (const SeriesSet& set : more) sets.push_back(&set);
  return federate(sets, selectors, now_ms, options, out);
}

}  // namespace optipod::aggregator
