#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Usage: seeds.py DIRECTORY: makes DIRECTORY/TARGET/seed-N, what each fuzz target begins with: bytes that its parsers
take, which chance does not find. Targets that are not here begin with nothing."""

import json
import pathlib
import sys

TESTS = pathlib.Path(__file__).resolve().parent.parent


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def message(*fields):
    """Protobuf of (number, value) pairs: an integer, a text, or the bytes of another message."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            value = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def metadata(name):
    labels = message((1, "app"), (2, "web"))
    note = message((1, "optipod.dev/profile"), (2, "cpu=1"))
    owner = message((1, "ReplicaSet"), (3, "web"), (4, "u"), (6, 1))
    return message((1, name), (3, "default"), (5, "uid"), (6, "7"), (11, labels), (12, note), (13, owner))


def quantities(cpu="500m", memory="1Gi"):
    return [(number, message((1, name), (2, message((1, text)))))
            for number, name, text in ((1, "cpu", cpu), (1, "memory", memory))]


# Field numbers: generated.proto of k8s.io/api.
LIMITS = [(2, entry) for _, entry in quantities()]
CONTAINER = message((1, "c"), (8, message(*quantities(), *LIMITS)), (24, "Always"))
RUNNING = message((1, "c"), (2, message((2, message((1, message((1, 1_700_000_000))))))))
POD = message((1, metadata("web-0")), (2, message((2, CONTAINER), (20, CONTAINER), (10, "a"), (25, 5), (32, LIMITS[0][1]))),
              (3, message((1, "Running"), (8, RUNNING))))
NODE = message((1, metadata("a")), (3, message(*((2, entry) for _, entry in quantities("4", "16Gi")))))
SLICE = message((1, metadata("s")), (2, message((1, "10.0.0.1"), (2, message((1, 1), (2, 1))), (6, "n1"))),
                (3, message((1, "metrics"), (2, "TCP"), (3, 9000))), (4, "IPv4"))


def envelope(kind, body):
    """runtime.Unknown; fuzz_kube puts the magic before it."""
    return message((1, message((1, "v1"), (2, kind))), (2, body), (3, ""), (4, ""))


POD_JSON = {"metadata": {"name": "web-0", "namespace": "default", "uid": "uid", "labels": {"app": "web"},
                         "annotations": {"optipod.dev/profile": "cpu=1"}, "resourceVersion": "7"},
            "spec": {"nodeName": "a", "priority": 5, "containers": [
                {"name": "c", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": 2}}}]},
            "status": {"phase": "Running", "containerStatuses": [{"state": {"running": {"startedAt": "2024-01-01T00:00:00Z"}}}]}}
NODE_JSON = {"metadata": {"name": "a"}, "status": {"allocatable": {"cpu": "4", "memory": "16Gi", "pods": "110"}}}
SLICE_JSON = {"metadata": {"name": "s"}, "addressType": "IPv4", "ports": [{"name": "metrics", "port": 9000}],
              "endpoints": [{"addresses": ["10.0.0.1"], "nodeName": "n1", "conditions": {"ready": True}}]}


def of_extender():
    yield POD
    yield NODE
    yield from (json.dumps(body).encode() for body in (
        POD_JSON, NODE_JSON, {"Pod": POD_JSON, "Nodes": None, "NodeNames": ["a", "b", "c"]},
        {"Pod": POD_JSON, "Nodes": {"items": [NODE_JSON]}, "NodeNames": None},
        {"Pod": POD_JSON, "NodeNameToMetaVictims": {"a": {"Pods": [{"UID": "u"}], "NumPDBViolations": 0}}},
        {"Pod": POD_JSON, "NodeNameToVictims": {"a": {"Pods": [POD_JSON], "NumPDBViolations": 1}}}))
    yield b"1.5Gi"


def of_kube():
    """Its first byte says what the others are."""
    listed = message((1, message((2, "7"), (3, "next"))), (2, POD), (2, POD))
    yield b"\3" + envelope("PodList", listed)
    yield b"\3" + message((1, "ADDED"), (2, message((1, b"k8s\0" + envelope("Pod", POD)))))
    yield b"\3" + envelope("Status", message((2, "Failure"), (3, "too old"), (4, "Expired"), (6, 410)))
    yield b"\0" + json.dumps({"kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": [POD_JSON]}).encode()
    yield b"\1" + json.dumps({"type": "MODIFIED", "object": POD_JSON}).encode()
    yield b"\4" + json.dumps({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}).encode()


def of_aggregator():
    yield SLICE
    yield json.dumps(SLICE_JSON).encode()
    yield json.dumps([{"targets": ["10.0.0.1:9000", "[fd00::1]:9000"], "labels": {
        "node": "n", "__scheme__": "https", "__metrics_path__": "/m", "__scrape_timeout__": "1s", "rack": "r"}}]).encode()
    yield json.dumps({"node_id": "n", "page_faults": 1, "mem_bytes_allocated": 4096.5, "fs_read_size_kb": 2}).encode()
    yield from (text.encode() for text in (
        "up", '{__name__=~"optipod:node_.*",node!="n"}', "a{b='two\\nlines',c!~\"\\u00fc|x+\",}", '{"a.b","c.d"=`e`} # f',
        'up{job="\\x6a\\152"}'))


def of_openmetrics():
    text = (TESTS / "common/cases/openmetrics.txt").read_text(encoding="utf-8")
    for case in text.split("\n== ")[1:]:
        yield (case.partition("\n")[2].rstrip("\n") + "\n# EOF\n").encode()


def of_parse_text():
    lines = (TESTS / "sim/page.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    for at in range(0, min(len(lines), 400), 40):
        yield "".join(lines[at:at + 40]).encode()


SEEDS = {"fuzz_extender": of_extender, "fuzz_kube": of_kube, "fuzz_aggregator": of_aggregator,
         "fuzz_openmetrics": of_openmetrics, "fuzz_parse_text": of_parse_text}


def main():
    for target, make in SEEDS.items():
        directory = pathlib.Path(sys.argv[1]) / target
        directory.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(make()):
            (directory / f"seed-{number}").write_bytes(seed)


if __name__ == "__main__":
    main()
