// SPDX-License-Identifier: Apache-2.0
// When what the API server says counts: once it has told all, as long as it is followed.
#include "extender/decide/publisher.hpp"

#include "tests/extender/publishing.hpp"
#include "tests/extender/support.hpp"
#include "tests/support/catch.hpp"

namespace optipod::extender {
namespace {

constexpr std::int64_t kNow = test::kPublishedMs;

struct Published : test::Publishing {
  Published() { publisher.take(test::federate({{"b", {{Signal::kCpus, 4}}}}, kNow), kNow).value(); }

  /// What a decision sees of a node; fails when there is no row of it.
  NodeFacts facts(std::string_view node) {
    publisher.refresh(kNow);
    const auto snapshot = current.get()->snapshot;
    const std::uint32_t row = snapshot->nodes().find(node);
    REQUIRE(row != NodeTable::kUnknown);
    return snapshot->facts[row];
  }
  void nodes() {
    state.begin_nodes();
    for (const char* name : {"a", "b"}) {
      wire::NodeObject node{.name = name, .congestion = kMissing};
      node.allocatable.amount = {4, 16e9, 110};
      node.avoided = node.name == "b";
      node.zone = node.name == "b" ? "" : zone;
      state.node(node);
    }
    state.end_nodes();
  }
  std::string_view zone = "west";

  void pods() {
    state.begin_pods();
    wire::Pod pod;
    pod.uid = "u";
    pod.node_name = "a";
    pod.requests.amount = {3, 1e9, 1};
    state.pod(pod);
    state.end_pods();
  }
};

TEST_CASE("nodes are not taken for empty ones while their pods have not been listed") {
  Published p;
  p.nodes();
  CHECK_FALSE(p.facts("a").known);  // its row is there, and nothing is known
  p.state.begin_pods();
  CHECK_FALSE(p.facts("a").known);
  p.pods();
  CHECK(p.facts("a").known);
  CHECK(p.facts("a").requested.cpu() == 3);
  CHECK(p.facts("b").requested.cpu() == 0);
  CHECK((p.facts("b").avoided && !p.facts("a").avoided));
  CHECK(p.facts("b").zone == 0);
  const std::uint64_t west = p.facts("a").zone;
  CHECK(west != 0);
  p.zone = "east";
  p.nodes();
  CHECK((p.facts("a").zone != west && p.facts("a").zone != 0));
  p.state.forget_pods();
  CHECK_FALSE(p.facts("b").known);
  CHECK(p.state.pods() == 0);
  p.pods();
  CHECK(p.facts("a").requested.cpu() == 3);
  p.state.forget_nodes();
  CHECK_FALSE(p.facts("b").known);  // its row is that of the measurements
  p.nodes();
  CHECK(p.facts("a").requested.cpu() == 3);  // the pods were not forgotten
}

TEST_CASE("what the API server said counts no more when it is not followed, until it is again") {
  Published p;
  p.nodes();
  p.pods();
  p.publisher.set_followed(false);
  CHECK_FALSE(p.facts("a").known);
  const auto world = p.current.get();
  CHECK(world->snapshot->value(Signal::kCpus)[world->snapshot->nodes().find("b")] == 4);
  p.publisher.set_followed(true);
  CHECK(p.facts("a").known);
}

TEST_CASE(
    "decisions rest on the cluster as soon as it is listed and followed, not at the next turn") {
  Published p;
  const auto follows = [&] {
    p.publisher.refresh(kNow + 1, 500);
    return p.current.get()->snapshot->follows_kubernetes;
  };
  p.nodes();
  CHECK_FALSE(follows());
  p.pods();
  CHECK(follows());
  const auto world = p.current.get();
  CHECK((follows() && p.current.get() == world));  // otherwise it is not yet time
  p.publisher.set_followed(false);
  CHECK_FALSE(follows());
  p.publisher.set_followed(true);
  CHECK(follows());
  p.state.forget_pods();
  CHECK_FALSE(follows());
}

}  // namespace
}  // namespace optipod::extender
