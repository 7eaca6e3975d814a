// SPDX-License-Identifier: Apache-2.0
//
// Texts and labels become targets.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>
#include <nlohmann/json.hpp>

#include "aggregator/discovery/target.hpp"
#include "common/app/duration.hpp"
#include "common/text/utf8.hpp"

namespace optipod::aggregator {
namespace {

using Labels = TargetLabels;
using Made = tl::expected<Target, std::string>;

bool printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) > 0x20 && c != 0x7f; });
}

bool label_name(std::string_view name) {
  const auto word = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
  };
  return !name.empty() && std::isdigit(static_cast<unsigned char>(name[0])) == 0 &&
         std::all_of(name.begin(), name.end(), word);
}

/// host:port, [v6]:port; "" when good.
std::string what_is_wrong(std::string_view address) {
  const auto colon = address.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return "it needs HOST:PORT";
  const std::string_view host = address.substr(0, colon);
  const bool v6 = host.starts_with('[') && host.ends_with(']') && host.size() > 2;
  if (!v6 && host.find(':') != std::string_view::npos) return "an IPv6 address needs [brackets]";
  if (!printable(host) || !text::utf8_valid(host) ||
      host.find_first_of("/?#@\\") != std::string_view::npos) {
    return "the host has characters that do not belong there";
  }
  const std::string_view port = address.substr(colon + 1);
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc{} || end != port.data() + port.size() || number == 0 || number > 65535) {
    return fmt::format("\"{}\" is no port (1 to 65535)", port);
  }
  return {};
}

/// Takes what has a meaning of its own out of `labels`; "" or what is wrong.
std::string take_scheme(const Labels& labels, Target& target) {
  const auto scheme = labels.find("__scheme__");
  if (scheme == labels.end() || scheme->second.empty()) return {};
  if (scheme->second != "http" && scheme->second != "https") {
    return fmt::format("__scheme__ \"{}\" is not known; use http or https", scheme->second);
  }
  target.scheme = scheme->second;
  return {};
}

std::string take_path(const Labels& labels, Target& target) {
  const auto path = labels.find("__metrics_path__");
  if (path == labels.end() || path->second.empty()) return {};
  if (!path->second.starts_with('/') || !printable(path->second)) {
    return fmt::format("__metrics_path__ \"{}\" must start with / and hold no blanks",
                       path->second);
  }
  target.path = path->second;
  return {};
}

std::string take_times(const Labels& labels, Target& target) {
  for (const auto& [name, time] : {std::pair{"__scrape_interval__", &target.interval},
                                   std::pair{"__scrape_timeout__", &target.timeout}}) {
    const auto label = labels.find(name);
    if (label == labels.end() || label->second.empty()) continue;
    const auto parsed = app::parse_duration(label->second);
    if (!parsed) return fmt::format("{}: {}", name, parsed.error());
    if (parsed->count() <= 0) return fmt::format("{} must be above 0", name);
    *time = *parsed;
  }
  const bool both = target.interval.count() > 0 && target.timeout.count() > 0;
  if (both && target.timeout > target.interval) {
    return "__scrape_timeout__ is above __scrape_interval__";
  }
  return {};
}

/// They go onto every series, and what is no UTF-8 would make the whole page of /federate
/// unreadable.
std::string what_is_no_text(const Labels& labels) {
  for (const auto& [name, value] : labels) {
    if (!text::utf8_valid(value)) return fmt::format("label {} is not UTF-8", name);
  }
  return {};
}

std::string node_name(const Labels& labels, const std::string& address) {
  for (const char* name : {"node", "__meta_kubernetes_endpointslice_endpoint_node_name",
                           "__meta_kubernetes_endpoint_node_name",
                           "__meta_kubernetes_pod_node_name", "__meta_kubernetes_node_name"}) {
    const auto label = labels.find(name);
    if (label != labels.end() && !label->second.empty()) return label->second;
  }
  return address;
}

tl::expected<void, std::string> add_group(const std::vector<std::string>& addresses,
                                          const Labels& labels, std::vector<Target>& out) {
  for (const auto& [name, value] : labels) {
    if (!label_name(name)) {
      return tl::unexpected(fmt::format("\"{}\" is no label name", name));
    }
  }
  for (const std::string& address : addresses) {
    auto target = make_target(address, labels);
    if (!target) return tl::unexpected(target.error());
    if (out.size() >= kMaxTargets) {
      return tl::unexpected(fmt::format("it lists more than {} targets", kMaxTargets));
    }
    out.push_back(std::move(*target));
  }
  return {};
}

std::string shape(std::string_view what) {
  return fmt::format(
      "{}; expected a list of {{\"targets\": [\"host:port\", ...], \"labels\": "
      "{{\"node\": \"name\"}}}}",
      what);
}

tl::expected<std::vector<Target>, std::string> from_json(std::string_view text) {
  const auto root = nlohmann::json::parse(text, nullptr, false);
  if (root.is_discarded()) return tl::unexpected(std::string("it is not valid JSON"));
  if (!root.is_array()) return tl::unexpected(shape("the top is not a list"));
  std::vector<Target> out;
  for (const auto& group : root) {
    if (!group.is_object()) return tl::unexpected(shape("an entry is not an object"));
    std::vector<std::string> addresses;
    Labels labels;
    for (const auto& [key, value] : group.items()) {
      if (key == "targets" && (value.is_array() || value.is_null())) {
        for (const auto& address : value) {
          if (!address.is_string()) return tl::unexpected(shape("a target is not a string"));
          addresses.push_back(address.get<std::string>());
        }
      } else if (key == "labels" && (value.is_object() || value.is_null())) {
        for (const auto& [name, label] : value.items()) {
          if (!label.is_string()) {
            return tl::unexpected(shape(fmt::format("label {} is not a string", name)));
          }
          labels[name] = label.get<std::string>();
        }
      } else {
        return tl::unexpected(shape(fmt::format("\"{}\" is unknown or of the wrong type", key)));
      }
    }
    if (auto added = add_group(addresses, labels, out); !added)
      return tl::unexpected(added.error());
  }
  return out;
}

