// SPDX-License-Identifier: Apache-2.0
#include "aggregator/discovery.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "aggregator/discovery/endpoint_slices.hpp"
#include "aggregator/discovery/file_source.hpp"
#include "aggregator/discovery/polled_source.hpp"
#include "tests/common/kube/protobuf_text.hpp"
#include "tests/support/catch.hpp"

using namespace optipod;
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

std::string nodes(const Targets& targets) {
  std::string all;
  for (const auto& target : targets) all += target->node + "=" + target->url() + " ";
  return all;
}

std::vector<std::unique_ptr<Source>> files(const std::vector<std::string>& paths) {
  std::vector<std::unique_ptr<Source>> sources;
  for (const std::string& path : paths) sources.push_back(std::make_unique<FileSource>(path));
  return sources;
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
  CHECK(nodes(share(*from_json)) == "a:1=http://a:1/m b:2=http://b:2/m n3=http://c:3/metrics ");
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
        "[{\"targets\":[\"a:1\"],\"labels\":{\"__scheme__\":\"ftp\"}}]",
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
  Discovery discovery({*parse_target("w=h:9")}, files({dir / "t.json"}));
  auto now = std::chrono::steady_clock::time_point{std::chrono::hours(1)};
  const auto later = [&] { return now += std::chrono::seconds(1); };
  CHECK(nodes(discovery.targets()) == "w=http://h:9/metrics ");
  CHECK(discovery.refresh(now));
  CHECK(nodes(discovery.targets()) == "w=http://h:9/metrics a:1=http://a:1/metrics ");
  CHECK_FALSE(discovery.refresh(later()));

  dir.write("t.json", R"([{"targets":["b:2"]}])");
  CHECK(discovery.refresh(later()));
  CHECK(nodes(discovery.targets()) == "w=http://h:9/metrics b:2=http://b:2/metrics ");

  dir.write("t.json", R"([{"targets":["c:3","b:2"]}])");
  const auto held = discovery.targets().at(1);
  CHECK(discovery.refresh(later()));
  CHECK(discovery.targets().at(2) == held);  // what stays is not kept twice
  dir.write("t.json", R"([{"targets":["b:2"]}])");
  CHECK(discovery.refresh(later()));

  dir.write("t.json", "[{");
  CHECK_FALSE(discovery.refresh(later()));
  CHECK(nodes(discovery.targets()) == "w=http://h:9/metrics b:2=http://b:2/metrics ");
  REQUIRE(discovery.problems().size() == 1);
  CHECK(discovery.problems()[0].find("t.json") != std::string::npos);
  CHECK(discovery.problems()[0].find("last good list of 1 targets") != std::string::npos);
  CHECK(discovery.states()[0].failures == 1);
  CHECK_FALSE(discovery.states()[0].good);
  CHECK_FALSE(discovery.refresh(later()));  // known to be bad: not read each second
  CHECK(discovery.states()[0].failures == 1);

  fs::remove(dir / "t.json");
  CHECK_FALSE(discovery.refresh(later()));
  CHECK(discovery.targets().size() == 2);
  CHECK(discovery.states()[0].failures == 2);

  dir.write("t.json", "[]");
  CHECK(discovery.refresh(later()));
  CHECK(nodes(discovery.targets()) == "w=http://h:9/metrics ");
  CHECK(discovery.problems().empty());
  CHECK(discovery.states()[0].good);
}

TEST_CASE("discovery: a minute later a file is read even if it looks the same") {
  const Directory dir;
  dir.write("t.yml", "- targets: [");
  Discovery discovery({}, files({dir / "t.yml"}));
  const auto now = std::chrono::steady_clock::time_point{std::chrono::hours(1)};
  discovery.refresh(now);
  discovery.refresh(now + std::chrono::seconds(59));
  CHECK(discovery.states()[0].failures == 1);
  discovery.refresh(now + std::chrono::seconds(60));
  CHECK(discovery.states()[0].failures == 2);
}

