// SPDX-License-Identifier: Apache-2.0
#include "aggregator/discovery.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

namespace optipod::aggregator {

Discovery::Discovery(std::vector<Target> fixed, std::vector<std::unique_ptr<Source>> sources,
                     const std::string& scheme)
    : fixed_(share(std::move(fixed), scheme)), sources_(std::move(sources)) {
  for (const auto& source : sources_) source->use_scheme(scheme);
  merge();
}

bool Discovery::refresh(std::chrono::steady_clock::time_point now) {
  bool news = false;
  for (const auto& source : sources_) news = source->refresh(now) || news;
  return news && merge();
}

bool Discovery::settled() const {
  return std::all_of(sources_.begin(), sources_.end(),
                     [](const auto& source) { return source->state().tried; });
}

bool Discovery::merge() {
  Targets merged;
  std::vector<std::string> problems;
  std::unordered_map<std::string_view, std::size_t> index;  // node → place in merged
  std::size_t left_out = 0;
  const auto add = [&](const std::shared_ptr<const Target>& shared, const std::string& source) {
    const Target& target = *shared;
    const auto [at, fresh] = index.try_emplace(target.node, merged.size());
    if (fresh && merged.size() < kMaxTargets) {
      merged.push_back(shared);
      return;
    }
    if (fresh) {
      index.erase(at);
    } else if (*merged[at->second] == target) {
      return;  // the same target from two sources is one target
    }
    ++left_out;
    if (problems.size() >= 100) return;
    problems.push_back(
        fresh ? fmt::format("{}: {} is left out: there are {} targets already", source,
                            target.address, kMaxTargets)
              : fmt::format("{}: {} is left out: node {} is already scraped at {}; give it another "
                            "`node` label",
                            source, target.url(), target.node, merged[at->second]->url()));
  };
  for (const auto& source : sources_) {
    if (!source->state().problem.empty()) problems.push_back(source->state().problem);
  }
  for (const auto& target : fixed_) add(target, "--target");
  for (const auto& source : sources_) {
    const std::string name = "--" + source->state().mechanism + " " + source->state().name;
    for (const auto& target : source->targets()) add(target, name);
  }
  problems_ = std::move(problems);
  left_out_ = left_out;
  const bool changed = !std::equal(merged.begin(), merged.end(), targets_.begin(), targets_.end(),
                                   [](const auto& a, const auto& b) { return a == b || *a == *b; });
  targets_ = std::move(merged);
  return changed;
}

std::vector<SourceState> Discovery::states() const {
  std::vector<SourceState> states;
  states.reserve(sources_.size());
  for (const auto& source : sources_) states.push_back(source->state());
  return states;
}

}  // namespace optipod::aggregator
