// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/render.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <span>
#include <string_view>
#include <utility>

#include "agent/exporter/workload.hpp"
#include "common/text/parse.hpp"

namespace optipod::exporter {
namespace {

using shm::AgentRecord;
using shm::ContainerRecord;
using shm::DeviceRecord;

/// Family by family, each with every row that has it.
template <class Record>
void write(Page& page, const View& view, std::span<const Family<Record>> families,
           std::span<const Row<Record>> rows) {
  for (const Family<Record>& family : families) {
    if (!view.selection.has(family.metric)) continue;
    page.family(family.metric);
    for (const Row<Record>& row : rows) {
      if (!is_valid(*row.record, family.valid)) continue;
      Series series(page, row.labels);
      family.write(series, *row.record);
    }
  }
}

/// Of a subject that is there once.
template <class Record>
void write_one(Page& page, const View& view, std::span<const Family<Record>> families,
               const Record& record) {
  const Row<Record> row{{}, &record};
  write(page, view, families, std::span(&row, 1));
}

/// Sorts rows by their labels, keeps the best of equal ones, and returns how many it took away.
template <class Record, class Better>
std::size_t keep_unique(std::vector<Row<Record>>& rows, Better better) {
  std::sort(rows.begin(), rows.end(), [&](const auto& a, const auto& b) {
    const int order = a.labels.compare(b.labels);
    return order != 0 ? order < 0 : better(*a.record, *b.record);
  });
  const auto end = std::unique(rows.begin(), rows.end(),
                               [](const auto& a, const auto& b) { return a.labels == b.labels; });
  const auto hidden = static_cast<std::size_t>(rows.end() - end);
  rows.erase(end, rows.end());
  return hidden;
}

void append_names(std::string& labels, const std::array<std::string_view, 3>& keys,
                  const ContainerRecord& record) {
  text::append_label(labels, keys[0], view(record.namespace_));
  text::append_label(labels, keys[1], view(record.pod));
  text::append_label(labels, keys[2], view(record.container));
}

/// The labels of a container's series.
void append_identity(std::string& labels, const View& how, const shm::Tick& tick,
                     const ContainerRecord& record) {
  append_names(labels, {"namespace", "pod", "container"}, record);
  if (how.workload)
    text::append_label(labels, "workload",
                       workload_of(view(record.pod), view(tick.node.node_name)));
}

std::size_t collect(const shm::Tick& tick, const View& how,
                    std::vector<Row<ContainerRecord>>& rows) {
  rows.resize(tick.containers.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const ContainerRecord& record = tick.containers[i];
    std::string& labels = rows[i].labels;
    labels.clear();
    append_identity(labels, how, tick, record);
    rows[i].record = &record;
  }
  return keep_unique(rows, [](const ContainerRecord& a, const ContainerRecord& b) {
    return std::pair(a.first_tick, a.cgroup_id) > std::pair(b.first_tick, b.cgroup_id);
  });
}

/// Pairs of containers, by the names that the tick has for them.
std::size_t render_neighbours(Page& page, const View& how, const shm::Tick& tick) {
  using Identity = std::pair<std::uint64_t, std::uint64_t>;
  static constexpr ContainerRecord kNobody{};
  std::map<Identity, const ContainerRecord*> containers;
  for (const ContainerRecord& record : tick.containers)
    containers.emplace(Identity(record.cgroup_id, record.first_tick), &record);
  std::vector<Row<shm::NeighbourRecord>> rows;
  for (const shm::NeighbourRecord& record : tick.neighbours) {
    const auto victim = containers.find({record.victim_cgroup_id, record.victim_first_tick});
    if (victim == containers.end()) continue;
    const auto by = containers.find({record.aggressor_cgroup_id, record.aggressor_first_tick});
    auto& row = rows.emplace_back();
    append_identity(row.labels, how, tick, *victim->second);
    append_names(row.labels, {"by_namespace", "by_pod", "by_container"},
                 by == containers.end() ? kNobody : *by->second);
    row.record = &record;
  }
  const std::size_t hidden =
      keep_unique(rows, [](const shm::NeighbourRecord& a, const shm::NeighbourRecord& b) {
        return std::pair(a.victim_first_tick, a.preemptions) >
               std::pair(b.victim_first_tick, b.preemptions);
      });
  if ((tick.node.valid & shm::kValidNeighbours) == 0) rows.clear();
  write<shm::NeighbourRecord>(page, how, neighbour_families(), rows);
  return hidden;
}

std::size_t render_devices(Page& page, const View& how, const shm::Tick& tick) {
  std::vector<Row<DeviceRecord>> rows;
  for (const DeviceRecord& record : tick.devices) {
    if ((record.valid & (shm::kValidBlockIo | shm::kValidBlockBytes)) == 0) continue;
    text::append_label(rows.emplace_back().labels, "device", view(record.name));
    rows.back().record = &record;
  }
  const std::size_t hidden = keep_unique(rows, [](const DeviceRecord& a, const DeviceRecord& b) {
    return std::pair(a.major, a.minor) < std::pair(b.major, b.minor);
  });
  write<DeviceRecord>(page, how, device_families(), rows);
  return hidden;
}

template <class Record>
bool comes_first(const Record& a, const Record& b) {
  return &a < &b;  // both in one array or vector
}

std::size_t render_features(Page& page, const View& how, const AgentRecord& agent) {
  std::vector<Row<AgentRecord::Feature>> rows;
  const std::size_t count = std::min<std::size_t>(agent.feature_count, agent.kMaxFeatures);
  for (const auto& feature : std::span(agent.features).first(count)) {
    auto& row = rows.emplace_back();
    text::append_label(row.labels, "feature", view(feature.name));
    text::append_label(row.labels, "source", view(feature.source));
    row.record = &feature;
  }
  const std::size_t hidden = keep_unique(rows, comes_first<AgentRecord::Feature>);
  write<AgentRecord::Feature>(page, how, feature_families(), rows);
  return hidden;
}

std::size_t render_programs(Page& page, const View& how, const shm::Tick& tick) {
  const AgentRecord& agent = tick.agent;
  std::vector<ProgramState> programs(
      std::min<std::size_t>(agent.program_count, agent.kMaxPrograms));
  std::vector<Row<ProgramState>> rows;
  for (std::size_t i = 0; i < programs.size(); ++i) {
    ProgramState& state = programs[i];
    state.program = agent.program(i);
    state.missed_runs = agent.missed_runs[i];
    // Without kernel.bpf_stats_enabled no run is counted.
    if (state.program.runs != 0) state.valid |= ProgramState::kTimed;
    if ((tick.node.valid & shm::kValidMissedRuns) != 0) state.valid |= ProgramState::kMissesKnown;
    text::append_label(rows.emplace_back().labels, "program", view(state.program.name));
    rows.back().record = &state;
  }
  const std::size_t hidden = keep_unique(rows, comes_first<ProgramState>);
  write<ProgramState>(page, how, program_families(), rows);
  return hidden;
}

/// What text::SelfMetrics knows, as far as it is defined and selected.
class SelfFamilies : public text::ParseSink {
 public:
  SelfFamilies(Page& page, const View& view) : page_(page), view_(view) {}

