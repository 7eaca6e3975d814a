# SPDX-License-Identifier: Apache-2.0
"""What tests of the aggregator share: exporters that they play, and what it says of them."""

import http.server
import threading
import time
import urllib.parse

from metrics_page import MetricsPage
from optipod_e2e import samples_at

TIMESTAMP = "optipod_sample_timestamp_seconds"


def federated(aggregator, *matches):
    reply = aggregator.get("/federate?" + urllib.parse.urlencode([("match[]", match) for match in matches]))
    assert reply.status == 200, reply
    return samples_at(reply.text)


class FakeExporter:
    """An exporter of one CPU that is half busy, on a loopback port."""

    def __init__(self, host="127.0.0.1", port=0, authorization=None):
        """`authorization()`: what that header must be; None: anybody may ask."""
        start = time.time()

        class Handler(MetricsPage):
            protocol_version = "HTTP/1.1"

            def page(self):
                if authorization and self.headers.get("Authorization") != authorization():
                    return self.send_error(401)
                now = time.time()
                return (f"optipod_agent_up 1\n{TIMESTAMP} {now:.3f}\noptipod_node_cpus 1\n"
                        f"optipod_node_cpu_usage_seconds_total {(now - start) / 2:.6f}\n")

        self.server = http.server.ThreadingHTTPServer((host, port), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # who asked has gone
        self.port = self.server.server_address[1]
        self.address = f"{host}:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def nodes_of(aggregator):
    """{node: what /nodes says of it}"""
    return {node["node"]: node for node in aggregator.get("/nodes").json()["nodes"]}


def who_is_up(aggregator):
    return {node for node, said in nodes_of(aggregator).items() if said["up"]}
