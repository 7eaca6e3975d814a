// SPDX-License-Identifier: Apache-2.0
// The policies' parameters: the YAML file with its mistakes, and reading it again.
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <thread>

#include "extender/config/parameters.hpp"
#include "extender/config/policy_file.hpp"
#include "tests/support/catch.hpp"

namespace optipod::extender {
namespace {

tl::expected<Parameters, std::string> read(const std::string& text) {
  return read_parameters(text, "p.yaml", {}, wire::ResourceNames());
}

TEST_CASE("what the file says replaces the defaults, the rest stays") {
  const auto p = read(
      "policies:\n  contention: 2\n  template: 0.5\n"
      "contention:\n  reject_above: 0.75\n  sensitivity: {io: 0.5}\n");
  REQUIRE(p);
  CHECK(p->combination == "contention=2,template=0.5");
  CHECK(p->policies.contention.reject_above == 0.75);
  CHECK(p->policies.contention.sensitivity.io == 0.5);
  CHECK(p->policies.contention.sensitivity.cpu == 1);
  CHECK(p->policies.contention.memory_knee == ContentionParameters{}.memory_knee);
  for (const std::string empty : {"", "# nothing\n", "contention:\n", "{}"}) {
    INFO(empty);
    const auto nothing = read(empty);
    REQUIRE(nothing);
    CHECK(nothing->combination.empty());
  }
}

TEST_CASE("the example of all parameters holds the defaults") {
  std::ifstream in(OPTIPOD_POLICIES_YAML);
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  REQUIRE_FALSE(text.empty());
  const auto p = read(text);
  REQUIRE(p);
  CHECK(p->policies == PolicyParameters{});
  CHECK(p->combination == "contention=1");
}

TEST_CASE("every policy's parameters are read") {
  const auto p = read(
      "congestion: {max: 10, half_latency_seconds: 0.02, half_retransmits: 0.5}\n"
      "relative: {memory_weight: 1, cpu_weight: 2, filesystem_weight: 0, best_ratio: 0.25, "
      "worst_ratio: 4}\n"
      "safe: {utilization: 0.8, percentile: 0.1, forecast_weight: 0, window: 24h, overload_weight: "
      "0, "
      "balance_weight: 3, reject: true}\n"
      "pigeon: {objective: CONSOLIDATE, resources: [memory, nvidia.com/gpu, ephemeral-storage]}\n");
  REQUIRE(p);
  CHECK(p->policies.congestion.max == 10);
  CHECK(p->policies.congestion.half_retransmits == 0.5);
  CHECK(p->policies.relative.cpu_weight == 2);
  CHECK(p->policies.relative.worst_ratio == 4);
  CHECK(p->policies.safe.utilization == 0.8);
  CHECK(p->policies.safe.window == SafeWindow::k24h);
  CHECK(p->policies.safe.reject);
  CHECK(p->policies.pigeon.objective == PigeonObjective::kConsolidate);
  CHECK(p->policies.pigeon.resources ==
        std::vector<std::size_t>{wire::kMemory, wire::kFirstExtended, wire::kEphemeralStorage});
}

TEST_CASE("the older systems' variables are defaults, and their mistakes are named") {
  std::map<std::string, std::string> set;
  const auto environment = [&set](const char* name) -> const char* {
    const auto found = set.find(name);
    return found == set.end() ? nullptr : found->second.c_str();
  };
  const auto of = [&] { return parameters_of_environment(environment, wire::ResourceNames()); };
  set = {{"SAFEUTILIZATION", "80"},
         {"SAFEPERCENTILE", "10"},
         {"SAFEFORECASTWEIGHT", "0"},
         {"CONGESTION_FACTOR_MAX", "10"},
         {"POLICY_OBJECTIVE", "LOAD_BALANCE"},
         {"NUM_RESOURCES", "4"}};
  const auto p = of();
  REQUIRE(p);
  CHECK(p->policies.safe.utilization == Approx(0.8));
  CHECK(p->policies.safe.percentile == Approx(0.1));
  CHECK(p->policies.safe.forecast_weight == 0);
  CHECK(p->policies.congestion.max == 10);
  CHECK(p->policies.pigeon.objective == PigeonObjective::kLoadBalance);
  CHECK(p->policies.pigeon.resources ==
        std::vector<std::size_t>{wire::kCpu, wire::kMemory, wire::kPods, wire::kFirstExtended});
  // The file wins.
  const auto both = read_parameters("safe: {utilization: 0.7}\n", "f", *p, wire::ResourceNames());
  REQUIRE(both);
  CHECK(both->policies.safe.utilization == 0.7);
  CHECK(both->policies.safe.percentile == Approx(0.1));
  for (const auto& [name, value, message] : std::vector<std::array<std::string, 3>>{
           {"SAFEUTILIZATION", "101", "SAFEUTILIZATION=101: is not a whole number from 0 to 100"},
           {"SAFEPERCENTILE", "0.3", "SAFEPERCENTILE=0.3: is not a whole number"},
           {"CONGESTION_FACTOR_MAX", "0", "CONGESTION_FACTOR_MAX=0: is not a whole number from 1"},
           {"POLICY_OBJECTIVE", "SPREAD", "POLICY_OBJECTIVE=SPREAD: "},
           {"NUM_RESOURCES", "6", "NUM_RESOURCES=6: is not a whole number from 1 to 5"}}) {
    set = {{name, value}};
    INFO(name);
    REQUIRE_FALSE(of());
    CHECK(of().error().find(message) == 0);
  }
  set = {{"NUM_RESOURCES", "4"}};
  const auto unkept = parameters_of_environment(environment, wire::ResourceNames({"amd.com/gpu"}));
  CHECK(unkept.error() ==
        "NUM_RESOURCES=4: nvidia.com/gpu is not kept; add it to --extended-resource");
}

TEST_CASE("mistakes are named with file, line, key, value and what there is instead") {
  for (const auto& [text, message] : std::vector<std::pair<std::string, std::string>>{
           {"contention:\n  reject_above: 1.5\n",
            "p.yaml:2: contention.reject_above: '1.5' is not a number from 0 to 1"},
           {"contention:\n\n  reject_above: [1]\n", "p.yaml:3: contention.reject_above: a list"},
           {"contention:\n  reject_above: nan\n", "p.yaml:2: contention.reject_above: 'nan'"},
           {"contention:\n  reject_abov: 1\n",
            "p.yaml:2: contention.reject_abov is unknown here; there are: half_latency_seconds"},
           {"contention: 7\n", "p.yaml:1: contention: '7' where keys and values belong"},
           {"contantion: {}\n", "p.yaml:1: contantion is unknown here; there are:"},
           {"contention:\n  reject_above: 1\n  reject_above: 0.5\n",
            "p.yaml:3: contention.reject_above is given twice"},
           {"contention:\n  memory_knee: 1.2\n  memory_full: 1.1\n",
            "p.yaml:3: contention.memory_full: must be over memory_knee, which is 1.2"},
           {"policies:\n  contention: 1\n  absent: 2\n",
            "p.yaml:3: policies: no such policy; there are: contention"},
           {"policies:\n  contention: -1\n", "p.yaml:2: policies.contention: '-1' is not a number"},
           {"safe:\n  window: 2h\n", "p.yaml:2: safe.window: '2h' is none of 15m, 1h, 24h"},
           {"safe:\n  reject: maybe\n", "p.yaml:2: safe.reject: 'maybe' is neither true nor false"},
           {"safe: {overload_weight: 0, balance_weight: 0}\n", "p.yaml:1: safe: "},
           {"relative: {best_ratio: 3, worst_ratio: 1}\n", "p.yaml:1: relative: "},
           {"pigeon:\n  objective: SPREAD\n", "p.yaml:2: pigeon.objective: "},
           {"pigeon:\n  resources: [cpu, amd.com/gpu]\n",
            "p.yaml:2: pigeon.resources: 'amd.com/gpu' is not kept (--extended-resource); there "
            "are: cpu memory"},
           {"pigeon:\n  resources: [cpu, cpu]\n", "p.yaml:2: pigeon.resources: resources 1 and 2"},
           {"pigeon:\n  resources: cpu\n", "p.yaml:2: pigeon.resources: 'cpu' where a list"},
           {"policies: {}\n", "p.yaml:1: policies: names no policy"},
           {"policies: contention\n", "p.yaml:1: policies: 'contention' where keys and values"},
           {"a: [1\n", "p.yaml:2: "},
           {"- 1\n", "p.yaml:1: "}}) {
    INFO(text);
    const auto bad = read(text);
    REQUIRE_FALSE(bad);
    INFO(bad.error());
    CHECK(bad.error().find(message) == 0);
  }
}

/// A file that is gone with it.
struct File {
  File() {
    char pattern[] = "/tmp/optipod-policies-XXXXXX";
    const int fd = mkstemp(pattern);
    REQUIRE(fd >= 0);
    close(fd);
    path = pattern;
  }
  ~File() { std::filesystem::remove(path); }
  void write(const std::string& text) const {
    const std::string next = path + ".new";
    std::ofstream(next) << text;
    std::filesystem::rename(next, path);
  }
  std::string path;
};

TEST_CASE("--policy wins over the file; a missing file is named") {
  const File file;
  file.write("policies: {template: 1}\n");
  PolicyFileOptions options{.path = file.path};
  auto set = load_policies(options);
  REQUIRE(set);
  CHECK((**set)[(*set)->combination[0].policy].name() == "template");
  options.combination = "contention=3";
  set = load_policies(options);
  REQUIRE(set);
  CHECK((*set)->combination[0].weight == 3);
  options.combination = "nothing";
  CHECK(load_policies(options).error().find("--policy nothing: there is no policy") == 0);
  options.path = "/nonexistent/p.yaml";
  CHECK(load_policies(options).error().find("/nonexistent/p.yaml: cannot be read") == 0);
  options = {};
  CHECK((**load_policies(options))[0].name() == "contention");
}

TEST_CASE("the file is read again when it changes; a bad one is said, and the next one taken") {
  const File file;
  file.write("contention: {reject_above: 0.5}\n");
  PolicyFileOptions options{.path = file.path};
  std::mutex mutex;
  std::vector<std::string> seen;
  const PolicyFileWatch watch(
      options,
      [&](tl::expected<std::shared_ptr<const PolicySet>, std::string> loaded) {
        const std::lock_guard lock(mutex);
        seen.push_back(!loaded ? loaded.error()
                               : std::string((**loaded)[0].rejects() ? "rejects" : "passes"));
      },
      std::chrono::milliseconds(5));
  const auto wait_for = [&](std::size_t count) {
    for (int i = 0; i < 2'000; ++i) {
      {
        const std::lock_guard lock(mutex);
        if (seen.size() >= count) return seen.back();
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    FAIL("the watch saw nothing");
    return std::string();
  };
  file.write("contention: {reject_above: 1}\n");
  CHECK(wait_for(1) == "passes");
  file.write("contention: {reject_above: 2}\n");
  CHECK(wait_for(2).find(file.path + ":1: contention.reject_above") == 0);
  std::filesystem::remove(file.path);
  CHECK(wait_for(3).find("cannot be read") != std::string::npos);
  file.write("contention: {reject_above: 0.25}\n");
  CHECK(wait_for(4) == "rejects");
}

TEST_CASE("LOG_LEVEL and HTTP_PORT of kube-safe-scheduler are taken where ours are not set") {
  const auto reset = [] {
    for (const char* name :
         {"LOG_LEVEL", "HTTP_PORT", "OPTIPOD_LOG_LEVEL", "OPTIPOD_WEB_LISTEN_ADDRESS"}) {
      unsetenv(name);
    }
  };
  reset();
  setenv("LOG_LEVEL", "ALERT", 1);
  setenv("HTTP_PORT", "8080", 1);
  REQUIRE(alias_environment());
  CHECK(std::string(std::getenv("OPTIPOD_LOG_LEVEL")) == "critical");
  CHECK(std::string(std::getenv("OPTIPOD_WEB_LISTEN_ADDRESS")) == ":8080");
  setenv("HTTP_PORT", "9090", 1);
  REQUIRE(alias_environment());
  CHECK(std::string(std::getenv("OPTIPOD_WEB_LISTEN_ADDRESS")) == ":8080");  // ours wins
  reset();
  setenv("HTTP_PORT", "http", 1);
  CHECK(alias_environment().error() == "HTTP_PORT=http: is no port (1 to 65535)");
  reset();
  setenv("LOG_LEVEL", "loud", 1);
  CHECK(alias_environment().error().find("LOG_LEVEL=loud: is none of TRACE") == 0);
  reset();
}

}  // namespace
}  // namespace optipod::extender
