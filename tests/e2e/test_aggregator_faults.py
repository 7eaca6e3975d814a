# SPDX-License-Identifier: Apache-2.0
"""What breaks around the aggregator costs what broke, and nobody is told that old is fresh."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

import bad_exporter
from aggregator_peers import FakeExporter, federated, nodes_of, who_is_up
from optipod_e2e import free_port, http, series, wait_until

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
MEASURED = '{__name__=~"optipod_node_.*|optipod:node_cpu.*"}'
BAD = sorted(set(bad_exporter.KINDS) - {"good"})


def exporters(stack, host=None, prefix=()):
    """Starts the good and bad exporters; their process, with its `port`."""
    process = stack.run([*prefix, sys.executable, bad_exporter.__file__, *([host] if host else [])], name="exporters")
    process.port = int(wait_until(lambda: process.log().strip(), "the exporters listen"))
    return process


def write_targets(path, targets):
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps([{"targets": [address], "labels": {"node": node, "__metrics_path__": at}}
                                 for node, address, at in targets]))
    os.replace(fresh, path)
    return path


def peak_bytes(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def test_half_of_the_targets_fail_in_every_way(stack):
    address = f"127.0.0.1:{exporters(stack).port}"
    good = [(f"good-{i}", address, f"/good/{i}") for i in range(3 * len(BAD))]
    bad = [(f"bad-{kind}-{i}", address, f"/{kind}/{i}") for kind in BAD for i in range(3)]
    aggregator = stack.serve("aggregator", "--file-sd", write_targets(stack.directory / "t.json", good + bad),
                             "--max-body", "1048576", "--scrape-backoff", "3s", seconds=60)

    def healthy():
        return [said for node, said in nodes_of(aggregator).items() if node.startswith("good")]
    wait_until(lambda: max(said["scrapes"] for said in healthy()) >= 12, "healthy ones are scraped", 60)
    # Not late: none is behind the others.
    most = max(said["scrapes"] for said in healthy())
    for said in healthy():
        assert said["scrapes"] >= most - 2 and said["failures"] <= 2, said
    wait_until(lambda: who_is_up(aggregator) == {node for node, _, _ in good}, "all healthy ones are up, and no other")

    assert federated(aggregator, '{node=~"bad.*",__name__!~"up|scrape_.*|optipod:node_up:last"}') == {}
    assert {v for v, _ in federated(aggregator, '{node=~"bad.*",__name__=~"up|optipod:node_up:last"}').values()} == {0}
    found = aggregator.metrics()
    for result in ("connection", "timeout", "too_large"):
        assert series(found, "optipod_aggregator_scrapes_total", result=result)[0] > 0
    assert series(found, "optipod_aggregator_scrapes_backed_off_total")[0] > 0
    assert peak_bytes(aggregator) < 256 * 1024 * 1024
    assert aggregator.stop() == 0


class Network:
    """A network namespace with one link to here, which can swallow all that is said there."""

    made = 0

    def __init__(self):
        Network.made += 1
        self.name = f"optipod-{os.getpid()}-{Network.made}"
        link = f"op{os.getpid()}-{Network.made}"
        second = (os.getpid() + Network.made) % 250 + 1
        self.here, self.there = f"10.{second}.77.1", f"10.{second}.77.2"
        self._ip("netns", "add", self.name)
        self._ip("link", "add", link, "type", "veth", "peer", "name", "inner", "netns", self.name)
        self._ip("addr", "add", f"{self.here}/30", "dev", link)
        self._ip("link", "set", link, "up")
        self.inside("addr", "add", f"{self.there}/30", "dev", "inner")
        self.inside("link", "set", "inner", "up")

    @staticmethod
    def _ip(*arguments):
        subprocess.run(["ip", *arguments], check=True, capture_output=True)

    def inside(self, *arguments):
        self._ip("-n", self.name, *arguments)

    def swallow(self, swallowing):
        self.inside("route", "add" if swallowing else "del", "blackhole", f"{self.here}/32")

    def close(self):
        self._ip("netns", "del", self.name)


@pytest.fixture
def network():
    made = Network()
    yield made
    made.close()


@pytest.mark.parametrize("fault", ["swallowed", "link down"])
def test_a_network_that_breaks(stack, network, fault):
    port = exporters(stack, network.there, prefix=["ip", "netns", "exec", network.name]).port
    near = FakeExporter()
    try:
        aggregator = stack.serve("aggregator", "--target", f"far={network.there}:{port}/good/0", "--target",
                                 f"near={near.address}", "--scrape-interval", "400ms", "--scrape-timeout", "300ms",
                                 "--scrape-backoff", "1s", seconds=60)
        wait_until(lambda: len(federated(aggregator, 'optipod:node_cpu_utilization:mean_15s')) == 2, "both are derived")

        def cut(broken):
            if fault == "swallowed":
                network.swallow(broken)
            else:
                network.inside("link", "set", "inner", "down" if broken else "up")
        cut(True)
        cut_ms = time.time() * 1000
        wait_until(lambda: who_is_up(aggregator) == {"near"}, "the far one is gone, the near one is not", 30)
        scrapes = nodes_of(aggregator)["near"]["scrapes"]
        wait_until(lambda: nodes_of(aggregator)["near"]["scrapes"] >= scrapes + 5, "the near one goes on", 30)
        far = nodes_of(aggregator)["far"]
        assert not far["up"] and far["last_sample"] * 1000 <= cut_ms
        assert far["age_seconds"] == pytest.approx(time.time() - far["last_sample"], abs=2)
        assert federated(aggregator, '{node="far",__name__=~"optipod_node_.*"}') == {}
        # What is still told of it has the age that it has.
        assert all(at <= cut_ms for _, at in federated(aggregator, '{node="far",__name__=~"optipod:node_cpu.*"}').values())
        cut(False)
        wait_until(lambda: who_is_up(aggregator) == {"far", "near"}, "it is back", 60)
    finally:
        near.close()


def test_clocks_that_jump(stack):
    """The aggregator's clock against that of a node: old is never fresh, and nothing comes from the future."""
    offset = stack.directory / "offset"

    def set_clock(seconds):
        fresh = offset.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        os.replace(fresh, offset)

    set_clock(0)
    node = exporters(stack)
    aggregator = stack.serve("aggregator", "--target", f"n=127.0.0.1:{node.port}/good/0", "--scrape-interval", "400ms",
                             "--scrape-timeout", "300ms",
                             env={"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": str(offset),
                                  "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    wait_until(lambda: federated(aggregator, MEASURED), "it is measured")

    # An hour ahead: what the node says is an hour old, and too old to be told.
    set_clock(3600)
    wait_until(lambda: not federated(aggregator, MEASURED), "nothing old is told")
    wait_until(lambda: nodes_of(aggregator)["n"]["age_seconds"] > 3500, "the age is seen")
    assert who_is_up(aggregator) == {"n"}  # it does answer

    set_clock(0)
    wait_until(lambda: federated(aggregator, MEASURED), "back")

    # An hour behind: what the node says is from the future; it counts as of the moment it was asked.
    set_clock(-3600)
    wait_until(lambda: federated(aggregator, '{__name__=~"optipod_node_.*"}'), "it is told again")
    told = federated(aggregator, '{__name__=~".+"}')
    assert told and all(at <= (time.time() - 3600 + 1) * 1000 for _, at in told.values())

    # Set back while the node dies: what it said before comes from the future now, and is not told.
    set_clock(0)
    wait_until(lambda: nodes_of(aggregator)["n"]["last_sample"] > time.time() - 1800, "the true time again")
    node.kill()
    set_clock(-3600)
    wait_until(lambda: who_is_up(aggregator) == set(), "the node is gone")
    assert federated(aggregator, MEASURED) == {}


def test_killed_and_started_again(stack):
    fakes = [FakeExporter() for _ in range(3)]
    port = free_port()
    try:
        targets = [word for i, fake in enumerate(fakes) for word in ("--target", f"n{i}={fake.address}")]
        first = stack.serve("aggregator", *targets, port=port)
        wait_until(lambda: len(federated(first, "optipod:node_cpu_utilization:mean_15s")) == 3, "all are derived")
        first.signal(signal.SIGKILL)
        first.popen.wait(10)
        killed_ms = time.time() * 1000
        second = stack.start("aggregator", *targets, "--web.listen-address", f"127.0.0.1:{port}")
        second.url = f"http://127.0.0.1:{port}"

        def asked():
            try:
                return http(second.url + "/federate?match[]=up")
            except OSError:
                return None
        # Until every target was asked there is no answer, rather than half of one.
        reply = wait_until(asked, "it listens")
        assert reply.status == 503 or reply.text.count("\nup{") == 3
        stack.wait_for(second, "/readyz")
        told = federated(second, '{__name__=~".+"}')
        assert len([key for key in told if key[0] == "up"]) == 3
        assert all(at >= killed_ms - 1000 for _, at in told.values())
        assert {(node["scrapes"] - node["failures"]) > 0 for node in nodes_of(second).values()} == {True}
        wait_until(lambda: len(federated(second, "optipod:node_cpu_utilization:mean_15s")) == 3, "all are derived again")
    finally:
        for fake in fakes:
            fake.close()


def test_a_list_that_empties_and_fills(stack):
    address = f"127.0.0.1:{exporters(stack).port}"
    path = stack.directory / "t.json"
    targets = [(f"n{i}", address, f"/good/{i}") for i in range(30)]
    write_targets(path, targets)
    aggregator = stack.serve("aggregator", "--file-sd", path)
    for _ in range(3):
        wait_until(lambda: len(who_is_up(aggregator)) == 30, "all are up", 30)
        write_targets(path, [])
        wait_until(lambda: nodes_of(aggregator) == {}, "none is left")
        assert federated(aggregator, '{__name__=~".+"}') == {}
        assert aggregator.get("/readyz").status == 200
        assert series(aggregator.metrics(), "optipod_aggregator_series") == [0]
        write_targets(path, targets)
