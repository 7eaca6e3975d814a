# SPDX-License-Identifier: Apache-2.0
"""The Kubernetes API, plainly: JSON over kept-alive connections, many at once where it should be quick."""

import concurrent.futures
import http.client
import json
import socket
import ssl
import threading

CONNECTIONS = 8


class Refused(Exception):
    """The API server said no. `.code` is its HTTP status."""

    def __init__(self, method, path, code, message):
        super().__init__(f"{method} {path}: {code} {message}")
        self.code = code


class Api:
    """Thread-safe: each thread has a connection of its own. `tls` None: plain HTTP (kubectl proxy)."""

    def __init__(self, host, port, tls=None, token=None):
        self.host, self.port, self._tls = host, port, tls
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._own = threading.local()

    @classmethod
    def with_certificate(cls, port, authority, certificate, key):
        tls = ssl.create_default_context(cafile=str(authority))
        tls.load_cert_chain(str(certificate), str(key))
        return cls("127.0.0.1", port, tls)

    def _connection(self):
        made = getattr(self._own, "connection", None)
        if made is None:
            if self._tls:
                made = http.client.HTTPSConnection(self.host, self.port, timeout=60, context=self._tls)
            else:
                made = http.client.HTTPConnection(self.host, self.port, timeout=60)
            made.connect()
            made.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._own.connection = made
        return made

    def _drop(self):
        made = getattr(self._own, "connection", None)
        if made is not None:
            made.close()
        self._own.connection = None

    def request(self, method, path, body=None):
        """The answer's JSON. Raises Refused for any status that is not 2xx."""
        data = json.dumps(body).encode() if body is not None else None
        headers = self._headers
        if method == "PATCH":
            headers = {**headers, "Content-Type": "application/merge-patch+json"}
        try:
            connection = self._connection()
            connection.request(method, path, data, headers)
            reply = connection.getresponse()
            text = reply.read()
        except (OSError, http.client.HTTPException):
            self._drop()
            raise
        if not 200 <= reply.status < 300:
            try:
                message = json.loads(text).get("message", "")
            except ValueError:
                message = text[:300].decode(errors="replace")
            raise Refused(method, path, reply.status, message)
        return json.loads(text) if text.startswith(b"{") else {}

    def get(self, path):
        try:
            return self.request("GET", path)
        except ConnectionError:   # the server had closed a connection that was kept
            return self.request("GET", path)

    def post(self, path, body):
        return self.request("POST", path, body)

    def delete(self, path, grace_seconds=None, missing_ok=False):
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        try:
            return self.request("DELETE", path, body)
        except Refused as error:
            if error.code == 404 and missing_ok:
                return {}
            raise

    def ready(self):
        """True when the server takes requests."""
        try:
            self.get("/readyz")
            return True
        except (Refused, OSError, http.client.HTTPException):
            self._drop()
            return False

    def post_all(self, path, bodies):
        """Creates all of them, over CONNECTIONS connections; the first refusal is raised."""
        with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(lambda body: self.post(path, body), bodies))

    def delete_all(self, paths):
        with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(lambda path: self.delete(path, missing_ok=True), paths))

    def watch(self, path, resource_version):
        """Yields (type, object) for ever, each change after that version once; closing the generator ends it.

        An API server ends a watch when it likes, at once that of a reader which does not keep up: it is asked anew
        for what came after the last change that was read."""
        while True:
            for kind, changed in self._watch_once(path, resource_version):
                resource_version = changed["metadata"]["resourceVersion"]
                yield kind, changed

    def _watch_once(self, path, resource_version):
        other = Api(self.host, self.port, self._tls, self._headers.get("Authorization", "")[7:])
        connection = other._connection()   # pylint: disable=protected-access
        connection.sock.settimeout(600)
        mark = "&" if "?" in path else "?"
        try:
            connection.request("GET", f"{path}{mark}watch=1&resourceVersion={resource_version}", None, self._headers)
            reply = connection.getresponse()
            if reply.status != 200:
                raise Refused("GET", path, reply.status, reply.read(300).decode(errors="replace"))
            for line in reply:
                if not line.endswith(b"\n"):   # cut off with its connection
                    return
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise Refused("GET", path, event["object"].get("code", 0), event["object"].get("message", ""))
                yield event["type"], event["object"]
        finally:
            connection.close()
