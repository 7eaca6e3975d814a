// SPDX-License-Identifier: Apache-2.0
// Every form of cgroup path in which a pod's container is met.
#include "agent/profiler/cgroup_path.hpp"

#include "tests/support/catch.hpp"

using namespace optipod::agent;
using Kind = CgroupPath::Kind;

namespace {

const std::string kUid = "2c48913c-b29f-11e7-9350-020968147796";
const std::string kUidUnderscores = "2c48913c_b29f_11e7_9350_020968147796";
const std::string kId = "9bca8d63d5fa610783847915bcff0ecac1273e5b4bed3f6fa1b07350e0135961";
const std::string kOther = "1111111111111111111111111111111111111111111111111111111111111111";
const std::string kOtherUid = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";
const std::string kStatic = "d66ac2f1bd6cb5ab9b2ac5aabaa6b1e9";

struct Case {
  std::string what, path;
  Kind kind;
  std::string uid, id, qos, runtime;
  std::size_t depth;
};

const std::string kSlices =
    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + kUidUnderscores + ".slice";

const std::vector<Case> kCases = {
    // cgroupfs driver
    {"cgroupfs burstable", "/kubepods/burstable/pod" + kUid + "/" + kId, Kind::kContainer, kUid,
     kId, "burstable", "", 4},
    {"cgroupfs besteffort", "/kubepods/besteffort/pod" + kUid + "/" + kId, Kind::kContainer, kUid,
     kId, "besteffort", "", 4},
    {"cgroupfs guaranteed", "/kubepods/pod" + kUid + "/" + kId, Kind::kContainer, kUid, kId,
     "guaranteed", "", 3},
    {"cgroupfs cri-o", "/kubepods/burstable/pod" + kUid + "/crio-" + kId, Kind::kContainer, kUid,
     kId, "burstable", "crio", 4},
    {"cgroupfs cri-o conmon", "/kubepods/burstable/pod" + kUid + "/crio-conmon-" + kId,
     Kind::kIgnored, kUid, "", "burstable", "", 0},
    {"static pod", "/kubepods/burstable/pod" + kStatic + "/" + kId, Kind::kContainer, kStatic, kId,
     "burstable", "", 4},
    {"namespace that begins in kubepods", "/burstable/pod" + kUid + "/" + kId, Kind::kContainer,
     kUid, kId, "burstable", "", 3},
    // systemd driver
    {"systemd containerd", kSlices + "/cri-containerd-" + kId + ".scope", Kind::kContainer, kUid,
     kId, "burstable", "containerd", 4},
    {"systemd cri-o", kSlices + "/crio-" + kId + ".scope", Kind::kContainer, kUid, kId, "burstable",
     "crio", 4},
    {"systemd docker", kSlices + "/docker-" + kId + ".scope", Kind::kContainer, kUid, kId,
     "burstable", "docker", 4},
    {"systemd besteffort",
     "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + kUidUnderscores +
         ".slice/cri-containerd-" + kId + ".scope",
     Kind::kContainer, kUid, kId, "besteffort", "containerd", 4},
    {"systemd guaranteed",
     "/kubepods.slice/kubepods-pod" + kUidUnderscores + ".slice/cri-containerd-" + kId + ".scope",
     Kind::kContainer, kUid, kId, "guaranteed", "containerd", 3},
    {"systemd static pod",
     "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + kStatic +
         ".slice/cri-containerd-" + kId + ".scope",
     Kind::kContainer, kStatic, kId, "burstable", "containerd", 4},
    {"cri-o conmon", kSlices + "/crio-conmon-" + kId + ".scope", Kind::kIgnored, kUid, "",
     "burstable", "", 0},
    {"below cri-o conmon", kSlices + "/crio-conmon-" + kId + ".scope/x", Kind::kIgnored, kUid, "",
     "burstable", "", 0},
    {"crun's child", kSlices + "/crio-" + kId + ".scope/container", Kind::kContainer, kUid, kId,
     "burstable", "crio", 4},
    {"colon form",
     "/system.slice/containerd.service/kubepods-besteffort-pod" + kUidUnderscores +
         ".slice:cri-containerd:" + kId,
     Kind::kContainer, kUid, kId, "besteffort", "containerd", 3},
    {"colon form, guaranteed",
     "/system.slice/containerd.service/kubepods-pod" + kUidUnderscores +
         ".slice:cri-containerd:" + kId,
     Kind::kContainer, kUid, kId, "guaranteed", "containerd", 3},
    // nesting
    {"kind, systemd",
     "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/"
     "kubelet-kubepods-burstable-pod" +
         kUidUnderscores + ".slice/cri-containerd-" + kId + ".scope",
     Kind::kContainer, kUid, kId, "burstable", "containerd", 5},
    {"kind seen from its host",
     "/system.slice/docker-" + kOther +
         ".scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + kUidUnderscores +
         ".slice/cri-containerd-" + kId + ".scope",
     Kind::kContainer, kUid, kId, "guaranteed", "containerd", 6},
    {"kind, cgroupfs", "/docker/" + kOther + "/kubelet/kubepods/besteffort/pod" + kUid + "/" + kId,
     Kind::kContainer, kUid, kId, "besteffort", "", 7},
    {"minikube", "/docker-" + kOther + ".scope/kubepods/burstable/pod" + kUid + "/" + kId,
     Kind::kContainer, kUid, kId, "burstable", "", 5},
    {"Kubernetes in a pod: the deepest",
     "/kubepods/burstable/pod" + kOtherUid + "/" + kOther + "/kubelet/kubepods/pod" + kUid + "/" +
         kId,
     Kind::kContainer, kUid, kId, "guaranteed", "", 8},
    {"levels of the inner one belong to the outer container",
     "/kubepods/burstable/pod" + kOtherUid + "/" + kOther + "/kubelet/kubepods", Kind::kContainer,
     kOtherUid, kOther, "burstable", "", 4},
    // pods and levels
    {"pod", "/kubepods/burstable/pod" + kUid, Kind::kPod, kUid, "", "burstable", "", 0},
    {"pod slice", kSlices, Kind::kPod, kUid, "", "burstable", "", 0},
    {"something else in a pod", kSlices + "/helper", Kind::kPod, kUid, "", "burstable", "", 0},
    {"kubepods", "/kubepods", Kind::kKubepods, "", "", "", "", 0},
    {"kubepods.slice", "/kubepods.slice", Kind::kKubepods, "", "", "", "", 0},
    {"qos level", "/kubepods/besteffort", Kind::kKubepods, "", "", "", "", 0},
    {"qos slice", "/kubepods.slice/kubepods-besteffort.slice", Kind::kKubepods, "", "", "", "", 0},
    // not Kubernetes
    {"root", "/", Kind::kSystem, "", "", "", "", 0},
    {"empty", "", Kind::kSystem, "", "", "", "", 0},
    {"service", "/system.slice/ssh.service", Kind::kSystem, "", "", "", "", 0},
    {"Talos services", "/podruntime/kubelet", Kind::kSystem, "", "", "", "", 0},
    {"Talos runtime", "/podruntime/runtime", Kind::kSystem, "", "", "", "", 0},
    {"runtime.slice", "/runtime.slice/containerd.service", Kind::kSystem, "", "", "", "", 0},
    {"kube.slice", "/kube.slice/kubelet.service", Kind::kSystem, "", "", "", "", 0},
    {"plain docker", "/system.slice/docker-" + kId + ".scope", Kind::kSystem, "", "", "", "", 0},
    {"podman is no pod of ours", "/machine.slice/libpod-" + kId + ".scope/container", Kind::kSystem,
     "", "", "", "", 0},
    {"a service called podinfo", "/system.slice/podinfo", Kind::kSystem, "", "", "", "", 0},
    {"below kubepods but no pod", "/kubepods/other", Kind::kSystem, "", "", "", "", 0},
};

}  // namespace

