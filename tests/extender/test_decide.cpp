// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "extender/decide/engine.hpp"
#include "extender/decide/record.hpp"
#include "extender/policies/registry.hpp"
#include "extender/policies/template/template.hpp"
#include "tests/extender/support.hpp"
#include "tests/support/catch.hpp"

namespace optipod::extender {
namespace {

using test::Cluster;
constexpr std::int64_t kNow = 1'700'000'000'000;

/// Scores what it is told in cpu_utilization_15s, and rejects over 0.9.
class Told final : public Policy {
 public:
  std::string_view name() const override { return "told"; }
  SignalSet needs() const override { return SignalSet(Signal::kCpuUtilization15s); }
  bool rejects() const override { return true; }
  std::string_view reject_reason() const override { return "told to"; }
  void judge(const Question& q, Judgement& out) const override {
    static constexpr std::string_view kLosses[] = {"told"};
    out.reset(q.size, kLosses);
    for (std::size_t i = 0; i < q.size; ++i) {
      out.losses[0].share[i] = q[Signal::kCpuUtilization15s][i];
      out.score[i] = 1 - q[Signal::kCpuUtilization15s][i];
      out.reject[i] = out.score[i] < 0.1 ? 1 : 0;
    }
  }
};

const Told kTold;
const std::vector<WeightedPolicy> kOnly{{&kTold, 1}};

Cluster losses(const std::map<std::string, double>& told) {
  Cluster cluster;
  for (const auto& [node, loss] : told) cluster[node] = {{Signal::kCpuUtilization15s, loss}};
  return cluster;
}

std::vector<int> scores(const Snapshot& s, const std::vector<std::string_view>& names,
                        std::int64_t now = kNow, const DecideOptions& options = {}) {
  Decision d;
  decide(s, test::args(names), now, kOnly, options, false, d);
  return {d.score.begin(), d.score.end()};
}

using Ints = std::vector<int>;

TEST_CASE("eleven levels spread over this request's candidates; equals are ties") {
  const auto s = test::snapshot(
      losses({{"a", 0}, {"b", 0.25}, {"c", 0.5}, {"d", 0.5}, {"e", 0.51}, {"f", 0.405}}), kNow);
  CHECK(scores(*s, {"a", "b", "c", "d"}) == Ints{10, 5, 0, 0});
  CHECK(scores(*s, {"d", "c", "b", "a"}) == Ints{0, 0, 5, 10});
  // Nearer than the dead band: equal, nobody is listed.
  CHECK(scores(*s, {"c", "e"}) == Ints{0, 0});
  // Half the full spread apart: half the levels.
  CHECK(scores(*s, {"c", "f"}) == Ints{0, 5});
  CHECK(scores(*s, {"a"}) == Ints{0});
  CHECK(scores(*s, {}).empty());
  CHECK(scores(*s, {"a", "a", "c"}) == Ints{10, 10, 0});
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
  CHECK(scores(*s, {"a", "b", "new"}) == Ints{10, 0, 5});
  CHECK(scores(*s, {"new", "other"}) == Ints{0, 0});
  // One known node among unknown ones: nothing to tell them apart by.
  CHECK(scores(*s, {"a", "new"}) == Ints{0, 0});
  CHECK(scores(*s, {"b", "new"}) == Ints{0, 0});
  // All expired.
  CHECK(scores(*s, {"a", "b"}, kNow + 30'000) == Ints{0, 0});
  // Half trusted, all alike: the same order, nearer together.
  CHECK(scores(*s, {"a", "b"}, kNow + 17'500) == Ints{10, 0});

  const auto mixed = test::snapshot(losses({{"old", 0}}), kNow);
  const auto later = test::snapshot(losses({{"a", 0}, {"b", 1}}), kNow + 17'500, *mixed);
  const auto half = scores(*later, {"a", "b", "old"}, kNow + 17'500);
  CHECK(half[0] == 10);
  CHECK(half[1] == 0);
  CHECK((half[2] > 5 && half[2] < 10));
  // A clock ahead of ours is not a reason to distrust.
  CHECK(scores(*s, {"a", "b"}, kNow - 2'000) == Ints{10, 0});
}

TEST_CASE("--on-missing avoid: the unknown are with the worst") {
  DecideOptions o;
  o.on_missing = OnMissing::kAvoid;
  const auto s = test::snapshot(losses({{"a", 0}, {"b", 0.6}, {"c", 1}}), kNow);
  CHECK(scores(*s, {"a", "b", "c", "new"}, kNow, o) == Ints{10, 4, 0, 0});
}

TEST_CASE("policies add up by weight") {
  const Template other;
  const auto s = test::snapshot(
      {{"a", {{Signal::kCpuUtilization15s, 0.2}}}, {"b", {{Signal::kCpuUtilization15s, 0.8}}}},
      kNow);
  const std::vector<WeightedPolicy> both{{&kTold, 3}, {&other, 1}};
  Decision d;
  decide(*s, test::args({"a", "b"}), kNow, both, {}, false, d);
  CHECK(d.combined[0] == Approx(0.8));
  CHECK(d.combined[1] == Approx(0.2));
  CHECK(d.policies == 2);
  // The same decision object for a request with fewer policies and candidates.
  decide(*s, test::args({"b"}), kNow, kOnly, {}, false, d);
  CHECK(d.policies == 1);
  CHECK(d.score.size() == 1);
}

TEST_CASE("filter rejects with a constant reason, the worst first, never more than its share") {
  const auto s = test::snapshot(losses({{"a", 0}, {"b", 0.95}, {"c", 0.99}, {"d", 0.97}}), kNow);
  DecideOptions o;
  Decision d;
  const auto filter = [&](const std::vector<std::string_view>& names, std::int64_t now = kNow) {
    decide(*s, test::args(names), now, kOnly, o, true, d);
    return d.reason;
  };
  using Reasons = std::vector<std::string_view>;
  CHECK(filter({"a", "b", "c", "d"}) == Reasons{"", "", "told to", "told to"});
  CHECK(d.withheld == 1);
  CHECK(filter({"b"}) == Reasons{""});  // a nominated pod's single node
  CHECK(filter({"a", "b"}) == Reasons{"", "told to"});
  CHECK(filter({"a", "new"}) == Reasons{"", ""});
  CHECK(filter({"a", "b"}, kNow + 6'000) == Reasons{"", ""});  // not fresh: rejects nobody
  o.max_reject_share = 1;
  CHECK(filter({"b", "c"}) == Reasons{"told to", "told to"});
  o.max_reject_share = 0;
  CHECK_FALSE(can_reject(kOnly, o));

  o.max_reject_share = 0.5;
  o.on_missing = OnMissing::kReject;
  CHECK(filter({"a", "new"}) == Reasons{"", kMissingReason});
  const Template harmless;
  const std::vector<WeightedPolicy> none{{&harmless, 1}};
  CHECK(can_reject(none, o));
  o.on_missing = OnMissing::kNeutral;
  CHECK_FALSE(can_reject(none, o));
}

TEST_CASE("the record tells each candidate's signals, ages, losses and scores; the best of many") {
  const auto s = test::snapshot(losses({{"a", 0.75}, {"b", 0.25}, {"c", 0.5}}), kNow);
  wire::Args args = test::args({"a", "b", "c", "new"});
  args.pod.name = "web";
  args.pod.name_space = "shop";
  args.pod.uid = "u-1";
  Decision d;
  decide(*s, args, kNow + 1'500, kOnly, {}, false, d);
  Records records(2);
  records.add(make_record("prioritize", *s, args, d, kNow + 1'500, 3));
  CHECK(records.find("shop/web", 10).size() == 1);
  CHECK(records.find("u-1", 10).size() == 1);
  CHECK(records.find("shop/other", 10).empty());
  CHECK(records.find("u-2", 10).empty());

  const auto told = nlohmann::json::parse(explain_json(records.find("", 1)))["decisions"][0];
  CHECK(told["pod"]["name"] == "web");
  CHECK(told["time"] == "2023-11-14T22:13:21.500Z");
  CHECK(told["candidates_total"] == 4);
  CHECK(told["missing"] == 1);
  REQUIRE(told["candidates"].size() == 3);
  const auto& best = told["candidates"][0];
  CHECK(best["node"] == "b");
  CHECK(best["score"] == 10);
  CHECK(best["signals"]["cpu_utilization_15s"]["value"] == 0.25);
  CHECK(best["signals"]["cpu_utilization_15s"]["age_seconds"] == 1.5);
  CHECK(best["policies"][0]["losses"][0]["loss"] == 0.25);
  CHECK(told["candidates"][2]["node"] == "new");
  CHECK(told["candidates"][2]["age_seconds"].is_null());

  for (int i = 0; i < 5; ++i) {
    args.pod.uid = i % 2 == 0 ? "even" : "odd";
    records.add(make_record("filter", *s, args, d, kNow, 1));
  }
  CHECK(records.find("", 10).size() == 2);  // bounded
  CHECK(records.find("u-1", 10).empty());
  CHECK(records.find("", 10)[0]->uid == "even");  // newest first
}

TEST_CASE("a hostile pod's names do not fill the memory, and stay JSON") {
  const auto s = test::snapshot({}, kNow);
  const std::string huge(1'000'000, 'x');
  wire::Args args = test::args({huge});
  args.pod.name = huge;
  args.pod.uid = std::string_view("\xc3\x28", 2);
  Decision d;
  decide(*s, args, kNow, kOnly, {}, false, d);
  const auto record = make_record("prioritize", *s, args, d, kNow, 5);
  CHECK(record->name.size() < 300);
  CHECK(record->candidates.at(0).node.size() < 300);
  CHECK(nlohmann::json::accept(explain_json({record})));
}

}  // namespace
}  // namespace optipod::extender
