// SPDX-License-Identifier: Apache-2.0
#include "agent/top/model.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <map>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "agent/top/signals.hpp"

namespace optipod::top {
namespace {

std::string name_of(const shm::ContainerRecord& c) {
  if (c.namespace_[0] == '\0') return c.container;
  return std::string(c.namespace_) + '/' + c.pod + '/' + c.container;
}

void add_containers(Interval& out) {
  std::unordered_map<std::uint64_t, const shm::ContainerRecord*> known;
  for (const auto& c : out.before->tick.containers) known.emplace(c.cgroup_id, &c);
  for (const auto& c : out.now->tick.containers) {
    const auto was = known.find(c.cgroup_id);
    if (was == known.end() || was->second->first_tick != c.first_tick) continue;
    out.containers.push_back(
        {was->second, &c, name_of(c),
         evaluate<shm::ContainerRecord>(container_signals(), {*was->second, c, out.seconds})});
  }
}

void add_devices(Interval& out) {
  for (const auto& now : out.now->tick.devices) {
    for (const auto& was : out.before->tick.devices) {
      if (was.major != now.major || was.minor != now.minor) continue;
      out.devices.push_back(
          {&now, evaluate<shm::DeviceRecord>(device_signals(), {was, now, out.seconds})});
    }
  }
}

class Names {
 public:
  explicit Names(const shm::Tick& tick) {
    for (const auto& c : tick.containers) by_id_.emplace(c.cgroup_id, &c);
  }
  [[nodiscard]] std::string of(const Identity& identity) const {
    const auto found = by_id_.find(identity.cgroup_id);
    const bool there = found != by_id_.end() && identity_of(*found->second) == identity;
    return there ? name_of(*found->second) : "(everything else)";
  }

