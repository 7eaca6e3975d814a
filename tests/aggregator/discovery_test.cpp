// SPDX-License-Identifier: Apache-2.0
#include "aggregator/discovery.hpp"

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/catch.hpp"

using namespace optipod::aggregator;
namespace fs = std::filesystem;

namespace {

class Directory {
 public:
  Directory() {
    std::string name = (fs::temp_directory_path() / "optipod-discovery-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Directory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  [[nodiscard]] std::string operator/(const std::string& name) const {
    return (path_ / name).string();
  }
  /// As Prometheus asks for: written aside and renamed.
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(*this / "new") << text;
    fs::rename(*this / "new", *this / name);
  }

 private:
  fs::path path_;
};

std::string nodes(const std::vector<Target>& targets) {
  std::string all;
  for (const Target& target : targets) all += target.node + "=" + target.url() + " ";
  return all;
}

std::string wrong_target(std::string_view text) {
  const auto target = parse_target(text);
  INFO(text);
  REQUIRE_FALSE(target.has_value());
  return target.error();
}

std::string wrong_file(std::string_view text, FileFormat format = FileFormat::kJson) {
  const auto targets = parse_file_sd(text, format);
  INFO(text);
  REQUIRE_FALSE(targets.has_value());
  return targets.error();
}

}  // namespace

TEST_CASE("--target: name, address and path") {
  const auto full = parse_target("w1=10.0.0.1:9000/other");
  REQUIRE(full.has_value());
  CHECK(full->node == "w1");
  CHECK(full->url() == "http://10.0.0.1:9000/other");
  CHECK(full->labels ==
        LabelPairs{{"instance", "10.0.0.1:9000"}, {"job", "optipod"}, {"node", "w1"}});
  CHECK(parse_target("host:9000")->node == "host:9000");
  CHECK(parse_target("host:9000")->path == "/metrics");
  CHECK(parse_target("n=[::1]:9000")->url() == "http://[::1]:9000/metrics");
  CHECK(parse_target("host:9000/m?x=y")->path == "/m?x=y");
  CHECK(parse_target("host:9000/m?x=y")->node == "host:9000");
}

TEST_CASE("--target: what is wrong is said with an example") {
  for (const char* text : {"", "host", "host:", "host:0", "host:70000", "host:9x", ":9000",
                           "=host:1", "a b=host:1", "::1:9000", "n=", "ho st:1", "user@host:1"}) {
    CHECK(wrong_target(text).starts_with("--target"));
  }
  CHECK(wrong_target("host").find("--target worker-1=10.0.0.1:9000") != std::string::npos);
}

TEST_CASE("file_sd: JSON and YAML say the same") {
  const std::string json =
      R"([{"targets":["a:1","b:2"],"labels":{"zone":"z","__metrics_path__":"/m","__meta_x":"y"}},
          {"targets":["c:3"],"labels":{"node":"n3","job":"own","instance":"i","empty":""}},
          {"targets":[]}])";
  const std::string yaml =
      "- targets: ['a:1', \"b:2\"]\n  labels: {zone: z, __metrics_path__: /m, __meta_x: y}\n"
      "- targets:\n  - c:3\n  labels:\n    node: n3\n    job: own\n    instance: i\n    empty: ''\n"
      "- targets: []\n";
  const auto from_json = parse_file_sd(json, FileFormat::kJson);
  const auto from_yaml = parse_file_sd(yaml, FileFormat::kYaml);
  REQUIRE(from_json.has_value());
  REQUIRE(from_yaml.has_value());
  CHECK(*from_json == *from_yaml);
  CHECK(nodes(*from_json) == "a:1=http://a:1/m b:2=http://b:2/m n3=http://c:3/metrics ");
  CHECK((*from_json)[0].labels ==
        LabelPairs{{"instance", "a:1"}, {"job", "optipod"}, {"node", "a:1"}, {"zone", "z"}});
  CHECK((*from_json)[2].labels == LabelPairs{{"instance", "i"}, {"job", "own"}, {"node", "n3"}});
  CHECK(parse_file_sd("[]", FileFormat::kJson)->empty());
  CHECK(parse_file_sd("", FileFormat::kYaml)->empty());
}

