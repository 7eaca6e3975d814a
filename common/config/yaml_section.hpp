// SPDX-License-Identifier: Apache-2.0
//
// Reads one mapping of a YAML file key by key, and says on which line what is wrong.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <yaml-cpp/yaml.h>

namespace optipod::config {

/// The first thing that is wrong; everything after it is read in vain.
class YamlProblem {
 public:
  explicit YamlProblem(std::string file) : file_(std::move(file)) {}
  /// "FILE:LINE: WHAT"
  void say(const YAML::Node& at, const std::string& what);
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string file_, text_;
};

/// Each reader leaves its variable as it is when the key is absent. Keys that no reader asked for
/// are a problem when the section ends.
class YamlSection {
 public:
  /// `node` undefined or null: an empty section. `path` names it in messages: "safe".
  YamlSection(const YAML::Node& node, std::string path, YamlProblem& problem);
  /// Says which key nobody asked for, unless only_known() has looked.
  ~YamlSection();
  YamlSection(const YamlSection&) = delete;
  YamlSection& operator=(const YamlSection&) = delete;

  void number(std::string_view key, double& out, double least, double most);
  void flag(std::string_view key, bool& out);
  void text(std::string_view key, std::string& out);
  /// One of `names`; `out` becomes its position.
  void choice(std::string_view key, const std::vector<std::string>& names, std::size_t& out);
  void list(std::string_view key, std::vector<std::string>& out);
  /// All keys with their numbers, in the file's order: {contention: 2, safe: 1}.
  std::vector<std::pair<std::string, double>> weights(double least, double most);
  /// All keys with their texts, in the file's order.
  std::vector<std::pair<std::string, std::string>> texts();
  /// The mapping below a key.
  [[nodiscard]] YAML::Node below(std::string_view key);

  /// Says now which key nobody has asked for; false when anything is wrong so far. What a section
  /// lacks is judged behind it: who misspelt a key is to be told so, and not that it is missing.
  bool only_known();

  /// Says that a value is not right: of this key, else of the section.
  void reject(std::string_view key, const std::string& what);

 private:
  YAML::Node find(std::string_view key);
  [[nodiscard]] std::string name(std::string_view key) const;

  YAML::Node node_;
  std::string path_;
  YamlProblem& problem_;
  std::set<std::string, std::less<>> asked_;
  bool mapping_ = false;
};

}  // namespace optipod::config
