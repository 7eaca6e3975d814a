#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the fuzzers of the extender begin with: what a real API server wrote (tests/extender/recorded), and the
verbs' requests with its pods. Without it none finds its way into a protobuf message.

    seeds.py DIRECTORY      # one file a seed, in a folder a target
"""
import json
import pathlib
import sys

RECORDED = pathlib.Path(__file__).resolve().parents[1] / "extender/recorded"
MAGIC = b"k8s\0"
# fuzz_kube's first byte says what the rest is.
PAGE, EVENT, STREAM, PROTOBUF, SMALL = (bytes([kind]) for kind in range(5))


def varint(data, at):
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
        key, at = varint(message, at)
        length, at = varint(message, at)   # or an integer's value
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


def seeds():
    """(target, bytes)"""
    for name in ("pods", "nodes"):
        page = recorded(f"{name}.pb")
        yield "fuzz_kube", PROTOBUF + page[len(MAGIC):]
        yield "fuzz_kube", PAGE + recorded(f"{name}.json")
        for one in objects_of(page):
            yield "fuzz_extender", one
        for one in json.loads(recorded(f"{name}.json"))["items"]:
            yield "fuzz_extender", json.dumps(one).encode()
    for frame in frames(recorded("watch.pb")):
        yield "fuzz_kube", PROTOBUF + frame
    yield "fuzz_kube", STREAM + recorded("watch.pb")
    for line in recorded("watch.json").splitlines():
        yield "fuzz_kube", EVENT + line
    yield "fuzz_kube", PROTOBUF + recorded("missing.pb")[len(MAGIC):]
    yield "fuzz_kube", SMALL + recorded("missing.json")
    for one in requests():
        yield "fuzz_extender", json.dumps(one, separators=(",", ":")).encode()


def main():
    into = pathlib.Path(sys.argv[1])
    for number, (target, data) in enumerate(seeds()):
        (into / target).mkdir(parents=True, exist_ok=True)
        (into / target / f"{number:03}").write_bytes(data)


if __name__ == "__main__":
    main()
