// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "common/text/parse.hpp"
#include "tests/support/catch.hpp"

namespace optipod::exporter::testing {

/// A page as a scraper understands it; the test fails on whatever a scraper would refuse. Series
/// are keyed as name{label=value;label=value;} with labels sorted by name.
class Scraped : public text::ParseSink {
 public:
  explicit Scraped(const std::string& page) {
    const auto parsed = text::parse(page, *this);
    if (!parsed) FAIL("line " << parsed.error().line << ": " << parsed.error().what);
    CHECK(parsed.value() == values_.size());
  }

  void type(std::string_view family, text::MetricType type) override {
    CHECK(types_.emplace(family, type).second);  // one group per family
  }
  void help(std::string_view family, std::string_view help) override {
    CHECK(helps_.emplace(family, help).second);
    CHECK_FALSE(help.empty());
  }
  void sample(const text::Sample& sample) override {
    std::string key(sample.name);
    std::map<std::string, std::string> labels;
    for (const auto& label : *sample.labels) labels.emplace(label.name, label.value);
    key.append("{");
    for (const auto& [name, value] : labels) key.append(name).append("=").append(value).append(";");
    key.append("}");
    CAPTURE(key);
    CHECK(values_.emplace(key, sample.value).second);  // no series twice
  }

  [[nodiscard]] bool has(const std::string& key) const { return values_.count(key) == 1; }
  [[nodiscard]] double at(const std::string& key) const {
    CAPTURE(key);
    const auto found = values_.find(key);
    REQUIRE(found != values_.end());
    return found->second;
  }
  [[nodiscard]] bool family(const std::string& name) const { return types_.count(name) == 1; }
  [[nodiscard]] std::size_t size() const { return values_.size(); }
  [[nodiscard]] const auto& types() const { return types_; }
  [[nodiscard]] const auto& helps() const { return helps_; }

 private:
  std::map<std::string, text::MetricType> types_;
  std::map<std::string, std::string> helps_;
  std::map<std::string, double> values_;
};

}  // namespace optipod::exporter::testing
