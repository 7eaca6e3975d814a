// SPDX-License-Identifier: Apache-2.0
#include "agent/exporter/selection.hpp"

#include <functional>
#include <map>

#include "agent/exporter/families/families.hpp"

namespace optipod::exporter {
namespace {

using Groups = std::map<std::string, std::uint64_t, std::less<>>;

/// What may be asked for: the subjects and topics that metrics have.
Groups make_groups(std::uint64_t (*bit)(const Metric&)) {
  Groups groups;
  for (const Metric& metric : all_metrics()) {
    if (metric.topic == Topic::kStatus) continue;
    const std::string subject(to_string(metric.subject));
    const std::string topic(to_string(metric.topic));
    groups[subject] |= bit(metric);
    groups[topic] |= bit(metric);
    groups[std::string(subject).append("_").append(topic)] |= bit(metric);
  }
  return groups;
}

}  // namespace

tl::expected<Selection, std::string> Selection::parse(std::span<const std::string> wanted) {
  static const Groups groups = make_groups(bit);
  Selection selection;
  if (wanted.empty()) return selection;
  selection.bits_ = 0;
  for (const Metric& metric : all_metrics()) {
    if (metric.topic == Topic::kStatus) selection.bits_ |= bit(metric);
  }
  for (const std::string& name : wanted) {
    const auto found = groups.find(name);
    if (found == groups.end()) {
      std::string known;
      for (const auto& [group, bits] : groups) known.append(" ").append(group);
      return tl::unexpected("collect[]=" + name.substr(0, 64) +
                            ": there is no such group; there are:" + known);
    }
    selection.bits_ |= found->second;
  }
  return selection;
}

}  // namespace optipod::exporter
