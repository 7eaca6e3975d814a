// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/list_metrics.hpp"

#include <string_view>
#include <utility>
#include <vector>

#include "agent/exporter/families/families.hpp"

namespace optipod::exporter {
namespace {

struct Table {
  std::vector<Subject> subjects;
  std::string_view title, remark;
};

const std::vector<Table>& tables() {
  static const std::vector<Table> all = {
      {{Subject::kSample, Subject::kAgent},
       "The agent",
       "What is measured, whether, and what it costs."},
      {{Subject::kNode},
       "The node",
       "The whole machine, or the subtree and CPUs the agent watches."},
      {{Subject::kContainer}, "Containers", "Each series also has the labels `P`."},
      {{Subject::kExporter, Subject::kProcess}, "The exporter", "About itself."}};
  return all;
}

/// A cell's text: a bar would end it.
void append_cell(std::string& out, std::string_view text) {
  out.append(" ");
  for (const char c : text) {
    if (c == '|') out.push_back('\\');
    out.push_back(c);
  }
  out.append(text.empty() ? "|" : " |");
}

void append_names(std::string& out, std::string_view names) {
  std::string quoted;
  if (!names.empty()) quoted.append("`").append(names).append("`");
  append_cell(out, quoted);
}

void append_row(std::string& out, const Metric& metric) {
  std::string name = full_name(metric);
  out.append("|");
  append_names(out, name);
  append_cell(out, text::to_string(metric.type));
  append_cell(out, metric.unit);
  append_names(out, metric.labels);
  append_cell(out, to_string(metric.topic));
  append_cell(out, metric.help);
  append_cell(out, metric.source);
  append_cell(out, metric.high);
  out.append("\n");
}

}  // namespace

std::string metrics_as_markdown() {
  const std::vector<Metric> metrics = all_metrics();
  std::string out;
  for (const Table& table : tables()) {
    out.append("### ").append(table.title).append("\n\n").append(table.remark).append("\n\n");
    out.append("| metric | type | unit | labels | topic | what it says | source | when high |\n");
    out.append("|---|---|---|---|---|---|---|---|\n");
    for (const Metric& metric : metrics) {
      for (const Subject subject : table.subjects) {
        if (metric.subject == subject) append_row(out, metric);
      }
    }
    out.append("\n");
  }
  return out;
}

}  // namespace optipod::exporter
