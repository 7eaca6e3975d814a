# SPDX-License-Identifier: Apache-2.0
"""Plays "any Prometheus" for the extender: /federate with measurements that a test sets.

    feed = Feed()
    feed.set("node-1", **CALM)          # the values of one node; others stay
    feed.freeze()                       # from now on the samples' time stands still: they grow old
    feed.thaw(); feed.drop("node-1"); feed.refuse(503)

Series are named as in docs/metrics.md §2. The page is what Prometheus' own federation writes.
"""

import http.server
import sys
import threading
import time

# Keyword → series.
SERIES = {
    "cpus": "optipod:node_cpus:last",
    "cpu": "optipod:node_cpu_utilization:mean_15s",
    "cpu_1m": "optipod:node_cpu_utilization:mean_1m",
    "waiting": "optipod:node_cpu_runqueue_wait:mean_15s",
    "waiting_1m": "optipod:node_cpu_runqueue_wait:mean_1m",
    "wait_p95": "optipod:node_cpu_runqueue_wait_seconds:p95_15s",
    "wait_p95_1m": "optipod:node_cpu_runqueue_wait_seconds:p95_1m",
    "memory": "optipod:node_memory_utilization:last",
    "memory_bytes": "optipod:node_memory_bytes:last",
    "memory_stall": "optipod:node_memory_stall:mean_15s",
    "memory_stall_1m": "optipod:node_memory_stall:mean_1m",
    "io_stall": "optipod:node_io_stall:mean_15s",
    "io_stall_1m": "optipod:node_io_stall:mean_1m",
    "io_p95": "optipod:node_block_io_latency_seconds:p95_15s",
    "io_p95_1m": "optipod:node_block_io_latency_seconds:p95_1m",
    "io_inflight": "optipod:node_block_io_inflight:last",
    "up": "optipod:node_up:last",
}


def measured(cpus=16, cpu=0.0, waiting=0.0, wait_p95=2e-5, memory=0.2, memory_bytes=64 * 2**30, memory_stall=0.0,
             io_stall=0.0, io_p95=2e-4, io_inflight=0):
    """A node that has been like this for longer than every window."""
    return {"cpus": cpus, "cpu": cpu, "cpu_1m": cpu, "waiting": waiting, "waiting_1m": waiting,
            "wait_p95": wait_p95, "wait_p95_1m": wait_p95, "memory": memory, "memory_bytes": memory_bytes,
            "memory_stall": memory_stall, "memory_stall_1m": memory_stall, "io_stall": io_stall,
            "io_stall_1m": io_stall, "io_p95": io_p95, "io_p95_1m": io_p95, "io_inflight": io_inflight, "up": 1}


CALM = measured(cpu=0.05)
CONTENDED = measured(cpu=1.0, waiting=3.0, wait_p95=0.05, memory=0.9, memory_stall=0.5, io_stall=0.6, io_p95=0.1,
                     io_inflight=32)


_AT = "\0"


class Feed:
    """A server on a free loopback port (`.url`). Every method may be called while it serves."""

    def __init__(self):
        self._lock = threading.Lock()
        self._nodes, self._extra, self._frozen_ms, self._status = {}, {}, None, 200
        self._asked, self._parts = 0, None
        feed = self

        class Page(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):  # noqa: N802
                status, body = feed._page() if self.path.startswith("/federate?match") else (404, b"")
                self.send_response(status)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, request, client_address):
                if not isinstance(sys.exc_info()[1], ConnectionError):   # one that went away is its own affair
                    super().handle_error(request, client_address)

        self._server = Server(("127.0.0.1", 0), Page)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def set(self, node, **values):
        """Replaces these values of the node; None takes one away."""
        unknown = set(values) - set(SERIES)
        assert not unknown, f"no such series: {unknown}"
        with self._lock:
            row = {**self._nodes.get(node, {}), **values}
            self._nodes[node] = {key: value for key, value in row.items() if value is not None}
            self._parts = None

    def series(self, name, value, **labels):
        """Any other series, for example an optipod:pod_* one; value None takes it away."""
        key = (name, tuple(sorted(labels.items())))
        with self._lock:
            if value is None:
                self._extra.pop(key, None)
            else:
                self._extra[key] = value
            self._parts = None

    def drop(self, node):
        with self._lock:
            self._nodes.pop(node, None)
            self._parts = None

    def freeze(self, age_seconds=0.0):
        """The samples were measured this long ago, and no new ones come."""
        with self._lock:
            self._frozen_ms = int((time.time() - age_seconds) * 1000)

    def thaw(self):
        with self._lock:
            self._frozen_ms = None

    def refuse(self, status):
        """Answers with this status; 200 serves again."""
        with self._lock:
            self._status = status

    def fetched(self):
        """How often the page was served."""
        with self._lock:
            return self._asked

    def _page(self):
        with self._lock:
            self._asked += 1
            if self._status != 200:
                return self._status, b""
            if self._parts is None:
                self._parts = self._render().encode().split(_AT.encode())
            at = self._frozen_ms if self._frozen_ms is not None else int(time.time() * 1000)
            return 200, str(at).encode().join(self._parts)   # by far the fastest way in Python

    def _render(self):
        """The page with a mark for each sample's time: thousands of nodes are asked for twice a second."""
        lines = []
        for key, name in SERIES.items():
            of = [(node, row[key]) for node, row in self._nodes.items() if key in row]
            if of:
                lines.append(f"# TYPE {name} untyped")
                lines += [f'{name}{{node="{node}",instance="",job="feed"}} {value!r} {_AT}' for node, value in of]
        for (name, labels), value in self._extra.items():
            told = ",".join(f'{label}="{text}"' for label, text in labels)
            lines.append(f"{name}{{{told}}} {value!r} {_AT}")
        return "".join(line + "\n" for line in lines)

    def close(self):
        self._server.shutdown()
        self._server.server_close()