TEST_CASE("cgroup paths of every driver and runtime") {
  for (const Case& c : kCases) {
    INFO(c.what << ": " << c.path);
    const CgroupPath got = parse_cgroup_path(c.path);
    CHECK(static_cast<int>(got.kind) == static_cast<int>(c.kind));
    CHECK(got.pod_uid == c.uid);
    CHECK(got.container_id == c.id);
    CHECK(got.qos == c.qos);
    CHECK(got.runtime == c.runtime);
    CHECK(got.container_depth == c.depth);
  }
}

TEST_CASE("a descendant is deeper than its container") {
  const std::string path = kSlices + "/crio-" + kId + ".scope";
  CHECK(path_depth(path) == parse_cgroup_path(path).container_depth);
  CHECK(path_depth(path + "/container/x") ==
        parse_cgroup_path(path + "/container/x").container_depth + 2);
}

TEST_CASE("nonsense is not Kubernetes") {
  for (const char* path : {"//", "/kubepods-pod.slice", "/:::", "/a:b:c", "/pod", "/kubepods/pod",
                           "/kubepods-pod/x.slice:cri-containerd:zzz", "/kubepods-pod.slice:a:b"}) {
    INFO(path);
    CHECK(parse_cgroup_path(path).container_id.empty());
    CHECK(parse_cgroup_path(path).pod_uid.empty());
  }
}
