# SPDX-License-Identifier: Apache-2.0
"""The recording rules in a real Prometheus give what the aggregator gives, from the same nodes at the same time, and
the extender decides alike on either."""

import pathlib
import subprocess
import urllib.parse

import pytest

from optipod_e2e import Prometheus, free_port, samples, samples_at, wait_until

RULES = pathlib.Path(__file__).resolve().parents[2] / "deploy/prometheus/rules.yml"
NODES = 6
VIEW = '{__name__=~"optipod:.+"}'
# From some minutes of data (rates wait until their window is full), or of a memory controller that the recorded machine
# lacks; `promtool test rules` has them.
LATER = ("forecast_15m", "mean_5m", "pod_memory_bytes:last")
# Prometheus records these from means over 15 s, the aggregator from sample to sample: README.md beside the rules.
OTHER_BASE = ("stddev_15m", "stddev_1h", "stddev_24h", "max_15m", "max_1h", "max_24h", "covered_15m", "covered_1h",
              "covered_24h")


def view(program):
    """{(series, labels): value} of its /federate."""
    reply = program.get("/federate?" + urllib.parse.urlencode({"match[]": VIEW}), timeout=10)
    assert reply.status == 200, reply.text
    return {(name, frozenset((k, v) for k, v in labels if k != "instance" or v)): value
            for (name, labels), value in samples(reply.text).items()}


def recorded():
    """Names that the rules record."""
    return {line.split()[-1] for line in RULES.read_text().splitlines() if "- record:" in line}


def scores(extender):
    """As kube-scheduler asks. {node: score}."""
    pod = {"metadata": {"name": "p", "namespace": "default", "uid": "u"},
           "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "500m"}}}]}}
    names = [f"node-{i:05}" for i in range(NODES)]
    reply = extender.get("/prioritize", data={"Pod": pod, "Nodes": None, "NodeNames": names})
    assert reply.status == 200
    return {**dict.fromkeys(names, 0), **{host["Host"]: host["Score"] for host in reply.json()}}


@pytest.fixture
def three(stack):
    """(aggregator, a Prometheus with the rules, a Prometheus that federates the aggregator), all on the same nodes."""
    targets = stack.directory / "nodes.json"
    stack.start("fake_nodes", "--nodes", NODES, "--port", free_port(), "--file-sd", targets)
    wait_until(targets.exists, "the nodes are there")
    aggregator = stack.serve("aggregator", "--file-sd", targets)
    ruled = Prometheus(stack, [{"job_name": "optipod", "file_sd_configs": [{"files": [str(targets)]}]}],
                       rules=[RULES])
    federating = Prometheus(stack, [
        {"job_name": "federate", "honor_labels": True, "metrics_path": "/federate", "params": {"match[]": [VIEW]},
         "static_configs": [{"targets": [aggregator.url.removeprefix("http://")]}]}])
    return aggregator, ruled, federating


def test_promtool_agrees():
    subprocess.run(["promtool", "check", "rules", RULES], check=True, capture_output=True)
    run = subprocess.run(["promtool", "test", "rules", "rules_test.yml"], cwd=RULES.parent, check=False,
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_same_view_and_the_same_decisions(stack, three):
    aggregator, ruled, federating = three
    # The rules of the longest windows are evaluated every 5 min: promtool runs those.
    expected = {name for name in recorded() if not name.endswith(LATER) and "_24h" not in name}

    def there(program):
        found = view(program)
        return len({labels for name, labels in found if name.startswith("optipod:node_up")}) == NODES \
            and expected <= {name for name, _ in found}
    wait_until(lambda: there(aggregator), "the aggregator has every series", 60)
    wait_until(lambda: there(ruled.process), "Prometheus has recorded every series", 120)
    assert {name for name, _ in view(aggregator)} <= recorded(), "the aggregator serves what no rule records"

    def differences():
        """Of all series: what one has and the other has not, or has otherwise."""
        ours, theirs, wrong = view(aggregator), view(ruled.process), []
        for key in ours.keys() | theirs.keys():
            if key[0] not in expected:
                continue
            pair = ours.get(key), theirs.get(key)
            if None in pair or key[0].endswith(OTHER_BASE):
                wrong += [] if None not in pair else [(*key, *pair)]
            # The windows end some seconds apart, and nodes become faster and slower in turn.
            elif pair[0] != pytest.approx(pair[1], rel=0.08, abs=1e-3):
                wrong.append((*key, *pair))
        return wrong
    try:
        # Of nodes scraped each second the first rate over 15 s may lack the first quarter of its window. A mean over a
        # quarter of an hour has it until others outweigh it: 1/4 of a value lost in n evaluations is 8 % at n = 4, and
        # of those windows' rules, run every 30 s, the next may be the first that has so many.
        wait_until(lambda: not differences(), "both views are equal", 120, every=1)
    except AssertionError:
        assert differences() == []

    extenders = [stack.serve("extender", "--booking=off", "--metrics-url", program.url)
                 for program in (aggregator, ruled.process, federating.process)]

    def decided():
        """All three know that the nodes differ, and agree."""
        ours, by_rules, federated = map(scores, extenders)
        return len(set(ours.values())) > 1 and ours == federated and \
            max(ours, key=ours.get) == max(by_rules, key=by_rules.get) and \
            all(abs(ours[node] - by_rules[node]) <= 1 for node in ours)
    wait_until(decided, "the same decisions from each", 60, every=0.5)


def test_federation_hands_on_every_value(three):
    """What Prometheus has federated is what the aggregator said at that time, exactly."""
    aggregator, _, federating = three
    said, compared = {}, set()

    def look():
        reply = aggregator.get("/federate?" + urllib.parse.urlencode({"match[]": VIEW}), timeout=10)
        for (name, labels), (value, when) in samples_at(reply.text).items():
            said[name, dict(labels)["node"], dict(labels).get("pod"), when] = value
        for metric, when, value in federating.query(VIEW + "[10s]"):
            key = metric["__name__"], metric["node"], metric.get("pod"), round(when * 1000)
            if key in said:
                assert said[key] == value, key
                compared.add(key)
        return len({key[0] for key in compared}) > 50 and len(compared) > 1000
    wait_until(look, "a thousand values of fifty series are compared", 60, every=0.2)
