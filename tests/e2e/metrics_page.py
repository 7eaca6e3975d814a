# SPDX-License-Identifier: Apache-2.0
"""Pages of metrics that tests serve themselves."""
import http.server


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
