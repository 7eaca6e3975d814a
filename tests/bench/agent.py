#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""./dev bench agent: what the node pays. 250 live containers, agent and exporter at their defaults, scraped once
a second with gzip, as Prometheus does; beside Debian's node exporter, which knows no containers, and its process
exporter, which groups what it finds by cgroup. All are scraped in the same seconds. Then the same without gzip.

CPU time is the kernel's own, of all their threads; what eBPF programs take of others' time is `./dev bench switch`.
"""

import argparse
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "deploy/local"))
import stack   # noqa: E402

CONTAINERS = 250
BUSY, WORKING = 2, 48          # the rest wakes twice a second
SETTLE_SECONDS = 6
GOAL_PERCENT, GOAL_MEGABYTES = 0.5, 50.0


def work(kind):
    """A container's process."""
    while True:
        if kind == "busy":
            pass
        elif kind == "working":
            end = time.process_time() + 0.0005
            while time.process_time() < end:
                pass
            time.sleep(0.05)
        else:
            time.sleep(0.5)


class Containers:
    """Pods with a container each, as containerd lays them out, and the logs that name them."""

    def __init__(self, logs):
        self.root = stack.cgroup2_mount() / f"optipod-bench-{os.getpid()}"
        self.logs, self.workers = logs, []
        self.root.mkdir()

    def __enter__(self):
        for number in range(CONTAINERS):
            uid = f"{number:08x}-0000-4000-8000-{number:012x}"
            cgroup = self.root / f"kubepods/burstable/pod{uid}" / f"{number:064x}"
            cgroup.mkdir(parents=True)
            log = self.logs / "pods" / f"bench_pod-{number}_{uid}" / "app"
            log.mkdir(parents=True)
            (log / "0.log").touch()
            kind = "busy" if number < BUSY else "working" if number < BUSY + WORKING else "idle"
            worker = os.fork()
            if worker == 0:
                stack._die_with_parent()
                os.nice(10)
                (cgroup / "cgroup.procs").write_text("0")
                work(kind)
            self.workers.append(worker)
        return self

    def __exit__(self, *_):
        for worker in self.workers:
            os.kill(worker, signal.SIGKILL)
            os.waitpid(worker, 0)
        for directory in sorted((p for p in self.root.rglob("*") if p.is_dir()), reverse=True):
            directory.rmdir()
        self.root.rmdir()
        shutil.rmtree(self.logs)


def cpu_seconds(pid):
    """Of all threads; short-lived ones are none of these programs'."""
    return sum(int(task.joinpath("schedstat").read_text(encoding="ascii").split()[0])
               for task in pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1e9


def megabytes(pid):
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Cost:
    """Of all processes of a target, and of each: CPU in % of a core, memory in MB."""

    def __init__(self, cpu_of_each, memory_of_each):
        self.cpu_of_each, self.memory_of_each = cpu_of_each, memory_of_each
        self.cpu, self.memory = sum(cpu_of_each), sum(memory_of_each)


class Target:
    """Something scraped over one connection that stays; `pids` are what it costs."""

    def __init__(self, name, pids, port):
        self.name, self.pids = name, pids
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self.before = []

    def scrape(self, encoding):
        self.connection.request("GET", "/metrics", headers={"Accept-Encoding": encoding})
        reply = self.connection.getresponse()
        reply.read()
        if reply.status != 200:
            raise stack.Failed(f"{self.name} answers {reply.status}")
        if reply.getheader("Content-Encoding", "identity") != encoding:
            raise stack.Failed(f"{self.name} does not answer in {encoding}")

    def begin(self):
        self.before = list(map(cpu_seconds, self.pids))

    def end(self, seconds):
        """What it has cost since begin()."""
        return Cost([(cpu_seconds(pid) - before) / seconds * 100 for pid, before in zip(self.pids, self.before)],
                    list(map(megabytes, self.pids)))


def start_peer(programs, command, port):
    """None when Debian's program is not installed."""
    if shutil.which(command[0]) is None:
        print(f"left out, not installed: {command[0]}", file=sys.stderr)
        return None
    log = programs.directory / f"{command[0]}.log"
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                   start_new_session=True, preexec_fn=stack._die_with_parent)
    programs.running.append((command[0], process, log))
    programs.wait_until(command[0], lambda: stack.fetch(f"http://127.0.0.1:{port}/metrics", timeout=10) is not None)
    return Target(command[0], [process.pid], port)