 private:
  std::unordered_map<std::uint64_t, const shm::ContainerRecord*> by_id_;
};

void add_neighbours(Interval& out) {
  const shm::Tick &before = out.before->tick, &now = out.now->tick;
  out.knows_neighbours = (before.node.valid & now.node.valid & shm::kValidNeighbours) != 0;
  if (!out.knows_neighbours) return;
  using Pair = std::array<std::uint64_t, 4>;
  const auto pair_of = [](const shm::NeighbourRecord& r) {
    return Pair{r.aggressor_cgroup_id, r.aggressor_first_tick, r.victim_cgroup_id,
                r.victim_first_tick};
  };
  const Names names(now);
  std::map<Pair, const shm::NeighbourRecord*> known;
  for (const auto& record : before.neighbours) known.emplace(pair_of(record), &record);
  for (const auto& is : now.neighbours) {
    // Counters of a pair that is told for the first time begin at 0.
    const auto found = known.find(pair_of(is));
    const shm::NeighbourRecord was = found == known.end() ? shm::NeighbourRecord{} : *found->second;
    if (is.preemptions <= was.preemptions) continue;
    NeighbourRow row;
    row.aggressor = {is.aggressor_cgroup_id, is.aggressor_first_tick};
    row.victim = {is.victim_cgroup_id, is.victim_first_tick};
    row.aggressor_name = names.of(row.aggressor);
    row.victim_name = names.of(row.victim);
    row.preemptions = static_cast<double>(is.preemptions - was.preemptions) / out.seconds;
    row.taken =
        static_cast<double>(std::max(is.taken_ns, was.taken_ns) - was.taken_ns) / 1e9 / out.seconds;
    out.neighbours.push_back(std::move(row));
  }
  std::stable_sort(out.neighbours.begin(), out.neighbours.end(),
                   [](const auto& a, const auto& b) { return a.taken > b.taken; });
}

/// Counters are read one after the other, so a part may be a little ahead of the whole.
void add_rest(Interval& out) {
  const auto signals = container_signals();
  out.rest.resize(signals.size());
  for (std::size_t i = 0; i < signals.size(); ++i) {
    const auto in_node = find_signal(node_signals(), signals[i].key);
    if (!in_node || !adds_up(signals[i].key) || !out.node[*in_node]) continue;
    double left = *out.node[*in_node];
    for (const auto& row : out.containers) left -= row.values[i].value_or(0);
    out.rest[i] = std::max(0.0, left);
  }
}

char lower(char c) {
  return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}

bool contains(std::string_view text, std::string_view word) {
  return std::search(text.begin(), text.end(), word.begin(), word.end(),
                     [](char a, char b) { return lower(a) == lower(b); }) != text.end();
}

/// A hundredth is the least that is shown; less must not shuffle the rows at each sample.
double sort_value(const std::optional<double>& value, Unit unit) {
  if (unit == Unit::kTasks || unit == Unit::kCpus) return std::round(*value * 100) / 100;
  return *value;
}

}  // namespace

std::optional<Interval> interval_between(SamplePtr before, SamplePtr now) {
  if (!before || !now || before->epoch != now->epoch) return std::nullopt;
  const auto &was = before->tick.node, &is = now->tick.node;
  if (is.tick <= was.tick || is.sampled_boottime_ns <= was.sampled_boottime_ns) return std::nullopt;
  Interval out;
  out.seconds = static_cast<double>(is.sampled_boottime_ns - was.sampled_boottime_ns) / 1e9;
  out.before = std::move(before);
  out.now = std::move(now);
  const NodeMoment first(out.before->tick), last(out.now->tick);
  out.node = evaluate<NodeMoment>(node_signals(), {first, last, out.seconds});
  add_containers(out);
  add_devices(out);
  add_rest(out);
  add_neighbours(out);
  return out;
}

std::optional<Interval> interval_at(Timeline& timeline, std::uint64_t number) {
  if (number <= timeline.begin() || number >= timeline.end()) return std::nullopt;
  return interval_between(timeline.at(number - 1), timeline.at(number));
}

bool matches(std::string_view name, std::string_view filter) {
  while (!filter.empty()) {
    const std::size_t end = std::min(filter.find(' '), filter.size());
    std::string_view word = filter.substr(0, end);
    filter.remove_prefix(std::min(end + 1, filter.size()));
    const bool wanted = !word.starts_with('!');
    if (!wanted) word.remove_prefix(1);
    if (!word.empty() && contains(name, word) != wanted) return false;
  }
  return true;
}

std::vector<std::size_t> arrange(const Interval& interval, const Query& query) {
  const auto& rows = interval.containers;
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (matches(rows[i].name, query.filter)) order.push_back(i);
  }
  const auto signals = container_signals();
  const std::size_t used = find_signal(signals, "cpus_used").value_or(0);
  const auto less = [&](std::size_t a, std::size_t b) {
    const ContainerRow &x = rows[a], &y = rows[b];
    if (query.sort < signals.size()) {
      const auto &vx = x.values[query.sort], &vy = y.values[query.sort];
      if (vx.has_value() != vy.has_value()) return vx.has_value();
      if (vx) {
        const double dx = sort_value(vx, signals[query.sort].unit);
        const double dy = sort_value(vy, signals[query.sort].unit);
        if (dx != dy) return query.descending ? dx > dy : dx < dy;
      }
      const double ux = sort_value(x.values[used].value_or(0), Unit::kCpus);
      const double uy = sort_value(y.values[used].value_or(0), Unit::kCpus);
      if (ux != uy) return ux > uy;
      return std::tie(x.name, a) < std::tie(y.name, b);
    }
    if (x.name != y.name) return (x.name < y.name) != query.descending;
    return a < b;
  };
  std::sort(order.begin(), order.end(), less);
  return order;
}

Identity identity_of(const shm::ContainerRecord& record) {
  return {record.cgroup_id, record.first_tick};
}

const shm::ContainerRecord* find(const shm::Tick& tick, const Identity& identity) {
  for (const auto& record : tick.containers) {
    if (identity_of(record) == identity) return &record;
  }
  return nullptr;
}

}  // namespace optipod::top
