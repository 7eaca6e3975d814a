// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as the body of a filter or prioritize request, decided against a small cluster: no
// crash, and what comes out is JSON of the shape kube-scheduler decodes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "common/http/message.hpp"
#include "common/kube/quantity.hpp"
#include "extender/decide/engine.hpp"
#include "extender/decide/record.hpp"
#include "extender/policies/registry.hpp"
#include "extender/wire/reply.hpp"
#include "extender/wire/request.hpp"

namespace {

using namespace optipod::extender;

void require(bool holds) {
  if (!holds) std::abort();
}

constexpr std::int64_t kNow = 1'700'000'000'000;

std::shared_ptr<const Snapshot> cluster() {
  auto snapshot = std::make_shared<Snapshot>();
  const std::vector<std::string> names{"a", "b", "c"};
  snapshot->nodes = std::make_shared<const NodeTable>(names);
  for (std::size_t s = 0; s < kSignals; ++s) {
    snapshot->value[s] = {0.1, 0.5 + static_cast<double>(s), kMissing};
    snapshot->measured_ms[s] = {kNow, kNow - 10'000, 0};
  }
  snapshot->oldest_ms = snapshot->newest_ms = {kNow, kNow - 10'000, 0};
  return snapshot;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto snapshot = cluster();
  static PolicyParameters parameters = [] {
    PolicyParameters p;
    p.contention.reject_above = 0.5;
    return p;
  }();
  static const auto policies = make_policies(parameters);
  static const std::vector<WeightedPolicy> both{{policies[0].get(), 2}, {policies[1].get(), 1}};
  static wire::Decoder decoder;
  static Decision decision;

  std::string body(reinterpret_cast<const char*>(data), size);
  (void)optipod::kube::parse_quantity(body);
  body.append(optipod::http::kBodyPadding, '"');
  const auto decoded = decoder.decode(std::string_view(body).substr(0, size));
  if (!decoded) return 0;
  const wire::Args& args = **decoded;
  for (const bool filter : {false, true}) {
    decide(*snapshot, args, kNow, both, DecideOptions{}, filter, decision);
    std::string reply;
    if (filter) {
      wire::append_filter(reply, args.node_names, decision.reason);
      const auto json = nlohmann::json::parse(reply);
      require(json["NodeNames"].is_array() && json["FailedAndUnresolvableNodes"].is_object());
    } else {
      wire::append_priorities(reply, *snapshot->nodes, decision.row, args.node_names,
                              decision.score);
      for (const auto& host : nlohmann::json::parse(reply)) {
        require(host["Score"].is_number_integer() && host["Score"] >= 1 && host["Score"] <= 10);
      }
    }
    require(nlohmann::json::accept(
        explain_json({make_record("fuzz", *snapshot, args, decision, kNow, 4)})));
  }
  return 0;
}
