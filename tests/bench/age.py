#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""./dev bench age: seconds from contention starting in the kernel to a changed score.

Two equal nodes on this machine, default intervals everywhere. Threads start on one; the clock runs from
the moment they are runnable until a /prioritize answer ranks that node below the other. Then the load
ends and the next round starts when both are equal again.
"""

import argparse
import json
import pathlib
import random
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "deploy/local"))
import nodes   # noqa: E402
import stack   # noqa: E402

THREADS = 4
LIMIT_SECONDS = 15


def until(cluster, condition, limit):
    started = time.monotonic()
    while not condition(cluster.prioritize(nodes.pod("age"))):
        if time.monotonic() - started > limit:
            raise stack.Failed(f"the score did not change within {limit} s")
        time.sleep(0.01)
    return time.monotonic() - started


def measure(build, rounds):
    seconds = []
    with nodes.Cluster(build, ["node-a", "node-b"]) as cluster:
        time.sleep(2)
        for _ in range(rounds):
            # What is still in the one-minute windows must have left them.
            until(cluster, lambda s: s["node-a"] == s["node-b"], 90)
            time.sleep(random.random())  # not in step with any interval
            cluster.nodes["node-b"].load("burn", nodes.BURN, THREADS)
            seconds.append(until(cluster, lambda s: s["node-b"] < s["node-a"], LIMIT_SECONDS))
            cluster.nodes["node-b"].unload()
    return sorted(seconds)


def report(case, value, as_json):
    if as_json:
        print(json.dumps({"bench": "age", "case": case, "value": round(value, 4), "unit": "s", "peer": None,
                          "peer_value": None, "ratio": None}), flush=True)
    else:
        print(f"age        {case:<28} {value:8.3f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="./dev bench age", description=__doc__)
    parser.add_argument("--build", default="build", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    try:
        seconds = measure(args.build, args.rounds)
    except stack.Failed as error:
        print(f"bench age: {error}", file=sys.stderr)
        return 1
    report("event_to_score_p50", statistics.median(seconds), args.json)
    report("event_to_score_max", seconds[-1], args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
