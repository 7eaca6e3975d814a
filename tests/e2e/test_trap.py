# SPDX-License-Identifier: Apache-2.0
"""The trap node: the hypothesis that the first OptiPod was built on, and never tested.

Node A has less CPU and memory requested, and less CPU used, than node B: kube-scheduler takes A. But those
who are on A miss their pages and queue for its disk, and a newcomer would. docs/trap-node.md tells the whole.

Both are equal shares of this machine (trap_node.py): a CPU, memory and a disk's speed. The nodes' objects are
in a real API server, and real kube-schedulers decide. What is measured, is measured by real agents. The
memory stall is that of missed pages that were in use before (refaults), waited for at A's disk: there is no swap."""

import math
import os
import statistics

import pytest

from optipod_e2e import samples, series, wait_until
from trap_node import Node

ROUNDS, RUNS = 20, 5
MIB = 1 << 20
MEMORY = 64 * MIB            # of a node
IO_PER_SECOND = 1000         # of a node's disk: so many reads, and so many writes
WORKING_SET = 88 * MIB       # on A; either half fits, both do not
READERS, WRITERS = 4, 6      # threads on A
CPU_SHARE = 0.4              # used on B

# What Kubernetes is told. The pods that run before the newcomer comes:
REQUESTED = {"A": {"cpu": "100m", "memory": "8Mi"}, "B": {"cpu": "400m", "memory": "24Mi"}}
NEWCOMER = {"cpu": "200m", "memory": "16Mi"}

# What the extender reads of a node, by the name it is printed under.
SIGNALS = {"CPU used": "cpu_utilization", "CPU waiting": "cpu_runqueue_wait", "memory stall": "memory_stall",
           "I/O stall": "io_stall"}


class Trap:
    """Both nodes under load, measured, and known to the API server. `name`: {"A": its full name, "B": …}."""

    def __init__(self, stack, workspace, nodes):
        self.workspace, self.nodes = workspace, nodes
        self.name = {letter: node.name for letter, node in nodes.items()}
        self.letter = {name: letter for letter, name in self.name.items()}
        targets = [word for node in nodes.values() for word in ("--target", f"{node.name}=127.0.0.1:{node.port}")]
        self.aggregator = stack.serve("aggregator", *targets, user="nobody")
        workspace.nodes(list(self.name.values()), cpu="1", memory="64Mi")
        for letter, node in nodes.items():
            spec = workspace.spec("none", **REQUESTED[letter])
            workspace.pods([f"there-{letter.lower()}"], {**spec, "nodeName": node.name})
        self.files = {letter: (node.file(8 * MIB), node.file(8 * MIB)) for letter, node in nodes.items()}
        self._load()

    def _load(self):
        a, b = self.nodes["A"], self.nodes["B"]
        b.run("compute", CPU_SHARE)
        a.run("reread", a.file(WORKING_SET), READERS)
        # The page cache fills at the real disk's speed; then the limit makes both nodes' disks equal.
        self._measured("memory stall", lambda a, b: a > 0.02 > b)
        for node in self.nodes.values():
            node.limit_disk(IO_PER_SECOND)
        a.run("write", a.file(16 * MIB), WRITERS)
        # The trap stands: of every kind of contention A has more, of CPU use B.
        self._measured("I/O stall", lambda a, b: a > 0.5 > b)
        self._measured("memory stall", lambda a, b: a > 0.2 > b)
        self._measured("CPU used", lambda a, b: 0 < a < b)

    def view(self, signal):
        """{"A": value, "B": value} of one of SIGNALS, as the extender reads it; without what is not there yet."""
        name = f"optipod:node_{SIGNALS[signal]}:mean_15s"
        found = samples(self.aggregator.get(f"/federate?match[]={name}").text)
        values = {letter: series(found, name, node=full) for letter, full in self.name.items()}
        return {letter: value[0] for letter, value in values.items() if value}

    def _measured(self, signal, wanted):
        seen = {}

        def there():
            seen.update(self.view(signal))
            return len(seen) == 2 and wanted(seen["A"], seen["B"])
        try:
            wait_until(there, f"{signal} as the trap wants it", 60, every=0.2)
        except AssertionError as error:
            raise AssertionError(f"{error}; the last was {seen}") from None

    def choices(self, scheduler, kind):
        """The letters of the nodes of ROUNDS newcomers, one at a time: made, bound, deleted."""
        chosen = []
        for number in range(ROUNDS):
            name = f"{kind}-{number}"
            self.workspace.pods([name], self.workspace.spec(scheduler.scheduler, **NEWCOMER))
            chosen.append(self.letter[self.workspace.placed([name])[name]])
            path = f"{self.workspace.path}/pods/{name}"
            self.workspace.api.delete(path, grace_seconds=0)
            self.workspace.cluster.wait(lambda: name not in self._pods(), f"{name} is gone")
        return chosen

    def _pods(self):
        return {pod["metadata"]["name"] for pod in self.workspace.list()}

    def runs(self):
        """{letter: [{part: seconds}]} of the newcomer as a real process; A and B take turns, A first."""
        took = {letter: [] for letter in self.nodes}
        for _ in range(RUNS):
            for letter, node in self.nodes.items():
                took[letter].append(node.job(*self.files[letter]))
        return took