TEST_CASE("discovery: a file that says the same a minute later is no news, and was read") {
  const Directory dir;
  dir.write("t.yml", "- targets: ['a:1']");
  Discovery discovery({}, files({dir / "t.yml"}));
  const auto now = std::chrono::steady_clock::time_point{std::chrono::hours(1)};
  CHECK(discovery.refresh(now));
  CHECK_FALSE(discovery.refresh(now + std::chrono::seconds(60)));
  CHECK(discovery.states()[0].refreshes == 2);
  CHECK(discovery.states()[0].good);
  CHECK(discovery.targets().size() == 1);

  dir.write("t.yml", "- targets: [");
  CHECK_FALSE(discovery.refresh(now + std::chrono::seconds(120)));
  CHECK_FALSE(discovery.states()[0].good);
  dir.write("t.yml", "- targets: ['a:1']");  // as it was before it failed
  CHECK_FALSE(discovery.refresh(now + std::chrono::seconds(180)));
  CHECK(discovery.states()[0].good);
  CHECK(discovery.problems().empty());
}

TEST_CASE("discovery: the first of two targets with one node's name wins, and it is said") {
  const Directory dir;
  dir.write("t.json",
            R"([{"targets":["a:1"],"labels":{"node":"w"}},{"targets":["b:2"],"labels":{"node":"x"}},
                {"targets":["b:2"],"labels":{"node":"x"}}])");
  Discovery discovery({*parse_target("w=h:9")}, files({dir / "t.json"}));
  discovery.refresh({});
  CHECK(nodes(discovery.targets()) == "w=http://h:9/metrics x=http://b:2/metrics ");
  CHECK(discovery.left_out() == 1);
  REQUIRE(discovery.problems().size() == 1);
  CHECK(discovery.problems()[0].find("node w is already scraped at http://h:9/metrics") !=
        std::string::npos);
}

TEST_CASE("discovery: a directory or a missing file is a problem, not an end") {
  const Directory dir;
  Discovery discovery({}, files({dir / "", dir / "none.json"}));
  CHECK_FALSE(discovery.refresh({}));
  CHECK(discovery.problems().size() == 2);
  CHECK(discovery.targets().empty());
}

TEST_CASE("a target's labels: scheme, path, times, and where its node's name comes from") {
  const auto target = make_target("a:1", {{"__scheme__", "https"},
                                          {"__metrics_path__", "/m"},
                                          {"__scrape_interval__", "5s"},
                                          {"__scrape_timeout__", "1500ms"},
                                          {"__meta_kubernetes_pod_node_name", "pod's"},
                                          {"__meta_kubernetes_node_name", "node's"},
                                          {"__address__", "x"}});
  REQUIRE(target);
  CHECK(target->url() == "https://a:1/m");
  CHECK(target->interval == std::chrono::seconds(5));
  CHECK(target->timeout == std::chrono::milliseconds(1500));
  CHECK(target->node == "pod's");
  CHECK(target->labels == LabelPairs{{"instance", "a:1"}, {"job", "optipod"}, {"node", "pod's"}});
  CHECK(make_target("a:1", {{"__meta_kubernetes_endpointslice_endpoint_node_name", "slice's"},
                            {"__meta_kubernetes_pod_node_name", "pod's"}})
            ->node == "slice's");
  CHECK(make_target("a:1", {{"node", "own"}, {"__meta_kubernetes_node_name", "n"}})->node == "own");
  CHECK(make_target("a:1", {{"node", ""}, {"__meta_kubernetes_node_name", "n"}})->node == "n");
  CHECK(make_target("a:1", {{"node", ""}})->node == "a:1");
  CHECK(parse_target("n=https://a:1/m")->url() == "https://a:1/m");
  // Nobody could read a page of /federate with it.
  CHECK(make_target("a:1", {{"node", "gr\xc3\xbcn"}}).has_value());
  CHECK(make_target("a:1", {{"rack", "\xff"}}).error().find("rack") != std::string::npos);
  CHECK_FALSE(parse_target("n\xff=a:1").has_value());
  CHECK_FALSE(parse_file_sd("- targets: ['h\xff:1']\n", FileFormat::kYaml).has_value());
  for (const TargetLabels& wrong :
       std::vector<TargetLabels>{{{"__scrape_interval__", "5"}},
                                 {{"__scrape_interval__", "0s"}},
                                 {{"__scrape_timeout__", "x"}},
                                 {{"__scrape_interval__", "1s"}, {"__scrape_timeout__", "2s"}}}) {
    const auto made = make_target("a:1", wrong);
    REQUIRE_FALSE(made);
    CHECK(made.error().find("__scrape_") != std::string::npos);
  }
}

TEST_CASE("discovery: targets that name no scheme have the one of all") {
  Discovery discovery({*parse_target("a:1"), *parse_target("http://b:2")}, {}, "https");
  CHECK(nodes(discovery.targets()) == "a:1=https://a:1/metrics b:2=http://b:2/metrics ");
  CHECK(discovery.settled());
}