def start_ours(programs, containers):
    port = stack.free_port()
    directory = programs.directory / "segment"
    directory.mkdir()
    segment = directory / "current.shm"
    agent = programs.start("agent", "--cgroup-root", "/" + containers.root.name, "--segment", segment,
                           "--segment-group", "nogroup", "--pods-dir", containers.logs / "pods")
    programs.wait_until("the agent", segment.exists)
    exporter = programs.start("exporter", "--segment", segment, "--segment-owner", "root",
                              "--web.listen-address", f"127.0.0.1:{port}", user="nobody")
    programs.wait_ready("exporter", port)
    page = stack.fetch(f"http://127.0.0.1:{port}/metrics").decode()
    shown = page.count("\noptipod_container_info{")
    if shown != CONTAINERS:
        raise stack.Failed(f"{shown} of {CONTAINERS} containers are shown")
    return Target("optipod", [agent.pid, exporter.pid], port)


def start_peers(programs):
    port = stack.free_port()
    yield start_peer(programs, ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{port}"], port)
    port = stack.free_port()
    config = programs.directory / "process-exporter.yml"
    config.write_text('process_names:\n  - name: "{{.Cgroups}}"\n    cmdline: [".+"]\n', encoding="ascii")
    yield start_peer(programs, ["prometheus-process-exporter", "-config.path", str(config), "-threads=false",
                                "-gather-smaps=false", "-web.listen-address", f"127.0.0.1:{port}"], port)


def scrape_each_second(targets, encoding, seconds):
    """What each of them costs meanwhile."""
    due = time.monotonic()
    begun = 0.0
    for second in range(SETTLE_SECONDS + seconds):
        if second == SETTLE_SECONDS:
            begun = time.monotonic()
            for target in targets:
                target.begin()
        for target in targets:
            target.scrape(encoding)
        due += 1
        time.sleep(max(0.0, due - time.monotonic()))
    elapsed = time.monotonic() - begun
    return [target.end(elapsed) for target in targets]


def measure(build, seconds):
    """What each costs, by name, ours first; and what ours costs without gzip."""
    with stack.Stack(build, ["agent", "exporter"]) as programs, Containers(programs.directory / "logs") as containers:
        targets = [start_ours(programs, containers), *(p for p in start_peers(programs) if p)]
        costs = scrape_each_second(targets, "gzip", seconds)
        plain = scrape_each_second(targets[:1], "identity", max(seconds // 2, 1))
        programs.check()
        return dict(zip((target.name for target in targets), costs)), plain[0]


def report(case, unit, value, peer=None, peer_value=None, as_json=False):
    if as_json:
        print(json.dumps({"bench": "agent", "case": case, "value": round(value, 4), "unit": unit, "peer": peer,
                          "peer_value": peer_value and round(peer_value, 4),
                          "ratio": peer_value and round(peer_value / value, 3)}), flush=True)
        return
    beside = f"{peer:<28} {peer_value:8.3f} {peer_value / value:7.2f}x" if peer else ""
    print(f"agent      {case:<24} {value:8.3f} {unit:<14} {beside}".rstrip(), flush=True)


def report_all(costs, plain, as_json):
    names = list(costs)
    ours = costs[names[0]]
    for peer in names[1:] or [None]:
        cost = peer and costs[peer]
        report("cpu_250_containers", "% of a core", ours.cpu, peer, cost and cost.cpu, as_json)
        report("memory_250_containers", "MB resident", ours.memory, peer, cost and cost.memory, as_json)
    for number, program in enumerate(("agent", "exporter")):
        report(f"cpu_{program}", "% of a core", ours.cpu_of_each[number], as_json=as_json)
        report(f"memory_{program}", "MB resident", ours.memory_of_each[number], as_json=as_json)
    report("cpu_without_gzip", "% of a core", plain.cpu, as_json=as_json)
    report("memory_without_gzip", "MB resident", plain.memory, as_json=as_json)


def main():
    parser = argparse.ArgumentParser(prog="./dev bench agent", description=__doc__)
    parser.add_argument("--build", default="build", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=int, default=30)
    args = parser.parse_args()
    try:
        costs, plain = measure(args.build, args.seconds)
    except stack.Failed as error:
        print(f"bench agent: {error}", file=sys.stderr)
        return 1
    report_all(costs, plain, args.json)
    ours = next(iter(costs.values()))
    over = ours.cpu > GOAL_PERCENT or ours.memory > GOAL_MEGABYTES
    if over:
        print(f"bench agent: the goals are {GOAL_PERCENT} % and {GOAL_MEGABYTES:g} MB", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
