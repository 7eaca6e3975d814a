// SPDX-License-Identifier: Apache-2.0
#include "extender/cluster/measurements.hpp"

#include <random>
#include <tuple>

#include <fmt/core.h>

#include "tests/extender/support.hpp"
#include "tests/support/catch.hpp"

namespace optipod::extender {
namespace {

constexpr std::int64_t kNow = 1'700'000'000'000;

double value(const Measurements& s, std::string_view node, Signal signal) {
  const std::uint32_t row = s.nodes->find(node);
  REQUIRE(row != NodeTable::kUnknown);
  return s.value[index(signal)][row];
}

std::int64_t time_of(const Measurements& s, std::string_view node, Signal signal) {
  return s.measured_ms[index(signal)][s.nodes->find(node)];
}

TEST_CASE("names are found with any hint, and only those that are there") {
  std::vector<std::string> names;
  for (int i = 0; i < 3000; ++i) names.push_back("node-" + std::to_string(i) + ".example.internal");
  const NodeTable table(names);
  REQUIRE(table.size() == 3000);
  for (std::uint32_t i = 0; i < 3000; ++i) {
    CHECK(table.find(names[i]) == i);
    CHECK(table.find(names[i], i) == i);
    CHECK(table.find(names[i], (i + 1) % 3000) == i);
    CHECK(table.find(names[i], 99'999) == i);
  }
  CHECK(table.find("node-3000.example.internal") == NodeTable::kUnknown);
  CHECK(table.find("") == NodeTable::kUnknown);
  CHECK(NodeTable().find("x") == NodeTable::kUnknown);
  CHECK(table.host_piece(7) == R"({"Host":"node-7.example.internal","Score":)");
}

TEST_CASE("a federate answer becomes columns, each value with its own time") {
  const std::string text =
      "# TYPE optipod:node_cpus:last untyped\n"
      "optipod:node_cpus:last{node=\"a\",instance=\"\"} 4 1700000000000\n"
      "optipod:node_cpus:last{node=\"b\"} 8 1699999990000\n"
      "optipod:node_io_stall:mean_15s{node=\"b\"} 0.5 1699999995000\n"
      "optipod:node_memory_bytes:last{node=\"c\"} 1e9\n"  // no time of its own
      "optipod:node_cpus:last{node=\"d\"} NaN 1700000000000\n"
      "optipod:node_cpus:last{node=\"e\"} -1 1700000000000\n"
      "optipod:node_cpus:last{job=\"x\"} 1 1700000000000\n"
      "optipod:node_something_new:last{node=\"a\"} 1 1700000000000\n"
      "optipod:node_cpus:last{node=\"f\"} 1 1800000000000\n"  // a clock far ahead
      "optipod:node_up:last{node=\"a\"} 0 1700000005000\n";
  const auto built = MeasurementsReader().read(text, Measurements{}, kNow, 30'000);
  REQUIRE(built);
  CHECK(built->samples == 5);
  CHECK(built->foreign == 1);
  CHECK(built->nameless == 1);
  CHECK(built->bad_value == 2);
  CHECK(built->from_future == 1);
  const Measurements& s = *built->measured;
  REQUIRE(s.size() == 3);
  CHECK(value(s, "a", Signal::kCpus) == 4);
  CHECK(time_of(s, "b", Signal::kCpus) == 1699999990000);
  CHECK(time_of(s, "b", Signal::kIoStall15s) == 1699999995000);
  CHECK(time_of(s, "c", Signal::kMemoryBytes) == kNow);
  CHECK(std::isnan(value(s, "a", Signal::kIoStall15s)));
  CHECK(s.oldest_ms[s.nodes->find("b")] == 1699999990000);
  CHECK(s.newest_ms[s.nodes->find("b")] == 1699999995000);
  CHECK(s.newest_ms[s.nodes->find("a")] == kNow);  // "up" tells nothing about a measurement's age
}

TEST_CASE(
    "a node that is not told keeps its values at their age, then loses them; a signal goes at "
    "once") {
  using Values = std::map<Signal, double>;
  const Values full{{Signal::kCpus, 4}, {Signal::kIoStall15s, 0.5}};
  const auto first = test::measurements({{"a", full}, {"b", full}}, kNow);
  const auto second =
      test::measurements({{"a", {{Signal::kCpus, 4}}}, {"c", full}}, kNow + 10'000, *first);
  REQUIRE(second->size() == 3);
  CHECK(std::isnan(value(*second, "a", Signal::kIoStall15s)));
  CHECK(value(*second, "b", Signal::kIoStall15s) == 0.5);
  CHECK(time_of(*second, "b", Signal::kIoStall15s) == kNow);
  CHECK(value(*first, "a", Signal::kIoStall15s) == 0.5);  // what was published stays as it was

  const auto third = test::measurements({{"a", full}}, kNow + 31'000, *second);
  CHECK(std::isnan(value(*third, "b", Signal::kIoStall15s)));
  CHECK(third->newest_ms[third->nodes->find("b")] == 0);
  CHECK(value(*third, "c", Signal::kIoStall15s) == 0.5);

  const auto same = test::measurements({{"a", full}, {"c", full}}, kNow + 32'000, *third);
  CHECK(same->nodes == third->nodes);  // shared: the set did not change

  const auto fewer = with_rows(same, {});
  CHECK(fewer->nodes->find("b") == NodeTable::kUnknown);
  CHECK(value(*fewer, "c", Signal::kCpus) == 4);
  CHECK(with_rows(fewer, {}) == fewer);
}

TEST_CASE("what is older than is kept is dropped value by value, even when nothing is told") {
  const auto a = test::measurements({{"a", {{Signal::kCpus, 4}}}}, kNow);
  CHECK(without_expired(a, kNow + 30'000, 30'000) == a);
  const auto later = without_expired(a, kNow + 30'001, 30'000);
  CHECK(std::isnan(value(*later, "a", Signal::kCpus)));
  CHECK(later->oldest_ms[0] == 0);
  CHECK(value(*a, "a", Signal::kCpus) == 4);  // what was published stays as it was
}

TEST_CASE("a row for each node that Kubernetes has, none for others without a value") {
  const auto a =
      test::measurements({{"b", {{Signal::kCpus, 4}}}, {"d", {{Signal::kCpus, 8}}}}, kNow);
  const std::vector<std::string> names{"a", "c", "d"};
  const auto wide = with_rows(a, names);
  REQUIRE(wide->size() == 4);
  CHECK(wide->nodes->name(0) == "b");  // who was there stays where it was
  CHECK(wide->nodes->name(2) == "a");
  CHECK(value(*wide, "b", Signal::kCpus) == 4);
  CHECK(value(*wide, "d", Signal::kCpus) == 8);
  CHECK(std::isnan(value(*wide, "c", Signal::kCpus)));
  CHECK(with_rows(wide, names) == wide);
  const auto expired = with_rows(without_expired(wide, kNow + 99'000, 30'000), names);
  CHECK(expired->size() == 3);
  CHECK(expired->nodes->find("b") == NodeTable::kUnknown);
}

TEST_CASE("what a reader remembers changes nothing but the time it takes") {
  std::mt19937 random(7);
  const auto one_in = [&random](unsigned n) { return random() % n == 0; };
  MeasurementsReader reader;
  std::shared_ptr<const Measurements> before = std::make_shared<const Measurements>();
  for (int round = 0; round < 200; ++round) {
    const std::int64_t now = kNow + round * 1'000;
    const unsigned nodes = 3 + static_cast<unsigned>(round) / 50;  // some join
    std::string text;
    for (const char* series : {"cpus:last", "io_stall:mean_15s", "unheard_of:last", "up:last"}) {
      for (unsigned node = 0; node < nodes; ++node) {
        if (one_in(100)) continue;
        const std::int64_t at = one_in(50) ? now + 60'000 : now - random() % 40'000;
        text += fmt::format(
            "optipod:node_{}{{{}}} {}{}\n", series,
            node == 2 ? std::string() : fmt::format("node=\"n-{}\"", node),
            one_in(50) ? "NaN" : fmt::format("{}", static_cast<double>(random() % 1000) * 0.25),
            node == 1 ? std::string() : fmt::format(" {}", at));
      }
    }
    const auto own = reader.read(text, *before, now, 30'000).value();
    const auto fresh = MeasurementsReader().read(text, *before, now, 30'000).value();
    CAPTURE(round, text);
    CHECK(
        std::tie(own.samples, own.foreign, own.nameless, own.bad_value, own.from_future) ==
        std::tie(fresh.samples, fresh.foreign, fresh.nameless, fresh.bad_value, fresh.from_future));
    REQUIRE(own.measured->size() == fresh.measured->size());
    CHECK(own.measured->oldest_ms == fresh.measured->oldest_ms);
    CHECK(own.measured->newest_ms == fresh.measured->newest_ms);
    for (std::size_t s = 0; s < kSignals; ++s) {
      for (std::uint32_t row = 0; row < own.measured->size(); ++row) {
        CHECK(own.measured->nodes->name(row) == fresh.measured->nodes->name(row));
        const double value = own.measured->value[s][row];
        CHECK((value == fresh.measured->value[s][row] ||
               (std::isnan(value) && std::isnan(fresh.measured->value[s][row]))));
        CHECK(own.measured->measured_ms[s][row] == fresh.measured->measured_ms[s][row]);
      }
    }
    before = own.measured;
  }
}

TEST_CASE("broken text builds nothing and says where") {
  const auto built =
      MeasurementsReader().read("optipod:node_cpus:last{node=\"a\"} 4\nbroken{\n", {}, kNow, 1);
  REQUIRE_FALSE(built);
  CHECK(built.error().find("line 2") != std::string::npos);
}

}  // namespace
}  // namespace optipod::extender
