# SPDX-License-Identifier: Apache-2.0
"""Pages of metrics that tests serve themselves."""
import contextlib
import http.server
import threading


class MetricsPage(http.server.BaseHTTPRequestHandler):
    """Answers every GET with what page() returns, text or bytes; None: page() has answered itself."""

    def page(self):
        raise NotImplementedError

    def do_GET(self):  # noqa: N802
        body = self.page()
        if body is None:
            return
        body = body.encode() if isinstance(body, str) else body
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        pass


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128   # all targets may come at once


@contextlib.contextmanager
def served(pages):
    """Each page at the path /N of its number; yields the address."""

    class Numbered(MetricsPage):
        def page(self):
            return pages[int(self.path[1:])]

    with _Server(("127.0.0.1", 0), Numbered) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
