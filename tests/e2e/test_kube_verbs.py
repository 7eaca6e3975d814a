# SPDX-License-Identifier: Apache-2.0
"""Preemption and binding through the extender: a stock kube-scheduler's real requests, on a real API server."""

import concurrent.futures

import pytest

from feed import CALM
from optipod_e2e import series
import schedulerlog


BINDS = 200


def node_names(workspace, count):
    return [f"{workspace.name}-{i}" for i in range(count)]


@pytest.fixture
def calm(workspace, feed):
    """The measurements of six calm nodes, which there are."""
    names = node_names(workspace, 6)
    workspace.nodes(names)
    for name in names:
        feed.set(name, **CALM)
    return feed


@pytest.fixture
def extender(stack, workspace, calm):
    """Knows these and the cluster."""
    return workspace.extender(stack, calm)


def requests(extender, verb):
    """How many of this verb were answered 200."""
    return sum(series(extender.metrics(), "optipod_extender_requests_total", verb=verb, code="200"))


# ---- Preempt ----


def test_preemption_runs_through_us(workspace, extender):
    scheduler = workspace.scheduler(extender=extender.url, verbs=("filter", "prioritize", "preempt"))
    low, high = workspace.priority_class("low", 10), workspace.priority_class("high", 1000)
    # 6 nodes of 16 CPUs, all full of pods that may go.
    workspace.pods([f"low-{i}" for i in range(24)],
                   workspace.spec(scheduler.scheduler, cpu="4", memory="1Gi", priority_class=low))
    workspace.all_placed(24)
    # Each of these needs the room of two.
    names = [f"high-{i}" for i in range(3)]
    workspace.pods(names, workspace.spec(scheduler.scheduler, cpu="8", memory="1Gi", priority_class=high))
    workspace.placed(names)

    left = [name for name in workspace.placements() if name.startswith("low-")]
    assert len(left) == 24 - 2 * 3, "no more victims than the room needs"
    assert requests(extender, "preempt") >= 3
    assert schedulerlog.read(scheduler).of_extenders() == []


def test_preemption_takes_the_answer_literally(workspace, extender):
    """The request of 1.38, which names nodes without victims, and unheard-of nodes and pods: whatever is
    asked, the answer holds only what was asked, and no null."""
    mark = workspace.name
    asked = {f"{mark}-0": {"Pods": [{"UID": "a"}, {"UID": "b"}], "NumPDBViolations": 1},
             f"{mark}-1": {"Pods": [], "NumPDBViolations": 0}, "unheard-of": {"Pods": [{"UID": "c"}]},
             f"{mark}-2": {"Pods": None}, f"{mark}-3": None}
    body = {"Pod": {"metadata": {"name": "p", "namespace": mark, "uid": "u"}}, "NodeNameToVictims": None,
            "NodeNameToMetaVictims": asked}
    reply = extender.get("/preempt", data=body)
    assert reply.status == 200
    answer = reply.json()["NodeNameToMetaVictims"]
    assert f"{mark}-0" in answer
    for node, victims in answer.items():
        uids = [pod["UID"] for pod in victims["Pods"]]
        assert uids == [pod["UID"] for pod in asked[node]["Pods"]] != []   # the order counts
        assert victims["NumPDBViolations"] == asked[node].get("NumPDBViolations", 0)


# ---- Bind ----


def bind(extender, workspace, pod, node, uid=None):
    """The Error of the answer: empty when the pod is bound there."""
    reply = extender.get("/bind", data={"PodName": pod["metadata"]["name"], "PodNamespace": workspace.name,
                                        "PodUID": uid or pod["metadata"]["uid"], "Node": node})
    assert reply.status == 200
    return reply.json()["Error"]


def unbound(workspace, name):
    """A new pod that no scheduler looks after."""
    workspace.pods([name], workspace.spec("nobody"))
    return next(pod for pod in workspace.list() if pod["metadata"]["name"] == name)


def test_binding_runs_through_us(workspace, extender):
    scheduler = workspace.scheduler(extender=extender.url, verbs=("filter", "prioritize", "bind"))
    workspace.pods([f"p-{i}" for i in range(BINDS)],
                   workspace.spec(scheduler.scheduler, cpu="100m", memory="64Mi"))
    workspace.all_placed(BINDS)
    assert requests(extender, "bind") == BINDS
    assert schedulerlog.read(scheduler).of_extenders() == []


def test_bindings_wait_for_their_turn(stack, workspace, calm):
    one_at_a_time = workspace.extender(stack, calm, "--bind-threads=1")
    names = [f"p-{i}" for i in range(32)]
    workspace.pods(names, workspace.spec("nobody"))
    node = node_names(workspace, 1)[0]
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        errors = set(pool.map(lambda pod: bind(one_at_a_time, workspace, pod, node), workspace.list()))
    assert errors == {""}
    assert workspace.placements() == dict.fromkeys(names, node)


def test_binding_twice_is_binding_once(workspace, extender):
    first, second = node_names(workspace, 2)
    pod = unbound(workspace, "once")
    assert bind(extender, workspace, pod, first) == ""
    assert bind(extender, workspace, pod, first) == ""
    assert bind(extender, workspace, pod, second) != ""
    assert workspace.placements() == {"once": first}


def test_binding_at_once_binds_to_one_node(workspace, extender):
    nodes = node_names(workspace, 2)
    pod = unbound(workspace, "contested")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: (nodes[i % 2], bind(extender, workspace, pod, nodes[i % 2])), range(32)))
    won = workspace.placements()["contested"]
    assert {node for node, error in answers if error == ""} == {won}
    assert all(error == "" for node, error in answers if node == won)


def test_binding_what_is_not_there_says_so(workspace, extender):
    node = node_names(workspace, 1)[0]
    pod = unbound(workspace, "replaced")
    assert bind(extender, workspace, pod, node, uid="11111111-2222-3333-4444-555555555555") != ""
    assert bind(extender, workspace, {"metadata": {"name": "gone", "uid": "u"}}, node) != ""
    assert workspace.placements() == {}
