// SPDX-License-Identifier: Apache-2.0
#include "common/config/yaml_section.hpp"

#include <charconv>
#include <cmath>

#include <fmt/core.h>

namespace optipod::config {
namespace {

std::string shown(const YAML::Node& node) {
  if (node.IsScalar()) return "'" + node.Scalar().substr(0, 64) + "'";
  if (node.IsSequence()) return "a list";
  if (node.IsMap()) return "a mapping";
  return "nothing";
}

bool to_number(const YAML::Node& node, double& out) {
  if (!node.IsScalar()) return false;
  const std::string& text = node.Scalar();
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(out);
}

}  // namespace

void YamlProblem::say(const YAML::Node& at, const std::string& what) {
  if (!text_.empty()) return;
  const YAML::Mark mark = at.Mark();
  text_ = mark.line < 0 ? fmt::format("{}: {}", file_, what)
                        : fmt::format("{}:{}: {}", file_, mark.line + 1, what);
}

YamlSection::YamlSection(const YAML::Node& node, std::string path, YamlProblem& problem)
    : node_(node), path_(std::move(path)), problem_(problem) {
  if (!node_.IsDefined() || node_.IsNull()) return;
  mapping_ = node_.IsMap();
  if (!mapping_)
    problem_.say(node_, fmt::format("{}: {} where keys and values belong", path_, shown(node_)));
}

YamlSection::~YamlSection() {
  only_known();
}

bool YamlSection::only_known() {
  for (const auto& entry : mapping_ ? node_ : YAML::Node()) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : shown(entry.first);
    if (asked_.contains(key)) continue;
    std::string known;
    for (const std::string& k : asked_) known += " " + k;
    problem_.say(entry.first,
                 fmt::format("{} is unknown here; there are:{}", name(key.substr(0, 64)), known));
    break;
  }
  return problem_.text().empty();
}

std::string YamlSection::name(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

YAML::Node YamlSection::find(std::string_view key) {
  asked_.emplace(key);
  if (!mapping_) return YAML::Node(YAML::NodeType::Undefined);
  YAML::Node found(YAML::NodeType::Undefined);
  std::size_t count = 0;
  for (const auto& entry : node_) {
    if (!entry.first.IsScalar() || entry.first.Scalar() != key) continue;
    found.reset(entry.second);
    ++count;
  }
  if (count > 1) problem_.say(found, fmt::format("{} is given twice", name(key)));
  return found;
}

std::vector<std::pair<std::string, std::string>> YamlSection::texts() {
  std::vector<std::pair<std::string, std::string>> out;
  if (!mapping_) return out;
  for (const auto& entry : node_) {
    if (!entry.first.IsScalar()) continue;
    std::string value;
    text(entry.first.Scalar(), value);
    out.emplace_back(entry.first.Scalar(), std::move(value));
  }
  return out;
}

YAML::Node YamlSection::below(std::string_view key) {
  return find(key);
}

void YamlSection::number(std::string_view key, double& out, double least, double most) {
  const YAML::Node node = find(key);
  if (!node.IsDefined()) return;
  double value = 0;
  if (!to_number(node, value) || value < least || value > most) {
    problem_.say(node, fmt::format("{}: {} is not a number from {} to {}", name(key), shown(node),
                                   least, most));
    return;
  }
  out = value;
}

void YamlSection::flag(std::string_view key, bool& out) {
  const YAML::Node node = find(key);
  if (!node.IsDefined()) return;
  const std::string text = node.IsScalar() ? node.Scalar() : "";
  if (text != "true" && text != "false") {
    problem_.say(node, fmt::format("{}: {} is neither true nor false", name(key), shown(node)));
    return;
  }
  out = text == "true";
}

void YamlSection::text(std::string_view key, std::string& out) {
  const YAML::Node node = find(key);
  if (!node.IsDefined()) return;
  if (!node.IsScalar()) {
    problem_.say(node, fmt::format("{}: {} where a text belongs", name(key), shown(node)));
    return;
  }
  out = node.Scalar();
}

void YamlSection::choice(std::string_view key, const std::vector<std::string>& names,
                         std::size_t& out) {
  const YAML::Node node = find(key);
  if (!node.IsDefined()) return;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (node.IsScalar() && node.Scalar() == names[i]) {
      out = i;
      return;
    }
  }
  std::string all;
  for (const std::string& n : names) all += (all.empty() ? "" : ", ") + n;
  problem_.say(node, fmt::format("{}: {} is none of {}", name(key), shown(node), all));
}

void YamlSection::list(std::string_view key, std::vector<std::string>& out) {
  const YAML::Node node = find(key);
  if (!node.IsDefined()) return;
  std::vector<std::string> made;
  bool good = node.IsSequence();
  if (good) {
    for (const auto& element : node) {
      good = good && element.IsScalar();
      if (good) made.push_back(element.Scalar());
    }
  }
  if (!good) {
    problem_.say(node, fmt::format("{}: {} where a list of names belongs, as in [cpu, memory]",
                                   name(key), shown(node)));
    return;
  }
  out = std::move(made);
}

std::vector<std::pair<std::string, double>> YamlSection::weights(double least, double most) {
  std::vector<std::pair<std::string, double>> out;
  if (!mapping_) return out;
  for (const auto& entry : node_) {
    if (!entry.first.IsScalar()) continue;
    double value = 1;
    number(entry.first.Scalar(), value, least, most);
    out.emplace_back(entry.first.Scalar(), value);
  }
  return out;
}

void YamlSection::reject(std::string_view key, const std::string& what) {
  const YAML::Node node = key.empty() ? node_ : find(key);
  problem_.say(node.IsDefined() ? node : node_,
               fmt::format("{}: {}", key.empty() ? path_ : name(key), what));
}

}  // namespace optipod::config
