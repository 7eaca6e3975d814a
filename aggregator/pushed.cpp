// SPDX-License-Identifier: Apache-2.0
#include "aggregator/pushed.hpp"

#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "common/text/exposition.hpp"

namespace optipod::aggregator {
namespace {

using Json = nlohmann::json;

struct Field {
  std::string_view pushed, name, kind, help;
  double unit = 1;  ///< what one of it is
};
constexpr std::array<Field, Pushed::kFields> kFieldsSent{{
    {"mem_bytes_allocated", "optipod_pushed_memory_allocated_bytes_per_second", "",
     "Memory allocated in the second before the node sent this."},
    {"page_faults", "optipod_pushed_page_faults_per_second", "", "Page faults in that second."},
    {"ctx_switches_graceful", "optipod_pushed_context_switches_per_second", "voluntary",
     "Context switches in that second."},
    {"ctx_switches_forced", "optipod_pushed_context_switches_per_second", "involuntary", ""},
    {"fs_read_count", "optipod_pushed_filesystem_reads_per_second", "",
     "Reads of files in that second."},
    {"fs_read_size_kb", "optipod_pushed_filesystem_read_bytes_per_second", "",
     "Bytes of these reads.", 1000},
    {"fs_write_count", "optipod_pushed_filesystem_writes_per_second", "",
     "Writes to files in that second."},
    {"fs_write_size_kb", "optipod_pushed_filesystem_written_bytes_per_second", "",
     "Bytes of these writes.", 1000},
}};
constexpr std::string_view kAge = "optipod_pushed_age_seconds";
constexpr std::string_view kAgeHelp = "Time since the node last sent something.";

std::shared_ptr<const Schema> make_schema() {
  SchemaBuilder builder;
  for (const Field& field : kFieldsSent) {
    builder.add(field.name, {{.name = "kind", .value = field.kind}}, true);
  }
  builder.add(kAge, {});
  return builder.finish().value_or(nullptr);  // cannot fail: the series above differ
}

tl::unexpected<Pushed::Refusal> refuse(std::string what, unsigned status = 400) {
  return tl::unexpected(Pushed::Refusal{status, std::move(what)});
}

tl::expected<Pushed::Node, Pushed::Refusal> read(std::string_view body, std::int64_t now_ms) {
  const Json sent = Json::parse(body, nullptr, false);
  if (!sent.is_object()) return refuse("Invalid request format: the body is no JSON object");
  const auto id = sent.find("node_id");
  if (id == sent.end() || !id->is_string() || id->get_ref<const std::string&>().empty()) {
    return refuse("Invalid request format: node_id, the node's name, is missing or no string");
  }
  Pushed::Node node{.name = id->get<std::string>(), .received_ms = now_ms};
  if (node.name.size() > Pushed::kMaxNodeBytes) {
    return refuse(fmt::format("Invalid request format: node_id has {} bytes; at most {} are taken",
                              node.name.size(), Pushed::kMaxNodeBytes));
  }
  for (std::size_t i = 0; i < Pushed::kFields; ++i) {
    const auto value = sent.find(kFieldsSent[i].pushed);
    if (value == sent.end()) continue;
    if (value->is_number()) node.counts[i] = value->get<double>();
    if (!value->is_number() || !std::isfinite(node.counts[i]) || node.counts[i] < 0) {
      return refuse(fmt::format("Invalid request format: {} is no number of 0 or more",
                                kFieldsSent[i].pushed));
    }
  }
  return node;
}

}  // namespace

std::array<std::string_view, Pushed::kFields> Pushed::fields() {
  std::array<std::string_view, kFields> names;
  for (std::size_t i = 0; i < kFields; ++i) names[i] = kFieldsSent[i].pushed;
  return names;
}

tl::expected<void, Pushed::Refusal> Pushed::update(std::string_view body, std::int64_t now_ms) {
  auto node = read(body, now_ms);
  if (!node) return tl::unexpected(std::move(node.error()));
  const std::lock_guard lock(mutex_);
  if (nodes_.size() >= kMaxNodes && !nodes_.contains(node->name)) {
    forget(now_ms);
    if (nodes_.size() >= kMaxNodes) {
      return refuse(fmt::format("there are {} other nodes already", kMaxNodes), 503);
    }
  }
  std::string name = node->name;
  nodes_.insert_or_assign(std::move(name), std::move(*node));
  return {};
}

void Pushed::forget(std::int64_t now_ms) {
  std::erase_if(nodes_, [now_ms](const auto& entry) {
    return entry.second.received_ms < now_ms - kForgottenMs;
  });
}

std::vector<Pushed::Node> Pushed::nodes(std::int64_t now_ms) const {
  std::vector<Node> all;
  const std::lock_guard lock(mutex_);
  for (const auto& [name, node] : nodes_) {
    if (node.received_ms >= now_ms - kForgottenMs) all.push_back(node);
  }
  return all;
}

std::vector<SeriesSet> Pushed::series(std::int64_t now_ms) const {
  static const std::shared_ptr<const Schema> kSchema = make_schema();
  static const std::array<std::int64_t, kFields + 1> kAges = [] {
    std::array<std::int64_t, kFields + 1> ages;
    ages.fill(kMaxAgeMs);
    ages.back() = std::numeric_limits<std::int64_t>::max();
    return ages;
  }();
  std::vector<SeriesSet> sets;
  for (const Node& node : nodes(now_ms)) {
    SeriesSet& set = sets.emplace_back(SeriesSet{.schema = kSchema,
                                                 .values = {},
                                                 .scraped_ms = now_ms,
                                                 .measured_ms = node.received_ms,
                                                 .own_ms = {},
                                                 .max_age_ms = kAges,
                                                 .labels = LabelSet::of({{"node", node.name}})});
    for (std::size_t i = 0; i < kFields; ++i) {
      set.values.push_back(node.counts[i] * kFieldsSent[i].unit);
    }
    set.values.push_back(static_cast<double>(now_ms - node.received_ms) / 1e3);
  }
  return sets;
}

void Pushed::render(std::int64_t now_ms, std::string& out) const {
  const std::vector<SeriesSet> sets = series(now_ms);
  text::ExpositionWriter writer(out);
  std::string_view begun;  // family
  std::string labels;
  for (std::size_t i = 0; i <= kFields; ++i) {
    const std::string_view name = i < kFields ? kFieldsSent[i].name : kAge;
    for (const SeriesSet& set : sets) {
      if (now_ms - set.time_ms(i) > set.max_age_ms[i]) continue;
      if (name != begun) {
        writer.family(name, text::MetricType::kGauge, i < kFields ? kFieldsSent[i].help : kAgeHelp);
      }
      begun = name;
      labels.clear();
      set.append_labels(i, labels);
      writer.sample(labels, set.values[i], set.time_ms(i));
    }
  }
}

}  // namespace optipod::aggregator
