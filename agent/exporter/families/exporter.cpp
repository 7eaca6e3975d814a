// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/families/families.hpp"

namespace optipod::exporter {
namespace {

using enum text::MetricType;
constexpr Subject kExporter = Subject::kExporter;
constexpr Topic kSelf = Topic::kSelf;

// In the order of shm::AttachState and shm::WriterState; their to_string() is for people.
constexpr std::array<Label, 7> kAttachStates = {{{"state", "attached"},
                                                 {"state", "no_segment"},
                                                 {"state", "refused"},
                                                 {"state", "truncated"},
                                                 {"state", "foreign"},
                                                 {"state", "abi_mismatch"},
                                                 {"state", "corrupt"}}};
constexpr std::array<Label, 5> kWriterStates = {{{"state", "unknown"},
                                                 {"state", "live"},
                                                 {"state", "hung"},
                                                 {"state", "gone"},
                                                 {"state", "closed"}}};
static_assert(static_cast<std::size_t>(shm::AttachState::kCorrupt) + 1 == kAttachStates.size());
static_assert(static_cast<std::size_t>(shm::WriterState::kClosed) + 1 == kWriterStates.size());

constexpr auto kOwn = std::to_array<Family<ExporterState>>({
    {{kExporter, kSelf, "attach_state", kGauge, "",
      "state={attached,no_segment,refused,truncated,foreign,abi_mismatch,corrupt}",
      "the segment's file",
      "1 for what the exporter found at the segment's path, 0 for the other states.", ""},
     0,
     [](Series& s, const ExporterState& e) {
       s.state(kAttachStates, static_cast<std::size_t>(e.attach));
     }},
    {{kExporter, kSelf, "writer_state", kGauge, "", "state={unknown,live,hung,gone,closed}",
      "the segment's lock and heartbeat",
      "1 for the state of the segment's writer, the agent, 0 for the other states.", ""},
     0,
     [](Series& s, const ExporterState& e) {
       s.state(kWriterStates, static_cast<std::size_t>(e.writer));
     }},
    {{kExporter, kSelf, "attaches_total", kCounter, "", "", "the exporter",
      "Segments attached to; more than one: the agent was restarted.",
      "the agent keeps restarting"},
     0,
     [](Series& s, const ExporterState& e) { s.value(e.counters.attaches); }},
    {{kExporter, kSelf, "ticks_read_total", kCounter, "", "", "the exporter",
      "Ticks read from the segment.", ""},
     0,
     [](Series& s, const ExporterState& e) { s.value(e.counters.ticks_read); }},
    {{kExporter, kSelf, "ticks_lost_total", kCounter, "", "", "the exporter",
      "Ticks overwritten before a scrape read them; usual when scrapes are rarer than ticks.", ""},
     0,
     [](Series& s, const ExporterState& e) { s.value(e.counters.ticks_lost); }},
    {{kExporter, kSelf, "ticks_torn_total", kCounter, "", "", "the exporter",
      "Copies of a tick thrown away because the agent overwrote it meanwhile.",
      "the exporter gets no CPU"},
     0,
     [](Series& s, const ExporterState& e) { s.value(e.counters.torn); }},
    {{kExporter, kSelf, "records_corrupt_total", kCounter, "", "", "the exporter",
      "Records left out because their content cannot be right.",
      "somebody else writes to the segment, or memory is broken"},
     0,
     [](Series& s, const ExporterState& e) { s.value(e.counters.corrupt); }},
    {{kExporter, kSelf, "records_hidden", kGauge, "", "", "the exporter",
      "Records not shown because a newer one has the same labels.",
      "old cgroups linger beside their successors"},
     0,
     [](Series& s, const ExporterState& e) { s.value(e.hidden); }},
    {{kExporter, kSelf, "scrapes_total", kCounter, "", "", "the exporter", "Pages served.", ""},
     0,
     [](Series& s, const ExporterState& e) { s.value(e.scrapes); }},
    {{kExporter, kSelf, "render_seconds_total", kCounter, "seconds", "", "the exporter's clock",
      "Time spent turning ticks into pages, compressed ones included.", ""},
     0,
     [](Series& s, const ExporterState& e) { s.seconds(e.render_ns); }},
});

constexpr Subject kProcess = Subject::kProcess;
constexpr std::string_view kProc = "`/proc/self`";
constexpr auto kSelfMetrics = std::to_array<Metric>({
    {kExporter, kSelf, "build_info", kGauge, "", "version", "the build",
     "Version of the running program, in its label; the value is always 1.", ""},
    {kProcess, kSelf, "cpu_seconds_total", kCounter, "seconds", "", kProc,
     "Total user and system CPU time spent in seconds.", ""},
    {kProcess, kSelf, "max_fds", kGauge, "", "", "`getrlimit`",
     "Maximum number of open file descriptors.", ""},
    {kProcess, kSelf, "open_fds", kGauge, "", "", kProc, "Number of open file descriptors.",
     "near the maximum: many connections"},
    {kProcess, kSelf, "resident_memory_bytes", kGauge, "bytes", "", kProc,
     "Resident memory size in bytes.", ""},
    {kProcess, kSelf, "start_time_seconds", kGauge, "seconds", "", kProc,
     "Start time of the process since unix epoch in seconds.", ""},
    {kProcess, kSelf, "virtual_memory_bytes", kGauge, "bytes", "", kProc,
     "Virtual memory size in bytes.", ""},
});

}  // namespace

std::span<const Family<ExporterState>> exporter_families() {
  return kOwn;
}
std::span<const Metric> process_metrics() {
  return kSelfMetrics;
}

}  // namespace optipod::exporter
