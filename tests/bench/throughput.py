#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""./dev bench throughput: pods per second that kube-scheduler places, with the extender scoring and without.

A real control plane (tests/kube) with 5,000 nodes. Pods wait when the scheduler starts; the clock runs from the
first that is bound to the last. A round has two runs of each kind, the second ones in reverse order, so that drift of
the machine cancels within it; what is reported is the round whose ratio is the median. One run of each kind before
them, which warms the control plane up, does not count. In a run without it the extender is not there at all.

The extender filters, which leaves a shortlist, and scores, as deploy/scheduler/large-cluster.yaml has it.

Three cases:
  5000_nodes               the nodes are kwok's, which runs the bound pods as kubelets would. The limit of
                           kube-scheduler's client is lifted, so that all programs together fill the CPUs. At the
                           last binding most pods do not run yet, and the API server and kwok have their work still to
                           do: `5000_nodes_until_running` is the rate of the same runs up to when all run, which is the
                           pace that can be kept up. The CPU times are those up to there.
  5000_nodes_stock_client  the same with the client as it comes: 50 requests a second, 100 at once, and that is what
                           kube-scheduler waits for.
  5000_nodes_without_kwok  the limit lifted, and nobody runs a pod. The control plane has less to do, so that
                           kube-scheduler's wait for the reply is a larger part of the time.
Where the limit is lifted there are two more kinds: OptiPod without the filter, so that kube-scheduler's own scorers look
at as many nodes as without an extender (`..._prioritize_alone`), and the least that such a call can cost, an extender that
answers "[]" at once and does nothing else (`..._floor`, empty_extender.cpp).
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import time
from random import Random
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/kube"), str(ROOT / "tests/e2e")]
import build                                   # noqa: E402
import controlplane                            # noqa: E402
import feed as feeds                           # noqa: E402
from optipod_e2e import Stack, free_port       # noqa: E402
from workspace import Workspace                # noqa: E402

NONE, EMPTY, ALONE, OURS = "no extender", "empty extender", "prioritize alone", "OptiPod"
SUFFIX = {EMPTY: "_floor", ALONE: "_prioritize_alone", OURS: ""}   # of a case's name
UNLIMITED = 100_000   # requests a second of the scheduler's client
STOCK = 50            # kube-scheduler's own default, with bursts of twice that
HERTZ = os.sysconf("SC_CLK_TCK")


class Case(NamedTuple):
    suffix: str     # of its name, behind the number of nodes
    kwok: bool      # plays the nodes
    qps: int        # of the scheduler's client
    kinds: list     # ours is the last
    pods: float     # of --pods
    rounds: int


CASES = {"stock_client": Case("_stock_client", True, STOCK, [NONE, OURS], 0.25, 3),
         "kwok": Case("", True, UNLIMITED, [NONE, EMPTY, ALONE, OURS], 1, 9),
         "without_kwok": Case("_without_kwok", False, UNLIMITED, [NONE, EMPTY, ALONE, OURS], 1, 3)}


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / HERTZ