@pytest.fixture
def trap(stack, workspace):
    cpus = sorted(os.sched_getaffinity(0))
    nodes = {}
    try:
        for index, letter in enumerate("AB"):
            name = f"{workspace.name}-{letter.lower()}"
            nodes[letter] = Node(stack, name, cpus[index % len(cpus)], MEMORY)
        yield Trap(stack, workspace, nodes)
    finally:
        for node in nodes.values():
            node.remove()


def figures(line):
    """`./dev e2e` shows these lines of a test that passed."""
    print(f"figures: {line}", flush=True)


LOSSES = ("cpu_loss", "memory_loss", "io_loss")


def losses(trap, decision):
    """{letter: {loss: 0..1}} as /explain tells them."""
    return {trap.letter[candidate["node"]]: {loss: candidate["policies"][0]["terms"][loss] for loss in LOSSES}
            for candidate in decision["candidates"]}


def show_nodes(trap, decision):
    def row(what, values):
        figures(f"{what:<17}" + "".join(f"{values[letter]:>8}" for letter in "AB"))
    row("", {letter: letter for letter in "AB"})
    for what in ("cpu", "memory"):
        row(f"{what} requested", {letter: REQUESTED[letter][what] for letter in "AB"})
    for signal in SIGNALS:
        row(signal, {letter: f"{value:.2f}" for letter, value in trap.view(signal).items()})
    lost = losses(trap, decision)
    for loss in LOSSES:
        row(loss, {letter: f"{of_node[loss]:.2f}" for letter, of_node in lost.items()})
    row("our score", {trap.letter[one["node"]]: f"{one['score']}/10" for one in decision["candidates"]})


def show_runs(took):
    """The seconds of the newcomer, by part; median of all."""
    figures(f"newcomer, s, median of {RUNS} (smallest … largest)")
    medians = {}
    for letter, runs in took.items():
        whole = [sum(parts.values()) for parts in runs]
        medians[letter] = statistics.median(whole)
        parts = ", ".join(f"{part} {statistics.median(run[part] for run in runs):.3f}" for part in runs[0])
        figures(f"  on {letter}: {medians[letter]:.3f} ({min(whole):.3f} … {max(whole):.3f}); {parts}")
    figures(f"  A / B: {medians['A'] / medians['B']:.1f}")
    return medians


def _left(lost, *kinds):
    return math.prod(1 - lost[kind] for kind in kinds)


def test_the_default_scheduler_falls_into_the_trap_and_optipod_does_not(trap, stack, workspace):
    alone = workspace.scheduler()
    extender = workspace.extender(stack, trap.aggregator)
    asking = workspace.scheduler(extender=extender.url, verbs=("prioritize",))   # as deploy/scheduler

    default = trap.choices(alone, "default")
    optipod = trap.choices(asking, "optipod")
    asked = extender.get(f"/explain?pod={workspace.name}/optipod-{ROUNDS - 1}&limit=1").json()["decisions"]
    assert asked, "the scheduler never asked OptiPod for the last pod"
    show_nodes(trap, asked[0])
    figures(f"the default scheduler took A {default.count('A')} times of {ROUNDS}, "
            f"with OptiPod it took B {optipod.count('B')} times of {ROUNDS}")
    assert default == ["A"] * ROUNDS
    assert optipod == ["B"] * ROUNDS, asked[0]
    # Nor is it that A's tasks also wait for the CPU: memory and I/O alone cost A more than all costs B.
    lost = losses(trap, asked[0])
    assert _left(lost["A"], "memory_loss", "io_loss") < _left(lost["B"], *LOSSES), lost

    medians = show_runs(trap.runs())
    assert medians["B"] < medians["A"]
