// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "extender/policies/registry.hpp"
#include "tests/extender/decisions.hpp"
#include "tests/support/catch.hpp"

namespace optipod::extender {
namespace {

using namespace test;

std::vector<int> scores(const std::shared_ptr<const Snapshot>& s, const Names& names,
                        std::int64_t now = kNow, const DecideOptions& options = {}) {
  Asking asking(names, now);
  asking.options = options;
  const Decision& d = asking.ask(*world(s));
  return {d.score.begin(), d.score.end()};
}

using Ints = std::vector<int>;

TEST_CASE("eleven levels spread over this request's candidates; equals are ties") {
  const auto s = test::snapshot(
      losses({{"a", 0}, {"b", 0.25}, {"c", 0.5}, {"d", 0.5}, {"e", 0.51}, {"f", 0.405}}), kNow);
  CHECK(scores(s, {"a", "b", "c", "d"}) == Ints{10, 5, 0, 0});
  CHECK(scores(s, {"d", "c", "b", "a"}) == Ints{0, 0, 5, 10});
  // Nearer than the dead band: equal, nobody is listed.
  CHECK(scores(s, {"c", "e"}) == Ints{0, 0});
  // Half the full spread apart: half the levels.
  CHECK(scores(s, {"c", "f"}) == Ints{0, 5});
  CHECK(scores(s, {"a"}) == Ints{0});
  CHECK(scores(s, {}).empty());
  CHECK(scores(s, {"a", "a", "c"}) == Ints{10, 10, 0});
}

TEST_CASE("candidates are found in whatever order they come, after any other order and table") {
  const auto five = world(
      test::snapshot(losses({{"a", 0.5}, {"b", 0.4}, {"c", 0.3}, {"d", 0.2}, {"e", 0.1}}), kNow));
  const auto two = world(test::snapshot(losses({{"d", 0.5}, {"e", 0.4}}), kNow));
  const std::vector<Names> lists{
      {"a", "c", "e", "b", "d"}, {"a", "c", "e", "b", "d"}, {"c", "e", "nobody", "b", "", "d", "a"},
      {"d", "d", "a", "a"},      {"nobody", "e"},           {},
      {"e", "d", "c", "b", "a"}};
  Asking asking({});  // its Decision remembers
  for (const auto& w : {five, two, five}) {
    for (const Names& list : lists) {
      asking.nodes = list;
      const Decision& d = asking.ask(*w);
      REQUIRE(d.row.size() == list.size());
      for (std::size_t i = 0; i < list.size(); ++i) {
        CHECK(d.row[i] == w->snapshot->nodes().find(list[i]));
        if (d.row[i] != NodeTable::kUnknown) {
          CHECK(w->snapshot->nodes().name(d.row[i]) == list[i]);
        }
      }
    }
  }
}

TEST_CASE("confidence falls linearly from fresh-for to expire-after") {
  const DecideOptions o;
  CHECK(confidence_at(0, o) == 1);
  CHECK(confidence_at(5'000, o) == 1);
  CHECK(confidence_at(17'500, o) == Approx(0.5));
  CHECK(confidence_at(30'000, o) == 0);
  CHECK(confidence_at(90'000, o) == 0);
}

TEST_CASE("a node never heard of, or not lately, is neutral: never best, never worst") {
  const auto s = test::snapshot(losses({{"a", 0}, {"b", 1}}), kNow);
  CHECK(scores(s, {"a", "b", "new"}) == Ints{10, 0, 5});
  CHECK(scores(s, {"new", "other"}) == Ints{0, 0});
  // One known node among unknown ones: nothing to tell them apart by.
  CHECK(scores(s, {"a", "new"}) == Ints{0, 0});
  CHECK(scores(s, {"b", "new"}) == Ints{0, 0});
  // All expired.
  CHECK(scores(s, {"a", "b"}, kNow + 30'000) == Ints{0, 0});
  // Half trusted, all alike: the same order, nearer together.
  CHECK(scores(s, {"a", "b"}, kNow + 17'500) == Ints{10, 0});

  const auto mixed = test::snapshot(losses({{"old", 0}}), kNow);
  const auto later = test::snapshot(losses({{"a", 0}, {"b", 1}}), kNow + 17'500, *mixed->measured);
  const auto half = scores(later, {"a", "b", "old"}, kNow + 17'500);
  CHECK(half[0] == 10);
  CHECK(half[1] == 0);
  CHECK((half[2] > 5 && half[2] < 10));
  // A clock ahead of ours is not a reason to distrust.
  CHECK(scores(s, {"a", "b"}, kNow - 2'000) == Ints{10, 0});
}

TEST_CASE("--on-missing avoid: the unknown are with the worst") {
  DecideOptions o;
  o.on_missing = OnMissing::kAvoid;
  const auto s = test::snapshot(losses({{"a", 0}, {"b", 0.6}, {"c", 1}}), kNow);
  CHECK(scores(s, {"a", "b", "c", "new"}, kNow, o) == Ints{10, 4, 0, 0});
}

TEST_CASE("policies add up by weight") {
  const auto w = world(test::snapshot(
      {{"a", {{Signal::kCpuUtilization15s, 0.2}}}, {"b", {{Signal::kCpuUtilization15s, 0.8}}}},
      kNow));
  Asking asking({"a", "b"});
  asking.policies = {{kTold, 3}, {kTemplate, 1}};
  const Decision& d = asking.ask(*w);
  CHECK(d.combined[0] == Approx(0.8));
  CHECK(d.combined[1] == Approx(0.2));
  CHECK(d.policies == 2);
  // The same decision object for a request with fewer policies and candidates.
  asking.policies = kOnly;
  asking.nodes = {"b"};
  asking.ask(*w);
  CHECK(d.policies == 1);
  CHECK(d.score.size() == 1);
}

TEST_CASE("an absolute policy's own scores are the answer where it is asked alone") {
  const auto w = world(test::snapshot(losses({{"a", 0.24}, {"b", 0.26}, {"c", 0.95}}), kNow));
  Asking asking({"a", "b", "c"});
  asking.policies = {{kAbsolute, 1}};
  CHECK(asking.ask(*w).score == std::vector<std::uint8_t>{8, 7, 1});
  asking.policies = {{kAbsolute, 1}, {kTold, 1}};
  CHECK(asking.ask(*w).score == std::vector<std::uint8_t>{10, 10, 0});
}

TEST_CASE("what rests on Kubernetes alone has no age, but is unknown where Kubernetes is silent") {
  auto snapshot =
      std::make_shared<Snapshot>(*test::snapshot(losses({{"a", 0}, {"b", 1}, {"c", 0}}), kNow));
  snapshot->facts[0].known = snapshot->facts[1].known = true;
  snapshot->facts[0].allocatable.amount = {4};
  snapshot->facts[1].allocatable.amount = {4};
  snapshot->facts[0].requested.amount = {4};
  const auto w = world(snapshot);
  Asking asking({"a", "b", "c"}, kNow + 3'600'000);
  asking.policies = {{kFacts, 1}};
  const Decision& d = asking.ask(*w);
  CHECK(d.score == std::vector<std::uint8_t>{0, 10, 5});
  CHECK(d.confidence == std::vector<double>{1, 1, 0});
  // Beside a policy whose measurements have expired, it alone tells nodes apart.
  asking.policies = {{kFacts, 1}, {kTold, 1}};
  asking.ask(*w);
  CHECK(d.score[1] > d.score[0]);
  CHECK(d.missing == 3);
}

TEST_CASE("an annotated congestion factor counts in full, measured or not") {
  auto snapshot =
      std::make_shared<Snapshot>(*test::snapshot(losses({{"a", 0}, {"b", 0}, {"c", 0}}), kNow));
  for (NodeFacts& facts : snapshot->facts) facts.known = true;
  snapshot->facts[0].congestion = 0;
  snapshot->facts[1].congestion = 100;
  PolicySet set(make_policies({}));
  const std::size_t congestion = set.find("congestion");
  const auto w = make_world(snapshot, std::make_shared<const PolicySet>(std::move(set)));
  Asking asking({"a", "b", "c"}, kNow + 3'600'000);  // what was measured has expired long since
  asking.policies = {{congestion, 1}};
  const Decision& d = asking.ask(*w);
  CHECK(d.score == std::vector<std::uint8_t>{10, 0, 5});
  CHECK(d.confidence == std::vector<double>{1, 1, 0});
}

TEST_CASE("among equals, those with fewer pods on their way come first") {
  Cluster cluster = losses({{"a", 0.5}, {"b", 0.5}, {"c", 0.5}, {"d", 0.9}});
  for (auto& [name, values] : cluster) values[Signal::kCpus] = 4;
  const auto w = world(test::snapshot(cluster, kNow));
  Ledger ledger;
  const auto bind = [&](std::string_view uid, std::string_view node, double cpu) {
    ledger.bound(uid, node, {.cpu = cpu}, {}, 0, kNow);
  };
  Asking asking({"a", "b", "c"});
  using Scores = std::vector<std::uint8_t>;
  CHECK(asking.ask(*w, ledger).score == Scores{0, 0, 0});  // real ties
  bind("other", "b", 1);
  const Decision& d = asking.ask(*w, ledger);
  CHECK(d.score == Scores{1, 0, 1});
  CHECK(d.yielded == 1);
  bind("third", "a", 1);
  bind("fourth", "c", 1);
  CHECK(asking.ask(*w, ledger).score == Scores{0, 0, 0});
  bind("little", "c", 0.4);  // less than half of this pod is no difference
  CHECK(asking.ask(*w, ledger).score == Scores{0, 0, 0});
  // Among the best of unequals it costs one step, and never helps the others.
  bind("much", "a", 3);
  asking.nodes = {"a", "b", "d"};
  CHECK(asking.ask(*w, ledger).score == Scores{9, 10, 0});
}

TEST_CASE("of many candidates the best keep their score, by lot among equals") {
  Cluster cluster;
  for (int i = 0; i < 300; ++i) {
    cluster["n" + std::to_string(i)] = {{Signal::kCpuUtilization15s, i < 200   ? 0.1
                                                                     : i < 250 ? 0.4
                                                                               : 0.9}};
  }
  const auto w = world(test::snapshot(cluster, kNow));
  std::vector<std::string> names;
  for (const auto& [name, values] : cluster) names.push_back(name);
  std::map<std::size_t, int> listed;
  for (int p = 0; p < 200; ++p) {
    const std::string uid = "pod-" + std::to_string(p);
    Asking asking(Names(names.begin(), names.end()));
    asking.pod.uid = uid;
    asking.options.most_hosts = 50;
    const Decision& d = asking.ask(*w);
    CHECK(std::ranges::count_if(d.score, [](auto s) { return s != 0; }) == 50);
    for (std::size_t i = 0; i < d.score.size(); ++i) {
      if (d.score[i] == 0) continue;
      CHECK(d.score[i] == 10);
      ++listed[i];
    }
  }
  CHECK(listed.size() == 200);  // each had its turn
  for (const auto& [i, times] : listed) CHECK(times > 20);
  Asking all(Names(names.begin(), names.end()));
  all.options.most_hosts = 1'000;
  CHECK(std::ranges::count_if(all.ask(*w).score, [](auto s) { return s != 0; }) == 250);
}

TEST_CASE("while decisions are in flight, a burst's pods are told of one node each, evenly") {
  Cluster cluster = losses({{"a", 0.5}, {"b", 0.5}, {"c", 0.505}, {"d", 0.9}});
  for (auto& [name, values] : cluster) values[Signal::kCpus] = 4;
  const auto w = world(test::snapshot(cluster, kNow));
  Ledger ledger;
  std::map<std::string, int> told;
  std::vector<std::uint32_t> best;
  for (int i = 0; i < 31; ++i) {
    const std::string uid = "pod-" + std::to_string(i);
    Asking asking({"a", "b", "c", "new"});
    asking.pod.uid = uid;
    const Decision& d = asking.ask(*w, ledger);
    d.best(best);
    Names names;
    for (const std::uint32_t k : best) names.push_back(asking.nodes[k]);
    if (i > 0) {
      REQUIRE(names.size() == 1);
      ++told[std::string(names[0])];
    }
    ledger.decided(uid, names, asking.expected, {}, kNow);
  }
  CHECK(told.size() == 3);  // how full "new" is cannot be told, so a burst does not go there
  for (const char* node : {"a", "b", "c"}) CHECK(told[node] == 10);
}

TEST_CASE("filter rejects with a constant reason, the worst first, never more than its share") {
  const auto w =
      world(test::snapshot(losses({{"a", 0}, {"b", 0.95}, {"c", 0.99}, {"d", 0.97}}), kNow));
  Asking asking({});
  asking.filter = true;
  const auto filter = [&](const Names& names, std::int64_t now = kNow) {
    asking.nodes = names;
    asking.now_ms = now;
    return asking.ask(*w).reason;
  };
  using Reasons = std::vector<std::string_view>;
  CHECK(filter({"a", "b", "c", "d"}) == Reasons{"", "", "told to", "told to"});
  CHECK(asking.decision.withheld == 1);
  CHECK(filter({"b"}) == Reasons{""});  // a nominated pod's single node
  CHECK(filter({"a", "b"}) == Reasons{"", "told to"});
  CHECK(filter({"a", "new"}) == Reasons{"", ""});
  CHECK(filter({"a", "b"}, kNow + 6'000) == Reasons{"", ""});  // not fresh: rejects nobody
  DecideOptions& o = asking.options;
  o.max_reject_share = 1;
  CHECK(filter({"b", "c"}) == Reasons{"told to", "told to"});
  o.max_reject_share = 0;
  const auto set = policy_set();
  CHECK_FALSE(can_reject(*set, kOnly, o));

  o.max_reject_share = 0.5;
  o.on_missing = OnMissing::kReject;
  CHECK(filter({"a", "new"}) == Reasons{"", kMissingReason});
  const Combination harmless{{kTemplate, 1}};
  CHECK(can_reject(*set, harmless, o));
  o.on_missing = OnMissing::kNeutral;
  CHECK_FALSE(can_reject(*set, harmless, o));
}

TEST_CASE("a combination is read as it is written, and its mistakes are named") {
  const auto set = policy_set();
  const auto good = set->parse(" told = 2.5 ,template");
  REQUIRE(good);
  CHECK((*good)[0].policy == kTold);
  CHECK((*good)[0].weight == 2.5);
  CHECK((*good)[1].weight == 1);
  for (const auto& [text, what] : std::vector<std::pair<std::string, std::string>>{
           {"", "there is no policy ''; there are: told template absolute facts"},
           {"told,", "there is no policy ''"},
           {"tolt=1", "there is no policy 'tolt'"},
           {"told=0", "'told=0': the weight must be a number over 0"},
           {"told=x", "'told=x': the weight"},
           {"told=1e9", "'told=1e9': the weight"},
           {"told=nan", "'told=nan': the weight"},
           {"told,told", "'told' is named twice"}}) {
    INFO(text);
    const auto bad = set->parse(text);
    REQUIRE_FALSE(bad);
    CHECK(bad.error().find(what) == 0);
  }
}

TEST_CASE("a pod's annotations: what it minds, which policies; mistakes are named") {
  const auto set = policy_set();
  wire::Pod pod;
  pod.annotations = {{"optipod.dev/profile", "io"}, {"optipod.dev/policy", "template=3"}};
  const Wish wish = wish_of(pod, *set);
  CHECK(wish.problems.empty());
  CHECK(wish.sensitivity.io == 1);
  CHECK(wish.sensitivity.cpu == kMinor);
  REQUIRE(wish.policies);
  CHECK((*wish.policies)[0].policy == kTemplate);
  pod.annotations = {{"optipod.dev/profile", "none"}};
  CHECK(wish_of(pod, *set).sensitivity.memory == 0);
  pod.annotations = {{"optipod.dev/profile", "fast"},
                     {"optipod.dev/policy", "best"},
                     {"optipod.dev/profil", "cpu"}};
  const Wish wrong = wish_of(pod, *set);
  CHECK(wrong.sensitivity.cpu == 1);
  CHECK_FALSE(wrong.policies);
  REQUIRE(wrong.problems.size() == 3);
  CHECK(wrong.problems[0] ==
        "annotation optipod.dev/profile: 'fast' is none of cpu, memory, io, network, none");
  CHECK(wrong.problems[1].find("annotation optipod.dev/policy: there is no policy 'best'") == 0);
  CHECK(wrong.problems[2].find("annotation optipod.dev/profil is unknown") == 0);
}

TEST_CASE("of very many wrong annotations the first are named, the others counted") {
  const std::string key = "optipod.dev/" + std::string(100'000, 'x');
  wire::Pod pod;
  pod.annotations.assign(10'000, {key, "y"});
  pod.annotations.emplace_back("optipod.dev/profile", "none");
  const Wish wish = wish_of(pod, *policy_set());
  REQUIRE(wish.problems.size() == kMostProblems + 1);
  CHECK(wish.problems.back() == "and 9992 more annotations");
  for (const std::string& problem : wish.problems) CHECK(problem.size() < 300);
  CHECK(wish.sensitivity.cpu == 0);  // the good one is taken all the same
}

}  // namespace
}  // namespace optipod::extender
