// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "extender/wire/json_text.hpp"
#include "extender/wire/objects.hpp"
#include "extender/wire/reply.hpp"
#include "extender/wire/request.hpp"
#include "tests/extender/support.hpp"
#include "tests/support/catch.hpp"

namespace optipod::extender {
namespace {

using test::Body;
using wire::DecodeCause;
using Names = std::vector<std::string_view>;

constexpr std::string_view kPod =
    R"({"metadata":{"name":"web-1","namespace":"shop","uid":"0-1","labels":{"a":"b"},)"
    R"("annotations":{"other/x":"\u0041","optipod.dev/profile":"cp\u0075"},"managedFields":[{}]},)"
    R"("spec":{"volumes":[{"name":"v","projected":{"sources":[1,2.5,true,null]}}],"priority":1000,)"
    R"("overhead":{"cpu":"10m","memory":"1Mi"},"containers":[)"
    R"({"name":"a","resources":{"limits":{"cpu":"1"},"requests":{"cpu":"250m","memory":"64Mi"}}},)"
    R"({"name":"b","resources":{"requests":{"cpu":0.5,"memory":"1e6"}}}],"initContainers":[)"
    R"({"name":"proxy","restartPolicy":"Always","resources":{"requests":{"cpu":"100m"}}},)"
    R"({"name":"load","resources":{"requests":{"cpu":"2","memory":"1Mi"}}}]},"status":{}})";

TEST_CASE("a request gives the pod and the names, in any order of members and case of keys") {
  wire::Decoder decoder;
  const std::string pod(kPod);
  const std::string names = R"(["n1","n2.example.internal", "n\u0033" ])";
  std::vector<std::string> forms{
      R"({"Pod":)" + pod + R"(,"Nodes":null,"NodeNames":)" + names + "}",
      R"({"NodeNames":)" + names + R"(,"Nodes":null,"Pod":)" + pod + "}",
      " {\n\"pod\" : " + pod + ",\n\"nodes\":null , \"nodenames\": " + names + "}\n",
      R"({"POD":)" + pod + R"(,"Extra":{"deep":[[[1]]]},"NODENAMES":)" + names + "}"};
  for (const std::string& form : forms) {
    INFO(form);
    const Body body(form);
    const auto decoded = decoder.decode(body.view());
    REQUIRE(decoded);
    const wire::Args& args = **decoded;
    CHECK(args.has_node_names);
    CHECK_FALSE(args.has_nodes);
    CHECK(args.node_names == Names{"n1", "n2.example.internal", "n3"});
    CHECK(args.pod.name == "web-1");
    CHECK(args.pod.name_space == "shop");
    CHECK(args.pod.uid == "0-1");
    CHECK(args.pod.priority == 1000);
    REQUIRE(args.pod.annotations.size() == 1);
    CHECK(args.pod.annotations[0].first == "optipod.dev/profile");
    CHECK(args.pod.annotations[0].second == "cpu");
    // The init container after the sidecar: 100m + 2, more than 250m + 500m + 100m; overhead on
    // top.
    CHECK(args.pod.requests.cpu() == Approx(2.11));
    CHECK(args.pod.requests.memory() == Approx(67108864.0 + 1e6 + 1048576));
    CHECK(args.pod.limits.cpu() == Approx(1.01));
    CHECK(args.pod.bad_quantities == 0);
  }
}

TEST_CASE("both forms of a node list are told apart, and null from absent is not") {
  wire::Decoder decoder;
  const auto decode = [&](std::string_view text) {
    const Body body(text);
    const auto decoded = decoder.decode(body.view());
    REQUIRE(decoded);
    return std::tuple((*decoded)->has_node_names, (*decoded)->has_nodes,
                      (*decoded)->node_names.size());
  };
  CHECK(decode(R"({"Pod":{},"Nodes":null,"NodeNames":[]})") == std::tuple(true, false, 0U));
  CHECK(decode(R"({"Pod":{},"Nodes":{"metadata":{},"items":[{"metadata":{"name":"a"}}]},)"
               R"("NodeNames":null})") == std::tuple(false, true, 1U));
  CHECK(decode(R"({"Pod":{}})") == std::tuple(false, false, 0U));
  CHECK(decode("{}") == std::tuple(false, false, 0U));
  // A decoder carries nothing over from the request before.
  CHECK(decode(R"({"NodeNames":["a","b","b"]})") == std::tuple(true, false, 3U));
  CHECK(decode(R"({"Pod":null})") == std::tuple(false, false, 0U));
}

TEST_CASE("names are the same however their list is written, and what follows it is read") {
  wire::Decoder decoder;
  const std::vector<std::pair<std::string_view, Names>> lists{
      {R"(["n1","n2","n2"])", {"n1", "n2", "n2"}},
      {R"([ "n1","n2" , "n2"])", {"n1", "n2", "n2"}},
      {R"(["n1","n2","n2" ])", {"n1", "n2", "n2"}},
      {R"(["n1","n\u0032","n2"])", {"n1", "n2", "n2"}},
      {R"(["n1","n2\"]","n2"])", {"n1", "n2\"]", "n2"}},
      {R"(["","a]b","c,d"])", {"", "a]b", "c,d"}},
      {"[]", {}},
      {"[ ]", {}}};
  for (const auto& [list, names] : lists) {
    INFO(list);
    const Body body(R"({"NodeNames":)" + std::string(list) + R"(,"Pod":{"metadata":{"uid":"u"}}})");
    const auto decoded = decoder.decode(body.view());
    REQUIRE(decoded);
    CHECK((*decoded)->node_names == names);
    CHECK((*decoded)->pod.uid == "u");
  }
}

