// SPDX-License-Identifier: Apache-2.0
// Which of many candidates /filter leaves, and when it leaves all.
#include "extender/decide/shortlist.hpp"

#include <algorithm>
#include <functional>
#include <map>

#include <fmt/core.h>

#include "tests/extender/decisions.hpp"
#include "tests/support/catch.hpp"

namespace optipod::extender {
namespace {

using namespace test;

/// With the API server's word on each node; `avoided` have a taint that says so. A node's zone is
/// what its name has before a slash.
std::shared_ptr<const World> followed(const std::map<std::string, double>& told,
                                      const Names& avoided = {}) {
  auto snapshot = std::make_shared<Snapshot>(*test::snapshot(losses(told), kNow));
  for (const auto& [node, loss] : told) {
    NodeFacts& facts = snapshot->facts[snapshot->nodes().find(node)];
    facts.known = true;
    const std::size_t slash = node.find('/');
    facts.zone = slash == std::string::npos ? 0 : std::hash<std::string>{}(node.substr(0, slash));
    facts.avoided = std::ranges::count(avoided, node) != 0;
  }
  return world(std::move(snapshot));
}

/// What a filter with such a shortlist lets through of these nodes.
Names kept(const World& w, const Names& names, std::size_t shortlist, Asking asking = Asking({})) {
  asking.nodes = names;
  asking.filter = true;
  asking.options.shortlist = shortlist;
  asking.shortlist = can_shortlist(w, asking.inquiry(), asking.options);
  const Decision& d = asking.ask(w);
  Names out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!d.is_rejected(i) && (d.left_out.empty() || d.left_out[i] == 0)) out.push_back(names[i]);
  }
  return out;
}

TEST_CASE("filter leaves the best of many, in their order, and no more than there are") {
  const auto w =
      followed({{"a", 0.5}, {"b", 0.1}, {"c", 0.3}, {"d", 0.2}, {"e", 0.4}, {"f", 0.95}});
  const Names all{"a", "b", "c", "d", "e", "f"};
  CHECK(kept(*w, all, 3) == Names{"b", "c", "d"});
  CHECK(kept(*w, all, 4) == Names{"b", "c", "d", "e"});
  CHECK(kept(*w, all, 5) == Names{"a", "b", "c", "d", "e"});  // f is rejected, nobody left out
  CHECK(kept(*w, all, 6) == Names{"a", "b", "c", "d", "e"});
  CHECK(kept(*w, all, 0) == kept(*w, all, 100));
  CHECK(kept(*w, {"a", "a", "b", "nobody"}, 2) == Names{"a", "b"});
  CHECK(kept(*w, {}, 1).empty());
}

TEST_CASE("a shortlist is the cluster's best for every pod, and by lot among equals") {
  std::map<std::string, double> told;
  for (int i = 0; i < 60; ++i) told[fmt::format("n{:02}", i)] = i < 20 ? 0.1 : i < 40 ? 0.2 : 0.5;
  const auto w = followed(told);
  Names all;
  for (const auto& [node, loss] : told) all.push_back(node);
  std::map<std::string_view, int> times;
  for (int pod = 0; pod < 200; ++pod) {
    Asking asking({});
    const std::string uid = fmt::format("u-{}", pod);
    asking.pod.uid = uid;
    const Names list = kept(*w, all, 30, asking);
    REQUIRE(list.size() == 30);
    for (const std::string_view node : list) ++times[node];
  }
  for (const auto& [node, count] : times) {
    INFO(node);
    if (node < "n20") CHECK(count == 200);
    if (node >= "n20") CHECK((count > 50 && count < 150));
  }
  CHECK(times.size() == 40);
}

TEST_CASE("half of a shortlist are nodes that Kubernetes does not want avoided") {
  const std::map<std::string, double> told{{"a", 0.1}, {"b", 0.2}, {"c", 0.3}, {"d", 0.4}};
  const Names all{"a", "b", "c", "d"};
  CHECK(kept(*followed(told, {"a", "b"}), all, 2) == Names{"a", "c"});
  CHECK(kept(*followed(told, {"a", "b"}), all, 1) == Names{"c"});
  CHECK(kept(*followed(told, {"a", "b"}), all, 3) == Names{"a", "c", "d"});
  CHECK(kept(*followed(told, {"a", "b", "c", "d"}), all, 2) == Names{"a", "b"});
}

TEST_CASE("half of a shortlist is of each zone in equal parts, as far as it has nodes") {
  std::map<std::string, double> told;
  const auto add = [&](const std::string& zone, int nodes, double loss) {
    for (int i = 0; i < nodes; ++i) told[fmt::format("{}/{:02}", zone, i)] = loss;
  };
  const auto by_zone = [&](std::size_t shortlist) {
    Names all;
    for (const auto& [node, loss] : told) all.push_back(node);
    std::map<std::string_view, int> count;
    for (const std::string_view node : kept(*followed(told), all, shortlist)) {
      ++count[node.substr(0, node.find('/'))];
    }
    return count;
  };
  using Counts = std::map<std::string_view, int>;
  add("calm", 10, 0.1);
  add("fair", 10, 0.4);
  add("poor", 10, 0.7);
  CHECK(by_zone(6) == Counts{{"calm", 4}, {"fair", 1}, {"poor", 1}});
  CHECK(by_zone(7) == Counts{{"calm", 5}, {"fair", 1}, {"poor", 1}});
  CHECK(by_zone(2) == Counts{{"calm", 2}});  // not one for each
  CHECK(by_zone(24) == Counts{{"calm", 10}, {"fair", 8}, {"poor", 6}});
  told.clear();
  add("calm", 10, 0.1);
  add("poor", 1, 0.7);
  CHECK(by_zone(8) == Counts{{"calm", 7}, {"poor", 1}});
}

TEST_CASE("there is no shortlist where it could be wrong") {
  const std::map<std::string, double> told{{"a", 0.1}, {"b", 0.2}, {"c", 0.3}};
  const Names all{"a", "b", "c"};
  const auto w = followed(told);
  REQUIRE(kept(*w, all, 2) == Names{"a", "b"});
  Asking prefers({});
  prefers.pod.prefers = true;  // kube-scheduler knows where to
  CHECK(kept(*w, all, 2, prefers) == all);
  // Without the API server nobody knows which nodes are to be avoided.
  CHECK(kept(*world(test::snapshot(losses(told), kNow)), all, 2) == all);
  // Nobody is better: nothing known, or nothing known lately, or all alike.
  CHECK(kept(*followed({}), all, 2) == all);
  CHECK(kept(*w, all, 2, Asking({}, kNow + 60'000)) == all);
  CHECK(kept(*followed({{"a", 0.1}, {"b", 0.11}, {"c", 0.1}}), all, 2) == all);
  const auto one_rejected = followed({{"a", 0.1}, {"b", 0.11}, {"c", 0.1}, {"f", 0.95}});
  CHECK(kept(*one_rejected, {"a", "b", "c", "f"}, 2) == all);
}

}  // namespace
}  // namespace optipod::extender
