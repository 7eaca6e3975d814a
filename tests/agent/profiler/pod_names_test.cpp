// SPDX-License-Identifier: Apache-2.0
// Names of containers are known or not, and never guessed.
#include "agent/profiler/pod_names.hpp"

#include <chrono>
#include <thread>

#include "tests/agent/profiler/temp_dir.hpp"
#include "tests/support/catch.hpp"

using namespace optipod::agent;
using optipod::test::TempDir;
using Kind = Role::Kind;

namespace {

const std::string kUid = "2c48913c-b29f-11e7-9350-020968147796";
const std::string kPod = "pods/shop_web-7f9c-x2x_" + kUid;

std::string id(char c) {
  return std::string(64, c);
}

PodNames names(const TempDir& dir) {
  dir.make("pods");
  PodNames result(dir.path("pods"));
  result.refresh();
  return result;
}

std::vector<std::string> shown(const std::vector<Role>& roles) {
  std::vector<std::string> out;
  for (const Role& role : roles) {
    if (role.kind == Kind::kContainer) out.push_back(role.name);
    if (role.kind == Kind::kSandbox) out.push_back("(sandbox)");
    if (role.kind == Kind::kPending) out.push_back("(pending)");
  }
  return out;
}

using Names = std::vector<std::string>;

/// Files made one after the other must differ in their time of birth, which has the clock's grain.
void let_time_pass() {
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

}  // namespace

TEST_CASE("pod directories") {
  std::string uid;
  const auto pod =
      parse_pod_directory("kube-system_etcd-cp1_d66ac2f1bd6cb5ab9b2ac5aabaa6b1e9", uid);
  REQUIRE(pod);
  CHECK(pod->namespace_ == "kube-system");
  CHECK(pod->pod == "etcd-cp1");
  CHECK(uid == "d66ac2f1bd6cb5ab9b2ac5aabaa6b1e9");
  for (const char* bad : {"", "_", "__", "a_b", "a__c", "_b_c", "a_b_", "a_b_c_d"}) {
    INFO(bad);
    CHECK_FALSE(parse_pod_directory(bad, uid));
  }
}

TEST_CASE("container links") {
  std::string found;
  CHECK(parse_container_link("web-7f9c_shop_app-" + id('a') + ".log", found).value_or("") == "app");
  CHECK(found == id('a'));
  CHECK(parse_container_link("p_n_two-words-" + id('b') + ".log", found).value_or("") ==
        "two-words");
  for (const std::string& bad :
       {std::string("x.log"), "p_n_c-" + id('a'), "p_n_c-" + id('z') + ".log",
        "n_c-" + id('a') + ".log", "p_n_-" + id('a') + ".log"}) {
    INFO(bad);
    CHECK_FALSE(parse_container_link(bad, found));
  }
}

TEST_CASE("the pod's name, and its going") {
  const TempDir dir;
  dir.make(kPod);
  PodNames pods = names(dir);
  REQUIRE(pods.find(kUid) != nullptr);
  CHECK(pods.find(kUid)->namespace_ == "shop");
  CHECK(pods.find(kUid)->pod == "web-7f9c-x2x");
  CHECK(pods.find("another") == nullptr);
  CHECK_FALSE(pods.refresh());
  let_time_pass();
  std::filesystem::remove(dir.path(kPod));
  CHECK(pods.refresh());
  CHECK(pods.find(kUid) == nullptr);
}

TEST_CASE("without log directories ids stand for names") {
  const TempDir dir;
  PodNames pods(dir.path("nowhere"));
  CHECK_FALSE(pods.refresh());
  CHECK(pods.find(kUid) == nullptr);
  CHECK(shown(pods.resolve(kUid, std::vector<PodCgroup>{{5, id('a')}})) == Names{"aaaaaaaaaaaa"});
}

TEST_CASE("one container: the older cgroup is the sandbox") {
  const TempDir dir;
  dir.write(kPod + "/app/0.log", "");
  PodNames pods = names(dir);
  const std::vector<PodCgroup> both = {{5, id('a')}, {9, id('b')}};
  CHECK(shown(pods.resolve(kUid, both)) == Names{"(sandbox)", "app"});
  // The container crashed: its sandbox stays one.
  CHECK(shown(pods.resolve(kUid, std::span(both).first(1))) == Names{"(sandbox)"});
  // And restarts.
  const std::vector<PodCgroup> again = {{5, id('a')}, {12, id('c')}};
  CHECK(shown(pods.resolve(kUid, again)) == Names{"(sandbox)", "app"});
}

TEST_CASE("a pod none of whose containers has started is waited for") {
  const TempDir dir;
  dir.make(kPod + "/app");
  PodNames pods = names(dir);
  const std::vector<PodCgroup> one = {{5, id('a')}};
  CHECK(shown(pods.resolve(kUid, one)) == Names{"(pending)"});
  dir.write(kPod + "/app/0.log", "");
  CHECK(shown(pods.resolve(kUid, one)) == Names{"app"});
}

TEST_CASE("kubelet's links name containers exactly") {
  const TempDir dir;
  dir.write(kPod + "/app/3.log", "");
  dir.write(kPod + "/init/0.log", "");
  dir.write(kPod + "/proxy/0.log", "");
  dir.write("containers/web-7f9c-x2x_shop_app-" + id('c') + ".log", "");
  dir.write("containers/web-7f9c-x2x_shop_proxy-" + id('b') + ".log", "");
  PodNames pods = names(dir);
  const std::vector<PodCgroup> all = {{5, id('a')}, {7, id('b')}, {9, id('c')}};
  CHECK(shown(pods.resolve(kUid, all)) == Names{"(sandbox)", "proxy", "app"});
}

TEST_CASE("docker's log files are links that name the id") {
  const TempDir dir;
  dir.make(kPod + "/app");
  dir.make(kPod + "/proxy");
  std::filesystem::create_symlink(
      "/var/lib/docker/containers/" + id('c') + "/" + id('c') + "-json.log",
      dir.path(kPod + "/app/0.log"));
  std::filesystem::create_symlink(
      "/var/lib/docker/containers/" + id('b') + "/" + id('b') + "-json.log",
      dir.path(kPod + "/proxy/0.log"));
  PodNames pods = names(dir);
  const std::vector<PodCgroup> all = {{5, id('a')}, {7, id('b')}, {9, id('c')}};
  CHECK(shown(pods.resolve(kUid, all)) == Names{"(sandbox)", "proxy", "app"});
}

TEST_CASE("several containers: by the order in which they were started") {
  const TempDir dir;
  dir.write(kPod + "/zeta/0.log", "");
  let_time_pass();
  dir.write(kPod + "/alpha/0.log", "");
  PodNames pods = names(dir);
  const std::vector<PodCgroup> all = {{5, id('a')}, {7, id('b')}, {9, id('c')}};
  const auto got = shown(pods.resolve(kUid, all));
  // A file system that does not know times of birth gives none: then ids, never the wrong name.
  const bool known = got == Names{"(sandbox)", "zeta", "alpha"};
  const bool unknown = got == Names{"(sandbox)", "bbbbbbbbbbbb", "cccccccccccc"};
  CHECK((known || unknown));
}

TEST_CASE("a name once known is kept while its cgroup lives") {
  const TempDir dir;
  dir.write(kPod + "/app/0.log", "");
  PodNames pods = names(dir);
  const std::vector<PodCgroup> two = {{5, id('a')}, {7, id('b')}};
  CHECK(shown(pods.resolve(kUid, two)) == Names{"(sandbox)", "app"});
  dir.write(kPod + "/finished/0.log", "");  // would make it ambiguous now
  CHECK(shown(pods.resolve(kUid, two)) == Names{"(sandbox)", "app"});
  const std::vector<PodCgroup> restarted = {{5, id('a')}, {9, id('c')}};
  CHECK(shown(pods.resolve(kUid, restarted)) == Names{"(sandbox)", "cccccccccccc"});
}

TEST_CASE("ambiguous containers go by their ids") {
  const TempDir dir;
  SECTION("a completed one among the logs") {
    dir.write(kPod + "/init/0.log", "");
    dir.write(kPod + "/app/0.log", "");
  }
  SECTION("a log was rotated: its age is not known any more") {
    dir.write(kPod + "/app/0.log", "");
    dir.write(kPod + "/app/0.log.20260101-000000", "");
    let_time_pass();
    dir.write(kPod + "/proxy/0.log", "");
    PodNames pods = names(dir);
    const std::vector<PodCgroup> two = {{5, id('a')}, {7, id('b')}, {9, id('c')}};
    CHECK(shown(pods.resolve(kUid, two)) == Names{"(sandbox)", "bbbbbbbbbbbb", "cccccccccccc"});
  }
  PodNames pods = names(dir);
  const std::vector<PodCgroup> all = {{5, id('a')}, {7, id('b')}};
  CHECK(shown(pods.resolve(kUid, all)) == Names{"(sandbox)", "bbbbbbbbbbbb"});
}

TEST_CASE("cri-o may have no sandbox") {
  const TempDir dir;
  dir.write(kPod + "/app/0.log", "");
  PodNames pods = names(dir);
  SECTION("one cgroup, one container") {
    CHECK(shown(pods.resolve(kUid, std::vector<PodCgroup>{{5, id('a'), true}})) == Names{"app"});
  }
  SECTION("one more cgroup than containers: it has one") {
    CHECK(
        shown(pods.resolve(kUid, std::vector<PodCgroup>{{5, id('a'), true}, {9, id('b'), true}})) ==
        Names{"(sandbox)", "app"});
  }
  SECTION("as many as containers: none of them is") {
    dir.write(kPod + "/proxy/0.log", "");
    const auto got =
        shown(pods.resolve(kUid, std::vector<PodCgroup>{{5, id('a'), true}, {9, id('b'), true}}));
    CHECK(got.size() == 2);
    CHECK(got[0] != "(sandbox)");
  }
}
