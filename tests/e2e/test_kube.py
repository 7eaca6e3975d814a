# SPDX-License-Identifier: Apache-2.0
"""A stock kube-scheduler asks the extender, on a real control plane with kwok's nodes (tests/kube).

What the nodes measure is fed. With KUBECONFIG set the same runs on that cluster."""

import collections
import signal

import pytest

from feed import CALM, CONTENDED, measured
from objects import DEPLOY, deployment
from optipod_e2e import free_port, series
import schedulerlog
import standin

BUSY = measured(cpu=0.95, waiting=1.5, wait_p95=0.01)


class Arena:
    """Two calm nodes and four contended ones, an extender that knows them, a scheduler that asks it."""

    def __init__(self, stack, workspace, feed):
        self.stack, self.workspace, self.feed, self.port, self._rounds = stack, workspace, feed, free_port(), 0
        self.calm = [f"{workspace.name}-calm-{i}" for i in range(2)]
        self.contended = [f"{workspace.name}-contended-{i}" for i in range(4)]
        workspace.nodes(self.calm + self.contended)
        for name in self.calm:
            feed.set(name, **CALM)
        for name in self.contended:
            feed.set(name, **CONTENDED)
        self.extender = None
        self.start_extender()
        self.scheduler = workspace.scheduler(extender=self.extender.url, timeout="1s")

    def start_extender(self):
        self.extender = self.stack.serve("extender", "--metrics-url", self.feed.url, port=self.port)

    def place(self, count):
        """The nodes of `count` new pods; fails unless each gets one."""
        self._rounds += 1
        names = [f"round-{self._rounds}-{i}" for i in range(count)]
        self.workspace.pods(names, self.workspace.spec(self.scheduler.scheduler))
        return list(self.workspace.placed(names).values())

    def scores_count(self):
        """No pod of six lands on a contended node: in-tree scorers alone would put some there."""
        nodes = self.place(6)
        assert set(nodes) <= set(self.calm), collections.Counter(nodes)

    def scores_do_not_count(self, count=6):
        """All pods are scheduled, by the in-tree scorers alone, which spread them."""
        nodes = self.place(count)
        assert set(nodes) & set(self.contended), collections.Counter(nodes)


def decisions(extender, pod, verb="prioritize"):
    """What /explain says of this pod (namespace/name), newest first; of this verb."""
    told = extender.get(f"/explain?pod={pod}&limit=20").json()["decisions"]
    return [one for one in told if one["verb"] == verb]


@pytest.fixture
def arena(stack, workspace, feed):
    return Arena(stack, workspace, feed)


def test_pods_and_nodes_are_watched_as_protobuf(stack, workspace, feed):
    """The encoding that the API server makes once for all its watchers."""
    extender = workspace.extender(stack, feed)
    synced = [f"watching /api/v1/{resource}: synced, as protobuf" for resource in ("pods", "nodes")]
    workspace.cluster.wait(lambda: all(line in extender.log() for line in synced), "both come as protobuf")


def test_100_pods_go_where_the_policy_says(stack, workspace, feed):
    kinds = {"calm": CALM, "busy": BUSY, "contended": CONTENDED}
    nodes = {f"{workspace.name}-{kind}-{i}": kind for kind, count in (("calm", 5), ("busy", 5), ("contended", 10))
             for i in range(count)}
    # Large enough that 100 pods on five of them do not make the in-tree scorers outvote us.
    workspace.nodes(list(nodes), cpu="64", memory="256Gi")
    for name, kind in nodes.items():
        feed.set(name, **{**kinds[kind], "cpus": 64})

    def run(scheduler):
        """{kind: pods}, after half of 100 pods come one by one and half from a Deployment."""
        spec = workspace.spec(scheduler.scheduler)
        workspace.pods([f"bare-{i}" for i in range(50)], spec)
        path = f"/apis/apps/v1/namespaces/{workspace.name}/deployments"
        workspace.api.post(path, deployment("many", 50, spec))
        placed = workspace.all_placed(100)
        workspace.api.delete(f"{path}/many")
        workspace.clear()
        return placed, collections.Counter(nodes[node] for node in placed.values())

    # The default scheduler sees requests, of which there are few: all nodes are alike to it.
    alone = workspace.scheduler()
    _, by_kind = run(alone)
    assert by_kind["contended"] >= 25 and by_kind["busy"] >= 12, by_kind

    extender = stack.serve("extender", "--metrics-url", feed.url)
    asking = workspace.scheduler(extender=extender.url)
    placed, by_kind = run(asking)
    assert by_kind == {"calm": 100}

    log = schedulerlog.read(asking)
    assert log.of_extenders() == []
    for pod, node in placed.items():
        pod = f"{workspace.name}/{pod}"
        # What we say we answered is what the scheduler took, and it took the best.
        ours = {c["node"]: c["score"] for c in decisions(extender, pod)[0]["candidates"]}
        heard = log.extender_scores[pod]
        assert set(ours) == set(nodes) and heard and heard == {n: s for n, s in ours.items() if s}
        # One step apart are only equals, of which one less booked comes first (docs/policies.md, Bursts).
        assert ours[node] >= max(ours.values()) - 1 > min(ours.values())
        assert log.totals[pod][node] == max(log.totals[pod].values())
    for verb in ("filter", "prioritize"):
        assert series(extender.metrics(), "optipod_extender_requests_total", verb=verb, code="200") == [100]


