# SPDX-License-Identifier: Apache-2.0
"""Targets appear and vanish as http_sd, DNS and Kubernetes say, and stay when those say nothing."""

import pytest

from aggregator_peers import FakeExporter, federated, nodes_of, who_is_up
from discovery_peers import DnsServer, EndpointSliceApi, HttpSd
from optipod_e2e import answers, series, wait_until


@pytest.fixture
def opened():
    """opened(thing): closed when the test ends."""
    things = []

    def add(thing):
        things.append(thing)
        return thing
    yield add
    for thing in reversed(things):
        thing.close()


@pytest.fixture
def fakes(opened):
    """Three exporters on one port of 127.0.0.2, .3 and .4."""
    first = opened(FakeExporter("127.0.0.2"))
    return [first] + [opened(FakeExporter(f"127.0.0.{i}", first.port)) for i in (3, 4)]


def discovery(aggregator, what):
    [value] = series(aggregator.metrics(), f"optipod_aggregator_discovery_{what}")
    return value


def test_http_sd_gives_the_list_and_a_failure_keeps_it(stack, fakes, opened):
    server = opened(HttpSd())
    server.groups = [{"targets": [fakes[0].address], "labels": {"node": "a", "zone": "z"}},
                     {"targets": [fakes[1].address], "labels": {"__meta_kubernetes_node_name": "b"}}]
    aggregator = stack.serve("aggregator", "--http-sd", server.url + "/targets?x=y", "--http-sd-interval", "300ms")
    # Ready says that the first list was waited for.
    assert who_is_up(aggregator) == {"a", "b"}
    assert server.headers["X-Prometheus-Refresh-Interval-Seconds"] == "0.3"
    assert all(("zone", "z") in labels for _, labels in federated(aggregator, 'up{node="a"}'))
    assert discovery(aggregator, "good") == 1 and discovery(aggregator, "targets") == 2
    assert discovery(aggregator, "last_success_timestamp_seconds") > 0

    for wrong in ({"status": 500}, {"kind": "text/html"}, {"text": "[{"}, {"text": '[{"targets": ["x"]}]'}):
        failures = discovery(aggregator, "failures_total")
        for key, value in wrong.items():
            setattr(server, key, value)
        wait_until(lambda: discovery(aggregator, "failures_total") > failures, f"{wrong} is a failure")
        assert discovery(aggregator, "good") == 0
        assert who_is_up(aggregator) == {"a", "b"}
        server.status, server.kind, server.text = 200, "application/json", None
        wait_until(lambda: discovery(aggregator, "good") == 1, "it is good again")
    assert "its last good list of 2 targets stays in use" in aggregator.log()

    server.groups = []
    wait_until(lambda: nodes_of(aggregator) == {}, "an empty list is believed")
    assert federated(aggregator, '{__name__=~"up|optipod.*"}') == {}
    server.groups = [{"targets": [fakes[2].address]}]
    wait_until(lambda: who_is_up(aggregator) == {fakes[2].address}, "and a new one too")


def test_without_its_first_list_it_is_not_ready_but_does_not_wait_for_ever(stack, fakes):
    aggregator = stack.serve("aggregator", "--http-sd", "http://127.0.0.1:1/", "--target", f"a={fakes[0].address}")
    assert who_is_up(aggregator) == {"a"}
    assert discovery(aggregator, "good") == 0 and discovery(aggregator, "failures_total") >= 1


