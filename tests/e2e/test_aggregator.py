# SPDX-License-Identifier: Apache-2.0
"""The aggregator as a program: over a real agent and exporter, and over peers that this test plays."""

import json
import os
import socket
import sys
import time
import urllib.parse

import pytest

from aggregator_peers import TIMESTAMP, FakeExporter, federated
from optipod_e2e import Prometheus, busy, free_port, promtool_check, samples_at, series, wait_until
from optipod_e2e import http as http_get

NODE = "node-a"


def derived(aggregator, quantity, node=NODE):
    """(value, time in ms) of optipod:node_<quantity>, or None."""
    name = f"optipod:node_{quantity}"
    found = federated(aggregator, f'{name}{{node="{node}"}}')
    assert len(found) <= 1
    return next(iter(found.values()), None)


def up(aggregator, node=NODE):
    return (derived(aggregator, "up:last", node) or (None,))[0]


@pytest.fixture
def fakes():
    made = [FakeExporter() for _ in range(3)]
    yield made
    for fake in made:
        fake.close()


def test_what_it_federates_is_what_the_exporter_said(stack, cgroup):
    work = cgroup.child("work")
    agent = stack.agent("--node-name", "other-name", cgroup=cgroup)
    exporter = stack.exporter(agent.segment)
    address = exporter.url.removeprefix("http://")
    # Out of step with the agent's interval: in step, both pages might never be of one sample at one time.
    aggregator = stack.serve("aggregator", "--target", f"{NODE}={address}", "--scrape-interval", "300ms",
                             "--scrape-timeout", "250ms")
    busy(stack, work, count=2, cpus={0})
    wait_until(lambda: derived(aggregator, "cpu_runqueue_wait:mean_15s"), "the view is there")

    def same_tick():
        """Both pages of one sample, or None when a tick came between."""
        ours = federated(aggregator, f'{{node="{NODE}"}}')
        theirs = exporter.metrics()
        moments = [value for (name, _), (value, _) in ours.items() if name == TIMESTAMP]
        return (ours, theirs) if moments == series(theirs, TIMESTAMP) else None

    ours, theirs = wait_until(same_tick, "both pages show the same sample")
    server_labels = {("node", NODE), ("instance", address), ("job", "optipod")}
    [moment] = series(theirs, TIMESTAMP)
    compared = 0
    for (name, labels), value in theirs.items():
        if not name.startswith(("optipod_node_", "optipod_container_")):
            continue
        renamed = {("exported_" + k if k in ("node", "instance", "job") else k, v) for k, v in labels if v}
        assert ours[name, frozenset(renamed | server_labels)] == (value, pytest.approx(moment * 1000, abs=1)), name
        compared += 1
    assert compared > 50
    assert ("exported_node", "other-name") in next(labels for name, labels in ours if name == "optipod_node_info")

    # Two threads that are always runnable on one CPU: one runs, one waits.
    def true_to_the_load():
        waiting, when = derived(aggregator, "cpu_runqueue_wait:mean_15s")
        used, _ = derived(aggregator, "cpu_utilization:mean_15s")
        cpus, _ = derived(aggregator, "cpus:last")
        assert time.time() - when / 1000 < 10
        return 0.5 < waiting * cpus and 0.3 < used * cpus
    wait_until(true_to_the_load, "the load shows in the view", 40)
    promtool_check(aggregator.get("/metrics").body)