tl::expected<std::vector<Target>, std::string> from_yaml_tree(const YAML::Node& root) {
  std::vector<Target> out;
  if (root.IsNull()) return out;
  if (!root.IsSequence()) return tl::unexpected(shape("the top is not a list"));
  for (const YAML::Node& group : root) {
    if (!group.IsMap()) return tl::unexpected(shape("an entry is not a map"));
    std::vector<std::string> addresses;
    Labels labels;
    for (const auto& entry : group) {
      const auto key = entry.first.as<std::string>();
      const YAML::Node& value = entry.second;
      if (key == "targets" && (value.IsSequence() || value.IsNull())) {
        if (value.size() > kMaxTargets)
          return tl::unexpected(std::string("it lists too many targets"));
        for (const YAML::Node& address : value) addresses.push_back(address.as<std::string>());
      } else if (key == "labels" && (value.IsMap() || value.IsNull())) {
        for (const auto& label : value) {
          labels[label.first.as<std::string>()] = label.second.as<std::string>();
        }
      } else {
        return tl::unexpected(shape(fmt::format("\"{}\" is unknown or of the wrong type", key)));
      }
    }
    if (auto added = add_group(addresses, labels, out); !added)
      return tl::unexpected(added.error());
  }
  return out;
}

}  // namespace

Made make_target(const std::string& address, Labels labels) {
  Target target{.address = address};
  std::string wrong = what_is_wrong(address);
  if (wrong.empty()) wrong = what_is_no_text(labels);
  for (auto* take : {take_scheme, take_path, take_times}) {
    if (wrong.empty()) wrong = take(labels, target);
  }
  if (!wrong.empty()) {
    return tl::unexpected(fmt::format("target \"{}\": {}", address.substr(0, 300), wrong));
  }
  target.node = node_name(labels, address);
  std::erase_if(labels,
                [](const auto& l) { return l.first.starts_with("__") || l.second.empty(); });
  labels.try_emplace("instance", address);
  labels.try_emplace("job", kDefaultJob);
  labels["node"] = target.node;
  target.labels.assign(labels.begin(), labels.end());
  return target;
}

Targets share(std::vector<Target> list, const std::string& scheme, const Targets& known) {
  std::unordered_map<std::string_view, std::shared_ptr<const Target>> by_node;
  for (const auto& target : known) by_node.try_emplace(target->node, target);
  Targets shared;
  shared.reserve(list.size());
  for (Target& target : list) {
    if (target.scheme.empty()) target.scheme = scheme;
    const auto at = by_node.find(target.node);
    const bool is_known = at != by_node.end() && *at->second == target;
    shared.push_back(is_known ? at->second : std::make_shared<const Target>(std::move(target)));
  }
  return shared;
}

TargetLabels target_labels(const Target& target) {
  TargetLabels labels(target.labels.begin(), target.labels.end());
  labels["__metrics_path__"] = target.path;
  if (!target.scheme.empty()) labels["__scheme__"] = target.scheme;
  for (const auto& [name, time] : {std::pair{"__scrape_interval__", target.interval},
                                   std::pair{"__scrape_timeout__", target.timeout}}) {
    if (time.count() > 0) labels[name] = fmt::format("{}ms", time.count());
  }
  return labels;
}

tl::expected<Target, std::string> parse_target(std::string_view text) {
  Labels labels;
  std::string_view rest = text;
  const auto equals = rest.find('=');
  if (equals != std::string_view::npos && equals < rest.find('/')) {
    const std::string_view name = rest.substr(0, equals);
    if (name.empty() || !printable(name)) {
      return tl::unexpected(
          fmt::format("--target {}: the node's name before = is empty or has blanks", text));
    }
    labels["node"] = std::string(name);
    rest.remove_prefix(equals + 1);
  }
  for (const std::string_view scheme : {"http", "https"}) {
    const std::string prefix = std::string(scheme) + "://";
    if (!rest.starts_with(prefix)) continue;
    labels["__scheme__"] = scheme;
    rest.remove_prefix(prefix.size());
    break;
  }
  const auto slash = rest.find('/');
  if (slash != std::string_view::npos) labels["__metrics_path__"] = std::string(rest.substr(slash));
  auto target = make_target(std::string(rest.substr(0, slash)), std::move(labels));
  if (!target) {
    return tl::unexpected(
        fmt::format("--target {}: {}; write for example --target worker-1=10.0.0.1:9000", text,
                    target.error()));
  }
  return target;
}

tl::expected<std::vector<Target>, std::string> parse_file_sd(std::string_view text,
                                                             FileFormat format) {
  if (format == FileFormat::kJson) return from_json(text);
  try {
    return from_yaml_tree(YAML::Load(std::string(text)));
  } catch (const std::exception& error) {  // yaml-cpp's only way to say what is wrong
    return tl::unexpected(shape(fmt::format("it is not valid YAML ({})", error.what())));
  }
}

}  // namespace optipod::aggregator
