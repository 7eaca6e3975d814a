// SPDX-License-Identifier: Apache-2.0
#include "common/config/yaml_file.hpp"

#include <utility>

#include "common/config/files.hpp"

namespace optipod::config {

YamlFile::YamlFile(std::string path, std::vector<std::string>& files)
    : path_(std::move(path)), files_(files), problem_(path_) {
  files_ = {path_};
  const std::size_t slash = path_.rfind('/');
  if (slash != std::string::npos) directory_ = path_.substr(0, slash + 1);
}

std::string YamlFile::load(const std::function<void(const YAML::Node& root)>& read) {
  const auto text = read_file(path_);
  if (!text) return text.error();
  try {
    read(YAML::Load(*text));
  } catch (const YAML::Exception& error) {
    return path_ + ":" + std::to_string(error.mark.line + 1) + ": " + error.msg;
  }
  return problem_.text();
}

void YamlFile::text_or_file(YamlSection& section, const std::string& key, std::string& out) {
  std::string file;
  section.text(key, out);
  section.text(key + "_file", file);
  if (file.empty()) return;
  if (!out.empty()) return section.reject(key, "given as text and as " + key + "_file");
  if (file.front() != '/') file.insert(0, directory_);
  files_.push_back(file);
  auto content = read_file(file);
  if (!content) return section.reject(key + "_file", content.error());
  out = std::move(*content);
  if (out.empty()) section.reject(key + "_file", file + " is empty");
}

}  // namespace optipod::config
