# SPDX-License-Identifier: Apache-2.0
"""A hostile client of the real extender: neither a pod's maker nor who reaches its port makes it grow."""
import json
import pathlib
import re
import socket

import optipod_e2e

MIB = 1024 * 1024
# Whatever is sent: bodies have four times the largest (64 MiB), and what it takes to read and answer them comes to less
# than as much again. Each test took more when nothing bounded it, up to 2.4 GB.
BOUND = 640 * MIB


def most_memory(extender):
    """The most that was ever resident, in bytes."""
    status = pathlib.Path(f"/proc/{extender.pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def post(extender, verb, body):
    return optipod_e2e.http(extender.url + verb, data=body, headers={"Content-Type": "application/json"}, timeout=60)


def asked(names, **metadata):
    return json.dumps({"Pod": {"metadata": {"name": "p", "namespace": "n", **metadata}}, "Nodes": None,
                       "NodeNames": names})


def served(extender):
    """A pod of everyday is answered as ever."""
    return json.loads(post(extender, "/filter", asked(["a", "b"], uid="every-day")).text)["NodeNames"] == ["a", "b"]


def test_a_pod_with_as_many_annotations_as_kubernetes_takes(stack):
    extender = stack.serve("extender", "--kubernetes=off")
    body = asked(["a", "b"], uid="u", annotations={f"optipod.dev/{i:x}": "" for i in range(12_000)})
    for _ in range(600):   # more than are kept for /explain
        assert post(extender, "/prioritize", body).status == 200
    told = extender.get("/explain?limit=1").json()["decisions"][0]["problems"]
    assert "annotation optipod.dev/0 is unknown" in told[0] and told[-1] == "and 11992 more annotations"
    assert served(extender) and most_memory(extender) < BOUND


def test_names_and_bodies_that_no_cluster_has(stack):
    extender = stack.serve("extender", "--kubernetes=off")
    for i in range(12):   # no two alike, each a candidate for a booking
        long = asked([f"{i}-{j}-" + "x" * MIB for j in range(60)], uid=f"u-{i}")
        assert post(extender, "/prioritize", long).status == 200
    assert most_memory(extender) < BOUND
    many = asked([], uid="u").replace("[]", "[" + '"a",' * 15_000_000 + '"a"]')
    for verb in ("/prioritize", "/filter"):
        assert post(extender, verb, many).status == 400
    assert most_memory(extender) < BOUND and served(extender)

    held = []
    head = f"POST /prioritize HTTP/1.1\r\nHost: x\r\nContent-Length: {60 * MIB}\r\n\r\n".encode()
    for _ in range(40):   # all begin, none ends
        held.append(socket.create_connection(("127.0.0.1", int(extender.url.rpartition(":")[2]))))
        try:
            held[-1].sendall(head + b" " * (40 * MIB))
        except OSError:   # turned away
            pass
    assert served(extender) and most_memory(extender) < BOUND
    for connection in held:
        connection.close()
