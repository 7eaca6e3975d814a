# SPDX-License-Identifier: Apache-2.0
"""Places that targets are read from, as tests play them: DNS, http_sd, the Kubernetes API."""

import http.server
import ipaddress
import json
import queue
import socket
import socketserver
import struct
import threading
import urllib.parse

_TYPES = {"A": 1, "AAAA": 28, "SRV": 33}


def _name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.rstrip(".").split(".")) + b"\0"


def _data(kind, value):
    if kind == "SRV":
        host, port = value
        return struct.pack("!HHH", 0, 0, port) + _name(host)
    return ipaddress.ip_address(value).packed


class DnsServer:
    """`records[(name, type)]`: a list of addresses, or of (host, port) for SRV; other names do not exist.
    `mode`: "good", "fail" (SERVFAIL) or "silent". Answers of more than 512 bytes come over TCP only."""

    def __init__(self):
        self.records, self.mode, self.over_tcp = {}, "good", 0
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.udp.getsockname()[1]}"
        outer = self

        class Tcp(socketserver.BaseRequestHandler):
            def handle(self):
                with self.request.makefile("rb") as stream:
                    while (head := stream.read(2)):
                        reply = outer._answer(stream.read(int.from_bytes(head, "big")))
                        outer.over_tcp += 1
                        self.request.sendall(len(reply).to_bytes(2, "big") + reply)

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self.tcp = socketserver.ThreadingTCPServer(self.udp.getsockname(), Tcp)
        self.tcp.daemon_threads = True
        threading.Thread(target=self._serve_udp, daemon=True).start()
        threading.Thread(target=self.tcp.serve_forever, daemon=True).start()

    def _serve_udp(self):
        while True:
            try:
                question, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            if self.mode == "silent" or not question:
                continue
            reply = self._answer(question)
            if len(reply) > 512:
                end = question.index(b"\0", 12) + 5
                reply = question[:2] + struct.pack("!HHHHH", 0x8380, 1, 0, 0, 0) + question[12:end]
            self.udp.sendto(reply, peer)

    def _answer(self, question):
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode())
            at += 1 + question[at]
        kind = int.from_bytes(question[at + 1:at + 3], "big")
        asked = question[12:at + 5]
        name = ".".join(labels)
        known = {key for key, _ in self.records}
        found = next(((t, v) for (n, t), v in self.records.items() if n == name and _TYPES[t] == kind), ("A", []))
        code = 2 if self.mode == "fail" else 0 if name in known else 3
        values = [] if code else found[1]
        reply = question[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(values), 0, 0) + asked
        for value in values:
            data = _data(found[0], value)
            reply += struct.pack("!HHHIH", 0xC00C, kind, 1, 5, len(data)) + data
        return reply

    def close(self):
        self.udp.close()
        self.tcp.shutdown()
        self.tcp.server_close()


class _Http:
    """An HTTP server on a loopback port; `answer(handler)` answers each GET."""

    def __init__(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):  # noqa: N802
                outer.answer(self)

            def log_message(self, *_args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def reply(handler, body, status=200, kind="application/json"):
        body = body.encode()
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class HttpSd(_Http):
    """Serves `groups` as http_sd does; `status`, `kind` and `text` override; `headers`: of the last request."""

    def __init__(self):
        self.groups, self.status, self.kind, self.text, self.headers = [], 200, "application/json", None, None
        super().__init__()

    def answer(self, handler):
        self.headers = dict(handler.headers)
        self.reply(handler, self.text or json.dumps(self.groups), self.status, self.kind)


class EndpointSliceApi(_Http):
    """The part of the Kubernetes API that a Service's endpoints are followed by."""

    def __init__(self):
        self.slices, self.version, self.down, self.asked = {}, 1, False, []
        self._watches, self._lock = [], threading.Lock()
        super().__init__()

    def kubeconfig(self, path):
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "users": [{"name": "u", "user": {"token": "t"}}]}))
        return path

    @staticmethod
    def slice(name, endpoints, port):
        """`endpoints`: (address, node, ready) each."""
        return {"metadata": {"name": name}, "addressType": "IPv4", "ports": [{"name": "metrics", "port": port}],
                "endpoints": [{"addresses": [address], "nodeName": node, "conditions": {"ready": ready}}
                              for address, node, ready in endpoints]}

    def put(self, made):
        with self._lock:
            self.version += 1
            made["metadata"]["resourceVersion"] = str(self.version)
            known = made["metadata"]["name"] in self.slices
            self.slices[made["metadata"]["name"]] = made
            self._tell("MODIFIED" if known else "ADDED", made)

    def delete(self, name):
        with self._lock:
            self.version += 1
            gone = self.slices.pop(name)
            gone["metadata"]["resourceVersion"] = str(self.version)
            self._tell("DELETED", gone)

    def expire(self):
        """Ends every watch as the API server does when a version is too old."""
        with self._lock:
            self._tell("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})

    def fail(self, down):
        """Answers nothing but 503, and ends every watch."""
        with self._lock:
            self.down = down
            for watch in self._watches if down else ():
                watch.put(None)

    def _tell(self, kind, what):
        for watch in self._watches:
            watch.put(json.dumps({"type": kind, "object": what}))

    def answer(self, handler):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(handler.path).query)
        self.asked.append(handler.path)
        if self.down:
            return self.reply(handler, "{}", 503)
        if "watch" in query:
            return self._watch(handler)
        with self._lock:
            page = json.dumps({"kind": "EndpointSliceList", "metadata": {"resourceVersion": str(self.version)},
                               "items": list(self.slices.values())})
        return self.reply(handler, page)

    def _watch(self, handler):
        events = queue.Queue()
        with self._lock:
            self._watches.append(events)
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.close_connection = True
        try:
            while (event := events.get()) is not None:
                line = (event + "\n").encode()
                handler.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                handler.wfile.flush()
            handler.wfile.write(b"0\r\n\r\n")
        except OSError:
            pass
        finally:
            with self._lock:
                self._watches.remove(events)

    def close(self):
        self.fail(True)
        super().close()
