# SPDX-License-Identifier: Apache-2.0
"""What the API server says counts when it has said all, and as long as it is followed. `pigeon` rests on nothing else."""

import json

import pytest

import controlplane
from optipod_e2e import http, wait_until
from workspace import Workspace

NODES = 3


@pytest.fixture
def plane():
    """Of this test's own: it is killed."""
    with controlplane.ControlPlane() as made:
        yield made


def opinion(extender, names):
    """What `pigeon` says of these nodes: {node: score}."""
    body = {"Pod": {"metadata": {"name": "p", "namespace": "n", "uid": "u"}}, "Nodes": None, "NodeNames": names}
    reply = http(extender.url + "/policies/pigeon/prioritize", data=body)
    return {host["Host"]: host["Score"] for host in json.loads(reply.text)}


def kubernetes(extender):
    return extender.get("/readyz").json()["kubernetes"]


def made_nodes(workspace):
    names = [f"{workspace.name}-{i}" for i in range(NODES)]
    workspace.nodes(names)
    return names


def test_without_the_right_to_list_pods_nodes_are_not_taken_for_empty(workspace, stack, feed):
    names = made_nodes(workspace)
    config = workspace.extender_kubeconfig()
    role = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{workspace.name}"
    rules = workspace.api.get(role)["rules"]
    workspace.api.request("PATCH", role, {"rules": [{"apiGroups": [""], "resources": ["nodes"],
                                                     "verbs": ["get", "list", "watch"]}]})
    extender = stack.serve("extender", "--metrics-url", feed.url, "--kubeconfig", config)
    wait_until(lambda: kubernetes(extender)["state"] == "failing" and kubernetes(extender)["nodes"] >= NODES,
               "the nodes are listed, the pods refused")
    assert "pods is forbidden" in kubernetes(extender)["last_error"] and "note" in kubernetes(extender)
    assert opinion(extender, names) == {}
    workspace.api.request("PATCH", role, {"rules": rules})
    wait_until(lambda: kubernetes(extender)["state"] == "synced", "the pods are listed", 60)
    wait_until(lambda: set(opinion(extender, names)) == set(names), "what it says counts")


def test_what_an_api_server_said_that_is_gone_counts_for_nothing_after_a_while(plane, stack, feed):
    workspace = Workspace(plane)
    names = made_nodes(workspace)
    extender = workspace.extender(stack, feed, "--fresh-for", "1s", "--expire-after", "2s")
    wait_until(lambda: set(opinion(extender, names)) == set(names), "what it says counts")
    plane.kill_api_server()
    wait_until(lambda: opinion(extender, names) == {}, "what it said expires")
    assert kubernetes(extender)["state"] == "failing"
    plane.start_api_server()
    wait_until(lambda: set(opinion(extender, names)) == set(names), "what it says counts again", 60)
