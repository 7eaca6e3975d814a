#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""./dev bench throughput: pods per second that kube-scheduler places, with the extender scoring and without.

A real control plane (tests/kube) with 5,000 nodes. Pods wait when the scheduler starts; the clock runs from the
first that is bound to the last. The runs go without, with, with, without, so that drift of the machine cancels.
Twice: with a scheduler whose client is not limited, and with one as it comes, whose client is.
"""

import argparse
import json
import os
import pathlib
import signal
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/kube"), str(ROOT / "tests/e2e")]
import build                                   # noqa: E402
import controlplane                            # noqa: E402
import feed as feeds                           # noqa: E402
from optipod_e2e import Stack                  # noqa: E402
from workspace import Workspace                # noqa: E402

ORDER = [False, True, True, False]
UNLIMITED = 100_000   # requests a second of the scheduler's client
STOCK = 50            # kube-scheduler's own default, with bursts of twice that
HERTZ = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / HERTZ


class Bench:
    def __init__(self, plane, stack, feed, args):
        self.plane, self.args = plane, args
        self.workspace = Workspace(plane, kwok=False)   # bound is far enough: no pod need run
        names = [f"node-{i:05}" for i in range(args.nodes)]
        self.workspace.nodes(names)
        for i, name in enumerate(names):
            feed.set(name, **feeds.measured(cpu=i % 10 / 10, waiting=i % 7 / 7, io_stall=i % 5 / 10))
        self.extender = self.workspace.extender(stack, feed)

    def programs(self, scheduler):
        found = {process.name.rpartition("-")[0]: process.pid for process in self.plane.processes
                 if process is scheduler or "scheduler" not in process.name}
        return {**found, "extender": self.extender.pid, "this script": os.getpid()}

    def run(self, with_extender, pods, qps):
        """Seconds in which so many pods were bound."""
        workspace = self.workspace
        # Without means without: its background work stands still, too.
        self.extender.signal(signal.SIGCONT if with_extender else signal.SIGSTOP)
        if with_extender:
            self.plane.wait(lambda: self.extender.get("/readyz").json()["nodes_fresh"] == self.args.nodes,
                            "the extender has fresh measurements")
        name = workspace.scheduler_name()
        workspace.pods([f"p-{i}" for i in range(pods)], workspace.spec(name, cpu="100m", memory="128Mi"))
        version = workspace.api.get(f"{workspace.path}/pods?limit=1")["metadata"]["resourceVersion"]
        scheduler = workspace.scheduler(extender=self.extender.url if with_extender else None, name=name,
                                        verbs=self.args.verbs.split(","), qps=qps, verbosity=0)
        before = {program: cpu_seconds(pid) for program, pid in self.programs(scheduler).items()}
        bound, first = set(), None
        for _, pod in workspace.api.watch(f"{workspace.path}/pods", version):
            if pod["spec"].get("nodeName"):
                first = first or time.monotonic()
                bound.add(pod["metadata"]["name"])
                if len(bound) == pods:
                    break
        seconds = time.monotonic() - first
        for program, pid in self.programs(scheduler).items():
            spent = cpu_seconds(pid) - before[program]
            self.cpu[with_extender][program] = self.cpu[with_extender].get(program, 0) + spent
        workspace.stop(scheduler)
        workspace.clear()
        return seconds

    def asked(self):
        return sum(value for (name, labels), value in self.extender.metrics().items()
                   if name == "optipod_extender_requests_total" and ("verb", "prioritize") in labels)


    def compare(self, case, pods, qps):
        self.cpu = {False: {}, True: {}}   # with extender → program → seconds
        seconds, asked = {False: 0.0, True: 0.0}, self.asked()
        for _ in range(self.args.rounds):
            for with_extender in ORDER:
                seconds[with_extender] += self.run(with_extender, pods, qps)
        self.extender.signal(signal.SIGCONT)   # the last run was without it
        placed = self.args.rounds * 2 * pods
        asked = self.asked() - asked
        if asked < placed:
            raise AssertionError(f"only {asked:.0f} of {placed} pods were asked for: nothing was compared")
        self.report(case, placed / seconds[True], placed / seconds[False], placed)

    def report(self, case, ours, peer, placed):
        if self.args.json:
            print(json.dumps({"bench": "throughput", "case": case, "value": round(ours, 1), "unit": "pods/s",
                              "peer": "no extender", "peer_value": round(peer, 1), "ratio": round(ours / peer, 4)}),
                  flush=True)
            return
        print(f"throughput {case:<24} {ours:8.1f} pods/s   no extender {peer:8.1f}   ratio {ours / peer:.3f}")
        print("CPU ms per pod, with and without:")
        for program in self.cpu[True]:
            print(f"  {program:<26} {self.cpu[True][program] / placed * 1e3:6.2f}"
                  f" {self.cpu[False][program] / placed * 1e3:6.2f}", flush=True)


def measure(args):
    os.environ["OPTIPOD_BUILD"] = str(pathlib.Path(args.build).resolve())
    stack, feed = Stack(), feeds.Feed()
    try:
        with controlplane.ControlPlane() as plane:
            bench = Bench(plane, stack, feed, args)
            bench.compare(f"{args.nodes}_nodes", args.pods, UNLIMITED)
            bench.compare(f"{args.nodes}_nodes_stock_client", args.pods // 4, STOCK)
    finally:
        stack.close()
        feed.close()


def main():
    parser = argparse.ArgumentParser(prog="./dev bench throughput", description=__doc__)
    parser.add_argument("--build", default="build", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=2000, help="placed in each of four runs")
    parser.add_argument("--rounds", type=int, default=1, help="of four runs each")
    parser.add_argument("--verbs", default="prioritize", help="asked of the extender, with commas")
    args = parser.parse_args()
    try:
        measure(args)
    except (build.Failed, AssertionError) as error:
        print(f"bench throughput: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
