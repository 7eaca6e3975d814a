// SPDX-License-Identifier: Apache-2.0
// JSON and CSV: fields, absent values, foreign names, locales.
#include "agent/top/dump.hpp"

#include <clocale>
#include <nlohmann/json.hpp>

#include "tests/agent/top/fabricate.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
using namespace optipod::top;
using namespace optipod::top::test;

namespace {

Scene two_containers(const std::string& name = "nginx") {
  std::vector<shm::ContainerRecord> containers{container(1, "/a"), pod(2, "shop", "web", name)};
  Sample before = sample(1, containers), now = sample(2, containers);
  now.tick.node.cpu_time.usage_ns = kSecond;
  now.tick.containers[1].cpu_time.usage_ns = kSecond / 4;
  now.tick.containers[1].valid &= ~std::uint64_t{shm::kValidBlockIo | shm::kValidBlockBytes};
  now.tick.devices.resize(0);
  return scene({before, now});
}

/// Rows of fields as RFC 4180 has them; only '\r\n' ends a row.
std::vector<std::vector<std::string>> rows_of(const std::string& csv) {
  std::vector<std::vector<std::string>> rows(1, {""});
  bool quoted = false;
  for (std::size_t i = 0; i < csv.size(); ++i) {
    std::string& field = rows.back().back();
    if (quoted) {
      if (csv[i] != '"') {
        field += csv[i];
      } else if (i + 1 < csv.size() && csv[i + 1] == '"') {
        field += csv[i++];
      } else {
        quoted = false;
      }
    } else if (csv[i] == '"') {
      quoted = true;
    } else if (csv[i] == ',') {
      rows.back().emplace_back();
    } else if (csv.compare(i, 2, "\r\n") == 0) {
      rows.push_back({""});
      ++i;
    } else {
      field += csv[i];
    }
  }
  rows.pop_back();
  return rows;
}

std::string cell(const std::vector<std::vector<std::string>>& rows, std::size_t row,
                 const std::string& name) {
  const auto at = std::find(rows[0].begin(), rows[0].end(), name);
  REQUIRE(at != rows[0].end());
  return rows[row].at(static_cast<std::size_t>(at - rows[0].begin()));
}

}  // namespace

TEST_CASE("JSON has every value that is known, and no other") {
  const std::string line = to_json(two_containers());
  CHECK(std::count(line.begin(), line.end(), '\n') == 1);
  const auto json = nlohmann::json::parse(line);
  CHECK(json["time"] == "2023-11-14 22:13:22Z");
  CHECK(json["unix_seconds"] == 1'700'000'002.0);
  CHECK(json["interval_seconds"] == 1.0);
  CHECK(json["agent"]["state"] == "live");
  CHECK(json["node"]["name"] == "node-1");
  CHECK(json["node"]["cpus_used"] == 1.0);
  CHECK_FALSE(json["node"].contains("memory_pressure_ratio"));
  REQUIRE(json["containers"].size() == 2);
  CHECK(json["containers"][0]["cgroup"] == "/a");
  CHECK_FALSE(json["containers"][0].contains("pod"));
  CHECK(json["containers"][1]["namespace"] == "shop");
  CHECK(json["containers"][1]["cpus_used"] == 0.25);
  CHECK(json["containers"][0].contains("read_bytes_per_second"));
  CHECK_FALSE(json["containers"][1].contains("read_bytes_per_second"));
  CHECK(json["rest"]["cpus_used"] == 0.75);
}

TEST_CASE("JSON tells what the agent's programs dropped and missed, where that is known") {
  auto now = sample(2);
  now.tick.agent.program_count = 30;
  now.tick.agent.program(29).runs = 12;
  now.tick.agent.missed_runs[29] = 5;
  now.tick.agent.dropped[shm::kDroppedCgroups] = 4;
  const auto agent_of = [&now] {
    return nlohmann::json::parse(to_json(scene({sample(1), now})))["agent"];
  };
  auto agent = agent_of();
  REQUIRE(agent["programs"].size() == 30);
  CHECK(agent["programs"][29]["runs_total"] == 12);
  CHECK_FALSE(agent["programs"][29].contains("missed_runs_total"));
  CHECK_FALSE(agent.contains("dropped_total"));
  now.tick.node.valid |= shm::kValidDropped | shm::kValidMissedRuns;
  agent = agent_of();
  CHECK(agent["programs"][29]["missed_runs_total"] == 5);
  CHECK(agent["dropped_total"] == 4);
}

TEST_CASE("without an agent JSON says only that") {
  Scene none;
  none.agent.detail = "no segment";
  const auto json = nlohmann::json::parse(to_json(none));
  CHECK(json["agent"]["segment"] == "none");
  CHECK(json["agent"]["state"] == "unknown");
  CHECK(json["agent"]["detail"] == "no segment");
  CHECK_FALSE(json.contains("node"));
  CHECK(to_csv(none).empty());
}

TEST_CASE("CSV has the same columns in every row, and absent values are empty") {
  const auto rows = rows_of(csv_header() + to_csv(two_containers()));
  REQUIRE(rows.size() == 5);  // names, node, two containers, rest
  for (const auto& row : rows) CHECK(row.size() == rows[0].size());
  CHECK(cell(rows, 1, "kind") == "node");
  CHECK(cell(rows, 1, "cpus_used") == "1");
  CHECK(cell(rows, 1, "unix_seconds") == "1700000002.000000000");
  CHECK(cell(rows, 2, "container") == "/a");
  CHECK(cell(rows, 3, "pod") == "web");
  CHECK(cell(rows, 3, "cpus_used") == "0.25");
  CHECK(cell(rows, 3, "read_bytes_per_second").empty());
  CHECK(cell(rows, 2, "read_bytes_per_second") == "0");
  CHECK(cell(rows, 4, "kind") == "rest");
}

TEST_CASE("foreign names neither break lines nor reach a terminal") {
  const Scene scene = two_containers("a,\"b\"\r\n\033[2J\x7F\xC2\x9B\xFF");
  const auto rows = rows_of(csv_header() + to_csv(scene));
  REQUIRE(rows.size() == 5);
  CHECK(cell(rows, 3, "container") == "a,\"b\"???[2J???");
  const std::string json = to_json(scene);
  for (const char c : json.substr(0, json.size() - 1)) REQUIRE((c >= 0x20 && c < 0x7F));
  const auto parsed = nlohmann::json::parse(json);
  CHECK(parsed["containers"][1]["container"].get<std::string>().starts_with("a,\"b\"\r\n\033[2J"));
}

TEST_CASE("numbers do not follow the locale") {
  const Scene scene = two_containers();
  const std::string json = to_json(scene), csv = to_csv(scene);
  // Where no such locale is installed the environment's own stands in; it must not matter either.
  for (const char* name : {"de_DE.UTF-8", "fr_FR.UTF-8", ""}) {
    std::setlocale(LC_ALL, name);
    CHECK(to_json(scene) == json);
    CHECK(to_csv(scene) == csv);
  }
  std::setlocale(LC_ALL, "C");
}
