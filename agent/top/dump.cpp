// SPDX-License-Identifier: Apache-2.0
#include "agent/top/dump.hpp"

#include <fmt/format.h>

#include <iterator>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string_view>

#include "agent/top/signals.hpp"

namespace optipod::top {
namespace {

using Json = nlohmann::ordered_json;

template <class Record>
void add_signals(Json& out, std::span<const Signal<Record>> signals, const Values& values) {
  for (std::size_t i = 0; i < signals.size(); ++i) {
    if (values[i]) out[signals[i].key] = *values[i];
  }
}

const char* word(shm::AttachState state) {
  switch (state) {
    case shm::AttachState::kAttached:
      return "attached";
    case shm::AttachState::kNoSegment:
      return "none";
    case shm::AttachState::kRefused:
      return "refused";
    case shm::AttachState::kTruncated:
      return "truncated";
    case shm::AttachState::kForeign:
      return "foreign";
    case shm::AttachState::kAbiMismatch:
      return "abi_mismatch";
    case shm::AttachState::kCorrupt:
      return "corrupt";
  }
  return "unknown";
}

const char* word(shm::WriterState state) {
  switch (state) {
    case shm::WriterState::kLive:
      return "live";
    case shm::WriterState::kHung:
      return "hung";
    case shm::WriterState::kGone:
      return "gone";
    case shm::WriterState::kClosed:
      return "stopped";
    case shm::WriterState::kUnknown:
      break;
  }
  return "unknown";
}

/// Containers that never got a record, as far as that is known.
void add_cuts(Json& out, const shm::Tick& tick) {
  out["containers_over_limit_total"] = tick.agent.container_cuts[shm::kOverLimit];
  if ((tick.node.valid & shm::kValidShortLived) != 0)
    out["containers_short_lived_total"] = tick.agent.container_cuts[shm::kShortLived];
}

Json agent_json(const Scene& scene) {
  Json out;
  if (!scene.replay) {
    out["segment"] = word(scene.agent.attach);
    out["state"] = word(scene.agent.writer);
    if (!scene.agent.detail.empty()) out["detail"] = scene.agent.detail;
    if (scene.sample) out["sample_age_seconds"] = scene.agent.age_seconds;
  }
  if (!scene.sample) return out;
  const shm::AgentRecord& agent = scene.sample->tick.agent;
  out["version"] = agent.version;
  out["cpu_seconds_total"] = static_cast<double>(agent.cpu_user_ns + agent.cpu_system_ns) / 1e9;
  out["resident_bytes"] = agent.resident_bytes;
  out["sample_duration_seconds"] = static_cast<double>(agent.tick_duration_ns) / 1e9;
  out["samples_missed_total"] = agent.ticks_missed;
  out["errors_total"] = agent.errors;
  add_cuts(out, scene.sample->tick);
  Json& features = out["features"] = Json::array();
  for (std::size_t i = 0; i < agent.feature_count; ++i) {
    const auto& f = agent.features[i];
    features.push_back({{"name", f.name}, {"source", f.source}, {"enabled", f.enabled != 0}});
  }
  const std::uint64_t valid = scene.sample->tick.node.valid;
  if ((valid & shm::kValidDropped) != 0)
    out["dropped_total"] =
        std::accumulate(std::begin(agent.dropped), std::end(agent.dropped), std::uint64_t{0});
  const bool misses_known = (valid & shm::kValidMissedRuns) != 0;
  Json& programs = out["programs"] = Json::array();
  for (std::size_t i = 0; i < agent.program_count; ++i) {
    const auto& p = agent.program(i);
    programs.push_back({{"name", p.name},
                        {"runs_total", p.runs},
                        {"run_seconds_total", static_cast<double>(p.run_ns) / 1e9}});
    if (misses_known) programs.back()["missed_runs_total"] = agent.missed_runs[i];
  }
  return out;
}

Json container_json(const ContainerRow& row) {
  const shm::ContainerRecord& c = *row.now;
  Json out;
  out["cgroup_id"] = c.cgroup_id;
  if (c.namespace_[0] == '\0') {
    out["cgroup"] = c.container;
  } else {
    out["namespace"] = c.namespace_;
    out["pod"] = c.pod;
    out["container"] = c.container;
    out["pod_uid"] = c.pod_uid;
    out["container_id"] = c.container_id;
    out["qos"] = c.qos;
  }
  add_signals(out, container_signals(), row.values);
  return out;
}

void add_interval(Json& out, const Interval& interval) {
  out["interval_seconds"] = interval.seconds;
  add_signals(out["node"], node_signals(), interval.node);
  Json& containers = out["containers"] = Json::array();
  for (const auto& row : interval.containers) containers.push_back(container_json(row));
  add_signals(out["rest"] = Json::object(), container_signals(), interval.rest);
  if (interval.knows_neighbours) {
    Json& neighbours = out["neighbours"] = Json::array();
    for (const auto& row : interval.neighbours) {
      neighbours.push_back({{"aggressor_cgroup_id", row.aggressor.cgroup_id},
                            {"aggressor", row.aggressor_name},
                            {"victim_cgroup_id", row.victim.cgroup_id},
                            {"victim", row.victim_name},
                            {"preemptions_per_second", row.preemptions},
                            {"taken_cpus", row.taken}});
    }
  }
  Json& devices = out["devices"] = Json::array();
  for (const auto& row : interval.devices) {
    Json device{{"name", row.now->name}, {"major", row.now->major}, {"minor", row.now->minor}};
    add_signals(device, device_signals(), row.values);
    devices.push_back(std::move(device));
  }
}

/// Quoted where RFC 4180 wants it.
std::string csv_field(std::string_view foreign) {
  std::string text = printable(foreign, Charset::kUtf8);
  if (text.find_first_of("\",") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

/// `values` by the keys of the containers' signals.
std::string csv_line(const Scene& scene, std::string_view kind, const shm::ContainerRecord* c,
                     const std::vector<std::optional<double>>& values) {
  const shm::NodeRecord& node = scene.sample->tick.node;
  std::string out = fmt::format("{}.{:09},{},{},{},{}", node.sampled_realtime_ns / 1'000'000'000,
                                node.sampled_realtime_ns % 1'000'000'000, node.tick,
                                scene.interval->seconds, csv_field(node.node_name), kind);
  if (c == nullptr) {
    out += ",,,,,,,";
  } else {
    out += fmt::format(",{},{},{},{},{},{},{}", csv_field(c->namespace_), csv_field(c->pod),
                       csv_field(c->container), csv_field(c->qos), csv_field(c->pod_uid),
                       csv_field(c->container_id), c->cgroup_id);
  }
  for (const auto& value : values) {
    out += ',';
    if (value) out += fmt::format("{}", *value);
  }
  return out + "\r\n";
}

/// The node's values of the signals that containers have too.
Values node_values(const Interval& interval) {
  Values out;
  for (const auto& signal : container_signals()) {
    const auto index = find_signal(node_signals(), signal.key);
    out.push_back(index ? interval.node[*index] : std::nullopt);
  }
  return out;
}

}  // namespace

std::string to_json(const Scene& scene) {
  Json out;
  if (scene.sample) {
    const shm::NodeRecord& node = scene.sample->tick.node;
    out["time"] = utc(node.sampled_realtime_ns);
    out["unix_seconds"] = static_cast<double>(node.sampled_realtime_ns) / 1e9;
    out["tick"] = node.tick;
  }
  out["agent"] = agent_json(scene);
  if (scene.sample) {
    const shm::NodeRecord& node = scene.sample->tick.node;
    Json& described = out["node"] = Json::object();
    described["name"] = node.node_name;
    described["kernel"] = node.kernel_release;
    described["cgroup_root"] = node.cgroup_root;
    described["cpus"] = node.cpus;
    described["containers_cut"] = node.containers_cut;
  }
  if (scene.interval) add_interval(out, *scene.interval);
  return out.dump(-1, ' ', true, Json::error_handler_t::replace) + '\n';
}

std::string csv_header() {
  std::string out =
      "unix_seconds,tick,interval_seconds,node,kind,namespace,pod,container,qos,pod_uid,"
      "container_id,cgroup_id";
  for (const auto& signal : container_signals()) out += std::string(",") + signal.key;
  return out + "\r\n";
}

std::string to_csv(const Scene& scene) {
  if (!scene.interval) return {};
  std::string out = csv_line(scene, "node", nullptr, node_values(*scene.interval));
  for (const auto& row : scene.interval->containers) {
    out += csv_line(scene, "container", row.now, row.values);
  }
  return out + csv_line(scene, "rest", nullptr, scene.interval->rest);
}

}  // namespace optipod::top
