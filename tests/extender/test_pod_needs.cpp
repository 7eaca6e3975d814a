// SPDX-License-Identifier: Apache-2.0
//
// What a pod requests and is limited to, by the cases of kube-scheduler's own helper
// (k8s.io/component-helpers/resource v0.37.2, helpers_test.go) with the options that kube-scheduler
// gives it, and by some more of a pod that is resized in place.
#include <string>

#include "common/http/message.hpp"
#include "extender/wire/request.hpp"
#include "tests/support/catch.hpp"

namespace optipod::extender {
namespace {

struct Amounts {
  double cpu = 0, memory = 0, storage = 0;
};

struct Case {
  const char* name;
  std::string spec, status;
  Amounts requests, limits;
};

std::string quantities(const std::string& cpu) {
  return cpu.empty() ? "{}" : R"({"cpu":")" + cpu + R"("})";
}
/// A container that requests so much CPU.
std::string container(const std::string& name, const std::string& cpu,
                      const std::string& more = {}) {
  return R"({"name":")" + name + R"(")" + more + R"(,"resources":{"requests":)" + quantities(cpu) +
         "}}";
}
std::string staying(const std::string& name, const std::string& cpu) {
  return container(name, cpu, R"(,"restartPolicy":"Always")");
}
/// A container's status: allocated, and in use.
std::string state(const std::string& name, const std::string& allocated,
                  const std::string& actual) {
  std::string out = R"({"name":")" + name + "\"";
  if (!allocated.empty()) out += R"(,"allocatedResources":)" + quantities(allocated);
  if (!actual.empty()) out += R"(,"resources":{"requests":)" + quantities(actual) + "}";
  return out + "}";
}
std::string spec(const std::string& containers, const std::string& init = {},
                 const std::string& more = {}) {
  return R"({"initContainers":[)" + init + R"(],"containers":[)" + containers + "]" + more + "}";
}
std::string states(const std::string& containers, const std::string& init = {},
                   const std::string& more = {}) {
  return R"({"containerStatuses":[)" + containers + R"(],"initContainerStatuses":[)" + init + "]" +
         more + "}";
}
const std::string kInfeasible =
    R"(,"conditions":[{"type":"Ready","reason":"Infeasible"},{"type":"PodResizePending",)"
    R"("status":"True","reason":"Infeasible"}])";
const std::string kDeferred = R"(,"conditions":[{"type":"PodResizePending","reason":"Deferred"}])";

void check(const Case& one) {
  INFO(one.name);
  std::string body = R"({"Pod":{"status":)" + (one.status.empty() ? "{}" : one.status) +
                     R"(,"spec":)" + one.spec + R"(},"NodeNames":["a"]})";
  const std::size_t size = body.size();
  body.append(http::kBodyPadding, ' ');
  wire::Decoder decoder;
  const auto args = decoder.decode(std::string_view(body).substr(0, size));
  REQUIRE(args);
  const auto same = [](const wire::Resources& got, const Amounts& wanted) {
    CHECK(got.cpu() == Approx(wanted.cpu));
    CHECK(got.memory() == Approx(wanted.memory));
    CHECK(got[wire::kEphemeralStorage] == Approx(wanted.storage));
  };
  CHECK((*args)->pod.bad_quantities == 0);
  same((*args)->pod.requests, one.requests);
  same((*args)->pod.limits, one.limits);
}

TEST_CASE("init containers, sidecars and overhead count as for kube-scheduler") {
  const std::string limits = R"({"name":"a","resources":{"limits":{"cpu":"9"}}})";
  for (const Case& one : std::vector<Case>{
           {"just limit, no overhead", spec(limits), "", {}, {9}},
           {"just overhead",
            spec("", "", R"(,"overhead":{"cpu":"5","memory":"5"})"),
            "",
            {5, 5},
            {}},
           {"requests and overhead",
            spec(container("a", "1"), "", R"(,"overhead":{"cpu":"5"})"),
            "",
            {6},
            {}},
           {"limit and overhead",
            spec(limits, "", R"(,"overhead":{"cpu":"5","memory":"5"})"),
            "",
            {5, 5},
            {14}},
           {"larger init container", spec(container("a", "1"), container("i", "4")), "", {4}, {}},
           {"restartable init container",
            spec(container("a", "1"), staying("r", "1")),
            "",
            {2},
            {}},
           {"multiple restartable init containers",
            spec(container("a", "1"), container("i", "5") + "," + staying("r1", "1") + "," +
                                          staying("r2", "2") + "," + staying("r3", "3")),
            "",
            {7},
            {}},
           {"multiple restartable and regular init containers",
            spec(container("a", "1"), container("i1", "5") + "," + staying("r1", "1") + "," +
                                          staying("r2", "2") + "," + container("i2", "5") + "," +
                                          staying("r3", "3")),
            "",
            {8},
            {}},
           {"restartable-init, init and regular",
            spec(container("a", "100"), staying("r", "10") + "," + container("i", "200")),
            "",
            {210},
            {}}}) {
    check(one);
  }
}

TEST_CASE("a container that is resized in place counts with the most that it asks for and has") {
  const std::string one = spec(container("c", "4"));
  for (
      const Case& now : std::vector<Case>{
          {"no resize status", one, states(state("c", "", "2")), {4}, {}},
          {"growing", one, states(state("c", "2", "2")), {4}, {}},
          {"shrinking: allocated", one, states(state("c", "5", "4.5")), {5}, {}},
          {"shrinking: in use", one, states(state("c", "4", "6")), {6}, {}},
          {"deferred", one, states(state("c", "2", "2"), "", kDeferred), {4}, {}},
          {"infeasible", one, states(state("c", "2", "2"), "", kInfeasible), {2}, {}},
          {"infeasible, in use", one, states(state("c", "", "3"), "", kInfeasible), {3}, {}},
          {"another container's", one, states(state("d", "9", "9")), {4}, {}},
          {"infeasible, nothing reported", one, states("", "", kInfeasible), {0}, {}},
          {"what is not in a list that is there is none of it",
           one,
           states(R"({"name":"c","allocatedResources":{"memory":"7"}})", "", kInfeasible),
           {0, 7},
           {}},
          {"of each resource its own",
           spec(
               R"({"name":"c","resources":{"requests":{"cpu":"30m","memory":"20M","ephemeral-storage":"10G"}}})"),
           states(
               R"({"name":"c","allocatedResources":{"cpu":"20m","memory":"10M","ephemeral-storage":"30G"},)"
               R"("resources":{"requests":{"cpu":"10m","memory":"30M","ephemeral-storage":"20G"}}})"),
           {0.03, 30e6, 30e9},
           {}},
          {"restartable init container",
           spec("", staying("r", "4")),
           states("", state("r", "", "2")),
           {4},
           {}},
          {"restartable init container, infeasible",
           spec("", staying("r", "4")),
           states("", state("r", "", "2"), kInfeasible),
           {2},
           {}},
          {"always-restart init container without requests",
           spec("", staying("r", "")),
           states("", state("r", "", "4")),
           {4},
           {}},
          {"max of sums instead of sum of maxes",
           spec(container("c1", "1") + "," + container("c2", "2")),
           states(state("c1", "2", "") + "," + state("c2", "1", "")),
           {3},
           {}},
          {"limits, infeasible",
           spec(R"({"name":"c","resources":{"limits":{"cpu":"10"}}})"),
           states(R"({"name":"c","resources":{"limits":{"cpu":"6"}}})", "", kInfeasible),
           {},
           {6}},
          {"limits, shrinking",
           spec(R"({"name":"c","resources":{"limits":{"cpu":"4"}}})"),
           states(R"({"name":"c","resources":{"limits":{"cpu":"6"}}})"),
           {},
           {6}}}) {
    check(now);
  }
}

TEST_CASE("a pod's own resources override its containers', and are resized as those are") {
  const auto whole = [](const std::string& requests, const std::string& limits) {
    return R"(,"resources":{"requests":{)" + requests + R"(},"limits":{)" + limits + "}}";
  };
  const auto cpus = [](const std::string& n) { return R"("cpu":")" + n + R"(")"; };
  const std::string c1 =
      R"({"name":"c1","resources":{"requests":{"cpu":"1"},"limits":{"cpu":"2"}}})";
  const auto reported = [](const std::string& allocated, const std::string& requests,
                           const std::string& limits, const std::string& more) {
    return R"({"allocatedResources":{)" + allocated + R"(},"resources":{"requests":{)" + requests +
           R"(},"limits":{)" + limits + "}}" + more + "}";
  };
  for (const Case& one : std::vector<Case>{
           {"memory of the pod, CPU of the container",
            spec(container("a", "2m"), "", whole(R"("memory":"2Mi")", "")),
            "",
            {0.002, 2097152},
            {}},
           {"a resource that pods do not have",
            spec(R"({"name":"a","resources":{"requests":{"ephemeral-storage":"3Mi"}}})", "",
                 whole(R"("ephemeral-storage":"2Mi")", "")),
            "",
            {0, 0, 3145728},
            {}},
           {"status populated",
            spec(c1, "", whole(cpus("2"), cpus("4"))),
            reported(cpus("3"), cpus("3.5"), cpus("5"), ""),
            {3.5},
            {5}},
           {"infeasible",
            spec(c1, "", whole(cpus("10"), cpus("20"))),
            reported(cpus("3"), cpus("4"), cpus("8"), kInfeasible),
            {4},
            {8}},
           {"infeasible without a status keeps what is asked for",
            spec(c1, "", whole(cpus("10"), "")),
            "{" + kInfeasible.substr(1) + "}",
            {10},
            {}},
           {"the pod's status instead of its containers'",
            spec(c1),
            R"({"containerStatuses":[)" + state("c1", "7", "7") + "]," +
                reported(cpus("3"), cpus("2.5"), cpus("5"), "").substr(1),
            {3},
            {5}},
           {"the containers' where the pod's is not whole",
            spec(c1),
            R"({"containerStatuses":[)" + state("c1", "7", "6") +
                R"(],"allocatedResources":{"cpu":"9"}})",
            {7},
            {2}}}) {
    check(one);
  }
}

TEST_CASE("of a pod with as many containers and statuses as a text holds, each finds its own") {
  std::string containers, statuses;
  const int count = 20'000;
  for (int i = 0; i < count; ++i) {
    const std::string comma = i == 0 ? "" : ",";
    containers += comma + container("c" + std::to_string(i), "1");
    statuses += comma + state("c" + std::to_string(count - 1 - i), i % 2 == 0 ? "3" : "", "");
  }
  check({"many", spec(containers), states(statuses), {2.0 * count}, {}});
}

}  // namespace
}  // namespace optipod::extender