def test_what_is_usual_and_what_pods_use(stack, cgroup):
    uid = "2c48913c-b29f-11e7-9350-020968147796"
    pods = stack.directory / "logs" / "pods"
    (pods / f"shop_web-0_{uid}" / "app").mkdir(parents=True)
    (pods / f"shop_web-0_{uid}" / "app" / "0.log").touch()
    app = cgroup.child(f"kubepods/burstable/pod{uid}/{'b' * 64}")
    agent = stack.agent("--pods-dir", pods, cgroup=cgroup)
    exporter = stack.exporter(agent.segment)
    aggregator = stack.serve("aggregator", "--target", f"{NODE}={exporter.url.removeprefix('http://')}")
    [load] = busy(stack, app)

    # The first interval may have ended before the load's first turn on a CPU.
    wait_until(lambda: (derived(aggregator, "cpu_utilization:mean_1h") or (0,))[0] > 0, "the long windows show the load")
    cpus, _ = derived(aggregator, "cpus:last")
    for window, seconds in (("15m", 900), ("1h", 3600), ("24h", 86400)):
        for resource in ("cpu", "memory"):
            mean, stddev, peak, covered = (derived(aggregator, f"{resource}_utilization:{of}_{window}")[0]
                                           for of in ("mean", "stddev", "max", "covered"))
            assert 0 < mean <= peak <= 1 and 0 <= stddev <= peak
            assert 0 < covered * seconds < 60
    assert derived(aggregator, "cpu_utilization:forecast_15m") is None  # from less than 15 min
    assert derived(aggregator, "cpu_runqueue_wait:max_1h")[0] >= 0
    assert derived(aggregator, "context_switches_involuntary:rate_1m")[0] > 0
    # What only a whole machine has.
    assert derived(aggregator, "page_faults:rate_1m") is None
    assert derived(aggregator, "network_loss:mean_1m") is None

    def of_pods():
        return federated(aggregator, '{__name__=~"optipod:pod_.*"}')

    labels = frozenset({"node": NODE, "namespace": "shop", "pod": "web-0", "instance": ""}.items())

    def pod(name):
        return (of_pods().get((name, labels)) or (None,))[0]

    # The pod is all that runs on the node: both views see one load.
    def true_to_the_load():
        used, node = pod("optipod:pod_cpu_usage:mean_1m"), derived(aggregator, "cpu_utilization:mean_1m")[0] * cpus
        return used is not None and used > 0.05 and used == pytest.approx(node, rel=0.25)
    wait_until(true_to_the_load, "the load shows as the pod's", 60)
    has_memory = (app.path / "memory.current").exists()
    assert (pod("optipod:pod_memory_bytes:last") is not None) == has_memory
    assert pod("optipod:pod_block_io_bytes:rate_1m") >= 0
    assert {found for _, found in of_pods()} == {labels}

    load.kill()
    app.remove()
    wait_until(lambda: of_pods() == {}, "the pod is gone with its series")


def test_a_whole_machine_counts_its_faults_and_segments(stack):
    agent = stack.agent()
    exporter = stack.exporter(agent.segment)
    aggregator = stack.serve("aggregator", "--target", f"{NODE}={exporter.url.removeprefix('http://')}")

    def vmstat(key):
        with open("/proc/vmstat", encoding="ascii") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith(f"{key} "))

    def page(name):
        [value] = series(exporter.metrics(), name)
        return value

    before, asked = vmstat("pgfault"), time.time()
    wait_until(lambda: page(TIMESTAMP) > asked, "a sample from after the reading")
    counted = page("optipod_node_page_faults_total")
    # A child that touches 64 MiB it has not touched before, again and again.
    touch = """
import mmap
while True:
    with mmap.mmap(-1, 64 << 20) as memory:
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        for at in range(0, len(memory), 4096):
            memory[at] = 1
"""
    stack.run([sys.executable, "-c", touch], name="touch")
    wait_until(lambda: page("optipod_node_page_faults_total") > counted + 16384, "the faults are counted")
    assert page("optipod_node_page_faults_total") - counted <= vmstat("pgfault") - before
    wait_until(lambda: (derived(aggregator, "page_faults:rate_1m") or (0,))[0] > 100, "and are a rate")
    # Each of them took a page.
    wait_until(lambda: (derived(aggregator, "memory_allocated_bytes:rate_1m") or (0,))[0] > 100 * 4096,
               "so is the memory")
    # Scrapes go over loopback TCP, where nothing is lost.
    wait_until(lambda: page("optipod_node_network_tcp_sent_segments_total") > 10, "segments are counted")
    loss, _ = wait_until(lambda: derived(aggregator, "network_loss:mean_1m"), "and loss is known")
    assert 0 <= loss < 0.5
    features = {dict(labels)["feature"]: value for (name, labels), value in exporter.metrics().items()
                if name == "optipod_agent_feature_enabled"}
    assert features["vm_events"] == features["tcp_segments"] == 1