TEST_CASE("names of any length are read after names of any other, with an escape anywhere") {
  wire::Decoder decoder;
  const auto read = [&decoder](const std::string& list) {
    const Body body(R"({"NodeNames":[)" + list + "]}");
    const auto decoded = decoder.decode(body.view());
    REQUIRE(decoded);
    const Names& names = (*decoded)->node_names;
    return std::vector<std::string>(names.begin(), names.end());
  };
  const auto quoted = [](const std::string& name) { return '"' + name + '"'; };
  for (std::size_t before = 0; before <= 50; ++before) {
    for (std::size_t size = 0; size <= 50; ++size) {
      const std::string a(before, 'a'), b(size, 'b');
      CHECK(read(quoted(a) + "," + quoted(b) + "," + quoted(b)) == std::vector{a, b, b});
    }
    for (std::size_t at = 0; at <= before; ++at) {  // the second is as long as it is written
      const std::string a(before + 2, 'a'), head(at, 'b'), tail(before - at, 'c');
      CHECK(read(quoted(a) + "," + quoted(head + R"(\")" + tail) + "," + quoted(a)) ==
            std::vector{a, head + '"' + tail, a});
    }
  }
}

TEST_CASE("a list that only looks like the request's is none") {
  wire::Decoder decoder;
  const std::vector<std::pair<std::string_view, Names>> bodies{
      // Of another object, in front of the request's and behind it, and of nobody.
      {R"({"Pod":{"NodeNames":["a"]},"NodeNames":["b","c"]})", {"b", "c"}},
      {R"({"NodeNames":["b","c"],"Pod":{"NodeNames":["a"]}})", {"b", "c"}},
      {R"({"Pod":{"NodeNames":["a"]}})", {}},
      // A name whose last letters these are, and a text that has them inside.
      {R"({"\"NodeNames":["a"],"NodeNames":["b"]})", {"b"}},
      {R"({"Pod":{"metadata":{"name":"\"NodeNames\":[\"a\"]"}},"NodeNames":["b"]})", {"b"}},
      // The last of two counts, as Go reads it.
      {R"({"NodeNames":["a","a"],"NodeNames": ["b"]})", {"b"}},
      {R"({"NodeNames": ["b"],"NodeNames":["a","a"]})", {"a", "a"}},
      {R"({"nodenames":["b","c"]})", {"b", "c"}}};
  for (const auto& [text, names] : bodies) {
    INFO(text);
    const Body body{std::string(text)};
    const auto decoded = decoder.decode(body.view());
    REQUIRE(decoded);
    CHECK((*decoded)->node_names == names);
  }
}

