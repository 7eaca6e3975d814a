# SPDX-License-Identifier: Apache-2.0
"""The real extender behind the real aggregator, which scrapes pages that this test serves."""
import http.server
import json
import threading
import time

import pytest

import optipod_e2e
from metrics_page import MetricsPage

BOUNDS = [2.0 ** n / 1e9 for n in range(10, 31)]


class Node:
    """An exporter's page whose counters move as fast as it is told: (CPUs busy, CPUs' worth of waiting)."""

    def __init__(self, busy, waiting, cpus=4):
        self.busy, self.waiting, self.cpus, self.started = busy, waiting, cpus, time.time()
        node = self

        class Page(MetricsPage):
            protocol_version = "HTTP/1.1"

            def page(self):
                return node.page()

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def target(self):
        return f"127.0.0.1:{self.server.server_port}"

    def page(self):
        now = time.time()
        past = now - self.started + 1
        waits = int(past * 1000)
        lines = ["optipod_agent_up 1", f"optipod_sample_timestamp_seconds {now:.3f}",
                 f"optipod_node_cpus {self.cpus}",
                 f"optipod_node_cpu_usage_seconds_total {past * self.busy:.6f}",
                 "optipod_node_memory_total_bytes 17179869184", "optipod_node_memory_available_bytes 12884901888",
                 "optipod_node_pressure_memory_waiting_seconds_total 0",
                 "optipod_node_pressure_io_waiting_seconds_total 0",
                 "# TYPE optipod_node_cpu_runqueue_wait_seconds histogram"]
        lines += [f'optipod_node_cpu_runqueue_wait_seconds_bucket{{le="{le!r}"}} {waits}' for le in BOUNDS]
        lines += [f'optipod_node_cpu_runqueue_wait_seconds_bucket{{le="+Inf"}} {waits}',
                  f"optipod_node_cpu_runqueue_wait_seconds_sum {past * self.waiting:.6f}",
                  f"optipod_node_cpu_runqueue_wait_seconds_count {waits}"]
        return "\n".join(lines) + "\n"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def nodes():
    made = [Node(0.2, 0.0), Node(4.0, 12.0)]
    yield made
    for node in made:
        node.close()


def ask(extender, verb, names):
    body = {"Pod": {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}}, "Nodes": None, "NodeNames": names}
    reply = optipod_e2e.http(extender.url + verb, data=json.dumps(body).encode(),
                             headers={"Content-Type": "application/json"})
    assert reply.status == 200
    return reply.json()


def test_scores_follow_what_the_aggregator_measured(stack, nodes, tmp_path):
    targets = tmp_path / "targets.json"
    targets.write_text(json.dumps([{"targets": [node.target], "labels": {"node": name}}
                                   for name, node in zip(("calm", "busy"), nodes)]))
    aggregator = stack.serve("aggregator", "--file-sd", str(targets))
    extender = stack.serve("extender", "--metrics-url", aggregator.url)
    names = ["busy", "calm", "unheard-of"]

    def ranked():
        scores = {host["Host"]: host["Score"] for host in ask(extender, "/prioritize", names)}
        return scores.get("calm") == 10 and "busy" not in scores and 0 < scores.get("unheard-of", 0) < 10
    optipod_e2e.wait_until(ranked, "the calm node to win", seconds=30)
    assert ask(extender, "/filter", names)["NodeNames"] == names

    why = optipod_e2e.http(extender.url + "/explain?pod=ns/p&limit=1").json()["decisions"][0]
    told = {c["node"]: c for c in why["candidates"]}
    assert told["busy"]["signals"]["cpu_runqueue_wait_15s"]["value"] == pytest.approx(3.0, rel=0.1)
    assert told["busy"]["age_seconds"] < 5
    assert told["unheard-of"]["age_seconds"] is None

    # The aggregator gone: the measurements stay, at their age.
    aggregator.stop()
    assert ranked()
    assert optipod_e2e.http(extender.url + "/readyz").status == 200
    metrics = optipod_e2e.http(extender.url + "/metrics").text
    optipod_e2e.promtool_check(metrics)
