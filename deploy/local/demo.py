#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""./dev demo: three nodes out of this machine, loaded differently; where would a pod wait least?"""

import argparse
import json
import pathlib
import signal
import sys
import tempfile
import time

import nodes
import stack

IDLE, CROWDED, WRITERS = "node-idle", "node-crowded", "node-writers"
BURNERS = 8
WRITER_COUNT = 3

COLUMNS = [  # heading, width, scheduling-view quantity, how to print it
    ("CPU use", 9, "cpu_utilization:mean_15s", lambda v: f"{100 * v:.0f} %"),
    ("waiting/CPU", 13, "cpu_runqueue_wait:mean_15s", lambda v: f"{v:.2f} tasks"),
    ("wait p95", 10, "cpu_runqueue_wait_seconds:p95_15s", lambda v: f"{1e3 * v:.1f} ms"),
    ("I/O stall", 11, "io_stall:mean_15s", lambda v: f"{100 * v:.0f} %"),
    ("disk p95", 10, "block_io_latency_seconds:p95_15s", lambda v: f"{1e3 * v:.1f} ms"),
]


def arguments():
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--build", default="build", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=24, help="how long to measure under load (default 24)")
    parser.add_argument("--every", type=float, default=4, help="seconds between two rankings (default 4)")
    return parser.parse_args()


def explanation(cluster, name):
    """{node: why} of the newest decision about this pod, as /explain tells it."""
    reply = stack.fetch(f"http://127.0.0.1:{cluster.extender}/explain?pod=default/{name}&limit=1")
    if reply is None:
        raise stack.Failed("the extender did not answer /explain with 200")
    decisions = json.loads(reply)["decisions"]
    return {c["node"]: c for d in decisions for c in d["candidates"]}


def why(candidate):
    """What cost this node its score, worst first."""
    losses = []
    for policy in candidate["policies"]:
        losses += [(loss, name.removesuffix("_loss")) for name, loss in policy["terms"].items()
                   if name.endswith("_loss") and loss is not None]
    named = [f"{name} {100 * loss:.0f} %" for loss, name in sorted(losses, reverse=True) if loss >= 0.01]
    return "lost: " + ", ".join(named) if named else "nothing in the way"


def rank(cluster, round_number):
    name = f"demo-{round_number}"
    scores = cluster.prioritize(nodes.pod(name))
    told = explanation(cluster, name)
    measured = {quantity: cluster.view(quantity) for _, _, quantity, _ in COLUMNS}
    print(f"\n  {'node':<13}" + "".join(f"{heading:>{width}}" for heading, width, _, _ in COLUMNS) + "  score  why")
    for node in sorted(scores, key=lambda n: (-scores[n], n)):
        cells = "".join(f"{show(measured[q][node]) if node in measured[q] else '–':>{width}}"
                        for _, width, q, show in COLUMNS)
        print(f"  {node:<13}{cells}  {scores[node]:>2}/10  {why(told[node])}", flush=True)
    return scores


def wait_for_ranking(cluster):
    """Seconds from now until the idle node is alone in front; None if that does not happen in 10 s."""
    started = time.monotonic()
    while time.monotonic() - started < 10:
        scores = cluster.prioritize(nodes.pod("demo-watch"))
        if all(scores[IDLE] > scores[n] for n in scores if n != IDLE):
            return time.monotonic() - started
        time.sleep(0.05)
    return None


def demonstrate(args):
    print("Three nodes on this machine: a cgroup subtree, an eBPF agent and an exporter each;")
    print("one aggregator over them; one extender that answers as kube-scheduler asks.", flush=True)
    with tempfile.TemporaryDirectory(prefix="optipod-demo-", dir="/var/tmp") as disk, \
            nodes.Cluster(args.build, [IDLE, CROWDED, WRITERS]) as cluster:
        time.sleep(3)
        print("\nBefore any load (equal nodes get equal scores; the scheduler then chooses freely):")
        rank(cluster, 0)
        print(f"\nNow: {BURNERS} runnable threads on the CPU of {CROWDED},\n"
              f"     {WRITER_COUNT} direct-I/O writers on {WRITERS}, nothing on {IDLE}.", flush=True)
        cluster.nodes[CROWDED].load("burn", nodes.BURN, BURNERS)
        for i in range(WRITER_COUNT):
            cluster.nodes[WRITERS].load("write", nodes.direct_writer(pathlib.Path(disk) / f"file{i}"))
        reacted = wait_for_ranking(cluster)
        wins, rounds, deadline = 0, 0, time.monotonic() + args.seconds
        while time.monotonic() < deadline:
            time.sleep(args.every)
            rounds += 1
            scores = rank(cluster, rounds)
            wins += all(scores[IDLE] > scores[n] for n in scores if n != IDLE)
    print()
    print(f"The idle node was alone in front in {wins} of {rounds} rankings"
          + (f", the first time {reacted:.1f} s after the load began." if reacted is not None else "."))
    return 0 if rounds > 0 and wins == rounds and reacted is not None else 1


def main():
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return demonstrate(arguments())
    except stack.Failed as error:
        print(f"./dev demo: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nstopped; everything the demo made is gone.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
