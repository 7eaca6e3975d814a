// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as the body of a request, decided against a small cluster, and as an object of the API
// server: no crash, and what comes out is JSON of the shape kube-scheduler decodes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "common/http/message.hpp"
#include "common/kube/quantity.hpp"
#include "extender/clock.hpp"
#include "extender/cluster/cluster_state.hpp"
#include "extender/cluster/measurements.hpp"
#include "extender/policies/registry.hpp"
#include "extender/serve/answers.hpp"

namespace {

using namespace optipod::extender;

void require(bool holds) {
  if (!holds) std::abort();
}

/// Measurements of tomorrow are fresh however long this runs.
const std::int64_t kNow = unix_ms() + 86'400'000;

std::shared_ptr<const World> world() {
  auto measured = std::make_shared<Measurements>();
  const std::vector<std::string> names{"a", "b", "c"};
  measured->nodes = std::make_shared<const NodeTable>(names);
  for (std::size_t s = 0; s < kSignals; ++s) {
    measured->value[s] = {0.1, 0.5 + static_cast<double>(s), kMissing};
    measured->measured_ms[s] = {kNow, kNow - 10'000, 0};
  }
  measured->received_ms = kNow;
  summarize(*measured);
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->measured = std::move(measured);
  snapshot->facts.resize(3);
  snapshot->facts[0].known = snapshot->facts[1].known = true;
  snapshot->facts[1].avoided = true;
  snapshot->facts[0].allocatable.amount = {4, 16e9, 110, 1e11, 1};
  PolicyParameters parameters;
  parameters.contention.reject_above = 0.5;
  PolicySet set(make_policies(parameters));
  std::string all;
  for (std::size_t p = 0; p < set.size(); ++p) {
    all.append(all.empty() ? "" : ",")
        .append(set[p].name())
        .append("=")
        .append(std::to_string(p + 1));
  }
  set.combination = set.parse(all).value();
  return make_world(std::move(snapshot), std::make_shared<const PolicySet>(std::move(set)));
}

void check_reply(Verb verb, const std::string& reply) {
  const auto json = nlohmann::json::parse(reply);
  if (verb == Verb::kFilter) {
    require(json["Error"] != "" || json["NodeNames"].is_array());
    require(json["FailedAndUnresolvableNodes"].is_object() && json["FailedNodes"].is_object());
  } else if (verb == Verb::kPrioritize) {
    require(json.is_array());
    for (const auto& host : json) {
      require(host["Score"].is_number_integer() && host["Score"] >= 1 && host["Score"] <= 10);
    }
  } else {
    require(json["NodeNameToMetaVictims"].is_object());
    for (const auto& victims : json["NodeNameToMetaVictims"]) {
      require(victims["Pods"].is_array() && !victims["Pods"].empty());
      for (const auto& pod : victims["Pods"]) require(pod["UID"].is_string());
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static CurrentWorld current(world());
  static Ledger ledger;
  static Workloads workloads;
  static Records records(16);
  static Metrics metrics;
  static const AnswerOptions options = [] {
    AnswerOptions o;
    o.decide.shortlist = 2;
    return o;
  }();
  static Answers answers(options, wire::ResourceNames(), current, ledger, workloads, records,
                         metrics);

  std::string body(reinterpret_cast<const char*>(data), size);
  (void)optipod::kube::parse_quantity(body);
  body.append(optipod::http::kBodyPadding, '"');
  const std::string_view text = std::string_view(body).substr(0, size);
  for (const Verb verb : {Verb::kFilter, Verb::kPrioritize, Verb::kPreempt}) {
    std::string reply;
    if (!answers.answer(verb, std::nullopt, text, reply)) check_reply(verb, reply);
    answers.finish();
    reply.clear();
    if (!answers.answer(verb, 0, text, reply)) check_reply(verb, reply);
    answers.finish();
    reply.clear();
    if (!answers.neutral(verb, text, reply)) check_reply(verb, reply);
  }
  require(nlohmann::json::accept(explain_json(records.find("", 16))));

  static wire::ObjectReader reader{wire::ResourceNames()};
  static ClusterState state(ledger, workloads, [] { return kNow; });
  for (const optipod::kube::EncodedObject& object :
       {optipod::kube::EncodedObject{optipod::kube::Encoding::kJson, text},
        optipod::kube::EncodedObject{optipod::kube::Encoding::kProtobuf, text}}) {
    if (const auto pod = reader.pod(object)) state.pod(*pod);
    if (const auto node = reader.node(object)) state.node(*node);
  }
  return 0;
}
