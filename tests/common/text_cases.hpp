// SPDX-License-Identifier: Apache-2.0
//
// Helpers of the text tests: a sink that keeps everything, and promtool as the second judge.
#pragma once

#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/text/parse.hpp"

namespace optipod::text::test {

struct Kept {
  std::string name;
  std::vector<std::pair<std::string, std::string>> labels;
  double value;
  std::optional<std::int64_t> timestamp_ms;
};

struct Keep final : ParseSink {
  std::vector<Kept> samples;
  std::map<std::string, MetricType, std::less<>> types;
  std::map<std::string, std::string, std::less<>> helps;

  void type(std::string_view family, MetricType type) override {
    types[std::string(family)] = type;
  }
  void help(std::string_view family, std::string_view help) override {
    helps[std::string(family)] = std::string(help);
  }
  void sample(const Sample& s) override {
    Kept kept{std::string(s.name), {}, s.value, s.timestamp_ms};
    for (const Label& label : *s.labels) kept.labels.emplace_back(label.name, label.value);
    samples.push_back(std::move(kept));
  }
};

/// What `promtool check metrics` says about `body`: its exit status and everything it printed.
struct Verdict {
  int status = -1;
  std::string output;
};

inline Verdict promtool(const std::string& body) {
  char path[] = "/tmp/optipod-promtool-XXXXXX";
  const int fd = mkstemp(path);
  if (fd < 0) return {-1, "cannot make a temporary file"};
  const std::unique_ptr<FILE, int (*)(FILE*)> file(fdopen(fd, "w"), fclose);
  fwrite(body.data(), 1, body.size(), file.get());
  fflush(file.get());
  const std::string command = std::string("promtool check metrics < ") + path + " 2>&1";
  Verdict verdict;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return {-1, "cannot start a shell"};
  char text[512];
  while (fgets(text, sizeof text, pipe) != nullptr) verdict.output += text;
  const int status = pclose(pipe);
  verdict.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  std::remove(path);
  return verdict;
}

}  // namespace optipod::text::test