def machine_seconds():
    """CPU seconds of this machine so far: busy ones, and all."""
    numbers = [int(n) / HERTZ for n in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(numbers) - numbers[3] - numbers[4], sum(numbers)   # but idle and iowait


class Clock:
    """Wall and CPU seconds from its making to stop(). `.cpu`: {program: seconds}, `.busy`: part of the CPUs' time.
    `.bound`: wall seconds up to all_bound(), `.waiting`: pods that did not run then, `.lost`: part of the time
    that is lost by waiting where the pods went, mean."""

    def __init__(self, pids):
        self.pids = pids
        self.cpu, self._machine = {name: -cpu_seconds(pid) for name, pid in pids.items()}, machine_seconds()
        self.seconds = -time.monotonic()
        self.bound = self.waiting = self.lost = None

    def all_bound(self, waiting, lost):
        self.bound, self.waiting, self.lost = self.seconds + time.monotonic(), waiting, lost

    def stop(self):
        self.seconds += time.monotonic()
        for name, pid in self.pids.items():
            self.cpu[name] += cpu_seconds(pid)
        busy, whole = (now - then for now, then in zip(machine_seconds(), self._machine))
        self.busy = busy / whole
        return self


def node(random):
    """One as a shared cluster has them: CPU use around 45 %, waits where it is high, stalls on few."""
    cpu = min(0.98, max(0.02, random.gauss(0.45, 0.18)))
    return feeds.measured(cpu=cpu, waiting=max(0.0, cpu - 0.6) * random.random(),
                          memory=min(0.95, max(0.1, random.gauss(0.55, 0.15))),
                          io_stall=min(0.5, random.expovariate(50)))


class Bench:
    def __init__(self, plane, stack, feed, args):
        self.plane, self.stack, self.feed, self.args = plane, stack, feed, args
        self.workspace = Workspace(plane)
        names = [f"node-{i:05}" for i in range(args.nodes)]
        self.workspace.nodes(names)
        random = Random(1)
        self.lost = {}   # of a task's time on each node, by waiting
        for name in names:
            values = node(random)
            feed.set(name, **values)
            self.lost[name] = 1 - (1 - values["io_stall"]) / (1 + values["waiting"])
        self.kubeconfig = self.workspace.extender_kubeconfig()
        self.kind, self.extender = NONE, None

    def have_kwok(self, kwok):
        if kwok != bool(self.workspace.kwok):
            self.workspace.start_kwok() if kwok else self.workspace.stop_kwok()

    def have_extender(self, kind):
        """Starts one of this kind, and ends any other."""
        kind = OURS if kind == ALONE else kind
        if kind == self.kind:
            return
        if self.extender:
            self.extender.kill() if self.kind == EMPTY else self.extender.stop()
            self.stack.processes.remove(self.extender)
            self.extender = None
        self.kind = kind
        if kind == EMPTY:
            port = free_port()
            self.extender = self.stack.start("tests/bench/bench_empty_extender", port, name="empty-extender")
            self.extender.url = f"http://127.0.0.1:{port}"
            self.stack.wait_for(self.extender, "/")
        if kind == OURS:
            self.start_ours()

    def start_ours(self):
        """Until it knows everything."""
        self.extender = self.stack.serve("extender", "--metrics-url", self.feed.url, "--kubernetes=on",
                                         "--kubeconfig", self.kubeconfig, *self.args.extender.split())

        def knows_all():
            page = self.extender.get("/readyz").json()
            return page["nodes_fresh"] == self.args.nodes and page["kubernetes"]["state"] in ("synced", "off")
        self.plane.wait(knows_all, "the extender has fresh measurements and the cluster's state")

    def programs(self, scheduler):
        found = {process.name.rpartition("-")[0]: process.pid for process in self.plane.processes
                 if process is scheduler or "scheduler" not in process.name}
        return {**found, **({"extender": self.extender.pid} if self.extender else {}), "this script": os.getpid()}

    def run(self, kind, pods, qps):
        """The Clock of so many pods being bound and, where kwok is, run."""
        workspace = self.workspace
        self.have_extender(kind)
        name = workspace.scheduler_name()
        workspace.pods([f"p-{i}" for i in range(pods)], workspace.spec(name, cpu="100m", memory="128Mi"))
        asked = self.asked()
        version = workspace.api.get(f"{workspace.path}/pods?limit=1")["metadata"]["resourceVersion"]
        scheduler = workspace.scheduler(extender=self.extender.url if self.extender else None, name=name,
                                        verbs=self.args.verbs.split(",") if kind == OURS else ["prioritize"],
                                        qps=qps, verbosity=0, timeout="200ms")
        bound, running, clock = {}, set(), None
        for _, pod in workspace.api.watch(f"{workspace.path}/pods", version):
            if not pod["spec"].get("nodeName"):
                continue
            clock = clock or Clock(self.programs(scheduler))
            if pod["status"]["phase"] == "Running":
                running.add(pod["metadata"]["name"])
            if len(bound) < pods:
                bound[pod["metadata"]["name"]] = self.lost[pod["spec"]["nodeName"]]
                if len(bound) == pods:
                    clock.all_bound(pods - len(running), statistics.fmean(bound.values()))
            if len(running if workspace.kwok else bound) == pods:
                break
        clock.stop()
        if self.extender and self.asked() - asked < pods:
            raise AssertionError(f"{kind} was asked for {self.asked() - asked:.0f} of {pods} pods: no comparison")
        workspace.stop(scheduler)
        workspace.clear()
        return clock

    def asked(self):
        if self.kind == NONE:
            return 0
        if self.kind == EMPTY:
            return int(self.extender.get("/").text)
        return sum(value for (name, labels), value in self.extender.metrics().items()
                   if name == "optipod_extender_requests_total" and ("verb", "prioritize") in labels)

    def compare(self, name, case):
        """Each other kind with no extender."""
        kinds, pods, qps = case.kinds, round(self.args.pods * case.pods), case.qps
        for kind in kinds:
            self.run(kind, pods, qps)
        done = []
        for _ in range(self.args.rounds or case.rounds):
            runs = {kind: [] for kind in kinds}
            for kind in [*kinds, *reversed(kinds)]:
                runs[kind].append(self.run(kind, pods, qps))
            done.append(Round(runs, pods))
        for kind in reversed(kinds[1:]):
            self.report(name, kind, [one.rate for one in done])
        if case.kwok and qps == UNLIMITED:   # else every pod runs as soon as it is bound
            for kind in reversed(kinds[1:]):
                self.report(f"{name}_until_running", kind, [one.running_rate for one in done])
        if not self.args.json:
            print_cpu(kinds, done)

    def report(self, case, kind, rates):
        """`rates`: of each round, {kind: pods a second}."""
        rates = sorted(rates, key=lambda rate: rate[kind] / rate[NONE])
        ratios = [rate[kind] / rate[NONE] for rate in rates]
        middle = (len(rates) - 1) // 2
        rate, other, ratio = rates[middle][kind], rates[middle][NONE], ratios[middle]
        if self.args.json:
            print(json.dumps({"bench": "throughput", "case": case + SUFFIX[kind],
                              "value": round(rate, 1), "unit": "pods/s", "peer": NONE,
                              "peer_value": round(other, 1), "ratio": round(ratio, 4)}), flush=True)
            return
        print(f"throughput {case:<24} {kind:<16} {rate:8.1f} pods/s   {NONE:<11} {other:8.1f}   ratio {ratio:.3f}"
              f"   ({len(ratios)} rounds: {ratios[0]:.3f} to {ratios[-1]:.3f}, mean {mean_and_error(ratios)})",
              flush=True)


def mean_and_error(ratios):
    """The mean, and how far it may be from that of very many rounds (its standard error)."""
    if len(ratios) == 1:
        return f"{ratios[0]:.3f}"
    return f"{statistics.fmean(ratios):.3f} ± {statistics.stdev(ratios) / len(ratios) ** 0.5:.3f}"


def print_cpu(kinds, done):
    cpu = {kind: mean([one.cpu[kind] for one in done]) for kind in kinds}
    busy, waiting, lost = (", ".join(f"{cpu[kind].pop(what):.1%}" for kind in kinds)
                           for what in ("busy", "waiting", "lost"))
    print(f"CPU ms per pod (of all rounds; CPUs busy {busy}; pods that did not run at the last binding: {waiting};\n"
          f"part of the time that is lost by waiting for CPU and I/O where the pods went: {lost}):")
    print(f"  {'':<26}" + "".join(f"{kind:>18}" for kind in kinds))
    for program in cpu[OURS]:
        print(f"  {program:<26}" + "".join(f"{cpu[kind].get(program, 0) * 1e3:18.2f}" for kind in kinds))
    print(f"  {'all':<26}" + "".join(f"{sum(cpu[kind].values()) * 1e3:18.2f}" for kind in kinds), flush=True)


def mean(tables):
    """Of {name: number}s with the same names."""
    return {name: sum(table[name] for table in tables) / len(tables) for name in tables[0]}


class Round:
    """Of each kind, `.rate`: pods a second up to the last binding, `.running_rate`: until all run, `.cpu`: {program:
    seconds a pod}, how busy the CPUs were, the part of the pods that did not run at the last binding, and what is lost
    by waiting where they went."""

    def __init__(self, runs, pods):
        def rate(seconds):
            return {kind: pods * len(clocks) / sum(map(seconds, clocks)) for kind, clocks in runs.items()}
        self.rate, self.running_rate = rate(lambda clock: clock.bound), rate(lambda clock: clock.seconds)
        self.cpu = {kind: mean([{**{name: seconds / pods for name, seconds in clock.cpu.items()}, "busy": clock.busy,
                                 "waiting": clock.waiting / pods, "lost": clock.lost} for clock in clocks])
                    for kind, clocks in runs.items()}


def measure(args):
    os.environ["OPTIPOD_BUILD"] = str(pathlib.Path(args.build).resolve())
    stack, feed = Stack(), feeds.Feed()
    try:
        with controlplane.ControlPlane() as plane:
            bench = Bench(plane, stack, feed, args)
            for case in (CASES[name] for name in args.case or CASES):
                bench.have_kwok(case.kwok)
                bench.compare(f"{args.nodes}_nodes{case.suffix}", case)
    finally:
        stack.close()
        feed.close()


def main():
    parser = argparse.ArgumentParser(prog="./dev bench throughput", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=800, help="placed in each run; a quarter with the stock client")
    parser.add_argument("--case", action="append", choices=CASES, help="only this; may be given more than once")
    parser.add_argument("--rounds", type=int, help="of two runs of each kind, in every case (3, 9, 3)")
    parser.add_argument("--verbs", default="filter,prioritize", help="asked of OptiPod, with commas")
    parser.add_argument("--extender", default="", help="more arguments of the extender")
    args = parser.parse_args()
    try:
        measure(args)
    except (build.Failed, AssertionError) as error:
        print(f"bench throughput: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
