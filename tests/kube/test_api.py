# SPDX-License-Identifier: Apache-2.0
"""What the tests' own API client promises, beside an API server that ends every watch soon."""

import http.server
import json
import threading
import urllib.parse

import pytest

from api import Api, Refused


def event(version, kind="ADDED"):
    return {"type": kind, "object": {"metadata": {"resourceVersion": str(version)}}}


class Impatient(http.server.BaseHTTPRequestHandler):
    """Has the changes 1 to 7; tells two and ends the watch, or cuts it off in the middle of a third."""

    protocol_version = "HTTP/1.1"
    asked = []

    def do_GET(self):  # noqa: N802
        after = int(urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["resourceVersion"][0])
        self.asked.append(after)
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if after == 7:
            self.chunk(json.dumps({"type": "ERROR", "object": {"code": 410, "message": "too old"}}) + "\n")
        for version in range(after + 1, min(after + 3, 8)):
            self.chunk(json.dumps(event(version)) + "\n")
        if len(self.asked) % 2 == 0:
            self.chunk(json.dumps(event(after + 3))[:20])
        else:
            self.chunk("")
        self.close_connection = True

    def chunk(self, text):
        self.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())

    def log_message(self, *_args):
        pass


def test_a_watch_that_is_ended_goes_on_after_the_last_change():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Impatient)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        told = []
        with pytest.raises(Refused) as refused:
            for kind, changed in Api("127.0.0.1", server.server_port).watch("/api/v1/pods", "0"):
                told.append((kind, changed["metadata"]["resourceVersion"]))
        assert told == [("ADDED", str(version)) for version in range(1, 8)]   # each once, none lost
        assert Impatient.asked == [0, 2, 4, 6, 7]
        assert refused.value.code == 410
    finally:
        server.shutdown()
        server.server_close()
