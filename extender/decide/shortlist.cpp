// SPDX-License-Identifier: Apache-2.0
#include "extender/decide/shortlist.hpp"

#include <algorithm>
#include <cstdint>
#include <span>

#include "extender/decide/ranking.hpp"

namespace optipod::extender {
namespace {

using Candidates = std::span<std::uint32_t>;

/// What Kubernetes does not know comes last, as if it were to be avoided.
Place place_of(const World& world, std::uint32_t row) {
  return row == NodeTable::kUnknown ? Place() : world.places[row];
}

class Shortlist {
 public:
  Shortlist(const World& world, const Inquiry& inquiry, std::size_t most, Decision& decision)
      : world_(world),
        better_(inquiry.pod.uid, decision.combined),
        decision_(decision),
        room_(most) {}

  /// Keeps the best so many of these, as far as there is room; gives back the others.
  Candidates keep(Candidates from, std::size_t count) {
    count = std::min({count, room_, from.size()});
    const auto end = from.begin() + static_cast<std::ptrdiff_t>(count);
    std::ranges::nth_element(from, end, better_);
    for (const std::uint32_t i : from.first(count)) decision_.left_out[i] = 0;
    room_ -= count;
    return from.subspan(count);
  }

  /// Keeps the best of each zone in equal parts, then whoever is best, while there is room.
  void keep_of_each_zone(Candidates from) {
    const auto by_zone = [this](std::uint32_t i) { return zone(i); };
    if (!std::ranges::is_sorted(from, {}, by_zone)) std::ranges::sort(from, {}, by_zone);
    std::size_t zones = 0;
    for (std::size_t at = 0; at < from.size(); at = end_of_zone(from, at)) ++zones;
    const std::size_t share = zones == 0 ? 0 : room_ / zones;
    for (std::size_t at = 0; at < from.size();) {
      const std::size_t end = end_of_zone(from, at);
      keep(from.subspan(at, end - at), share);
      at = end;
    }
    const auto kept = std::ranges::partition(
        from, [this](std::uint32_t i) { return decision_.left_out[i] != 0; });
    keep(from.first(from.size() - kept.size()), room_);
  }

  [[nodiscard]] std::size_t room() const { return room_; }

 private:
  [[nodiscard]] std::uint32_t zone(std::uint32_t candidate) const {
    return place_of(world_, decision_.row[candidate]).zone;
  }
  [[nodiscard]] std::size_t end_of_zone(Candidates sorted, std::size_t at) const {
    const std::uint32_t first = zone(sorted[at]);
    while (at < sorted.size() && zone(sorted[at]) == first) ++at;
    return at;
  }

  const World& world_;
  const Better better_;
  Decision& decision_;
  std::size_t room_;
};

}  // namespace

bool can_shortlist(const World& world, const Inquiry& inquiry, const DecideOptions& options) {
  return options.shortlist != 0 && inquiry.nodes.size() > options.shortlist &&
         !world.places.empty() && !inquiry.pod.prefers;
}

void shortlist(const World& world, const Inquiry& inquiry, const DecideOptions& options,
               Decision& decision) {
  std::vector<std::uint32_t>& rivals = decision.rivals;
  rivals.clear();
  for (std::uint32_t i = 0; i < decision.row.size(); ++i) {
    if (!decision.is_rejected(i)) rivals.push_back(i);
  }
  if (rivals.size() <= options.shortlist) return;
  const auto combined = [&](std::uint32_t i) { return decision.combined[i]; };
  const auto [worst, best] = std::ranges::minmax_element(rivals, {}, combined);
  if (!(combined(*best) - combined(*worst) > options.dead_band)) return;

  decision.left_out.assign(decision.row.size(), 0);
  for (const std::uint32_t i : rivals) decision.left_out[i] = 1;
  Shortlist list(world, inquiry, options.shortlist, decision);
  const Candidates rest = list.keep(rivals, options.shortlist / 2);
  const Candidates avoided = std::ranges::partition(
      rest, [&](std::uint32_t i) { return !place_of(world, decision.row[i]).avoided; });
  list.keep_of_each_zone(rest.first(rest.size() - avoided.size()));
  list.keep(avoided, list.room());
}

}  // namespace optipod::extender
