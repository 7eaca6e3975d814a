// SPDX-License-Identifier: Apache-2.0
//
// A YAML file as a whole, and the files that it names.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "common/config/yaml_section.hpp"

namespace optipod::config {

class YamlFile {
 public:
  /// `files` becomes what is looked at: this file first.
  YamlFile(std::string path, std::vector<std::string>& files);

  /// Gives the root to `read`; returns what is wrong, with file and line, or "".
  std::string load(const std::function<void(const YAML::Node& root)>& read);
  [[nodiscard]] YamlProblem& problem() { return problem_; }

  /// A text, or the content of the file that <key>_file names (beside this file, unless its path is
  /// absolute): not both.
  void text_or_file(YamlSection& section, const std::string& key, std::string& out);

 private:
  const std::string path_;
  std::string directory_;  ///< "", or with a slash at its end
  std::vector<std::string>& files_;
  YamlProblem problem_;
};

}  // namespace optipod::config
