// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>
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

Json usage_json(const Usage& usage) {
  return {{"cpu", number(usage.cpu)}, {"memory_bytes", number(usage.memory)}};
}

Json signals(const Record& record, std::size_t candidate) {
  Json out = Json::object();
  for (std::size_t s = 0; s < record.signals.size(); ++s) {
    const Record::Measured& m = record.measured[candidate * record.signals.size() + s];
    if (std::isnan(m.value)) continue;
    out[std::string(kSignalInfo[index(record.signals[s])].key)] = {
        {"value", number(static_cast<double>(m.value))}, {"age_seconds", number(m.age_ms / 1e3)}};
  }
  return out;
}

Json opinions(const Record& record, std::size_t candidate) {
  Json out = Json::array();
  for (std::size_t p = 0; p < record.policies.size(); ++p) {
    const Record::PolicyUsed& policy = record.policies[p];
    const Record::Opinion& held = record.opinions[candidate * record.policies.size() + p];
    Json opinion{{"name", policy.name},
                 {"score", number(held.score)},
                 {"confidence", number(held.confidence)}};
    opinion["terms"] = Json::object();
    for (std::size_t t = 0; t < policy.terms.size(); ++t) {
      opinion["terms"][std::string(policy.terms[t])] = number(held.terms[t]);
    }
    out.push_back(std::move(opinion));
  }
  return out;
}

Json candidate_json(const Record& record, std::size_t candidate) {
  const Record::Candidate& c = record.candidates[candidate];
  Json out{{"node", record.node(candidate)}, {"score", c.score}, {"combined", number(c.combined)}};
  out["confidence"] = number(c.confidence);
  out["age_seconds"] =
      c.oldest_ms < 0 ? Json(nullptr) : number(static_cast<double>(c.oldest_ms) / 1e3);
  out["booked"] = usage_json(c.booked);
  if (!c.reason.empty()) out["rejected"] = c.reason;
  if (c.left_out) out["left_out"] = true;
  out["policies"] = opinions(record, candidate);
  out["signals"] = signals(record, candidate);
  return out;
}

/// What became of the pod: null until the watch has shown it.
Json outcome_json(const Remembered& remembered) {
  if (remembered.bound_to.empty()) return nullptr;
  const Record& r = *remembered.record;
  Json out{{"node", remembered.bound_to}, {"seen", rfc3339(remembered.bound_at_ms)}};
  const auto c = find_bound(remembered);
  out["our_score"] = c ? Json(r.candidates[*c].score) : Json(nullptr);
  out["our_first_choice"] = c && r.candidates[*c].score == r.candidates.front().score;
  return out;
}

/// As usage_of() takes it: what is not requested has a default.
std::string_view expected_from(const Record& r) {
  if (r.learned) return "workload";
  const bool cpu = r.requests.cpu() > 0, memory = r.requests.memory() > 0;
  return cpu && memory ? "requests" : cpu || memory ? "requests, default" : "default";
}

Json record_json(const Remembered& remembered) {
  const Record& r = *remembered.record;
  Json out{{"time", rfc3339(r.at_ms)}, {"verb", r.verb}, {"summary", summary(remembered)}};
  out["pod"] = {{"namespace", r.name_space},
                {"name", r.name},
                {"uid", r.uid},
                {"requests", usage_json({r.requests.cpu(), r.requests.memory()})},
                {"expected", usage_json(r.expected)}};
  out["pod"]["expected"]["from"] = expected_from(r);
  out["problems"] = r.problems;
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
  out["left_out"] = r.left_out;
  out["shortlisted_of"] = r.shortlisted_of == 0 ? Json(nullptr) : Json(r.shortlisted_of);
  out["equals"] = r.equals;
  out["yielded_to_less_booked"] = r.yielded;
  out["bound"] = outcome_json(remembered);
  out["candidates"] = Json::array();
  for (std::size_t c = 0; c < r.candidates.size(); ++c) {
    out["candidates"].push_back(candidate_json(r, c));
  }
  return out;
}

/// As an element of the list of decisions; a line break in a string is escaped.
void append_indented(std::string& out, std::string_view json) {
  for (const char c : json) {
    out += c;
    if (c == '\n') out += "    ";
  }
}

}  // namespace

bool Explanation::next(std::string& piece) {
  piece = told_ == 0 ? "{\n  \"decisions\": [" : ",";
  if (told_ < decisions_.size()) {
    piece += "\n    ";
    // A pod's name may be any bytes a client sent.
    append_indented(
        piece, record_json(decisions_[told_]).dump(2, ' ', false, Json::error_handler_t::replace));
    decisions_[told_++] = {};
  }
  if (told_ < decisions_.size()) return true;
  piece += decisions_.empty() ? "]\n}\n" : "\n  ]\n}\n";
  return false;
}

std::string explain_json(std::vector<Remembered> decisions) {
  Explanation explanation(std::move(decisions));
  std::string out;
  std::string piece;
  for (bool more = true; more; out += piece) more = explanation.next(piece);
  return out;
}

}  // namespace optipod::extender
