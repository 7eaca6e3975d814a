# SPDX-License-Identifier: Apache-2.0
"""What the extender's entry in KubeSchedulerConfiguration may say, each with a stock kube-scheduler: whole Node
objects, TLS both ways, every verb."""

import pytest

from certificates import Authority
from feed import CALM, CONTENDED
from optipod_e2e import free_port, series, wait_until
import schedulerlog

WHOLE = {"nodeCacheCapable": False}


@pytest.fixture
def calm(workspace, feed):
    """The one calm node of four."""
    names = [f"{workspace.name}-{i}" for i in range(4)]
    workspace.nodes(names)
    for name in names:
        feed.set(name, **(CALM if name == names[2] else CONTENDED))
    return names[2]


def place(workspace, scheduler, count=4, **what):
    names = [f"p-{i}" for i in range(count)]
    workspace.pods(names, workspace.spec(scheduler.scheduler, **what))
    return set(workspace.placed(names).values())


def answered(extender, verb):
    return sum(series(extender.metrics(), "optipod_extender_requests_total", verb=verb, code="200"))


def test_whole_nodes_and_pods_are_read_where_answers_are_names(workspace, stack, feed, calm):
    extender = workspace.extender(stack, feed)
    scheduler = workspace.scheduler(extender=extender.url, verbs=("prioritize", "preempt"), entry=WHOLE)
    low, high = workspace.priority_class("low", 10), workspace.priority_class("high", 1000)
    assert place(workspace, scheduler, 2, cpu="8", memory="1Gi", priority_class=low) == {calm}
    workspace.pods([f"low-{i}" for i in range(6)],
                   workspace.spec(scheduler.scheduler, cpu="8", memory="1Gi", priority_class=low))
    workspace.all_placed(8)   # all four nodes are full
    workspace.pods(["high"], workspace.spec(scheduler.scheduler, cpu="16", memory="1Gi", priority_class=high))
    workspace.placed(["high"])
    assert len(workspace.placements()) == 7, "two victims, no more"
    assert answered(extender, "preempt") >= 1
    assert series(extender.metrics(), "optipod_extender_decode_errors_total", cause="nodes_not_names")[0] >= 2
    assert schedulerlog.read(scheduler).of_extenders() == []


def test_whole_nodes_are_not_filtered_and_the_scheduler_tells_why(workspace, stack, feed, calm):
    extender = stack.serve("extender", "--metrics-url", feed.url)
    scheduler = workspace.scheduler(extender=extender.url, entry=WHOLE)
    assert place(workspace, scheduler) == {calm}   # ignorable: it went on, and the scores count
    complaints = schedulerlog.read(scheduler).of_extenders()
    assert complaints and all("nodeCacheCapable: true" in line for line in complaints), complaints


def test_tls_with_client_certificates(workspace, stack, feed, calm):
    authority = Authority(stack.directory / "authority")
    certificate, key = authority.sign("server", "optipod", addresses=["IP:127.0.0.1"])
    web = stack.directory / "web.yml"
    web.write_text(f"tls_server_config:\n  cert_file: {certificate}\n  key_file: {key}\n"
                   f"  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: {authority.certificate}\n")
    port = free_port()
    extender = stack.start("extender", "--metrics-url", feed.url, "--web.listen-address", f"127.0.0.1:{port}",
                           "--web.config.file", web)
    wait_until(lambda: "measurements of 4 nodes" in extender.log(), "the extender serves, and knows the nodes")
    ours, our_key = authority.sign("client", "kube-scheduler")
    tls = {"caFile": str(authority.certificate)}
    url = f"https://127.0.0.1:{port}"
    known = workspace.scheduler(extender=url, entry={
        "enableHTTPS": True, "tlsConfig": {**tls, "certFile": str(ours), "keyFile": str(our_key)}})
    assert place(workspace, known) == {calm}
    log = schedulerlog.read(known)
    assert log.of_extenders() == [] and log.extender_scores
    workspace.clear()
    stranger = workspace.scheduler(extender=url, entry={"enableHTTPS": True, "tlsConfig": tls})
    place(workspace, stranger)
    assert len(schedulerlog.read(stranger).extender_failures) == 4


def test_every_verb_as_deployed(workspace, stack, feed, calm):
    extender = workspace.extender(stack, feed)
    scheduler = workspace.deployed_scheduler("every-verb.yaml", extender.url)
    assert place(workspace, scheduler) == {calm}
    assert [answered(extender, verb) for verb in ("filter", "prioritize", "bind")] == [4, 4, 4]
    assert schedulerlog.read(scheduler).of_extenders() == []
