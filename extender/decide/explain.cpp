// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>

#include "extender/decide/record.hpp"

namespace optipod::extender {
namespace {

using Json = nlohmann::ordered_json;

std::string rfc3339(std::int64_t unix_ms) {
  const std::time_t seconds = unix_ms / 1000;
  std::tm utc{};
  char text[32] = "";
  if (gmtime_r(&seconds, &utc) != nullptr) {
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  }
  return fmt::format("{}.{:03}Z", text, unix_ms % 1000);
}

/// Six digits are plenty for people.
Json number(double value) {
  if (!std::isfinite(value)) return nullptr;
  return value == 0 ? Json(0.0) : Json(std::stod(fmt::format("{:.6g}", value)));
}

Json signals(const Record::Candidate& c) {
  Json out = Json::object();
  for (std::size_t s = 0; s < kSignals; ++s) {
    if (std::isnan(c.value[s])) continue;
    out[std::string(kSignalInfo[s].key)] = {{"value", number(static_cast<double>(c.value[s]))},
                                            {"age_seconds", number(c.age_ms[s] / 1e3)}};
  }
  return out;
}

Json candidate_json(const Record& record, const Record::Candidate& c) {
  Json out{{"node", c.node}, {"score", c.score}, {"combined", number(c.combined)}};
  out["confidence"] = number(c.confidence);
  out["age_seconds"] =
      c.oldest_ms < 0 ? Json(nullptr) : number(static_cast<double>(c.oldest_ms) / 1e3);
  if (!c.reason.empty()) out["rejected"] = c.reason;
  out["policies"] = Json::array();
  for (std::size_t p = 0; p < c.opinions.size(); ++p) {
    const Record::PolicyUsed& policy = record.policies[p];
    Json opinion{{"name", policy.name}, {"score", number(c.opinions[p].score)}};
    opinion["losses"] = Json::array();
    for (std::size_t l = 0; l < policy.losses.size(); ++l) {
      opinion["losses"].push_back(
          {{"name", policy.losses[l]}, {"loss", number(c.opinions[p].losses[l])}});
    }
    out["policies"].push_back(std::move(opinion));
  }
  out["signals"] = signals(c);
  return out;
}

Json record_json(const Record& r) {
  Json out{{"time", rfc3339(r.at_ms)}, {"verb", r.verb}};
  out["pod"] = {{"namespace", r.name_space},
                {"name", r.name},
                {"uid", r.uid},
                {"cpu", number(r.requests.cpu)},
                {"memory_bytes", number(r.requests.memory)}};
  out["weights"] = Json::object();
  for (const Record::PolicyUsed& policy : r.policies) {
    out["weights"][std::string(policy.name)] = policy.weight;
  }
  out["candidates_total"] = r.candidates_total;
  out["fresh"] = r.fresh;
  out["stale"] = r.stale;
  out["missing"] = r.missing;
  out["rejected"] = r.rejected;
  out["rejections_withheld"] = r.withheld;
  out["candidates"] = Json::array();
  for (const Record::Candidate& c : r.candidates) out["candidates"].push_back(candidate_json(r, c));
  return out;
}

}  // namespace

std::string explain_json(const std::vector<std::shared_ptr<const Record>>& records) {
  Json out{{"decisions", Json::array()}};
  for (const auto& record : records) out["decisions"].push_back(record_json(*record));
  // A pod's name may be any bytes a client sent.
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace optipod::extender