def test_a_dead_agent_is_seen_and_its_age_is_true(stack, cgroup):
    agent = stack.agent(cgroup=cgroup)
    exporter = stack.exporter(agent.segment)
    aggregator = stack.serve("aggregator", "--target", f"{NODE}={exporter.url.removeprefix('http://')}")
    wait_until(lambda: up(aggregator) == 1 and derived(aggregator, "cpu_utilization:mean_15s"), "the node is up")

    agent.kill()
    killed_ms = time.time() * 1000
    wait_until(lambda: up(aggregator) == 0, "the node is down")
    assert federated(aggregator, "optipod_node_cpus") == {}
    [(reached, _)] = federated(aggregator, "up").values()
    assert reached == 1  # the exporter itself answers
    last = derived(aggregator, "cpu_utilization:mean_15s")
    assert last is None or last[1] <= killed_ms
    [node] = aggregator.get("/nodes").json()["nodes"]
    assert node["up"] and not node["agent_up"] and node["last_sample"] * 1000 <= killed_ms

    exporter.kill()
    wait_until(lambda: set(v for v, _ in federated(aggregator, "up").values()) == {0.0}, "the exporter is gone")
    [node] = aggregator.get("/nodes").json()["nodes"]
    assert not node["up"] and "cannot connect" in node["last_error"]
    wait_until(lambda: derived(aggregator, "cpu_utilization:mean_15s") is None, "the short window has passed", 30)


def test_targets_come_and_go_with_the_file(stack, fakes):
    path = stack.directory / "targets.json"

    def write(text):
        fresh = path.with_suffix(".new")
        fresh.write_text(text if isinstance(text, str) else json.dumps(text))
        os.replace(fresh, path)

    def entry(node, fake):
        return {"targets": [fake.address], "labels": {"node": node, "zone": "z"}}

    write([entry("a", fakes[0]), entry("b", fakes[1])])
    aggregator = stack.serve("aggregator", "--file-sd", path, "--target", f"fixed={fakes[2].address}")

    def nodes():
        return {dict(labels)["node"]: value for (_, labels), (value, _) in federated(aggregator, "up").items()}

    wait_until(lambda: nodes() == {"a": 1, "b": 1, "fixed": 1}, "all three are up")
    assert all(("zone", "z") in labels for _, labels in federated(aggregator, 'up{node=~"a|b"}'))
    used = wait_until(lambda: derived(aggregator, "cpu_utilization:mean_15s", "a"), "the view of a")
    assert used[0] == pytest.approx(0.5, abs=0.05)

    write([entry("b", fakes[1])])
    wait_until(lambda: nodes() == {"b": 1, "fixed": 1}, "a is gone")

    write("[{")
    metric = ("optipod_aggregator_discovery_good", frozenset({("mechanism", "file-sd"), ("source", str(path))}))
    wait_until(lambda: aggregator.metrics()[metric] == 0, "the broken file is noticed")
    assert nodes() == {"b": 1, "fixed": 1}
    assert "its last good list of 1 targets stays in use" in aggregator.log()

    write([entry("b", fakes[1]), entry("fixed", fakes[0])])
    wait_until(lambda: aggregator.metrics()[metric] == 1, "the file is good again")
    wait_until(lambda: series(aggregator.metrics(), "optipod_aggregator_targets_left_out") == [1],
               "the taken name is counted")
    assert "node fixed is already scraped" in aggregator.log()
    write([])
    wait_until(lambda: nodes() == {"fixed": 1}, "only the flag's is left")


def test_silence_delays_neither_the_others_nor_the_end(stack, fakes):
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        dead = [word for i in range(20)
                for word in ("--target", f"dead-{i}=127.0.0.1:{silent.getsockname()[1]}/{i}")]
        aggregator = stack.serve("aggregator", *dead, "--target", f"alive={fakes[0].address}",
                                 "--scrape-interval", "400ms", "--scrape-timeout", "300ms")
        wait_until(lambda: up(aggregator, "alive") == 1, "the healthy one is up")
        nodes = {node["node"]: node for node in aggregator.get("/nodes").json()["nodes"]}
        assert len(nodes) == 21
        assert all("no complete answer" in nodes[f"dead-{i}"]["last_error"] for i in range(20))
        found = aggregator.metrics()
        assert series(found, "optipod_aggregator_scrapes_total", result="timeout")[0] >= 20
        assert aggregator.stop() == 0


