#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Usage: seeds.py DIRECTORY: makes DIRECTORY/TARGET/seed-N, what each fuzz target begins with: bytes that its parsers
take, which chance does not find, above all what a real API server wrote (tests/extender/recorded). Targets that are
not here begin with nothing."""

import json
import pathlib
import sys

TESTS = pathlib.Path(__file__).resolve().parent.parent
RECORDED = TESTS / "extender/recorded"
MAGIC = b"k8s\0"
# fuzz_kube's first byte says what the rest is.
PAGE, EVENT, STREAM, PROTOBUF, SMALL = (bytes([kind]) for kind in range(5))


def take_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(message, number):
    """The byte fields of that number; Kubernetes' messages have these and integers only."""
    at = 0
    while at < len(message):
        key, at = take_varint(message, at)
        length, at = take_varint(message, at)   # or an integer's value
        if key & 7 == 2:
            if key >> 3 == number:
                yield message[at:at + length]
            at += length


def frames(stream):
    while stream:
        length = int.from_bytes(stream[:4], "big")
        yield stream[4:4 + length]
        stream = stream[4 + length:]


def recorded(name):
    return (RECORDED / name).read_bytes()


def objects_of(page):
    """The pods or nodes in a list's envelope."""
    for envelope in fields(page[len(MAGIC):], 2):
        yield from fields(envelope, 2)


def requests():
    """Each verb's, about real pods; half of the names are those of the fuzzer's own nodes."""
    for pod in json.loads(recorded("pods.json"))["items"]:
        uid = {"UID": pod["metadata"]["uid"]}
        yield {"Pod": pod, "Nodes": None, "NodeNames": ["a", "b", "c", "d"]}
        yield {"Pod": pod, "Nodes": json.loads(recorded("nodes.json")), "NodeNames": None}
        yield {"Pod": pod, "NodeNameToVictims": {"a": {"Pods": [pod], "NumPDBViolations": 0}},
               "NodeNameToMetaVictims": None}
        yield {"Pod": pod, "NodeNameToVictims": None,
               "NodeNameToMetaVictims": {"a": {"Pods": [uid, uid], "NumPDBViolations": 1}, "d": {"Pods": []}}}


def of_kube():
    for name in ("pods", "nodes"):
        yield PROTOBUF + recorded(f"{name}.pb")[len(MAGIC):]
        yield PAGE + recorded(f"{name}.json")
    for frame in frames(recorded("watch.pb")):
        yield PROTOBUF + frame
    yield STREAM + recorded("watch.pb")
    for line in recorded("watch.json").splitlines():
        yield EVENT + line
    yield PROTOBUF + recorded("missing.pb")[len(MAGIC):]
    yield SMALL + recorded("missing.json")


def of_extender():
    for name in ("pods", "nodes"):
        yield from objects_of(recorded(f"{name}.pb"))
        for one in json.loads(recorded(f"{name}.json"))["items"]:
            yield json.dumps(one).encode()
    for one in requests():
        yield json.dumps(one, separators=(",", ":")).encode()
    yield b"1.5Gi"


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def message(*pairs):
    """Protobuf of (number, value) pairs: an integer, a text, or the bytes of another message."""
    out = b""
    for number, value in pairs:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            value = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


# Field numbers: generated.proto of k8s.io/api.
SLICE = message((1, message((1, "s"))), (2, message((1, "10.0.0.1"), (2, message((1, 1), (2, 1))), (6, "n1"))),
                (3, message((1, "metrics"), (2, "TCP"), (3, 9000))), (4, "IPv4"))
SLICE_JSON = {"metadata": {"name": "s"}, "addressType": "IPv4", "ports": [{"name": "metrics", "port": 9000}],
              "endpoints": [{"addresses": ["10.0.0.1"], "nodeName": "n1", "conditions": {"ready": True}}]}


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
