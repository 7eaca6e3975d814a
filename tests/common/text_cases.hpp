// SPDX-License-Identifier: Apache-2.0
//
// Helpers of the text tests: a sink that keeps everything, and promtool as the second judge.
#pragma once

#include <sys/wait.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "common/text/parse.hpp"
#include "common/text/skeleton.hpp"
#include "tests/support/catch.hpp"

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

/// All that a parser told, and its verdict, as text to compare.
struct Transcript final : ParseSink {
  std::string text;

  void type(std::string_view family, MetricType type) override {
    fmt::format_to(std::back_inserter(text), "type {} {}\n", family, to_string(type));
  }
  void help(std::string_view family, std::string_view help) override {
    fmt::format_to(std::back_inserter(text), "help {} {}\n", family, help);
  }
  void sample(const Sample& s) override {
    fmt::format_to(std::back_inserter(text), "{}", s.name);
    for (const Label& label : *s.labels) {
      fmt::format_to(std::back_inserter(text), " {}={}", label.name, label.value);
    }
    fmt::format_to(std::back_inserter(text), " {} '{}' {} '{}'\n", s.value, s.value_text,
                   s.timestamp_ms.value_or(-1), s.timestamp_text);
  }
  void of(const tl::expected<std::size_t, ParseError>& result) {
    if (result) {
      fmt::format_to(std::back_inserter(text), "{} samples\n", *result);
    } else {
      const ParseError& error = result.error();
      fmt::format_to(std::back_inserter(text), "{}:{}: {}\n", error.line, error.column, error.what);
    }
  }
};

/// Whether `skeleton` takes `body`; when it does, its numbers must be the parser's.
inline bool replayed_as_parsed(const Skeleton& skeleton, const std::string& body) {
  std::vector<double> values(skeleton.samples());
  std::vector<std::int64_t> timestamps(skeleton.samples());
  if (!skeleton.replay(body, values, timestamps)) return false;
  INFO(body);
  Keep keep;
  REQUIRE(parse(body, keep).has_value());
  REQUIRE(keep.samples.size() == values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double wanted = keep.samples[i].value;
    CHECK((values[i] == wanted || (std::isnan(values[i]) && std::isnan(wanted))));
    CHECK(std::signbit(values[i]) == std::signbit(wanted));
    CHECK(timestamps[i] == keep.samples[i].timestamp_ms.value_or(kNoTimestamp));
  }
  return true;
}

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