TEST_CASE("a name that JSON does not allow is refused, one that is not ASCII is read") {
  wire::Decoder decoder;
  const auto read = [&decoder](const std::string& name) {
    const Body body(R"({"NodeNames":["aaaaaaaaaaaaaaaaaaaaaaaa",")" + name + "\"]}");
    const auto decoded = decoder.decode(body.view());
    return decoded && (*decoded)->node_names.size() == 2 && (*decoded)->node_names[1] == name;
  };
  for (const std::size_t size : {0U, 3U, 15U, 16U, 17U, 24U, 40U}) {
    for (const std::size_t behind : {0U, 1U, 20U}) {
      INFO(size << " and " << behind);
      const std::string head(size, 'a'), tail(behind, 'b');
      CHECK(read(head + "\x7f" + tail));
      CHECK(read(head + "\xc3\xbc" + tail));
      CHECK_FALSE(read(head + "\x01" + tail));
      CHECK_FALSE(read(head + "\n" + tail));
      CHECK_FALSE(read(head + "\xff" + tail));
    }
  }
}

TEST_CASE("a pod of the wrong shape is a pod that says nothing") {
  wire::Decoder decoder;
  const Body body(R"({"Pod":{"metadata":{"name":7,"labels":[]},"spec":{"containers":[null,3,{}],)"
                  R"("initContainers":{},"priority":"x","overhead":{"cpu":"lots","memory":"-1"}}},)"
                  R"("NodeNames":["a"]})");
  const auto decoded = decoder.decode(body.view());
  REQUIRE(decoded);
  CHECK((*decoded)->pod.name.empty());
  CHECK((*decoded)->pod.requests.cpu() == 0);
  CHECK((*decoded)->pod.bad_quantities == 2);
  CHECK((*decoded)->node_names == Names{"a"});
}

TEST_CASE("whether a pod has preferences among nodes") {
  wire::Decoder decoder;
  const auto prefers = [&](const std::string& spec) {
    INFO(spec);
    const Body body(R"({"Pod":{"spec":{)" + spec + R"(}},"NodeNames":["n"]})");
    const auto args = decoder.decode(body.view());
    REQUIRE(args);
    return (*args)->pod.prefers;
  };
  for (const std::string kind : {"nodeAffinity", "podAffinity", "podAntiAffinity"}) {
    const std::string rules = R"("affinity":{")" + kind + R"(":{)";
    CHECK(prefers(rules + R"("preferredDuringSchedulingIgnoredDuringExecution":[{"weight":1}]}})"));
    CHECK_FALSE(prefers(rules + R"("preferredDuringSchedulingIgnoredDuringExecution":[]}})"));
    CHECK_FALSE(prefers(rules + R"("preferredDuringSchedulingIgnoredDuringExecution":null}})"));
    CHECK_FALSE(prefers(rules + R"("requiredDuringSchedulingIgnoredDuringExecution":[{}]}})"));
  }
  const std::string spread = R"("topologySpreadConstraints":[{"maxSkew":1,"whenUnsatisfiable":")";
  CHECK(prefers(spread + R"(DoNotSchedule"},{"whenUnsatisfiable":"ScheduleAnyway"}])"));
  CHECK_FALSE(prefers(spread + R"(DoNotSchedule"}])"));
  CHECK_FALSE(prefers(R"("affinity":null,"topologySpreadConstraints":null)"));
  CHECK_FALSE(prefers(R"("affinity":[{}],"topologySpreadConstraints":{"a":1})"));
}