def test_dns_names(stack, fakes, opened):
    dns = opened(DnsServer())
    dns.records[("exporters.example", "A")] = ["127.0.0.3", "127.0.0.2"]
    dns.records[("_metrics._tcp.example", "SRV")] = [("127-0-0-4.example", fakes[2].port)]
    dns.records[("six.example", "AAAA")] = ["::1"]
    port = fakes[0].port
    aggregator = stack.serve("aggregator", "--dns-server", dns.address, "--dns-sd-interval", "200ms",
                             "--dns-sd", f"exporters.example:{port}", "--dns-sd", "_metrics._tcp.example",
                             "--dns-sd", "six.example:1", "--dns-sd", "nobody.example:1")
    # The SRV record's host is for the system's resolver, which does not know it.
    assert set(nodes_of(aggregator)) == {f"127.0.0.2:{port}", f"127.0.0.3:{port}", f"127-0-0-4.example:{port}", "[::1]:1"}
    assert who_is_up(aggregator) == {f"127.0.0.2:{port}", f"127.0.0.3:{port}"}

    def nodes():
        return {node for node in nodes_of(aggregator) if not node.startswith(("127-", "[::1]"))}

    # More than a datagram holds.
    many = [f"127.1.{i // 250}.{i % 250 + 1}" for i in range(1000)]
    dns.records[("exporters.example", "A")] = many
    wait_until(lambda: nodes() == {f"{address}:{port}" for address in many}, "1,000 addresses over TCP", 30)
    assert dns.over_tcp > 0
    dns.records[("exporters.example", "A")] = ["127.0.0.2"]
    wait_until(lambda: nodes() == {f"127.0.0.2:{port}"}, "one is left")

    for mode in ("fail", "silent"):
        dns.mode = mode
        wait_until(lambda: f"exporters.example:{port}: " in aggregator.log() and
                   0 in series(aggregator.metrics(), "optipod_aggregator_discovery_good",
                               source=f"exporters.example:{port}"), f"{mode} is a failure", 60)
        assert nodes() == {f"127.0.0.2:{port}"}
        dns.mode = "good"
        wait_until(lambda: 0 not in series(aggregator.metrics(), "optipod_aggregator_discovery_good"), "good again", 60)
    del dns.records[("exporters.example", "A")]
    wait_until(lambda: nodes() == set(), "a name that is gone has no targets")
    dns.mode = "silent"
    assert aggregator.stop() == 0  # with a question under way


def test_endpoint_slices_are_followed(stack, fakes, opened):
    api = opened(EndpointSliceApi())
    port = fakes[0].port
    api.put(api.slice("s-1", [("127.0.0.2", "n2", True), ("127.0.0.3", "n3", False)], port))
    aggregator = stack.serve("aggregator", "--kube-sd", "optipod/exporter", "--kubeconfig",
                             api.kubeconfig(stack.directory / "kubeconfig"))
    assert who_is_up(aggregator) == {"n2"}
    assert api.asked[0].startswith("/apis/discovery.k8s.io/v1/namespaces/optipod/endpointslices?")
    assert "labelSelector=kubernetes.io%2Fservice-name%3Dexporter" in api.asked[0]

    api.put(api.slice("s-1", [("127.0.0.2", "n2", True), ("127.0.0.3", "n3", True)], port))
    wait_until(lambda: who_is_up(aggregator) == {"n2", "n3"}, "an endpoint is ready")
    api.put(api.slice("s-2", [("127.0.0.4", "n4", True)], port))
    wait_until(lambda: who_is_up(aggregator) == {"n2", "n3", "n4"}, "a slice is added")
    api.delete("s-1")
    wait_until(lambda: set(nodes_of(aggregator)) == {"n4"}, "a slice is gone")

    # What changed while nobody was told is in the next list.
    api.slices["s-2"] = api.slice("s-2", [("127.0.0.2", "n2", True)], port)
    api.slices["s-2"]["metadata"]["resourceVersion"] = "9"
    api.expire()
    wait_until(lambda: who_is_up(aggregator) == {"n2"}, "410 lists again")

    api.fail(True)
    wait_until(lambda: discovery(aggregator, "good") == 0, "the API server is gone")
    assert who_is_up(aggregator) == {"n2"}
    api.slices.clear()
    api.fail(False)
    wait_until(lambda: discovery(aggregator, "good") == 1, "it is back", 60)
    api.expire()
    wait_until(lambda: nodes_of(aggregator) == {}, "and has none", 60)
    assert answers(aggregator.url + "/readyz")


def test_it_says_what_is_wrong_with_its_sources(stack, opened):
    api = opened(EndpointSliceApi())
    kubeconfig = api.kubeconfig(stack.directory / "kubeconfig")
    for arguments, said in ((["--http-sd", "ftp://x/"], "is not an http"),
                            (["--dns-sd", "name"], "write NAME:PORT"),
                            (["--dns-sd", "a:1", "--dns-server", "not an address"], "--dns-server not an address"),
                            (["--kube-sd", "x", "--kubeconfig", kubeconfig], "write NAMESPACE/SERVICE"),
                            (["--kube-sd", "a/b:", "--kubeconfig", kubeconfig], "write NAMESPACE/SERVICE"),
                            (["--kube-sd", "a/b", "--kubeconfig", "/none"], "/none"),
                            (["--http-sd", "http://x/", "--http-sd-interval", "0s"], "above 0")):
        process = stack.start("aggregator", *arguments)
        assert process.wait() == 2
        assert said in process.log()