namespace {
EndpointSlice slice_of(const std::string& name, const std::string& rest) {
  const std::string json = R"({"metadata":{"name":")" + name + R"("},)" + rest + "}";
  auto slice = read_endpoint_slice({kube::Encoding::kJson, json});
  INFO((slice ? std::string() : slice.error()));
  REQUIRE(slice);
  return *slice;
}
const std::string kPorts = R"("ports":[{"name":"metrics","port":9000,"protocol":"TCP"}])";
const std::string kTwoPorts =
    R"("ports":[{"name":"web","port":80},{"name":"metrics","port":9000}])";
}  // namespace

TEST_CASE("EndpointSlices: ready endpoints become targets, named as their nodes") {
  const EndpointSlice slice = slice_of("s", R"("addressType":"IPv4","endpoints":[
        {"addresses":["10.0.0.1"],"conditions":{"ready":true},"nodeName":"n1"},
        {"addresses":["10.0.0.2"],"conditions":{"ready":false},"nodeName":"n2"},
        {"addresses":["10.0.0.3","10.0.0.33"],"nodeName":"n3"},
        {"addresses":["10.0.0.4"],"conditions":{"ready":null},"nodeName":null},
        {"addresses":[],"nodeName":"n5"}, 7],)" +
                                                kPorts);
  std::string problem;
  EndpointSlices slices{""};
  slices.put(slice);
  CHECK(nodes(share(slices.targets(problem))) ==
        "n1=http://10.0.0.1:9000/metrics n3=http://10.0.0.3:9000/metrics "
        "10.0.0.4:9000=http://10.0.0.4:9000/metrics ");
  CHECK(problem.empty());

  slices.put(slice_of("v6", R"("addressType":"IPv6","endpoints":[
      {"addresses":["fd00::1"],"nodeName":"n1"},{"addresses":["fd00::6"],"nodeName":"n6"}],)" +
                                kPorts));
  slices.put(
      slice_of("names", R"("addressType":"FQDN","endpoints":[{"addresses":["x.y"]}],)" + kPorts));
  CHECK(nodes(share(slices.targets(problem)))
            .ends_with("10.0.0.4:9000/metrics n6=http://[fd00::6]:9000/metrics "));

  slices.begin_list();
  slices.put(slice_of("v6", R"("addressType":"IPv6","endpoints":null,"ports":null)"));
  CHECK(slices.targets(problem).size() == 3);  // until the list is complete
  slices.end_list();
  CHECK(slices.targets(problem).empty());
  slices.put(slice);
  slices.erase("s");
  CHECK(slices.targets(problem).empty());
}

TEST_CASE("EndpointSlices: which of several ports") {
  const auto first = [](const std::string& port, const std::string& ports, std::string& problem) {
    EndpointSlices slices{port};
    slices.put(
        slice_of("s", R"("addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"]}],)" + ports));
    const auto targets = slices.targets(problem);
    return targets.empty() ? std::string() : targets[0].address;
  };
  std::string problem;
  CHECK(first("", kTwoPorts, problem) == "10.0.0.1:9000");
  CHECK(first("web", kTwoPorts, problem) == "10.0.0.1:80");
  CHECK(first("7", kTwoPorts, problem) == "10.0.0.1:7");
  CHECK(problem.empty());
  CHECK(first("other", kTwoPorts, problem).empty());
  CHECK(problem.find("none of them named other") != std::string::npos);
  CHECK(first("", R"("ports":[])", problem).empty());
  CHECK_FALSE(problem.empty());
}

namespace {
/// The message of an EndpointSlice with one port, as the API server writes it.
std::string message_of(const std::string& name, const std::string& type,
                       const std::vector<std::string>& endpoints) {
  using kube::test::protobuf::field;
  std::string out = field(1, field(1, name) + field(3, "optipod") + field(5, "uid"));
  for (const std::string& endpoint : endpoints) out += field(2, endpoint);
  return out + field(3, field(1, "metrics") + field(2, "TCP") + field(3, std::uint64_t{9000})) +
         field(4, type);
}
std::string ready(bool yes) {
  using kube::test::protobuf::field;
  return field(2, field(1, std::uint64_t{yes}) + field(2, std::uint64_t{1}));
}
auto read(const std::string& message) {
  return read_endpoint_slice({kube::Encoding::kProtobuf, message});
}
}  // namespace