TEST_CASE("file_sd: malformed files are refused as a whole") {
  for (const char* text :
       {"", "{", "{}", "[1]", "[{\"targets\":\"a:1\"}]", "[{\"targets\":[1]}]",
        "[{\"targets\":[\"a:1\"],\"labels\":{\"x\":1}}]", "[{\"targets\":[\"a\"]}]",
        "[{\"targets\":[\"a:1\"],\"labels\":{\"0x\":\"y\"}}]", "[{\"target\":[\"a:1\"]}]",
        "[{\"targets\":[\"a:1\"],\"labels\":{\"__scheme__\":\"https\"}}]",
        "[{\"targets\":[\"a:1\"],\"labels\":{\"__metrics_path__\":\"m\"}}]"}) {
    CHECK_FALSE(wrong_file(text).empty());
  }
  for (const char* text : {"a: [", "just text", "- [1]", "- targets: {a: b}", "- targets: [[x]]",
                           "- {targets: ['a:1'], labels: [x]}", "- labels: {? [a] : b}"}) {
    CHECK_FALSE(wrong_file(text, FileFormat::kYaml).empty());
  }
  CHECK_FALSE(wrong_file(std::string(200'000, '['), FileFormat::kJson).empty());
  CHECK_FALSE(wrong_file(std::string(200'000, '['), FileFormat::kYaml).empty());
}

TEST_CASE("discovery: files are read again when they change; a bad one keeps its last good list") {
  const Directory dir;
  dir.write("t.json", R"([{"targets":["a:1"]}])");
  Discovery discovery({*parse_target("w=h:9")}, {dir / "t.json"});
  auto now = std::chrono::steady_clock::time_point{std::chrono::hours(1)};
  const auto later = [&] { return now += std::chrono::seconds(1); };
  CHECK(nodes(discovery.targets()) == "w=http://h:9/metrics ");
  CHECK(discovery.refresh(now));
  CHECK(nodes(discovery.targets()) == "w=http://h:9/metrics a:1=http://a:1/metrics ");
  CHECK_FALSE(discovery.refresh(later()));

  dir.write("t.json", R"([{"targets":["b:2"]}])");
  CHECK(discovery.refresh(later()));
  CHECK(nodes(discovery.targets()) == "w=http://h:9/metrics b:2=http://b:2/metrics ");

  dir.write("t.json", "[{");
  CHECK_FALSE(discovery.refresh(later()));
  CHECK(nodes(discovery.targets()) == "w=http://h:9/metrics b:2=http://b:2/metrics ");
  REQUIRE(discovery.problems().size() == 1);
  CHECK(discovery.problems()[0].find("t.json") != std::string::npos);
  CHECK(discovery.problems()[0].find("last good list of 1 targets") != std::string::npos);
  CHECK(discovery.files()[0].errors == 1);
  CHECK_FALSE(discovery.files()[0].good);
  CHECK_FALSE(discovery.refresh(later()));  // known to be bad: not read each second
  CHECK(discovery.files()[0].errors == 1);

  fs::remove(dir / "t.json");
  CHECK_FALSE(discovery.refresh(later()));
  CHECK(discovery.targets().size() == 2);
  CHECK(discovery.files()[0].errors == 2);

  dir.write("t.json", "[]");
  CHECK(discovery.refresh(later()));
  CHECK(nodes(discovery.targets()) == "w=http://h:9/metrics ");
  CHECK(discovery.problems().empty());
  CHECK(discovery.files()[0].good);
}

TEST_CASE("discovery: a minute later a file is read even if it looks the same") {
  const Directory dir;
  dir.write("t.yml", "- targets: [");
  Discovery discovery({}, {dir / "t.yml"});
  const auto now = std::chrono::steady_clock::time_point{std::chrono::hours(1)};
  discovery.refresh(now);
  discovery.refresh(now + std::chrono::seconds(59));
  CHECK(discovery.files()[0].errors == 1);
  discovery.refresh(now + std::chrono::seconds(60));
  CHECK(discovery.files()[0].errors == 2);
}

TEST_CASE("discovery: the first of two targets with one node's name wins, and it is said") {
  const Directory dir;
  dir.write("t.json",
            R"([{"targets":["a:1"],"labels":{"node":"w"}},{"targets":["b:2"],"labels":{"node":"x"}},
                {"targets":["b:2"],"labels":{"node":"x"}}])");
  Discovery discovery({*parse_target("w=h:9")}, {dir / "t.json"});
  discovery.refresh({});
  CHECK(nodes(discovery.targets()) == "w=http://h:9/metrics x=http://b:2/metrics ");
  CHECK(discovery.left_out() == 1);
  REQUIRE(discovery.problems().size() == 1);
  CHECK(discovery.problems()[0].find("node w is already scraped at http://h:9/metrics") !=
        std::string::npos);
}

TEST_CASE("discovery: a directory or a missing file is a problem, not an end") {
  const Directory dir;
  Discovery discovery({}, {dir / "", dir / "none.json"});
  CHECK_FALSE(discovery.refresh({}));
  CHECK(discovery.problems().size() == 2);
  CHECK(discovery.targets().empty());
}
