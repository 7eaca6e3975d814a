// SPDX-License-Identifier: Apache-2.0
// What is counted for whom, tick by tick, over a directory tree that stands for cgroupfs.
#include "agent/profiler/sampler.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "tests/agent/profiler/fake_kernel.hpp"
#include "tests/agent/profiler/temp_dir.hpp"
#include "tests/support/catch.hpp"

using namespace optipod::agent;
using optipod::test::FakeKernel;
using optipod::test::TempDir;
namespace shm = optipod::shm;

namespace {

const std::string kUid = "2c48913c-b29f-11e7-9350-020968147796";
const std::string kPodGroup = "kubepods/burstable/pod" + kUid;
const std::string kSandboxId = std::string(64, 'a');
const std::string kAppId = std::string(64, 'b');

class Node {
 public:
  explicit Node(std::uint32_t max_containers = 16) {
    dir_.make("cgroup");
    dir_.make("pods");
    options_ = {.root = {dir_.path("cgroup"), "/"},
                .cpus = {},
                .node_name = "n1",
                .pods_directory = dir_.path("pods"),
                .max_containers = max_containers};
  }
  std::uint64_t make(const std::string& below) {
    dir_.make("cgroup/" + below);
    kernel.made.push_back({id(below), "/" + below});
    return id(below);
  }
  /// Moved away, not deleted: cgroupfs gives no number twice, as other file systems do.
  void remove(const std::string& below) {
    const std::string grave = dir_.make(fmt::format("graves/{}", removed_++));
    std::filesystem::rename(dir_.path("cgroup/" + below), grave + "/it");
  }
  void write(const std::string& below, const std::string& text) {
    dir_.write("cgroup/" + below, text);
  }
  [[nodiscard]] std::uint64_t id(const std::string& below) const {
    struct stat info {};
    return ::stat(dir_.path("cgroup/" + below).c_str(), &info) == 0 ? info.st_ino : 0;
  }
  void log(const std::string& container) {
    dir_.write("pods/shop_web_" + kUid + "/" + container + "/0.log", "");
  }
  const shm::Tick& tick() {
    if (!sampler_) sampler_.emplace(options_, kernel);
    // The iterator sees the tree as it is.
    kernel.cgroups.clear();
    for (const CgroupDir& entry : walk_cgroups(dir_.path("cgroup"))) {
      CgroupValues values;
      values.cgroup_id = entry.id;
      values.valid = shm::kValidCpuTime;
      values.cpu_time.usage_ns = usage[entry.id];
      if (const auto quota = throttling.find(entry.id); quota != throttling.end()) {
        values.valid |= shm::kValidThrottling;
        values.throttling = quota->second;
      }
      kernel.cgroups.push_back(values);
    }
    sampler_->sample(tick_);
    return tick_;
  }
  bool look_for_new() { return sampler_->look_for_new(); }
  [[nodiscard]] const std::uint64_t* cuts() const { return sampler_->cuts(); }
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& c : tick_.containers) out.emplace_back(c.container);
    std::sort(out.begin(), out.end());
    return out;
  }
  [[nodiscard]] const shm::ContainerRecord* find(const std::string& container) const {
    for (const auto& c : tick_.containers) {
      if (container == c.container) return &c;
    }
    return nullptr;
  }
  [[nodiscard]] std::size_t free_slots() const { return sampler_->free_slots(); }

  FakeKernel kernel;
  std::map<std::uint64_t, std::uint64_t> usage;
  std::map<std::uint64_t, CpuThrottling> throttling;

 private:
  TempDir dir_;
  int removed_ = 0;
  SamplerOptions options_;
  std::optional<Sampler> sampler_;
  shm::Tick tick_;
};

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a node without containers is a node") {
  Node node;
  const shm::Tick& tick = node.tick();
  CHECK(tick.containers.empty());
  CHECK(tick.node.sampled_realtime_ns > 0);
  CHECK(tick.node.cpus > 0);
  CHECK(std::string(tick.node.node_name) == "n1");
  CHECK(std::string(tick.node.cgroup_root) == "/");
}

