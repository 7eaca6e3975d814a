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

/// Sorts sets into groups. Each question is asked once: a name's of the selectors once a schema, a
/// target's labels' once a set, a series' labels' once a group.
class Groups {
 public:
  Groups(std::span<const Selector> selectors, const LabelPairs& gaps, FederateWindow window)
      : selectors_(selectors), gaps_(gaps), window_(window) {}

  void add(const SeriesSet& set, std::uint32_t place) {
    if (!set.schema || set.size() == 0) return;
    const auto& naming = naming_of(*set.schema);
    if (naming.empty()) return;
    const LabelSet& labels = set.labels ? *set.labels : LabelSet::none();
    active_.clear();
    const auto address = reinterpret_cast<std::uintptr_t>(set.schema.get());
    key_.assign(reinterpret_cast<const char*>(&address), sizeof address);
    for (const Selector* selector : naming) {
      const bool takes = selector->matches_labels(LabelSet::none(), labels, true);
      if (takes) active_.push_back(selector);
      key_.push_back(takes ? '1' : '0');
    }
    if (active_.empty()) return;
    for (const text::Label& label : labels.labels()) key_.append(label.name).push_back(',');
    FederatedGroup& group = group_of(*set.schema, labels);
    if (!group.selection().lines().empty()) group.add(set, labels, place);
  }

  [[nodiscard]] const std::vector<std::unique_ptr<FederatedGroup>>& all() const { return groups_; }

 private:
  /// Most sets are like the one before.
  const std::vector<const Selector*>& naming_of(const Schema& schema) {
    if (&schema == last_schema_) return *last_naming_;
    const auto [known, fresh] = by_schema_.try_emplace(&schema);
    if (fresh) known->second = naming(schema);
    last_schema_ = &schema;
    last_naming_ = &known->second;
    return known->second;
  }

  /// Of key_ and active_.
  FederatedGroup& group_of(const Schema& schema, const LabelSet& labels) {
    if (last_ != nullptr && key_ == last_key_) return *last_;
    const auto [at, unseen] = by_key_.try_emplace(key_, nullptr);
    if (unseen) {
      groups_.push_back(
          std::make_unique<FederatedGroup>(Selection(schema, labels, active_, gaps_), window_));
      at->second = groups_.back().get();
    }
    last_key_ = key_;
    return *(last_ = at->second);
  }

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
  const FederateWindow window_;
  std::unordered_map<std::string_view, std::string> names_;  ///< an answer a selector
  std::unordered_map<const Schema*, std::vector<const Selector*>> by_schema_;
  std::unordered_map<std::string, FederatedGroup*> by_key_;
  std::vector<std::unique_ptr<FederatedGroup>> groups_;
  std::vector<const Selector*> active_;
  std::string key_, last_key_;
  FederatedGroup* last_ = nullptr;
  const Schema* last_schema_ = nullptr;
  const std::vector<const Selector*>* last_naming_ = nullptr;
};

/// The series of one name in one group.
struct Part {
  const FederatedGroup* group;
  const Selection::Run* run;
};

/// A source of a family that several groups have.
struct MixedSource {
  std::uint32_t at, index;  ///< among all sets, and in its group
  const Part* part;
};

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

struct FederateBody::State {
  State(std::span<const SeriesSet* const> sets, std::span<const Selector> selectors,
        std::int64_t now_ms, const FederateOptions& options)
      : gaps(gaps_of(options)),
        groups(selectors, gaps, {now_ms, options.lookback_ms}),
        writer(FederateWriter::make(options.format, gaps)) {
    for (std::uint32_t i = 0; i < sets.size(); ++i) groups.add(*sets[i], i);
    std::unordered_map<std::string_view, std::vector<Part>> by_name;
    for (const auto& group : groups.all()) {
      for (const Selection::Run& run : group->selection().runs())
        by_name[run.name].push_back({group.get(), &run});
    }
    families.reserve(by_name.size());
    for (auto& [name, parts] : by_name) families.push_back(std::move(parts));
    std::sort(families.begin(), families.end(), [](const auto& a, const auto& b) {
      return a.front().run->name < b.front().run->name;
    });
  }

  void begin_family();
  bool next(std::string& out, std::size_t enough);

  const LabelPairs gaps;
  Groups groups;
  const std::unique_ptr<FederateWriter> writer;
  std::vector<std::vector<Part>> families;
  std::size_t family = 0;  ///< the one being written, or the next
  std::size_t step = 0;    ///< in it
  std::vector<MixedSource>
      mixed;  ///< of a family of several groups: set by set, whatever group they are in
};

void FederateBody::State::begin_family() {
  const std::vector<Part>& parts = families[family];
  writer->begin(parts.front().run->name);
  mixed.clear();
  if (parts.size() == 1) return;
  for (const Part& part : parts) {
    std::uint32_t index = 0;
    for (const FederatedSet& source : part.group->sources())
      mixed.push_back({source.at, index++, &part});
  }
  std::sort(mixed.begin(), mixed.end(),
            [](const MixedSource& a, const MixedSource& b) { return a.at < b.at; });
}

bool FederateBody::State::next(std::string& out, std::size_t enough) {
  for (; family < families.size(); ++family, step = 0) {
    if (step == 0) begin_family();
    const Part& only = families[family].front();
    const std::size_t steps = mixed.empty() ? only.group->sources().size() : mixed.size();
    while (step < steps) {
      if (out.size() >= enough) return true;
      if (mixed.empty()) {
        step = writer->write(*only.group, *only.run, step, steps, enough, out);
      } else {
        const MixedSource& at = mixed[step++];
        writer->write(*at.part->group, *at.part->run, at.index, at.index + 1, enough, out);
      }
    }
    writer->end(out);
  }
  return false;
}

FederateBody::FederateBody(std::span<const SeriesSet* const> sets,
                           std::span<const Selector> selectors, std::int64_t now_ms,
                           const FederateOptions& options)
    : state_(std::make_unique<State>(sets, selectors, now_ms, options)) {}

FederateBody::FederateBody(Views views, std::vector<SeriesSet> more,
                           std::span<const Selector> selectors, std::int64_t now_ms,
                           const FederateOptions& options)
    : views_(std::move(views)), more_(std::move(more)) {
  std::vector<const SeriesSet*> sets;
  sets.reserve(views_.size() * 4 + more_.size());
  for (const auto& view : views_) {
    for (const SeriesSet* set : {&view->scraped, &view->report, &view->derived, &view->pods})
      sets.push_back(set);
  }
  for (const SeriesSet& set : more_) sets.push_back(&set);
  state_ = std::make_unique<State>(sets, selectors, now_ms, options);
}

FederateBody::~FederateBody() = default;

bool FederateBody::next(std::string& out) {
  return state_->next(out, out.size() + kPiece);
}

std::size_t FederateBody::written() const {
  return state_->writer->written();
}

namespace {

std::size_t append_all(FederateBody& body, std::string& out) {
  while (body.next(out)) {
  }
  return body.written();
}

}  // namespace

std::size_t federate(std::span<const SeriesSet* const> sets, std::span<const Selector> selectors,
                     std::int64_t now_ms, const FederateOptions& options, std::string& out) {
  FederateBody body(sets, selectors, now_ms, options);
  return append_all(body, out);
}

std::size_t federate(const Views& views, std::span<const Selector> selectors, std::int64_t now_ms,
                     const FederateOptions& options, std::string& out,
                     std::vector<SeriesSet> more) {
  FederateBody body(views, std::move(more), selectors, now_ms, options);
  return append_all(body, out);
}

}  // namespace optipod::aggregator
