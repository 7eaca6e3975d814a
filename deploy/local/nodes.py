# SPDX-License-Identifier: Apache-2.0
"""Several nodes out of one machine: a cgroup subtree, some CPUs, an agent and an exporter each."""

import json
import os
import pathlib
import signal
import subprocess
import time

import stack

# Real work. Each runs inside its node's cgroup, pinned to the node's CPU.
BURN = ["/bin/sh", "-c", "while :; do :; done"]


def direct_writer(file):
    """Synchronous direct I/O on a real file system, never more than 64 MiB of it."""
    return ["/bin/sh", "-c", f"while :; do dd if=/dev/zero of={file} bs=256k count=256 oflag=direct,dsync "
            "conv=notrunc 2>/dev/null || exit 1; done"]


class Node:
    def __init__(self, cluster, name, cpu):
        self.name, self.cpu = name, cpu
        self.cgroup = cluster.root / name
        self.cgroup.mkdir()
        self.port = stack.free_port()
        directory = cluster.programs.directory / name  # one agent per directory
        directory.mkdir()
        self.segment = directory / "current.shm"
        self.work = []
        path = "/" + str(self.cgroup.relative_to(cluster.mount))
        cluster.programs.start("agent", "--cgroup-root", path, "--cpus", cpu, "--node-name", name,
                               "--segment", self.segment, "--segment-group", "nogroup", name=f"agent-{name}")

    def serve(self, cluster):
        cluster.programs.wait_until(f"the agent of {self.name}", self.segment.exists)
        cluster.programs.start("exporter", "--segment", self.segment, "--segment-owner", "root",
                               "--web.listen-address", f"127.0.0.1:{self.port}", name=f"exporter-{self.name}",
                               user="nobody")

    def load(self, name, command, count=1):
        """Starts `count` workers in the node's child cgroup `name`."""
        cgroup = self.cgroup / name
        cgroup.mkdir(exist_ok=True)
        for _ in range(count):
            def enter():
                (cgroup / "cgroup.procs").write_text(str(os.getpid()))
                os.sched_setaffinity(0, {self.cpu})
                stack._die_with_parent()
            self.work.append(subprocess.Popen(command, preexec_fn=enter, start_new_session=True,
                                              stdin=subprocess.DEVNULL))

    def unload(self):
        for process in self.work:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for process in self.work:
            process.wait()
        self.work = []


class Cluster:
    """Nodes, one aggregator over them, one extender. A context manager that removes all it made."""

    def __init__(self, build, names):
        self.programs = stack.Stack(build)
        self.mount = stack.cgroup2_mount()
        self.root = self.mount / f"optipod-local-{os.getpid()}"
        self.names = names
        self.nodes = {}

    def __enter__(self):
        self.root.mkdir()
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _start(self):
        cpus = sorted(os.sched_getaffinity(0))
        for index, name in enumerate(self.names):
            self.nodes[name] = Node(self, name, cpus[index % len(cpus)])
        for node in self.nodes.values():
            node.serve(self)
        for node in self.nodes.values():
            self.programs.wait_ready(f"exporter of {node.name}", node.port)
        self.aggregator, self.extender = stack.free_port(), stack.free_port()
        targets = [word for n in self.nodes.values() for word in ("--target", f"{n.name}=127.0.0.1:{n.port}")]
        self.programs.start("aggregator", *targets, "--web.listen-address", f"127.0.0.1:{self.aggregator}",
                            user="nobody")
        self.programs.wait_ready("aggregator", self.aggregator)
        # Nobody places the pods that are asked about, so none is on its way: nothing to book.
        self.programs.start("extender", "--booking=off", "--metrics-url", f"http://127.0.0.1:{self.aggregator}",
                            "--web.listen-address", f"127.0.0.1:{self.extender}", user="nobody")
        self.programs.wait_ready("extender", self.extender)
        self.programs.wait_until("measurements of every node",
                                 lambda: len(self.view("cpu_runqueue_wait:mean_15s")) == len(self.nodes))

    def __exit__(self, *_):
        for node in self.nodes.values():
            node.unload()
        self.programs.__exit__()
        for _attempt in range(50):  # a cgroup empties a moment after its last process is reaped
            try:
                for path in sorted((p for p in self.root.rglob("*") if p.is_dir()), reverse=True):
                    path.rmdir()
                self.root.rmdir()
                return
            except OSError:
                time.sleep(0.1)
        raise stack.Failed(f"{self.root} could not be removed")

    def view(self, quantity):
        """{node: value} of optipod:node_<quantity>, as the extender reads it."""
        url = f"http://127.0.0.1:{self.aggregator}/federate?match[]=optipod:node_{quantity}"
        values = {}
        for line in (stack.fetch(url) or b"").decode().splitlines():
            if line.startswith("#"):
                continue
            labels, _, rest = line.partition("}")
            node = labels.split('node="')[1].split('"')[0]
            values[node] = float(rest.split()[0])
        return values

    def prioritize(self, pod):
        """Asks as kube-scheduler does (nodeCacheCapable). {node: score 0..10}, every node present."""
        body = json.dumps({"Pod": pod, "Nodes": None, "NodeNames": list(self.nodes)}).encode()
        reply = stack.fetch(f"http://127.0.0.1:{self.extender}/prioritize", body)
        if reply is None:
            raise stack.Failed("the extender did not answer /prioritize with 200")
        scores = dict.fromkeys(self.nodes, 0)
        scores.update({host["Host"]: host["Score"] for host in json.loads(reply)})
        return scores


def pod(name, cpu="500m", memory="128Mi"):
    return {
        "metadata": {"name": name, "namespace": "default", "uid": f"{os.getpid()}-{name}"},
        "spec": {"containers": [{"name": "main", "image": "registry.example/app:1",
                                 "resources": {"requests": {"cpu": cpu, "memory": memory}}}]},
    }