TEST_CASE("leaves outside pods are entries; levels above them are not") {
  Node node;
  node.make("system.slice/ssh.service");
  node.make("kubepods/besteffort");
  node.make("init.scope");
  node.tick();
  CHECK(node.names() == Names{"/init.scope", "/system.slice/ssh.service"});
  for (const auto& c : node.tick().containers) CHECK(c.namespace_[0] == '\0');
}

TEST_CASE("a pod's container has its names and everything below it; its sandbox is not shown") {
  Node node;
  const auto sandbox = node.make(kPodGroup + "/" + kSandboxId);
  auto app = node.make(kPodGroup + "/" + kAppId);
  // cgroupfs numbers upwards; a file system that does not makes the other one the older.
  const std::string app_id = app > sandbox ? kAppId : kSandboxId;
  app = std::max(app, sandbox);
  const auto below = node.make(kPodGroup + "/" + app_id + "/container");
  node.log("app");
  node.tick();
  REQUIRE(node.names() == Names{"app"});
  const auto* record = node.find("app");
  CHECK(std::string(record->namespace_) == "shop");
  CHECK(std::string(record->pod) == "web");
  CHECK(std::string(record->pod_uid) == kUid);
  CHECK(std::string(record->container_id) == app_id);
  CHECK(std::string(record->qos) == "burstable");
  CHECK(record->cgroup_id == app);
  REQUIRE(node.kernel.slot_of.contains(below));
  CHECK(node.kernel.slot_of[below] == node.kernel.slot_of[app]);

  node.kernel.switch_in(app, 2);
  node.kernel.switch_in(below, 3);
  const auto later = node.make(kPodGroup + "/" + app_id + "/later");
  node.tick();
  CHECK(node.find("app")->cpu.switches[shm::kVoluntary] == 5);
  CHECK(node.kernel.slot_of[later] == node.kernel.slot_of[app]);
}