def test_pods_are_scheduled_while_the_extender_is_dead(arena):
    arena.scores_count()
    arena.extender.kill()
    arena.scores_do_not_count()
    assert schedulerlog.read(arena.scheduler).extender_failures
    arena.start_extender()
    arena.scores_count()


def test_pods_are_scheduled_while_the_extender_hangs(arena):
    arena.scores_count()
    arena.extender.signal(signal.SIGSTOP)
    arena.scores_do_not_count()
    assert schedulerlog.read(arena.scheduler).extender_failures
    arena.extender.signal(signal.SIGCONT)
    arena.scores_count()


def test_pods_are_scheduled_while_the_extender_is_slow(arena):
    arena.extender.stop()
    server = standin.StandIn(arena.port, standin.slow(2))
    arena.scores_do_not_count()
    assert server.asked >= 12 and schedulerlog.read(arena.scheduler).extender_failures
    server.close()
    arena.start_extender()
    arena.scores_count()


def test_garbage_instead_of_answers_stops_no_pod(arena):
    arena.extender.stop()
    server = standin.StandIn(arena.port, None)
    for kind, answer in standin.GARBAGE.items():
        server.answer, asked = answer, server.asked
        arena.place(2)
        assert server.asked >= asked + 4, kind
    # None was taken for an answer; and the scan that the other tests rely on sees it.
    log = schedulerlog.read(arena.scheduler)
    assert len(log.extender_failures) == 2 * len(standin.GARBAGE)
    assert len(log.of_extenders()) >= 4 * len(standin.GARBAGE) and not log.extender_scores
    server.close()
    arena.start_extender()
    arena.scores_count()


def test_measurements_that_stop_lose_their_say(stack, workspace, feed):
    names = [f"{workspace.name}-{i}" for i in range(6)]
    workspace.nodes(names)
    for name in names:
        feed.set(name, **(CALM if name == names[0] else CONTENDED))
    extender = stack.serve("extender", "--metrics-url", feed.url, "--fresh-for", "1s", "--expire-after", "2s")
    scheduler = workspace.scheduler(extender=extender.url)
    spec = workspace.spec(scheduler.scheduler)
    workspace.pods([f"fresh-{i}" for i in range(6)], spec)
    assert set(workspace.all_placed(6).values()) == {names[0]}

    feed.freeze(age_seconds=60)
    workspace.cluster.wait(lambda: 'optipod_extender_nodes{state="fresh"} 0' in extender.get("/metrics").text, "expiry")
    workspace.pods([f"old-{i}" for i in range(6)], spec)
    later = workspace.all_placed(12)
    assert len({later[f"old-{i}"] for i in range(6)}) > 1
    feed.thaw()


@pytest.mark.parametrize("file,asked", [("second-scheduler.yaml", 1), ("default-scheduler.yaml", 1),
                                        ("large-cluster.yaml", 1), ("extender-per-policy.yaml", 3)])
def test_the_configurations_users_are_given_work(stack, workspace, feed, file, asked):
    names = [f"{workspace.name}-{i}" for i in range(3)]
    workspace.nodes(names)
    for name in names:
        feed.set(name, **(CALM if name == names[1] else CONTENDED))
    extender = stack.serve("extender", "--metrics-url", feed.url, "--policies", DEPLOY / "policies.yaml")
    scheduler = workspace.deployed_scheduler(file, extender.url)
    workspace.pods(["p"], workspace.spec(scheduler.scheduler))
    assert workspace.all_placed(1) == {"p": names[1]}
    assert sum(series(extender.metrics(), "optipod_extender_requests_total", verb="prioritize", code="200")) == asked
    assert schedulerlog.read(scheduler).of_extenders() == []
