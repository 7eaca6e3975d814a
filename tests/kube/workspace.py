# SPDX-License-Identifier: Apache-2.0
"""A test's own corner of a cluster: a namespace, fake nodes played by kwok, schedulers, pods.

Nothing of it touches what else runs in the cluster: nodes carry a taint and a label that only these pods
tolerate and select, and schedulers answer to a name that only these pods use. close() removes it all.
"""

import json
import pathlib
import secrets
import ssl
import urllib.parse
import urllib.request

import yaml

import build
import certificates
import objects
from optipod_e2e import free_port

EXTENDER = "optipod-extender"
_TRUSTING = ssl._create_unverified_context()   # pylint: disable=protected-access
# Test machines stall for longer than a cluster is asked to wait, and what is tested is mostly not that.
PATIENT = "5s"
STAGES = pathlib.Path(__file__).resolve().parent / "stages.yaml"


class Workspace:
    """`.name` is the namespace's, and the mark of its nodes. `.kwok`: the process that runs bound pods, or None."""

    def __init__(self, cluster, kwok=True):
        self.cluster, self.api = cluster, cluster.api
        self.name = f"optipod-e2e-{secrets.token_hex(4)}"
        self._nodes, self._cluster_wide, self._mine, self._schedulers = [], [], [], 0
        self.path = f"/api/v1/namespaces/{self.name}"
        self.api.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace",
                                             "metadata": {"name": self.name}})
        self._programs = build.programs(["kube-scheduler", "kwok"])
        self.kwok = None
        if kwok:
            self.start_kwok()
        # Admission wants it before the first pod.
        cluster.wait(lambda: any(account["metadata"]["name"] == "default" for account in
                                 self.api.get(f"{self.path}/serviceaccounts")["items"]),
                     "the namespace's default service account")

    def _run(self, program, *arguments):
        process = self.cluster.run(program, *arguments)
        self._mine.append(process)
        return process

    # ---- Nodes ----

    def start_kwok(self):
        """From now on pods that are bound to the nodes run."""
        self.kwok = self._run(self._programs["kwok"], f"--kubeconfig={self.cluster.kubeconfig}",
                               "--manage-all-nodes=false", "--node-port=0", f"--config={STAGES}",
                               f"--manage-nodes-with-annotation-selector={objects.MARK}={self.name}")

    def stop_kwok(self):
        """The nodes stay ready; pods are bound to them, and nothing more."""
        self.stop(self.kwok)
        self.kwok = None

    def nodes(self, names, **what):
        """Makes these nodes; `what` as objects.node()."""
        self.api.post_all("/api/v1/nodes", [objects.node(name, self.name, **what) for name in names])
        self._nodes += names
        self.cluster.wait(self._untainted, "the new nodes lose their not-ready taint")

    def _untainted(self):
        selector = urllib.parse.quote(f"{objects.MARK}={self.name}")
        found = self.api.get(f"/api/v1/nodes?labelSelector={selector}")["items"]
        return len(found) == len(self._nodes) and not any(
            taint["key"].startswith("node.kubernetes.io/") for node in found for taint in node["spec"]["taints"])

    # ---- Schedulers ----

    def scheduler_name(self):
        """A new name, for pods that are to be there before their scheduler."""
        self._schedulers += 1
        return f"{self.name}-{self._schedulers}"

    def scheduler(self, extender=None, name=None, verbs=("filter", "prioritize"), weight=5, score_plugins=True,
                  qps=500, verbosity=10, timeout=PATIENT, entry=None, look_at=0):
        """A kube-scheduler of its own name, asking the extender at this URL (None: alone). It is ready to
        schedule; `.scheduler` is its name. `score_plugins` False: no in-tree scorer speaks beside it. `entry`:
        what the extender's entry says otherwise. `look_at`: percentage of the nodes (0: fewer of more)."""
        name = name or self.scheduler_name()
        profile = {"schedulerName": name}
        if not score_plugins:
            profile["plugins"] = {"score": {"disabled": [{"name": "*"}]}}
        config = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
                  "leaderElection": {"leaderElect": False}, "profiles": [profile], "percentageOfNodesToScore": look_at,
                  "clientConnection": {"kubeconfig": str(self.cluster.kubeconfig), "qps": qps, "burst": 2 * qps}}
        if extender:
            config["extenders"] = [{"urlPrefix": extender, "weight": weight, "httpTimeout": timeout,
                                    "nodeCacheCapable": True, "ignorable": True,
                                    **{f"{verb}Verb": verb for verb in verbs}, **(entry or {})}]
        return self._run_scheduler(name, config, verbosity)

    def deployed_scheduler(self, file, extender, timeout=None):
        """A kube-scheduler with a configuration of deploy/scheduler/: only where things are, and who it is, is
        this workspace's; `timeout`, if it is given, wins over that of each extender's entry."""
        config = yaml.safe_load((objects.DEPLOY / file).read_text())
        name = self.scheduler_name()
        config["profiles"][0]["schedulerName"] = name
        config["leaderElection"] = {"leaderElect": False}
        config["clientConnection"] = {"kubeconfig": str(self.cluster.kubeconfig)}
        for entry in config["extenders"]:
            entry["urlPrefix"] = entry["urlPrefix"].replace("http://127.0.0.1:8888", extender)
            assert entry["urlPrefix"].startswith(extender)
            entry["httpTimeout"] = timeout or entry["httpTimeout"]
        return self._run_scheduler(name, config, verbosity=10)

    def _run_scheduler(self, name, config, verbosity):
        file = self.cluster.directory / f"{name}.json"
        file.write_text(json.dumps(config, indent=1))
        port = free_port()
        process = self._run(self._programs["kube-scheduler"], f"--config={file}", f"-v={verbosity}",
                            "--logging-format=json", "--bind-address=127.0.0.1", f"--secure-port={port}",
                            f"--cert-dir={self.cluster.directory}/{name}",
                            "--authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics")
        process.scheduler, process.url = name, f"https://127.0.0.1:{port}"
        self.cluster.wait(lambda: self.scheduler_page(process, "/readyz") is not None,
                          f"{process.name}: {process.url}/readyz")
        return process

    def scheduler_page(self, process, path):
        """What the scheduler itself serves there (its certificate is its own), or None."""
        try:
            with urllib.request.urlopen(process.url + path, timeout=5, context=_TRUSTING) as reply:
                return reply.read().decode()
        except OSError:
            return None

    def stop(self, process):
        self.cluster.stop(process)
        self._mine.remove(process)

    # ---- Pods ----

    def spec(self, scheduler, **what):
        """As objects.pod_spec(), for the nodes of this workspace."""
        return objects.pod_spec(self.name, scheduler, **what)

    def pods(self, names, spec, **what):
        """Makes these pods at once."""
        self.api.post_all(f"{self.path}/pods", [objects.pod(name, spec, **what) for name in names])

    def list(self):
        return self.api.get(f"{self.path}/pods?resourceVersion=0")["items"]

    def placements(self):
        """{pod: node} of those that have one."""
        return {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in self.list()
                if pod["spec"].get("nodeName")}

    def all_placed(self, count, seconds=60.0):
        """placements() once there are `count`; fails with what the scheduler said of a pod that waits."""
        return self._placed_when(lambda placed: len(placed) >= count, f"{count} pods are scheduled", seconds)

    def placed(self, names, seconds=60.0):
        """placements() of these pods, once each has one; as all_placed()."""
        placed = self._placed_when(lambda placed: set(names) <= set(placed), f"{', '.join(names)}: scheduled", seconds)
        return {name: placed[name] for name in names}

    def _placed_when(self, enough, what, seconds):
        found = {}

        def there():
            found.clear()
            found.update(self.placements())
            return enough(found)
        try:
            self.cluster.wait(there, what, seconds)
        except AssertionError as error:
            waiting = [pod for pod in self.list() if not pod["spec"].get("nodeName")]
            why = json.dumps(waiting[0]["status"].get("conditions")) if waiting else "there are fewer"
            raise AssertionError(f"{len(waiting)} wait, for example: {why}\n{error}") from None
        return found

    def clear(self):
        """Removes every pod, at once."""
        self.api.delete(f"{self.path}/pods", grace_seconds=0)
        self.cluster.wait(lambda: not self.api.get(f"{self.path}/pods")["items"], "the pods are gone")

    def priority_class(self, name, value):
        """Its full name, which is the workspace's own."""
        name = f"{self.name}-{name}"
        self._cluster_object("/apis/scheduling.k8s.io/v1/priorityclasses",
                             {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
                              "metadata": {"name": name}, "value": value})
        return name

    def _cluster_object(self, path, body):
        self.api.post(path, body)
        self._cluster_wide.append(f"{path}/{body['metadata']['name']}")

    # ---- The extender ----

    def extender(self, stack, feed, *arguments):
        """The extender with credentials and a watch on this cluster, once it has the whole state."""
        process = stack.serve("extender", "--metrics-url", feed.url, "--kubernetes=on", "--kubeconfig",
                              self.extender_kubeconfig(), *arguments)
        self.cluster.wait(lambda: process.get("/readyz").json()["kubernetes"]["state"] == "synced",
                          f"{process.name}: its view of the cluster is synced")
        return process

    def extender_kubeconfig(self):
        """A kubeconfig with a service account's token and the rights that deploy/ gives it."""
        for path, body in objects.extender_rbac(self.name, EXTENDER):
            if path.startswith("/api/v1/namespaces/"):
                self.api.post(path, body)
            else:
                self._cluster_object(path, body)
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                 "spec": {"expirationSeconds": 3600}}
        token = self.api.post(f"{self.path}/serviceaccounts/{EXTENDER}/token", asked)["status"]["token"]
        return certificates.write_kubeconfig(self.cluster.directory / f"{self.name}.kubeconfig",
                                             self.cluster.server, self.cluster.authority, token=token)

    def close(self):
        for process in reversed(self._mine):
            self.cluster.stop(process)
        self.api.delete(f"{self.path}/pods", grace_seconds=0)
        self.api.delete_all([f"/api/v1/nodes/{name}" for name in self._nodes] + self._cluster_wide)
        self.api.delete(f"/api/v1/namespaces/{self.name}")