  void type(std::string_view family, text::MetricType) override {
    const auto metrics = process_metrics();
    const auto found = std::find_if(metrics.begin(), metrics.end(), [&](const Metric& metric) {
      return full_name(metric) == family && view_.selection.has(metric);
    });
    shown_ = found != metrics.end();
    if (shown_) page_.family(*found);
  }
  void sample(const text::Sample& sample) override {
    if (!shown_) return;
    labels_.clear();
    for (const auto& label : *sample.labels) text::append_label(labels_, label.name, label.value);
    page_.sample_number(labels_, sample.value);
  }

 private:
  Page& page_;
  const View& view_;
  bool shown_ = false;
  std::string labels_;
};

void write_self(Page& page, const View& view, const text::SelfMetrics& self) {
  std::string text;
  self.render(text);
  SelfFamilies families(page, view);
  text::parse(text, families);
}

}  // namespace

std::size_t Renderer::render(const shm::Tick& tick, const View& view, std::string& out) {
  const auto page = make_page(out, view.format, view.buckets);
  return render(tick, view, *page);
}

std::size_t Renderer::render(const shm::Tick& tick, const View& view, Page& page) {
  std::size_t hidden = 0;
  write_one(page, view, node_info_families(), tick);
  write_one(page, view, node_families(), tick.node);
  hidden += render_devices(page, view, tick);
  hidden += collect(tick, view, containers_);
  write<ContainerRecord>(page, view, container_families(), containers_);
  hidden += render_neighbours(page, view, tick);
  hidden += render_features(page, view, tick.agent);
  hidden += render_programs(page, view, tick);
  write_one(page, view, agent_families(), tick);
  return hidden;
}

void render_status(const Status& status, const View& view, std::string& out) {
  const auto page = make_page(out, view.format, view.buckets);
  write_one(*page, view, status_families(), status);
}

void render_exporter(const ExporterState& state, const text::SelfMetrics& self, const View& view,
                     std::string& out) {
  const auto page = make_page(out, view.format, view.buckets);
  write_one(*page, view, exporter_families(), state);
  write_self(*page, view, self);
}

}  // namespace optipod::exporter
