# SPDX-License-Identifier: Apache-2.0
"""200 identical pods at once, while the measurements stand still: they must spread, not herd."""

import collections
import signal

import pytest

from feed import CALM
import schedulerlog

NODES, PODS = 20, 200


def burst(stack, workspace, feed, booking, score_plugins):
    """{node: pods} after the burst; every node is in it."""
    names = [f"{workspace.name}-{i}" for i in range(NODES)]
    workspace.nodes(names)
    for name in names:
        feed.set(name, **CALM)
    extender = workspace.extender(stack, feed, f"--booking={booking}")
    feed.freeze()   # what is known from now on was measured before the first pod
    scheduler = workspace.scheduler(extender=extender.url, score_plugins=score_plugins)
    scheduler.signal(signal.SIGSTOP)   # so that it finds all of them at once
    workspace.pods([f"p-{i}" for i in range(PODS)], workspace.spec(scheduler.scheduler))
    scheduler.signal(signal.SIGCONT)
    placed = workspace.all_placed(PODS)
    assert schedulerlog.read(scheduler).of_extenders() == []
    return {**dict.fromkeys(names, 0), **collections.Counter(placed.values())}


def spread(per_node):
    even = PODS / NODES
    return max(abs(count - even) for count in per_node.values())


@pytest.mark.parametrize("score_plugins", [False, True], ids=["ours alone", "beside the stock plugins"])
def test_a_burst_spreads_within_two_of_even(stack, workspace, feed, score_plugins):
    per_node = burst(stack, workspace, feed, "on", score_plugins)
    assert spread(per_node) <= 2, per_node


def test_without_booking_it_does_not(stack, workspace, feed):
    """Else the test above would show nothing."""
    per_node = burst(stack, workspace, feed, "off", score_plugins=False)
    assert spread(per_node) > 2, per_node
