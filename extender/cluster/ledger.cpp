// SPDX-License-Identifier: Apache-2.0
#include "extender/cluster/ledger.hpp"

#include <algorithm>
#include <functional>

namespace optipod::extender {
namespace {

std::uint64_t key_of(std::string_view uid) {
  return std::hash<std::string_view>{}(uid);
}

}  // namespace

Ledger::NodeId Ledger::node_id(std::string_view name) {
  const auto [at, fresh] = ids_.try_emplace(std::string(name), static_cast<NodeId>(totals_.size()));
  if (fresh) {
    totals_.emplace_back();
    unmapped_.push_back(*at);
  }
  return at->second;
}

/// What the entry books on each of its nodes.
void Ledger::add_share(const Entry& entry, double sign, Booked& total) {
  const double share = sign / static_cast<double>(entry.nodes.size());
  total.usage.cpu += share * entry.fading * entry.usage.cpu;
  total.usage.memory += share * entry.fading * entry.usage.memory;
  if (entry.binding == 0) total.undecided += share;
  if (entry.requests_seen) return;
  for (std::size_t r = 0; r < wire::kMostResources; ++r) {
    total.requests[r] += share * entry.requests[r];
  }
}

/// Adds the entry to its nodes' totals, or takes it out again.
void Ledger::add(const Entry& entry, double sign) {
  for (const NodeId node : entry.nodes) add_share(entry, sign, totals_[node]);
}

/// The pod's entry, emptied; null when there is no room for one more.
Ledger::Entry* Ledger::put(std::uint64_t key, std::int64_t now_ms) {
  if (entries_.size() >= options_.most_pods && !entries_.contains(key)) {
    ++refused_;
    return nullptr;
  }
  Entry& entry = entries_[key];
  if (!entry.nodes.empty()) add(entry, -1);
  entry = Entry{.since_ms = now_ms};
  return &entry;
}

void Ledger::decided(std::string_view uid, std::span<const std::string_view> nodes,
                     const Usage& usage, const wire::Resources& requests, std::int64_t now_ms) {
  if (uid.empty() || nodes.empty() || nodes.size() > options_.most_shares) return;
  const std::uint64_t key = key_of(uid);
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(key);
  if (found != entries_.end() && found->second.binding != 0) return;
  Entry* entry = put(key, now_ms);
  if (entry == nullptr) return;
  entry->usage = usage;
  entry->requests = requests;
  for (const std::string_view node : nodes) entry->nodes.push_back(node_id(node));
  add(*entry, 1);
}

void Ledger::assigned(std::string_view uid, std::string_view node, std::int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(key_of(uid));
  if (found == entries_.end() || found->second.binding != 0) return;
  Entry& entry = found->second;
  add(entry, -1);
  entry.nodes.assign(1, node_id(node));
  entry.since_ms = now_ms;
  add(entry, 1);
}

void Ledger::bound(std::string_view uid, std::string_view node, const Usage& usage,
                   const wire::Resources& requests, std::int64_t running_since_ms,
                   std::int64_t now_ms) {
  const std::uint64_t key = key_of(uid);
  const std::lock_guard lock(mutex_);
  ++bindings_;
  const auto found = entries_.find(key);
  if (found != entries_.end() && found->second.binding != 0) {  // it has started, at most
    found->second.running_since_ms = running_since_ms;
    return;
  }
  Entry* entry = put(key, now_ms);
  if (entry == nullptr) return;
  entry->usage = usage;
  entry->requests = requests;
  entry->running_since_ms = running_since_ms;
  entry->binding = bindings_;
  entry->nodes.push_back(node_id(node));
  add(*entry, 1);
}

void Ledger::gone(std::string_view uid) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(key_of(uid));
  if (found == entries_.end()) return;
  add(found->second, -1);
  entries_.erase(found);
}

std::uint64_t Ledger::bindings() const {
  const std::lock_guard lock(mutex_);
  return bindings_;
}

