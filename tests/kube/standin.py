# SPDX-License-Identifier: Apache-2.0
"""A bad server in the extender's place: answers what a test tells it to, and counts who asked."""

import http.server
import socket
import threading
import time


def _reply(handler, body, status=200, length=None, kind="application/json"):
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


def _both(filtering, prioritizing):
    return lambda handler: _reply(handler, filtering if handler.path.endswith("filter") else prioritizing)


def _silence(handler):
    handler.close_connection = True


def _half(handler):
    _reply(handler, b'{"NodeNames": [', length=1000)
    handler.close_connection = True


def _endless(handler):
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.end_headers()
    handler.close_connection = True
    for _ in range(100):   # the scheduler has long gone
        handler.wfile.write(b" " * 1024)
        time.sleep(0.01)


def slow(seconds):
    """A right answer, too late."""
    def answer(handler):
        time.sleep(seconds)
        _both(b'{"NodeNames": []}', b"[]")(handler)
    return answer


# Each makes a failure of both verbs: kube-scheduler must not take anything from it.
GARBAGE = {
    "a web page": lambda h: _reply(h, b"<html><body>It works!</body></html>", kind="text/html"),
    "nothing at all": lambda h: _reply(h, b""),
    "a closed connection": _silence,
    "half a reply": _half,
    "a reply without end": _endless,
    "an error status": lambda h: _reply(h, b"[]", status=500),
    "other shapes": _both(b'["n"]', b'{"hostPriorityList": [{"Host": "n", "Score": 10}]}'),
    "fractional scores": _both(b'{"NodeNames": "n"}', b'[{"Host": "n", "Score": 7.5}]'),
    "unheard-of nodes": _both(b'{"NodeNames": ["unheard-of"]}', b'[{"Host": 7}]'),
}


class StandIn:
    """Serves on this loopback port until closed. `.answer` is called with each request's handler."""

    def __init__(self, port, answer):
        self.answer, self.asked, self._open = answer, 0, set()
        lock, outer = threading.Lock(), self

        class Webhook(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                with lock:
                    outer._open.add(self.connection)

            def do_POST(self):  # noqa: N802
                self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    outer.asked += 1
                try:
                    outer.answer(self)
                except OSError:   # it has hung up
                    self.close_connection = True

            def log_message(self, *_args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_args):   # the scheduler hangs up when it has waited enough
                pass

        self._server = Server(("127.0.0.1", port), Webhook)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        """Hangs up, too: a connection that the scheduler keeps would be answered still."""
        self._server.shutdown()
        self._server.server_close()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:   # closed long ago
                pass
