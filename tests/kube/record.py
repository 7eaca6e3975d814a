#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Records what a real API server says of the same objects as JSON and as protobuf, for tests/extender/recorded.

Run by hand, when what is read of pods or nodes changes: tests/kube/record.py. The objects have everything that the
extender reads of them, and what it must skip.
"""

import http.client
import pathlib
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/kube"), str(ROOT / "tests/e2e")]
import controlplane                            # noqa: E402
from workspace import Workspace                # noqa: E402

INTO = ROOT / "tests/extender/recorded"
PROTOBUF = "application/vnd.kubernetes.protobuf"
ENCODINGS = {"json": "application/json", "pb": f"{PROTOBUF}, application/json"}


def ask(api, path, accept):
    connection = api._connection()   # pylint: disable=protected-access
    connection.request("GET", path, None, {"Accept": accept})
    return connection.getresponse()


def keep(name, encoding, data):
    (INTO / f"{name}.{encoding}").write_bytes(data)


def both(api, name, path):
    for encoding, accept in ENCODINGS.items():
        keep(name, encoding, ask(api, path, accept).read())


class Watch:
    """Bytes of a watch, as they come."""

    def __init__(self, api, path, accept):
        self._connection = http.client.HTTPSConnection(api.host, api.port, context=api._tls)   # pylint: disable=W0212
        self._connection.request("GET", path, None, {"Accept": accept})
        self._reply, self.bytes = self._connection.getresponse(), b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while piece := self._reply.read1(65536):
            self.bytes += piece

    def end(self):
        self._thread.join()
        return self.bytes


def resources(cpu, memory, limits=()):
    return {"requests": {"cpu": cpu, "memory": memory, "example.com/fpga": "2"},
            "limits": {**dict(limits), "example.com/fpga": "2"}}


def full_pod(name, **spec):
    probe = {"httpGet": {"path": "/healthz", "port": 8080}}
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": "web", "pod-template-hash": "6f7"},
                         "annotations": {"optipod.dev/profile": "cpu", "other.example/note": "grüße \U0001f600",
                                         "optipod.dev/policy": "safe=1"},
                         "ownerReferences": [
                             {"apiVersion": "v1", "kind": "X", "name": "y", "uid": "0"},
                             {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-6f7", "uid": "1",
                              "controller": True}]},
            "spec": {"terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False,
                     "containers": [
                         {"name": "a", "image": "e2e.invalid/a", "command": ["sleep", "inf"], "livenessProbe": probe,
                          "env": [{"name": "A", "value": "b"}], "resources": resources("250m", "64Mi", {"cpu": "1"})},
                         {"name": "b", "image": "e2e.invalid/b", "resources": resources("0.5", "1e6")}],
                     "initContainers": [
                         {"name": "proxy", "image": "e2e.invalid/p", "restartPolicy": "Always",
                          "resources": resources("100m", "1500M", {"memory": "3G"})},
                         {"name": "load", "image": "e2e.invalid/l", "resources": resources("2", "1Mi")}], **spec}}


def running(pod, *started):
    """A status whose containers run since then; None: one that waits."""
    names = [container["name"] for container in pod["spec"]["containers"]]
    states = [{"running": {"startedAt": time}} if time else {"waiting": {"reason": "ImagePullBackOff"}}
              for time in started]
    statuses = [{"name": name, "image": "i", "imageID": "", "ready": True, "restartCount": 0, "state": state}
                for name, state in zip(names, states)]
    return {"status": {"phase": "Running", "containerStatuses": statuses}}


def resized(pod):
    """A status in the midst of a resize that the node cannot grant: of containers, and of the pod as a whole."""
    status = running(pod, "2026-11-24T15:04:05Z", "2026-11-24T15:04:06Z")
    ours, other = status["status"]["containerStatuses"]
    ours.update(allocatedResources={"cpu": "300m", "memory": "64Mi"},
                resources={"requests": {"cpu": "400m", "memory": "64Mi"}, "limits": {"cpu": "2"}})
    other.update(allocatedResources={"cpu": "500m", "memory": "1M"})
    proxy = {"name": "proxy", "image": "i", "imageID": "", "ready": True, "restartCount": 0, "state": {},
             "allocatedResources": {"cpu": "150m", "memory": "1G"}}
    status["status"].update(initContainerStatuses=[proxy], conditions=[
        {"type": "PodResizePending", "status": "True", "reason": "Infeasible"}])
    return status


def main():
    INTO.mkdir(exist_ok=True)
    with controlplane.ControlPlane() as plane:
        workspace = Workspace(plane, kwok=False)
        api, pods = plane.api, f"{workspace.path}/pods"
        workspace.nodes(["node-1"], extended={"example.com/fpga": "4"})
        api.request("PATCH", "/api/v1/nodes/node-1", {"metadata": {"annotations": {"congestion-factor": "25.5"}}})
        value = 1000
        priority = workspace.priority_class("high", value)
        start = api.get(f"{pods}?limit=1")["metadata"]["resourceVersion"]

        api.post(pods, full_pod("waiting"))
        placed = full_pod("placed", nodeName="node-1", priorityClassName=priority,
                          resources={"requests": {"cpu": "3", "memory": "2Gi"}})
        half, low = full_pod("half", nodeName="node-1"), full_pod("low", nodeName="node-1")
        low["metadata"] = {"name": "low"}
        changed = full_pod("resized", nodeName="node-1")
        whole = full_pod("resized-whole", nodeName="node-1", resources={"requests": {"cpu": "3", "memory": "2Gi"}})
        for pod in (placed, half, low, changed, whole):
            api.post(pods, pod)
        times = {"placed": ("2026-11-24T15:04:05Z", "2026-11-24T15:04:07Z"), "half": ("2026-11-24T15:04:05Z", None)}
        for name, started in times.items():
            api.request("PATCH", f"{pods}/{name}/status", running(placed, *started))
        api.request("PATCH", f"{pods}/resized/status", resized(changed))
        of_pod = resized(whole)
        of_pod["status"].update(allocatedResources={"cpu": "3500m", "memory": "1Gi"},
                                resources={"requests": {"cpu": "3", "memory": "3Gi"}, "limits": {"cpu": "5"}})
        api.request("PATCH", f"{pods}/resized-whole/status", of_pod)
        both(api, "pods", pods)
        both(api, "nodes", "/api/v1/nodes")
        both(api, "missing", f"{pods}/missing")

        end = "watch=true&allowWatchBookmarks=true&timeoutSeconds=3"
        watches = {encoding: Watch(api, f"{pods}?{end}&resourceVersion={start}", accept)
                   for encoding, accept in ENCODINGS.items()}
        api.delete(f"{pods}/waiting", grace_seconds=0)
        for encoding, watch in watches.items():
            keep("watch", encoding, watch.end())
        workspace.close()


if __name__ == "__main__":
    main()