void Ledger::facts_include(std::uint64_t bindings) {
  const std::lock_guard lock(mutex_);
  for (auto& [key, entry] : entries_) {
    if (entry.requests_seen || entry.binding == 0 || entry.binding > bindings) continue;
    add(entry, -1);
    entry.requests_seen = true;
    add(entry, 1);
  }
}

void Ledger::settle(const Measurements& measured, std::int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  std::vector<std::int64_t> newest(totals_.size(), 0);
  for (const auto& [name, id] : ids_) {
    const std::uint32_t row = measured.nodes->find(name);
    if (row != NodeTable::kUnknown) newest[id] = measured.newest_ms[row];
  }
  for (auto at = entries_.begin(); at != entries_.end();) {
    Entry& entry = at->second;
    const bool runs = entry.binding != 0 && entry.running_since_ms != 0;
    if (runs) {
      const std::int64_t contained = newest[entry.nodes.front()] - entry.running_since_ms;
      entry.fading = std::clamp(
          1 - static_cast<double>(contained) / static_cast<double>(options_.window_ms), 0.0, 1.0);
    }
    // Where nothing is measured, a running pod is of use to later decisions for a while only.
    const std::int64_t since = runs ? entry.running_since_ms : entry.since_ms;
    const std::int64_t most = entry.binding == 0 ? options_.decision_ms : options_.bound_ms;
    at = entry.fading == 0 || now_ms - since > most ? entries_.erase(at) : std::next(at);
  }
  rebuild();
  map_rows(*measured.nodes);  // here, for it takes longer than the next decision has
}

/// Totals anew from the entries: sums do not drift, and nodes without a booking are forgotten.
void Ledger::rebuild() {
  std::unordered_map<NodeId, NodeId> kept;
  for (auto& [key, entry] : entries_) {
    for (NodeId& node : entry.nodes) {
      node = kept.try_emplace(node, static_cast<NodeId>(kept.size())).first->second;
    }
  }
  for (auto at = ids_.begin(); at != ids_.end();) {
    const auto found = kept.find(at->second);
    if (found == kept.end()) {
      at = ids_.erase(at);
    } else {
      at->second = found->second;
      ++at;
    }
  }
  totals_.assign(kept.size(), {});
  for (const auto& [key, entry] : entries_) add(entry, 1);
  mapped_ = kUnmapped;
  unmapped_.clear();
}

/// All ids for a table that was not asked for before; else the new ones. Nearly every decision of a
/// burst books a node that had nothing booked.
void Ledger::map_rows(const NodeTable& table) const {
  const auto map = [&](const auto& ids) {
    for (const auto& [name, id] : ids) {
      const std::uint32_t row = table.find(name);
      if (row == NodeTable::kUnknown) continue;
      id_of_row_[row] = id;
      booked_row_[row] = true;
    }
  };
  if (mapped_ != table.id()) {
    id_of_row_.resize(table.size());
    booked_row_.assign(table.size(), false);
    map(ids_);
    mapped_ = table.id();
  } else {
    map(unmapped_);
  }
  unmapped_.clear();
}

void Ledger::read(const NodeTable& table, std::span<const std::uint32_t> rows, std::string_view uid,
                  std::vector<std::uint32_t>& index, std::vector<Booked>& bookings) const {
  index.clear();
  bookings.assign(1, {});
  const std::lock_guard lock(mutex_);
  if (entries_.empty()) return;
  map_rows(table);
  const auto found = entries_.find(key_of(uid));
  const Entry* own = found == entries_.end() ? nullptr : &found->second;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i] == NodeTable::kUnknown || !booked_row_[rows[i]]) continue;
    const NodeId id = id_of_row_[rows[i]];
    if (index.empty()) index.assign(rows.size(), 0);
    index[i] = static_cast<std::uint32_t>(bookings.size());
    bookings.push_back(totals_[id]);
    if (own != nullptr && std::ranges::find(own->nodes, id) != own->nodes.end()) {
      add_share(*own, -1, bookings.back());
    }
  }
}

std::size_t Ledger::pods() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

std::uint64_t Ledger::refused() const {
  const std::lock_guard lock(mutex_);
  return refused_;
}

}  // namespace optipod::extender