TEST_CASE("pod-level resources override the containers'") {
  wire::Decoder decoder;
  const Body body(R"({"Pod":{"spec":{"resources":{"requests":{"cpu":"3"}},"containers":[)"
                  R"({"resources":{"requests":{"cpu":"1","memory":"5"}}}]}},"NodeNames":[]})");
  const auto decoded = decoder.decode(body.view());
  REQUIRE(decoded);
  CHECK((*decoded)->pod.requests.cpu() == Approx(3));
  CHECK((*decoded)->pod.requests.memory() == Approx(5));
}

TEST_CASE("bad requests are refused by cause, and the decoder goes on") {
  wire::Decoder decoder;
  const std::string deep_array(200'000, '[');
  const std::string balanced = std::string(500, '[') + std::string(500, ']');
  const std::vector<std::pair<std::string, DecodeCause>> bad{
      {"", DecodeCause::kEmpty},
      {" \n ", DecodeCause::kEmpty},
      {"null", DecodeCause::kNotArgs},
      {"[]", DecodeCause::kNotArgs},
      {"7", DecodeCause::kNotArgs},
      {R"({"NodeNames":"a"})", DecodeCause::kNotArgs},
      {R"({"NodeNames":["a",1]})", DecodeCause::kNotArgs},
      {R"({"NodeNames":["a",null]})", DecodeCause::kNotArgs},
      {R"({"NodeNames":["a")", DecodeCause::kSyntax},
      {R"({"NodeNames":["a"])", DecodeCause::kSyntax},
      {R"({"NodeNames":["a",]})", DecodeCause::kNotArgs},
      {R"({"NodeNames":["a" "b"]})", DecodeCause::kSyntax},
      {R"({"Pod":{"metadata":{"name":"x)", DecodeCause::kSyntax},
      {R"({"NodeNames" ["a"]})", DecodeCause::kSyntax},
      {R"({"NodeNames":["a"]} trailing)", DecodeCause::kSyntax},
      {R"({"NodeNames":ntai["a"]})", DecodeCause::kNotArgs},
      {R"({"NodeNames":nul})", DecodeCause::kNotArgs},
      {"{\"NodeNames\":[\"\xff\xfe\"]}", DecodeCause::kSyntax},
      {R"({"NodeNames":["\ud800"]})", DecodeCause::kSyntax},
      {"not json", DecodeCause::kNotArgs},
      {R"({"Pod":)" + balanced + R"(,"NodeNames":["a"]})", DecodeCause::kTooDeep},
      {R"({"NodeNames":["a"],"X":{"y":)" + balanced + "}}", DecodeCause::kTooDeep},
  };
  for (const auto& [text, cause] : bad) {
    INFO(text.substr(0, 80));
    const Body body(text);
    const auto decoded = decoder.decode(body.view());
    REQUIRE_FALSE(decoded);
    CHECK(wire::to_string(decoded.error().cause) == wire::to_string(cause));
    CHECK_FALSE(decoded.error().what.empty());
  }
  // Many brackets are not deep ones.
  std::string wide = R"({"NodeNames":["a"],"X":[)";
  for (int i = 0; i < 1000; ++i) wide += R"({"y":[]},)";
  wide += "0]}";
  CHECK(decoder.decode(Body(wide).view()));
  for (const std::string& text :
       {deep_array, R"({"Pod":)" + deep_array, std::string(100'000, '{')}) {
    const Body body(text);
    CHECK_FALSE(decoder.decode(body.view()));
  }
  const Body good(R"({"Pod":{},"NodeNames":["a"]})");
  REQUIRE(decoder.decode(good.view()));
}

TEST_CASE("a request with more names than any cluster has is refused, whatever they are of") {
  const auto repeated = [](const std::string& element, std::size_t count) {
    std::string out = element;
    for (std::size_t i = 1; i < count; ++i) out += "," + element;
    return out;
  };
  wire::Decoder decoder;
  constexpr std::size_t kMost = wire::Decoder::kMostNames;
  const Body most(R"({"NodeNames":[)" + repeated(R"("a")", kMost) + "]}");
  const auto decoded = decoder.decode(most.view());
  REQUIRE(decoded);
  CHECK((*decoded)->node_names.size() == kMost);
  for (const std::string& text :
       {R"({"NodeNames":[)" + repeated(R"("a")", kMost + 1) + "]}",
        R"({"Nodes":{"items":[)" + repeated("{}", kMost + 1) + "]}}",
        R"({"NodeNameToMetaVictims":{)" + repeated(R"("a":null)", kMost + 1) + "}}",
        R"({"NodeNameToMetaVictims":{"a":{"Pods":[)" + repeated(R"({"UID":"u"})", kMost + 1) +
            "]}}}"}) {
    const Body body(text);
    const auto refused = decoder.decode(body.view());
    INFO(text.substr(0, 50));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().cause == DecodeCause::kTooLarge);
    CHECK(refused.error().what == "more than 1000000 nodes or victims");
  }
}

TEST_CASE("every truncation of a request is refused") {
  wire::Decoder decoder;
  const std::string whole = R"({"Pod":)" + std::string(kPod) + R"(,"NodeNames":["n1","n2"]})";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Body body(std::string_view(whole).substr(0, size));
    INFO(size);
    CHECK_FALSE(decoder.decode(body.view()));
  }
}

TEST_CASE("preemption candidates are read in both forms, with the pods' UIDs in order") {
  wire::Decoder decoder;
  const std::string meta =
      R"({"Pod":{"metadata":{"uid":"p"}},"NodeNameToVictims":null,"NodeNameToMetaVictims":{)"
      R"("n1":{"Pods":[{"UID":"u1"},{"UID":"u2"}],"NumPDBViolations":3},"n2":{"Pods":[],)"
      R"("NumPDBViolations":0},"n3":{"Pods":null},"n4":null}})";
  const std::string whole =
      R"({"pod":{"metadata":{"uid":"p"}},"nodenametovictims":{"n1":{"pods":[)"
      R"({"metadata":{"name":"a","uid":"u1"}},{"metadata":{"uid":"u2"},"spec":{}}],)"
      R"("numpdbviolations":3},"n2":{},"n3":{"Pods":[{"metadata":{}}]},"n4":{}}})";
  for (const std::string& text : {meta, whole}) {
    INFO(text);
    const Body body(text);
    const auto decoded = decoder.decode(body.view());
    REQUIRE(decoded);
    const wire::Args& args = **decoded;
    CHECK(args.has_victims);
    REQUIRE(args.victims.size() == 4);
    CHECK(args.victims[0].node == "n1");
    CHECK(args.victims[0].count == 2);
    CHECK(args.victims[0].pdb_violations == 3);
    CHECK(args.victim_uids == Names{"u1", "u2"});
    for (std::size_t i = 1; i < 4; ++i) CHECK(args.victims[i].count == 0);
    std::string out;
    wire::append_preemption(out, args, std::vector<std::uint8_t>{1, 0, 0, 0});
    CHECK(out == R"({"NodeNameToMetaVictims":{"n1":{"Pods":[{"UID":"u1"},{"UID":"u2"}],)"
                 R"("NumPDBViolations":3}}})");
  }
  const Body wrong(R"({"NodeNameToVictims":[1]})");
  CHECK_FALSE(decoder.decode(wrong.view()));
  std::string none;
  const Body empty(R"({"NodeNameToMetaVictims":{}})");
  const auto decoded = decoder.decode(empty.view());
  REQUIRE(decoded);
  wire::append_preemption(none, **decoded, {});
  CHECK(none == R"({"NodeNameToMetaVictims":{}})");
}

TEST_CASE("bindings are read, and answered by an error or none") {
  wire::Decoder decoder;
  const Body body(R"({"PodName":"p","PodNamespace":"ns","PodUID":"u","Node":"n"})");
  const auto decoded = decoder.decode(body.view());
  REQUIRE(decoded);
  CHECK((*decoded)->pod_name == "p");
  CHECK((*decoded)->pod_namespace == "ns");
  CHECK((*decoded)->pod_uid == "u");
  CHECK((*decoded)->node == "n");
  std::string out;
  wire::append_binding(out, "");
  CHECK(out == R"({"Error":""})");
  out.clear();
  wire::append_binding(out, R"(a "b")");
  CHECK(out == R"({"Error":"a \"b\""})");
}

TEST_CASE("pods and nodes of the API server: what placing needs, and no more") {
  wire::ObjectReader reader(wire::ResourceNames({"example.com/fpga"}));
  const auto json = [](const Body& body) {
    return kube::EncodedObject{kube::Encoding::kJson, body.view()};
  };
  const Body pod(
      R"({"metadata":{"name":"web-6f7-x","namespace":"shop","uid":"u","labels":)"
      R"({"pod-template-hash":"6f7"},"ownerReferences":[{"kind":"X","name":"y"},)"
      R"({"kind":"ReplicaSet","name":"web-6f7","controller":true}]},"spec":{"nodeName":"n1",)"
      R"("containers":[{"resources":{"requests":{"cpu":"1","example.com/fpga":"2",)"
      R"("nvidia.com/gpu":"4"}}}]},"status":{"phase":"Running","containerStatuses":[)"
      R"({"state":{"running":{"startedAt":"2026-11-24T15:04:05Z"}}},)"
      R"({"state":{"running":{"startedAt":"2026-11-24T15:04:07.25Z"}}}]}})");
  const auto read = reader.pod(json(pod));
  REQUIRE(read);
  CHECK(read->node_name == "n1");
  CHECK(read->phase == "Running");
  CHECK(read->running_since_ms == 1795532647250);
  CHECK(read->requests[wire::kPods] == 1);
  CHECK(read->requests[wire::kFirstExtended] == 2);
  CHECK(wire::workload_of(*read) == "shop/Deployment/web");

  const Body waiting(R"({"metadata":{"uid":"u"},"status":{"containerStatuses":[)"
                     R"({"state":{"running":{"startedAt":"2026-11-24T15:04:05Z"}}},)"
                     R"({"state":{"waiting":{"reason":"ImagePullBackOff"}}}]}})");
  CHECK(reader.pod(json(waiting))->running_since_ms == 0);
  const Body young(R"({"metadata":{"uid":"u"}})");
  CHECK(reader.pod(json(young))->running_since_ms == 0);

  const Body node(R"({"metadata":{"name":"n1","annotations":{"congestion-factor":"25","a":"b"}},)"
                  R"("status":{"allocatable":{"cpu":"3920m","memory":"16Gi","pods":"110",)"
                  R"("example.com/fpga":"1"}}})");
  const auto n = reader.node(json(node));
  REQUIRE(n);
  CHECK(n->name == "n1");
  CHECK(n->allocatable.cpu() == Approx(3.92));
  CHECK(n->allocatable[wire::kPods] == 110);
  CHECK(n->allocatable[wire::kFirstExtended] == 1);
  CHECK(n->congestion == 25);
  CHECK_FALSE(n->avoided);
  CHECK(n->zone.empty());
  const Body tainted(R"({"metadata":{"name":"n1","labels":{"zone":"a",)"
                     R"("topology.kubernetes.io/zone":"b"}},"spec":{"taints":[{"key":"a","effect":)"
                     R"("PreferNoSchedule"},{"key":"b","effect":"NoSchedule"}]}})");
  CHECK(reader.node(json(tainted))->avoided);
  CHECK(reader.node(json(tainted))->zone == "b");
  const Body closed(R"({"metadata":{"name":"n1"},"spec":{"taints":[{"effect":"NoSchedule"}]}})");
  CHECK_FALSE(reader.node(json(closed))->avoided);
  const Body odd(R"({"metadata":{"name":"n1","annotations":{"congestion-factor":"high"}}})");
  CHECK(std::isnan(reader.node(json(odd))->congestion));

  for (const std::string_view bad : {"", "{", "[]x", R"({"metadata":{}})", "null"}) {
    INFO(bad);
    const Body text(bad);
    CHECK_FALSE(reader.pod(json(text)));
    CHECK_FALSE(reader.node(json(text)));
  }
}

TEST_CASE("pods of one workload are known by their controller") {
  const auto of = [](std::string_view kind, std::string_view name, std::string_view hash = {}) {
    wire::Pod pod;
    pod.name_space = "ns";
    pod.owner_kind = kind;
    pod.owner_name = name;
    pod.template_hash = hash;
    return wire::workload_of(pod);
  };
  CHECK(of("ReplicaSet", "web-5d8c", "5d8c") == of("ReplicaSet", "web-77aa", "77aa"));
  CHECK(of("ReplicaSet", "web-5d8c", "5d8c") == "ns/Deployment/web");
  CHECK(of("ReplicaSet", "web", "5d8c") == "ns/ReplicaSet/web");
  CHECK(of("Job", "backup-29384756") == of("Job", "backup-29384816"));
  CHECK(of("Job", "migrate-2") == "ns/Job/migrate-2");
  CHECK(of("StatefulSet", "db") == "ns/StatefulSet/db");
  CHECK(wire::workload_of({}).empty());
}

// The exact bytes that Go's encoding/json gives for the same values, as TestCompatibility of
// extender/v1 fixes them.
TEST_CASE("filter replies have kube-scheduler's shape") {
  std::string out;
  wire::append_filter(out, Names{"n1", "n2"}, {});
  CHECK(out ==
        R"({"Nodes":null,"NodeNames":["n1","n2"],"FailedNodes":{},"FailedAndUnresolvableNodes":{},)"
        R"("Error":""})");
  out.clear();
  wire::append_filter(out, Names{"n1", "n\"2", "n3"}, Names{"", "too much", ""});
  CHECK(out == R"({"Nodes":null,"NodeNames":["n1","n3"],"FailedNodes":{},)"
               R"("FailedAndUnresolvableNodes":{"n\"2":"too much"},"Error":""})");
  out.clear();
  wire::append_filter(out, Names{"n1", "n2", "n3"}, Names{"", "", "too much"},
                      std::vector<std::uint8_t>{1, 0, 0});
  CHECK(out == R"({"Nodes":null,"NodeNames":["n2"],"FailedNodes":{},)"
               R"("FailedAndUnresolvableNodes":{"n3":"too much"},"Error":""})");
  out.clear();
  wire::append_filter(out, {}, {});
  CHECK(nlohmann::json::parse(out)["NodeNames"].is_array());  // null would mean "none passes", too
  out.clear();
  wire::append_filter_error(out, wire::kNeedsNodeNames);
  const auto error = nlohmann::json::parse(out);
  CHECK(error["Error"].get<std::string>().find("nodeCacheCapable: true") != std::string::npos);
  CHECK(error["FailedNodes"].is_object());
}

TEST_CASE("prioritize replies are a bare array of the hosts over zero, integers") {
  const std::vector<std::string> known{"n1", "n\\2"};
  const NodeTable nodes(known);
  std::string out;
  const std::vector<std::uint32_t> rows{0, NodeTable::kUnknown, 1, 0};
  const Names names{"n1", "n\"w", "n\\2", "n1"};
  CHECK(wire::append_priorities(out, nodes, rows, names, std::vector<std::uint8_t>{10, 1, 7, 0}) ==
        3);
  CHECK(out == R"([{"Host":"n1","Score":10},{"Host":"n\\2","Score":7},{"Host":"n\"w","Score":1}])");
  out.clear();
  CHECK(wire::append_priorities(out, nodes, rows, names, std::vector<std::uint8_t>(4, 0)) == 0);
  CHECK(out == "[]");
}

TEST_CASE("strings are escaped") {
  std::string out;
  wire::append_string(out, std::string_view("a\"\\\n\x01\0é", 8));
  CHECK(out == "\"a\\\"\\\\\\u000a\\u0001\\u0000é\"");
}

}  // namespace
}  // namespace optipod::extender