TEST_CASE("EndpointSlices: protobuf says what JSON says") {
  using kube::test::protobuf::field;
  const std::vector<std::string> endpoints{
      field(1, "10.0.0.1") + ready(true) + field(4, field(1, "Pod")) + field(6, "n1"),
      field(1, "10.0.0.2") + ready(false) + field(6, "n2"),
      field(1, "10.0.0.3") + field(1, "10.0.0.33") + field(6, "n3"),
      field(1, "10.0.0.4") + field(2, ""), field(6, "n5")};
  const auto slice = read(message_of("s", "IPv4", endpoints));
  REQUIRE(slice.has_value());
  CHECK(*slice == slice_of("s", R"("addressType":"IPv4","endpoints":[
        {"addresses":["10.0.0.1"],"conditions":{"ready":true},"nodeName":"n1"},
        {"addresses":["10.0.0.2"],"conditions":{"ready":false},"nodeName":"n2"},
        {"addresses":["10.0.0.3","10.0.0.33"],"nodeName":"n3"},
        {"addresses":["10.0.0.4"]},{"nodeName":"n5"}],)" +
                                    kPorts));
  CHECK(slice->endpoints.size() == 3);
  CHECK(read(message_of("s", "IPv6", {field(1, "fd00::1")}))->v6);
  CHECK(read(message_of("s", "FQDN", {field(1, "x.y")}))->endpoints.empty());
}

TEST_CASE("EndpointSlices: hostile protobuf") {
  using kube::test::protobuf::field;
  const std::string good = message_of("s", "IPv4", {field(1, "10.0.0.1") + ready(true)});
  REQUIRE(read(good).has_value());
  const std::size_t with_port = good.size() - field(4, "IPv4").size();
  for (std::size_t size = 0; size < with_port; ++size) {
    const auto cut = read(good.substr(0, size));
    CHECK((!cut || *cut != *read(good)));
  }
  for (const std::string& bad :
       {std::string(), field(1, field(1, "")), field(1, std::uint64_t{7}),
        field(1, field(1, "\xff")), message_of("s", "IPv4", {field(1, std::uint64_t{1})}),
        message_of("s", "IPv4", {field(1, "10.0.0.1") + field(6, "\xc0\x80")}),
        message_of("s", "IPv4", {field(2, field(1, "x"))})}) {
    CHECK_FALSE(read(bad).has_value());
  }
  const std::string name = field(1, field(1, "s"));
  for (const std::uint64_t port : {std::uint64_t{0}, std::uint64_t{65'536}, ~std::uint64_t{0}}) {
    CHECK(read(name + field(3, field(3, port)))->ports.empty());
  }
}

TEST_CASE("EndpointSlices: hostile texts") {
  for (const char* text :
       {"", "[]", "{", "{}", R"({"metadata":{}})", R"({"metadata":{"name":7}})"}) {
    CHECK_FALSE(read_endpoint_slice({kube::Encoding::kJson, text}).has_value());
  }
  const EndpointSlice odd = slice_of(
      "s",
      R"("addressType":7,"endpoints":{"a":1},"ports":[7,{"port":-1},{"port":70000},{"port":"x"}])");
  CHECK(odd.endpoints.empty());
  CHECK(odd.ports.empty());
  EndpointSlices slices{""};
  slices.put(
      slice_of("s", R"("addressType":"IPv4","endpoints":[{"addresses":["a b/c"]}],)" + kPorts));
  std::string problem;
  CHECK(slices.targets(problem).empty());
  CHECK(problem.find("EndpointSlice s") != std::string::npos);
}

TEST_CASE("a source that is polled: a failure keeps the last list, and what it throws is one") {
  std::atomic<int> calls = 0;
  PolledSource source("http-sd", "x", std::chrono::milliseconds(5),
                      [&](const std::stop_token&) -> TargetList {
                        const int call = ++calls;
                        if (call == 1) return std::vector<Target>{*parse_target("a:1")};
                        if (call == 2) return tl::unexpected(std::string("status 500"));
                        if (call == 3) throw std::runtime_error("out of luck");
                        return std::vector<Target>{};
                      });
  std::size_t most = 0;
  for (int i = 0; i < 3000 && calls < 6; ++i) {
    source.refresh({});
    most = std::max(most, source.targets().size());
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  source.refresh({});
  CHECK(most <= 1);
  CHECK(source.targets().empty());
  CHECK(source.state().good);
  CHECK(source.state().failures == 2);
  CHECK(source.state().refreshes >= 5);
  CHECK(source.state().problem.empty());
}
