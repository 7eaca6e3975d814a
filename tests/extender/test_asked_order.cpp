// SPDX-License-Identifier: Apache-2.0
// Rows come into the order of the requests, and nothing but their order changes.
#include "extender/cluster/asked_order.hpp"

#include <algorithm>
#include <numeric>
#include <random>

#include <fmt/core.h>

#include "extender/cluster/measurements.hpp"
#include "extender/decide/engine.hpp"
#include "tests/extender/publishing.hpp"
#include "tests/extender/support.hpp"
#include "tests/support/catch.hpp"

namespace optipod::extender {
namespace {

constexpr std::int64_t kNow = test::kPublishedMs;
constexpr std::uint32_t kUnknown = NodeTable::kUnknown;
using Rows = std::vector<std::uint32_t>;

std::vector<std::string> names(std::size_t count) {
  std::vector<std::string> out;
  out.reserve(count);
  for (std::size_t i = 0; i < count; ++i) out.push_back(fmt::format("node-{:05}", i));
  return out;
}

Rows shuffled(std::size_t count, unsigned seed) {
  Rows rows(count);
  std::iota(rows.begin(), rows.end(), 0U);
  std::shuffle(rows.begin(), rows.end(), std::mt19937(seed));
  return rows;
}

/// `count` of a circle, from there on.
Rows part_of(const Rows& circle, std::size_t from, std::size_t count) {
  Rows out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(circle[(from + i) % circle.size()]);
  return out;
}

/// How many rows do not come after the one that they followed in `asked`.
std::size_t breaks(const Rows& order, const Rows& asked) {
  Rows place(order.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) place[order[i]] = i;
  std::size_t out = 0;
  for (std::size_t i = 1; i < asked.size(); ++i) {
    out += place[asked[i]] == place[asked[i - 1]] + 1 ? 0 : 1;
  }
  return out;
}

bool is_permutation_of(Rows order, std::size_t count) {
  std::ranges::sort(order);
  Rows all(count);
  std::iota(all.begin(), all.end(), 0U);
  return order == all;
}

TEST_CASE("an order is told once requests have shown most of it, and once") {
  const NodeTable table(names(1'000));
  const Rows circle = shuffled(table.size(), 1);
  AskedOrder asked;
  for (std::size_t request = 0; request < 5; ++request) {
    asked.note(table, part_of(circle, request * 100, 100));
    CHECK(asked.take(table).empty());
  }
  for (std::size_t request = 5; request < 12; ++request) {
    asked.note(table, part_of(circle, request * 100 - 1, 101));
  }
  const Rows order = asked.take(table);
  REQUIRE(is_permutation_of(order, table.size()));
  CHECK(breaks(order, circle) < 10);
  CHECK(asked.take(table).empty());
}

TEST_CASE("requests about some nodes only tell the order of these") {
  const NodeTable table(names(1'000));
  const Rows some = part_of(shuffled(table.size(), 2), 0, 200);
  AskedOrder asked;
  Rows order;
  for (int request = 0; request < 100 && order.empty(); ++request) {
    asked.note(table, some);
    order = asked.take(table);
  }
  REQUIRE(is_permutation_of(order, table.size()));
  CHECK(breaks(order, some) == 0);
}

TEST_CASE("nothing is noted of rows in order, of few, of unknown ones, or of another table") {
  const NodeTable table(names(100)), other(names(100));
  Rows in_turns;  // two threads', with an unknown one
  for (std::uint32_t i = 0; i < 48; i += 8) {
    for (std::uint32_t k = 0; k < 8; ++k) in_turns.push_back(i + k);
    for (std::uint32_t k = 0; k < 8; ++k) in_turns.push_back(50 + i + k);
  }
  in_turns.push_back(kUnknown);
  AskedOrder asked;
  for (int request = 0; request < 100; ++request) {
    asked.note(table, in_turns);
    asked.note(table, Rows{5, 3, 1});
    asked.note(table, Rows(100, kUnknown));
  }
  CHECK(asked.take(table).empty());
  asked.note(table, shuffled(100, 3));
  CHECK(asked.take(other).empty());
  CHECK_FALSE(asked.take(table).empty());
}

TEST_CASE("any requests whatever give an order of all rows") {
  const NodeTable table(names(300));
  AskedOrder asked;
  std::mt19937 generator(4);
  const auto random = [&generator](std::uint32_t below) {
    return std::uniform_int_distribution<std::uint32_t>(0, below - 1)(generator);
  };
  std::size_t orders = 0;
  for (int request = 0; request < 500; ++request) {
    Rows rows(64 + random(200));
    for (std::uint32_t& row : rows) row = random(10) == 0 ? kUnknown : random(300);
    asked.note(table, rows);
    if (const Rows order = asked.take(table); !order.empty()) {
      ++orders;
      REQUIRE(is_permutation_of(order, table.size()));
    }
  }
  CHECK(orders > 0);
}

/// The measurements of 200 nodes, published, and what is decided of them.
struct Published : test::Publishing {
  Published() {
    state.begin_pods();
    state.end_pods();
    state.begin_nodes();
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      wire::NodeObject node{.name = nodes[i], .congestion = kMissing};
      node.allocatable.amount = {static_cast<double>(i), 1e9, 110};
      state.node(node);
    }
    state.end_nodes();
    take(kNow);
  }

  /// Node i's CPUs are used to (i + more) ‰.
  void take(std::int64_t now, std::size_t more = 0) {
    test::Cluster page;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      const double used = static_cast<double>(i + more) / 1'000;
      page[nodes[i]] = {{Signal::kCpus, 8}, {Signal::kCpuUtilization15s, used}};
    }
    publisher.take(test::federate(page, now), now).value();
  }
  /// What a request about these nodes, in this order, finds out.
  Decision decided(const Rows& order, std::int64_t now) {
    const auto world = current.get();
    std::vector<std::string_view> candidates;
    for (const std::uint32_t i : order) candidates.emplace_back(nodes[i]);
    const wire::Pod pod;
    const Combination policies{{0, 1}};
    const Inquiry inquiry{.pod = pod, .nodes = candidates, .policies = policies, .now_ms = now};
    Decision out;
    decide(*world, ledger, inquiry, {}, out);
    current.asked_order().note(world->snapshot->nodes(), out.row);
    return out;
  }

  std::vector<std::string> nodes = names(200);
};

TEST_CASE("the next world has its rows in the order of the requests, with all that they had") {
  Published p;
  const Rows order = shuffled(p.nodes.size(), 5);
  const Decision before = p.decided(order, kNow);
  CHECK(before.row == order);
  p.publisher.refresh(kNow);

  const Decision after = p.decided(order, kNow);
  Rows in_a_row(p.nodes.size());
  std::iota(in_a_row.begin(), in_a_row.end(), 0U);
  CHECK(after.row == in_a_row);
  CHECK(after.combined == before.combined);
  CHECK(after.score == before.score);
  CHECK(after.unknown == 0);

  p.take(kNow + 1'000, 500);  // the reader knows where they have gone
  const auto snapshot = p.current.get()->snapshot;
  for (std::size_t i = 0; i < p.nodes.size(); ++i) {
    const std::uint32_t row = snapshot->nodes().find(p.nodes[i]);
    CHECK(snapshot->value(Signal::kCpuUtilization15s)[row] ==
          Approx(static_cast<double>(i + 500) / 1'000));
    CHECK(snapshot->facts[row].allocatable.cpu() == static_cast<double>(i));
  }
  CHECK(p.decided(order, kNow + 1'000).row == in_a_row);
}

TEST_CASE("another order soon after does not move the rows again, later it does") {
  Published p;
  p.decided(shuffled(p.nodes.size(), 6), kNow);
  p.publisher.refresh(kNow);
  const std::uint64_t first = p.current.get()->snapshot->nodes().id();
  p.decided(shuffled(p.nodes.size(), 7), kNow);
  p.publisher.refresh(kNow + 1'000);
  CHECK(p.current.get()->snapshot->nodes().id() == first);
  p.publisher.refresh(kNow + 20'000);
  CHECK(p.current.get()->snapshot->nodes().id() != first);
}

TEST_CASE("a new node's row comes last, and those before stay where they are") {
  Published p;
  const Rows order = shuffled(p.nodes.size(), 8);
  p.decided(order, kNow);
  p.publisher.refresh(kNow);
  p.nodes.insert(p.nodes.begin(), "a-new-one");  // first by name
  p.take(kNow + 1'000);
  const auto& nodes = p.current.get()->snapshot->nodes();
  CHECK(nodes.find("a-new-one") == 200);
  for (std::uint32_t i = 0; i < order.size(); ++i) CHECK(nodes.name(i) == p.nodes[order[i] + 1]);
}

}  // namespace
}  // namespace optipod::extender
