# SPDX-License-Identifier: Apache-2.0
"""A shortlist of the candidates: a stock kube-scheduler places pods among the best, and nothing that pods or nodes
say of where they would rather be is lost by it."""

import itertools

import pytest

from feed import CALM, CONTENDED, measured
from optipod_e2e import series
import schedulerlog
from workspace import PATIENT

MANY = 150                    # of each kind: more than a shortlist has
SHORTLIST = 40
EASY = measured(cpu=0.4)      # not as calm
SOFT = [{"key": "reserved", "value": "yes", "effect": "PreferNoSchedule"}]
HERE = "example.com/here"
_numbers = itertools.count()


@pytest.fixture
def kinds(workspace, feed):
    """{kind: its nodes}. `reserved` are the calmest, and have a taint that asks pods to stay away."""
    names = {kind: [f"{workspace.name}-{kind}-{i}" for i in range(MANY)] for kind in ("reserved", "easy", "busy")}
    for kind, values in (("reserved", CALM), ("easy", EASY), ("busy", CONTENDED)):
        workspace.nodes(names[kind][1:], taints=SOFT if kind == "reserved" else ())
        workspace.nodes(names[kind][:1], taints=SOFT if kind == "reserved" else (), labels={HERE: kind})
        for name in names[kind]:
            feed.set(name, **values)
    return names


@pytest.fixture
def extender(stack, workspace, feed, kinds):
    made = workspace.extender(stack, feed, "--shortlist", SHORTLIST, "--explain-candidates", SHORTLIST)
    workspace.cluster.wait(lambda: made.get("/readyz").json()["nodes_fresh"] == 3 * MANY, "every node is measured")
    return made


def placed(workspace, scheduler, count, **spec):
    """Where so many new pods go. Their names are new too: what still happens to the last ones is not theirs."""
    workspace.clear()
    names = [f"p-{next(_numbers)}" for _ in range(count)]
    workspace.pods(names, {**workspace.spec(scheduler.scheduler), **spec})
    return set(workspace.placed(names).values())


def newest(extender):
    """The last decision, as /explain tells it."""
    return extender.get("/explain?limit=1").json()["decisions"][0]


def test_pods_go_to_the_best_and_nobodys_preference_is_lost(workspace, extender, kinds):
    # With weight 1 every in-tree scorer can outvote us.
    scheduler = workspace.scheduler(extender=extender.url, weight=1, look_at=100)
    assert placed(workspace, scheduler, 50) <= set(kinds["easy"])
    left_out = series(extender.metrics(), "optipod_extender_left_out_total")
    assert sum(left_out) >= 50 * (3 * MANY - SHORTLIST)
    workspace.cluster.wait(lambda: newest(extender)["bound"], "the extender hears where the last pod went")
    decision = newest(extender)
    assert decision["candidates_total"] == SHORTLIST and decision["shortlisted_of"] == 3 * MANY
    assert decision["bound"]["our_score"] is not None

    # What a pod would rather have, although it is among the worst.
    term = {"weight": 100, "preference": {"matchExpressions": [{"key": HERE, "operator": "In", "values": ["busy"]}]}}
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}
    assert placed(workspace, scheduler, 3, affinity=affinity) == {kinds["busy"][0]}
    # What a pod must have is no preference: kube-scheduler offers nothing else.
    must = {"nodeSelectorTerms": [{"matchExpressions": term["preference"]["matchExpressions"]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": must}}
    assert placed(workspace, scheduler, 3, affinity=affinity) == {kinds["busy"][0]}
    assert series(extender.metrics(), "optipod_extender_left_out_total") == left_out
    assert schedulerlog.read(scheduler).of_extenders() == []


def test_as_it_is_deployed_in_a_large_cluster(workspace, extender, kinds):
    scheduler = workspace.deployed_scheduler("large-cluster.yaml", extender.url, timeout=PATIENT)
    assert not placed(workspace, scheduler, 50) & set(kinds["busy"])
    assert sum(series(extender.metrics(), "optipod_extender_left_out_total")) > 0
    assert schedulerlog.read(scheduler).of_extenders() == []


def test_it_is_off_where_that_is_asked_for(stack, workspace, feed, kinds):
    extender = workspace.extender(stack, feed, "--shortlist", "0")
    scheduler = workspace.scheduler(extender=extender.url, look_at=100)
    placed(workspace, scheduler, 5)
    assert sum(series(extender.metrics(), "optipod_extender_left_out_total")) == 0
    decision = newest(extender)
    assert decision["candidates_total"] == 3 * MANY and decision["shortlisted_of"] is None
