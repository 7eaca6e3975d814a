#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The second half of ./dev bench switch: what a program that does little else than switch pays for the whole agent.

rt-tests' hackbench sends small messages between 80 processes that all want the CPUs, in a pod's cgroup. Watched it is by
optipod-agent at its defaults, with every program that the kernel takes (the scheduler's, memory, files, network, drops,
interrupts), or by libbpf-tools' runqlat per process, or by nobody. Watchers take turns, round by round; a round's figure
is hackbench's CPU time, of all its processes, beside the unwatched runs before and after.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "deploy/local"))
import stack   # noqa: E402

HACKBENCH = ["hackbench", "--pipe", "--groups", "2", "--fds", "20"]
GOAL_PERCENT = 2.0
POD = "kubepods/pod00000000-0000-4000-8000-000000000001/" + 64 * "1"


@contextlib.contextmanager
def pod():
    """A cgroup as a pod's container has it, below a root of its own."""
    root = stack.cgroup2_mount() / f"optipod-bench-{os.getpid()}"
    container = root / POD
    container.mkdir(parents=True)
    try:
        yield root, container
    finally:
        for directory in (container, *container.parents):
            directory.rmdir()
            if directory == root:
                break


def cpu_seconds(container, loops):
    """Of one run, in the container."""
    def enter():
        (container / "cgroup.procs").write_text("0")
    process = subprocess.Popen([*HACKBENCH, "--loops", str(loops)], stdout=subprocess.DEVNULL, preexec_fn=enter)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = status
    if status != 0:
        raise stack.Failed(f"hackbench ended with status {status}")
    return used.ru_utime + used.ru_stime


@contextlib.contextmanager
def our_agent(build, root):
    with stack.Stack(build, ["agent"]) as programs:
        segment = programs.directory / "current.shm"
        programs.start("agent", "--cgroup-root", "/" + root.name, "--segment", segment, "--segment-group", "nogroup")
        programs.wait_until("the agent", segment.exists)
        yield
        programs.check()


@contextlib.contextmanager
def runqlat(build, _root):
    program = shutil.which("runqlat", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        raise stack.Failed("runqlat is missing: the package libbpf-tools has it")
    with stack.Stack(build, []) as programs:
        programs.start_command("runqlat", [program, "-P", "3600"])
        time.sleep(1.5)   # it does not say when it is ready
        programs.check()
        yield


def measure(args):
    """{watcher: [CPU time added by it, in % of unwatched, a round]}."""
    watchers = {"optipod-agent": our_agent, "runqlat -P": runqlat}
    added = {name: [] for name in watchers}
    with pod() as (root, container):
        cpu_seconds(container, args.loops // 4)
        before = cpu_seconds(container, args.loops)
        for _ in range(args.rounds):
            for name, watcher in watchers.items():
                with watcher(args.build, root):
                    watched = cpu_seconds(container, args.loops)
                after = cpu_seconds(container, args.loops)
                added[name].append((watched / ((before + after) / 2) - 1) * 100)
                before = after
    return added


def main():
    parser = argparse.ArgumentParser(prog="./dev bench switch", description=__doc__)
    parser.add_argument("--build", default="build", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--loops", type=int, default=3000, help="messages of each sender to each receiver")
    args = parser.parse_args()
    try:
        added = measure(args)
    except (stack.Failed, OSError) as error:
        print(f"bench switch: {error}", file=sys.stderr)
        return 1
    (ours, peer), (_, peer_name) = map(statistics.median, added.values()), added
    if args.json:
        print(json.dumps({"bench": "switch", "case": "hackbench_added", "value": round(ours, 3), "unit": "%",
                          "peer": peer_name, "peer_value": round(peer, 3), "ratio": round(peer / max(ours, 0.01), 2)}))
    else:
        print(f"switch     hackbench_added               {ours:13.2f} %   {peer_name:<28} {peer:8.2f} % "
              f"{peer / max(ours, 0.01):8.2f}x")
        for name, rounds in added.items():
            print(f"  {name:<16} quartiles of {len(rounds)} rounds: "
                  + " ".join(f"{q:.2f}" for q in statistics.quantiles(rounds, n=4)))
    if ours > GOAL_PERCENT:
        print(f"bench switch: the goal is {GOAL_PERCENT:g} %", file=sys.stderr)
    return 1 if ours > GOAL_PERCENT else 0


if __name__ == "__main__":
    sys.exit(main())