TEST_CASE("counters begin at zero, and never go back") {
  Node node;
  const auto old = node.make("old");
  node.usage[old] = 5'000;
  node.tick();
  CHECK(node.find("/old")->first_tick == 0);
  CHECK(node.find("/old")->cpu_time.usage_ns == 0);
  node.usage[old] = 7'000;
  const auto young = node.make("young");
  node.usage[young] = 300;
  node.tick();
  CHECK(node.find("/old")->cpu_time.usage_ns == 2'000);
  CHECK(node.find("/young")->first_tick == 1);
  CHECK(node.find("/young")->cpu_time.usage_ns == 300);  // all of it happened while we watched
  node.usage[old] = 6'500;
  node.tick();
  CHECK(node.find("/old")->cpu_time.usage_ns == 2'000);
}

TEST_CASE("what is unknown is absent") {
  Node node;
  node.make("a");
  node.kernel.valid_bits = shm::kValidSwitches;
  const shm::Tick& tick = node.tick();
  REQUIRE(tick.containers.size() == 1);
  CHECK(tick.containers[0].valid == (shm::kValidSwitches | shm::kValidCpuTime));
  CHECK((tick.node.valid & (shm::kValidRunqueueWait | shm::kValidBlockIo)) == 0);
}

TEST_CASE("what its slot counted is the container's, to its last record") {
  Node node;
  node.kernel.valid_bits |= shm::kValidOomKills | shm::kValidFiles | shm::kValidTcp;
  const auto a = node.make("a");
  node.make("b");
  node.tick();
  CHECK(node.kernel.taken_up == 1);
  SlotValues& counts = node.kernel.counts[node.kernel.slot_of.at(a)];
  counts.files.calls[shm::kWrite] = 12;
  counts.tcp.bytes[shm::kSent] = 345;
  node.tick();
  CHECK(node.kernel.taken_up == 2);
  REQUIRE(node.find("/a"));
  CHECK((node.find("/a")->valid & node.kernel.valid_bits) == node.kernel.valid_bits);
  CHECK(node.find("/a")->files.calls[shm::kWrite] == 12);
  CHECK(node.find("/a")->tcp.bytes[shm::kSent] == 345);
  CHECK(node.find("/b")->files.calls[shm::kWrite] == 0);
  // What killed it came after the last look.
  counts.memory.oom_kills = 1;
  node.remove("a");
  node.tick();
  REQUIRE(node.find("/a"));
  CHECK((node.find("/a")->valid & shm::kValidOomKills) != 0);
  CHECK(node.find("/a")->memory.oom_kills == 1);
  node.tick();
  CHECK_FALSE(node.find("/a"));
}

TEST_CASE("without the iterator the cgroup's files are read") {
  Node node;
  node.kernel.has_iterator = false;
  const auto a = node.make("a");
  node.write("a/cpu.stat",
             "usage_usec 9\nuser_usec 5\nsystem_usec 4\nnr_periods 8\nnr_throttled 2\n"
             "throttled_usec 70\n");
  node.write("a/memory.pressure", "some total=1\nfull total=1\n");
  node.write("a/memory.current", "4096\n");
  node.write("a/cpu.max", "50000 100000\n");
  node.tick();
  CHECK(node.find("/a")->valid ==
        (node.kernel.valid_bits | shm::kValidCpuTime | shm::kValidPressureMemory |
         shm::kValidMemory | shm::kValidThrottling));
  CHECK(node.find("/a")->memory_current_bytes == 4096);
  node.write("a/cpu.stat",
             "usage_usec 19\nuser_usec 10\nsystem_usec 9\nnr_periods 10\nnr_throttled 3\n"
             "throttled_usec 90\n");
  node.tick();
  const auto* record = node.find("/a");
  CHECK(record->cpu_time.usage_ns == 10'000);
  CHECK(record->cpu_throttled_ns == 20'000);
  CHECK(record->cpu_periods == 2);
  CHECK(record->cpu_throttled_periods == 1);
  // A change is seen although nobody announces it.
  node.make("b");
  node.tick();
  CHECK(node.names() == Names{"/a", "/b"});
  CHECK(node.id("a") == a);
}

TEST_CASE("quotas that the iterator tells are not looked up in files") {
  Node node;
  const auto a = node.make("a");
  node.write("a/cpu.stat", "nr_periods 800\nnr_throttled 200\nthrottled_usec 7000\n");
  node.throttling[a] = {5'000, 10, 4};
  node.tick();
  CHECK((node.find("/a")->valid & shm::kValidThrottling) != 0);
  CHECK(node.find("/a")->cpu_throttled_ns == 0);
  node.throttling[a] = {8'000, 12, 5};
  node.tick();
  CHECK(node.find("/a")->cpu_throttled_ns == 3'000);
  CHECK(node.find("/a")->cpu_periods == 2);
  CHECK(node.find("/a")->cpu_throttled_periods == 1);
}

TEST_CASE("packets that were dropped are the node's, where the kernel says why") {
  Node node;
  CHECK((node.tick().node.valid & shm::kValidPacketDrops) == 0);
  node.kernel.valid_bits |= shm::kValidPacketDrops;
  node.kernel.dropped = {{"no_socket", 4}};
  const shm::Tick& tick = node.tick();
  CHECK((tick.node.valid & shm::kValidPacketDrops) != 0);
  REQUIRE(tick.node.drop_count == 1);
  CHECK(std::string(tick.node.drops[0].reason) == "no_socket");
  CHECK(tick.node.drops[0].packets == 4);
}

TEST_CASE("an unchanged tree is not read again") {
  Node node;
  node.make("a");
  node.tick();
  const int before = node.kernel.walks;
  node.tick();
  CHECK(node.kernel.walks == before + 1);  // a change would make it look twice
}

TEST_CASE("the last values of a cgroup that went are published once more") {
  Node node;
  const auto a = node.make("a");
  node.make("b");
  node.tick();
  node.kernel.switch_in(a, 4);
  node.tick();
  node.kernel.switch_in(a, 3);
  node.remove("a");
  node.tick();
  REQUIRE(node.find("/a") != nullptr);
  CHECK(node.find("/a")->cpu.switches[shm::kVoluntary] == 7);
  CHECK_FALSE(node.kernel.slot_of.contains(a));
  node.tick();
  CHECK(node.names() == Names{"/b"});
  CHECK(node.tick().node.cpu.switches[shm::kVoluntary] == 7);  // the node's do not go back
}

TEST_CASE("a slot rests and is zeroed before another has it") {
  Node node;
  const auto a = node.make("a");
  node.tick();
  const Slot slot = node.kernel.slot_of[a];
  node.kernel.switch_in(a, 9);
  node.remove("a");
  node.tick();
  node.make("b");
  node.tick();
  CHECK(node.kernel.slot_of[node.id("b")] != slot);
  node.tick();
  CHECK(std::count(node.kernel.resets.begin(), node.kernel.resets.end(), slot) == 1);
  CHECK(node.find("/b")->cpu.switches[shm::kVoluntary] == 0);
}

TEST_CASE("what lives between two ticks has a slot of its own once it was looked for") {
  Node node;
  node.make("stays");
  node.tick();
  const auto short_lived = node.make("short");
  node.kernel.switch_in(short_lived, 5);  // not looked for yet: nobody's
  node.look_for_new();
  node.kernel.switch_in(short_lived, 7);
  node.remove("short");
  node.tick();
  REQUIRE(node.find("/short") != nullptr);
  CHECK(node.find("/short")->cpu.switches[shm::kVoluntary] == 7);
  node.tick();
  CHECK(node.find("/short") == nullptr);
  CHECK(node.find("/stays") != nullptr);
}

TEST_CASE("a tree that was looked at between two ticks is not read again at the next") {
  Node node;
  node.make("a");
  node.tick();
  node.make("b");
  node.look_for_new();
  const int walks = node.kernel.walks;
  node.tick();
  CHECK(node.find("/b") != nullptr);
  CHECK(node.kernel.walks == walks + 1);  // a rescan would have read the values a second time
}

TEST_CASE("a leaf that gets children is a level, and they are the leaves") {
  Node node;
  const auto a = node.make("a");
  node.tick();
  node.make("a/b");
  node.tick();
  node.tick();
  CHECK(node.names() == Names{"/a/b"});
  CHECK_FALSE(node.kernel.slot_of.contains(a));
}

TEST_CASE("more than there is room for is cut, counted, and shown when there is room") {
  Node node(2);
  node.make("a");
  node.make("b");
  node.make("c");
  node.make(kPodGroup + "/" + kAppId);
  node.log("app");
  CHECK(node.tick().containers.size() == 2);
  CHECK(node.tick().node.containers_cut == 2);
  CHECK(node.find("app") != nullptr);  // containers before services
  node.remove("a");
  node.remove("b");
  for (int i = 0; i < 4; ++i) node.tick();
  CHECK(node.names() == Names{"/c", "app"});
  CHECK(node.tick().node.containers_cut == 0);
  CHECK(node.cuts()[shm::kOverLimit] == 2);  // ever, each once
  CHECK(node.cuts()[shm::kShortLived] == 0);
}

TEST_CASE("what came and went before it was looked for is counted as such, once") {
  Node node;
  node.make("stays");
  const shm::Tick& first = node.tick();
  CHECK((first.node.valid & shm::kValidShortLived) != 0);
  CHECK(node.cuts()[shm::kShortLived] == 0);
  node.make("gone");
  node.remove("gone");
  CHECK(node.look_for_new());
  CHECK(node.cuts()[shm::kShortLived] == 1);
  CHECK_FALSE(node.look_for_new());
  // Levels are none: neither a slice nor a pod's own cgroup.
  node.make("some.slice");
  node.make("some.slice/job.service");
  node.remove("some.slice");
  node.make(kPodGroup);
  node.make(kPodGroup + "/" + kAppId);
  node.make(kPodGroup + "/" + kAppId + "/inner");
  node.remove("kubepods");
  node.tick();
  CHECK(node.cuts()[shm::kShortLived] == 3);
  node.tick();
  CHECK(node.cuts()[shm::kShortLived] == 3);
  CHECK(node.cuts()[shm::kOverLimit] == 0);
}

TEST_CASE("what a scan met before the news of it came has its record, and is not cut") {
  Node node;
  node.make("a");
  node.tick();
  node.make("b");
  const auto news = node.kernel.made;
  node.kernel.made.clear();
  node.tick();
  CHECK(node.find("/b") != nullptr);
  node.kernel.made = news;
  node.remove("b");
  node.tick();
  CHECK(node.find("/b") != nullptr);  // for the last time
  CHECK(node.cuts()[shm::kShortLived] == 0);
}

TEST_CASE("a kernel that tells nothing of new cgroups says nothing of those that went") {
  Node node;
  node.kernel.tells_made = false;
  node.make("a");
  CHECK((node.tick().node.valid & shm::kValidShortLived) == 0);
}

TEST_CASE("what lived between two ticks on a full node is shown or cut") {
  Node node(1);
  node.make("a");
  node.tick();
  node.remove("a");
  node.make("b");
  node.look_for_new();  // a's last record is still to come
  node.remove("b");
  node.tick();
  CHECK(node.names() == Names{"/a"});
  CHECK(node.cuts()[shm::kOverLimit] == 1);
}

TEST_CASE("churn leaks no slot, and no two entries are ever the same") {
  Node node(8);
  node.make("stays");
  node.tick();
  const auto free = node.free_slots();
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen;  // cgroup id, first tick
  for (int round = 0; round < 60; ++round) {
    for (int i = 0; i < 6; ++i) node.make(fmt::format("r{}-{}", round, i));
    std::set<std::pair<std::uint64_t, std::uint64_t>> now;
    for (const auto& c : node.tick().containers) {
      CHECK(now.insert({c.cgroup_id, c.first_tick}).second);
      CHECK(c.cpu.switches[shm::kVoluntary] <= 1);
      seen.insert({c.cgroup_id, c.first_tick});
    }
    for (int i = 0; i < 6; ++i) {
      const auto name = fmt::format("r{}-{}", round, i);
      if (node.kernel.slot_of.contains(node.id(name))) node.kernel.switch_in(node.id(name));
      node.remove(name);
    }
  }
  for (int i = 0; i < 4; ++i) node.tick();
  CHECK(node.names() == Names{"/stays"});
  CHECK(node.free_slots() == free);
  CHECK(node.kernel.slot_of.size() == 1);
  CHECK(seen.size() > 100);
}

TEST_CASE("devices carry their numbers where they have no name") {
  Node node;
  node.kernel.disks = {{4095, 1048575, {}}};
  const shm::Tick& tick = node.tick();
  REQUIRE(tick.devices.size() == 1);
  CHECK(std::string(tick.devices[0].name) == "4095:1048575");
  CHECK(tick.devices[0].valid == (shm::kValidBlockIo | shm::kValidBlockBytes));
}

TEST_CASE("neighbours carry the identities of their containers, and no others later") {
  Node node;
  node.kernel.valid_bits |= shm::kValidNeighbours | shm::kValidMigrations;
  const auto a = node.make("a"), b = node.make("b");
  node.tick();
  const Slot slot_a = node.kernel.slot_of.at(a), slot_b = node.kernel.slot_of.at(b);
  node.kernel.pairs = {{slot_a, slot_b, 3, 30}};
  node.kernel.untold = 2;
  node.kernel.counts[slot_a].scheduler.migrations = 4;
  {
    const shm::Tick& tick = node.tick();
    REQUIRE(tick.neighbours.size() == 1);
    CHECK(tick.neighbours[0].victim_cgroup_id == a);
    CHECK(tick.neighbours[0].aggressor_cgroup_id == b);
    CHECK(tick.neighbours[0].preemptions == 3);
    CHECK((tick.node.valid & shm::kValidNeighbours) != 0);
    CHECK(tick.node.neighbours_untold == 2);
    for (const auto& c : tick.containers) {
      CHECK((c.valid & shm::kValidMigrations) != 0);
      CHECK((c.valid & shm::kValidThrottledWait) == 0);
      CHECK(c.scheduler.migrations == (c.cgroup_id == a ? 4 : 0));
    }
  }
  node.remove("b");
  CHECK(node.tick().neighbours.empty());
  node.kernel.pairs = {{slot_a, slot_b, 1, 10}};  // from before it went
  const shm::Tick& tick = node.tick();
  REQUIRE(tick.neighbours.size() == 1);
  CHECK(tick.neighbours[0].aggressor_cgroup_id == 0);
}
