// SPDX-License-Identifier: Apache-2.0
// What is remembered of a decision, and told by /explain.
#include "extender/decide/record.hpp"

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/extender/decisions.hpp"
#include "tests/support/catch.hpp"

namespace optipod::extender {
namespace {

using namespace test;

TEST_CASE("the record tells each candidate's signals, ages, terms and scores; the best of many") {
  const auto w = world(test::snapshot(losses({{"a", 0.75}, {"b", 0.25}, {"c", 0.5}}), kNow));
  Asking asking({"a", "b", "c", "new"}, kNow + 1'500);
  asking.ask(*w);
  const auto make = [&](std::string_view verb, std::size_t most) {
    return make_record(verb, *w, asking.inquiry(), asking.decision, most);
  };
  Records records(2);
  auto record = make("prioritize", 3);
  record->problems = {"annotation x: bad"};
  records.add(std::move(record));
  CHECK(records.find("shop/web", 10).size() == 1);
  CHECK(records.find("u-1", 10).size() == 1);
  CHECK(records.find("shop/other", 10).empty());
  CHECK(records.find("u-2", 10).empty());

  const auto told_now = [&] {
    return nlohmann::json::parse(explain_json(records.find("", 1)))["decisions"][0];
  };
  const auto told = told_now();
  CHECK(told["pod"]["name"] == "web");
  CHECK(told["pod"]["expected"]["cpu"] == 1);
  CHECK(told["problems"][0] == "annotation x: bad");
  CHECK(told["time"] == "2023-11-14T22:13:21.500Z");
  CHECK(told["candidates_total"] == 4);
  CHECK(told["missing"] == 1);
  CHECK(told["equals"] == 1);
  CHECK(told["bound"].is_null());
  REQUIRE(told["candidates"].size() == 3);
  const auto& best = told["candidates"][0];
  CHECK(best["node"] == "b");
  CHECK(best["score"] == 10);
  CHECK(best["signals"]["cpu_utilization_15s"]["value"] == 0.25);
  CHECK(best["signals"]["cpu_utilization_15s"]["age_seconds"] == 1.5);
  CHECK(best["policies"][0]["terms"]["loss"] == 0.25);
  CHECK(told["candidates"][2]["node"] == "new");
  CHECK(told["candidates"][2]["age_seconds"].is_null());

  records.bound("u-1", "c", kNow + 2'000);
  records.bound("u-1", "a", kNow + 3'000);  // a pod is bound once
  CHECK(told_now()["bound"]["node"] == "c");
  CHECK(told_now()["bound"]["our_first_choice"] == false);

  for (int i = 0; i < 5; ++i) {
    asking.pod.uid = i % 2 == 0 ? "even" : "odd";
    records.add(make("filter", 1));
  }
  CHECK(records.find("", 10).size() == 2);  // bounded
  CHECK(records.find("u-1", 10).empty());
  CHECK(records.find("", 10)[0].record->uid == "even");  // newest first
  records.bound("odd", "b", kNow);
  CHECK(nlohmann::json::parse(explain_json(
            records.find("odd", 1)))["decisions"][0]["bound"]["our_first_choice"] == true);
}

TEST_CASE("what a pod is expected to use is told to come from where it does") {
  const auto w = world(test::snapshot(losses({{"a", 0.75}}), kNow));
  const auto from = [&](double cpu, double memory, bool learned) {
    Asking asking({"a"});
    asking.pod.requests.amount = {cpu, memory};
    asking.ask(*w);
    auto record = make_record("prioritize", *w, asking.inquiry(), asking.decision, 1);
    record->learned = learned;
    return nlohmann::json::parse(explain_json(
        {Remembered{std::move(record), {}, 0}}))["decisions"][0]["pod"]["expected"]["from"];
  };
  CHECK(from(1, 2, true) == "workload");
  CHECK(from(0, 0, true) == "workload");
  CHECK(from(1, 2, false) == "requests");
  CHECK(from(0, 2, false) == "requests, default");
  CHECK(from(1, 0, false) == "requests, default");
  CHECK(from(0, 0, false) == "default");
}

TEST_CASE("a record that is announced has its place, and is waited for") {
  const auto w = world(test::snapshot(losses({{"a", 0.75}, {"b", 0.25}}), kNow));
  Asking asking({"a", "b"});
  asking.ask(*w);
  const auto make = [&](const std::string& uid) {
    asking.pod.uid = uid;
    return make_record("prioritize", *w, asking.inquiry(), asking.decision, 2);
  };
  Records records(2, std::chrono::seconds(20));
  const Records::Ticket first = records.announce("u-1");
  const Records::Ticket none = records.announce("u-2");
  const Records::Ticket third = records.announce("u-3");
  records.bound("u-3", "b", kNow);  // before its record is made
  records.add(third, make("u-3"));
  records.add(none, nullptr);
  std::thread later([&] { records.add(first, make("u-1")); });
  const auto found = records.find("", 10);
  later.join();
  // Of three places the oldest gave way; that of nothing holds none.
  REQUIRE(found.size() == 1);
  CHECK(found[0].record->uid == "u-3");
  CHECK(found[0].bound_to == "b");
  CHECK(records.find("u-1", 10).empty());

  const Records::Ticket next = records.announce("u-4");
  std::thread slow([&] { records.add(next, make("u-4")); });
  CHECK(records.find("u-4", 10).size() == 1);
  slow.join();
}

TEST_CASE("a decision and what became of it are told in a sentence") {
  const auto told = [](const World& w, Asking asking, std::string_view verb,
                       const std::string& bound_to = "") {
    asking.filter = verb != "prioritize";
    asking.ask(w);
    return summary({make_record(verb, w, asking.inquiry(), asking.decision, 2), bound_to, 1});
  };
  const auto w =
      world(test::snapshot(losses({{"a", 0.9}, {"b", 0.2}, {"c", 0.2}, {"d", 0.5}}), kNow));
  const Asking asking({"a", "b", "c", "d"});
  CHECK(told(*w, asking, "prioritize") ==
        "b is best of 4 candidates, with 10 of 10; 1 more are as good");
  CHECK(told(*w, asking, "prioritize", "c") ==
        "b is best of 4 candidates, with 10 of 10; 1 more are as good; it went to c, our first "
        "choice or as good");
  CHECK(told(*w, Asking({"a", "b"}), "prioritize", "a") ==
        "b is best of 2 candidates, with 10 of 10; it went to a, with 0 of 10 from us: other "
        "scorers weighed more");
  CHECK(told(*w, asking, "prioritize", "a").ends_with("it went to a, which is not among our best"));
  CHECK(told(*w, Asking({"b", "c"}), "prioritize") == "all 2 candidates are alike to us");
  CHECK(told(*w, Asking({"x", "y", "z"}), "prioritize") ==
        "no measurement is young enough: all 3 candidates are alike to us");
  CHECK(told(*w, Asking({"b", "c", "d"}), "filter") == "none of 3 nodes is rejected");
  CHECK(told(*w, asking, "filter") == "1 of 4 nodes are rejected");  // not among the best 2
  Asking strict({"b", "x"});
  strict.options.on_missing = OnMissing::kReject;
  CHECK(told(*w, strict, "filter") == "1 of 2 nodes are rejected (optipod: no fresh measurements)");
}

TEST_CASE("a hostile pod's names do not fill the memory, and stay JSON") {
  const auto w = world(test::snapshot({}, kNow));
  const std::string huge(1'000'000, 'x');
  Asking asking({huge});
  asking.pod.name = huge;
  asking.pod.uid = std::string_view("\xc3\x28", 2);
  asking.ask(*w);
  const auto record = make_record("prioritize", *w, asking.inquiry(), asking.decision, 5);
  CHECK(record->name.size() < 300);
  CHECK(record->node(0).size() < 300);
  CHECK(nlohmann::json::accept(explain_json({{record, std::string("\xff"), 1}})));
}

}  // namespace
}  // namespace optipod::extender