def test_prometheus_reads_it_as_protobuf_and_answers_query(stack, fakes):
    aggregator = stack.serve("aggregator", "--target", f"a={fakes[0].address}")
    protobuf = aggregator.get("/federate?" + urllib.parse.urlencode({"match[]": '{node="a"}'}), headers={
        "Accept": "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"})
    assert protobuf.headers["content-type"].startswith("application/vnd.google.protobuf")
    prometheus = Prometheus(stack, [{
        "job_name": "federate", "honor_labels": True, "metrics_path": "/federate",
        "params": {"match[]": ['{node="a"}']},
        "static_configs": [{"targets": [aggregator.url.removeprefix("http://")]}]}],
        features=["native-histograms"])  # then it asks for protobuf first

    def both():
        held = prometheus.query('optipod_node_cpu_usage_seconds_total{node="a"}[1m]')
        ours = federated(aggregator, 'optipod_node_cpu_usage_seconds_total{node="a"}')
        (value, ms), = ours.values()
        return [entry for entry in held if round(entry[1] * 1e3) == ms and entry[2] == value]
    labels = wait_until(both, "a sample that both have")[0][0]
    assert labels["instance"] == fakes[0].address and labels["job"] == "optipod"

    asked = stack.serve("aggregator", "--target", f"a={fakes[0].address}", "--prometheus-url", prometheus.process.url)
    now = time.time()
    for query in ("count_over_time(up[10s])", "up{", '{__name__=~"optipod.*"}'):
        for path, parameters in (("query", {"time": now}), ("query_range", {"start": now - 5, "end": now})):
            ours = asked.get("/query?" + urllib.parse.urlencode({"q": query, **parameters}))
            theirs = http_get(f"{prometheus.process.url}/api/v1/{path}?" + urllib.parse.urlencode(
                {"query": query, **parameters, **({"step": "15s"} if path == "query_range" else {})}))
            assert (ours.status, sorted(ours.text)) == (theirs.status, sorted(theirs.text))  # series in any order
    assert aggregator.get("/query?q=up").status == 501
    assert asked.stop() == 0


def test_it_says_what_is_wrong_with_its_flags(stack):
    for arguments, said in ((["--target", "nothing"], "it needs HOST:PORT"),
                            (["--target", "n=a:1", "--target", "n=b:2"], "node n is given twice"),
                            (["--scrape-timeout", "2s"], "below --scrape-interval"),
                            (["--prometheus-url", "ftp://x"], "--prometheus-url ftp://x"),
                            (["--external-label", "x"], "write NAME=VALUE")):
        process = stack.start("aggregator", *arguments)
        assert process.wait() == 2
        assert said in process.log()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = stack.start("aggregator", "--web.listen-address", f"127.0.0.1:{taken.getsockname()[1]}")
        assert process.wait() == 1
        assert f"--web.listen-address: cannot listen on 127.0.0.1:{taken.getsockname()[1]}" in process.log()
    process = stack.start("aggregator", "--web.config.file", "/none/web.yml")
    assert process.wait() == 1 and "--web.config.file: cannot read /none/web.yml" in process.log()


def test_flags_from_file_and_environment(stack, fakes):
    port = free_port()
    path = stack.directory / "aggregator.toml"
    path.write_text(f'web.listen-address = "127.0.0.1:{port}"\ntarget = ["a={fakes[0].address}"]\n'
                    'scrape-interval = "400ms"\nscrape-timeout = "300ms"\n')
    aggregator = stack.start("aggregator", "--config", path)
    aggregator.url = f"http://127.0.0.1:{port}"
    stack.wait_for(aggregator, "/readyz")
    assert [node["node"] for node in aggregator.get("/nodes").json()["nodes"]] == ["a"]
    assert aggregator.stop() == 0

    targets = f"b={fakes[1].address},c={fakes[2].address}"
    aggregator = stack.serve("aggregator", env={"OPTIPOD_TARGET": targets})
    assert [node["node"] for node in aggregator.get("/nodes").json()["nodes"]] == ["b", "c"]
