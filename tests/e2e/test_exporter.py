# SPDX-License-Identifier: Apache-2.0
"""optipod-exporter on what a real agent publishes, and on what no agent would."""

import gzip
import os
import pathlib
import random
import signal
import threading
import time
import zlib

import pytest

from optipod_e2e import busy, free_port, http, open_samples, promtool_check, samples, series, wait_until

TIMESTAMP = "optipod_sample_timestamp_seconds"


def state(found, which):
    """The state that is 1: exactly one is."""
    on = [dict(labels)["state"] for (name, labels), value in found.items()
          if name == f"optipod_exporter_{which}_state" and value == 1]
    assert len(on) == 1, on
    return on[0]


def values_of_agent(found):
    """Names of the series that only a live agent gives."""
    return {name for name, _ in found if name.startswith(("optipod_node_", "optipod_container_", "optipod_agent_"))
            and name != "optipod_agent_up"}


def assert_down(found):
    assert series(found, "optipod_agent_up") == [0]
    assert values_of_agent(found) == set()


def one(found, name, **labels):
    values = series(found, name, **labels)
    assert len(values) == 1, (name, labels, values)
    return values[0]


@pytest.fixture
def node(stack, cgroup):
    """An agent over a subtree with one busy container and an idle one, and its exporter as nobody."""
    work = cgroup.child("work")
    cgroup.child("idle")
    agent = stack.agent("--segment-group", "nogroup", cgroup=cgroup)
    exporter = stack.exporter(agent.segment, "--segment-owner", "root", user="nobody")
    wait_until(lambda: one(exporter.metrics(), "optipod_agent_up") == 1, "the agent is seen")
    agent.work, agent.exporter = work, exporter
    return agent


def after(exporter, moment):
    """The first page whose values were read from the kernel later than this Unix time."""
    def newer():
        found = exporter.metrics()
        return found if one(found, TIMESTAMP) > moment and one(found, "optipod_agent_up") == 1 else None
    return wait_until(newer, "a newer sample")


def test_page_is_clean_and_true(stack, node):
    busy(stack, node.work)
    time.sleep(1)
    at_least = node.work.stat()["usage_usec"] / 1e6
    found = after(node.exporter, time.time())
    at_most = node.work.stat()["usage_usec"] / 1e6
    seen = one(found, "optipod_container_cpu_usage_seconds_total", container="/work")
    assert 0.2 < at_least <= seen <= at_most
    assert one(found, "optipod_node_cpu_usage_seconds_total") >= seen
    assert abs(time.time() - one(found, TIMESTAMP)) < 30

    reply = node.exporter.get("/metrics")
    assert reply.headers["content-type"].replace(" ", "") == "text/plain;version=0.0.4;charset=utf-8"
    promtool_check(reply.text)
    for name in ("optipod_node_info", "optipod_node_cpus", "optipod_agent_ticks_total",
                 "optipod_exporter_build_info", "process_resident_memory_bytes"):
        assert f"# TYPE {name} " in reply.text, name

    # A histogram is complete and cumulative, of the busy container as of the node.
    found = samples(reply.text)
    for name, labels in (("optipod_node_cpu_runqueue_wait_seconds", {}),
                         ("optipod_container_cpu_runqueue_wait_seconds", {"container": "/work"})):
        buckets = sorted((float(dict(pairs)["le"].replace("Inf", "inf")), value)
                         for (metric, pairs), value in found.items()
                         if metric == name + "_bucket" and labels.items() <= dict(pairs).items())
        assert len(buckets) == 22
        assert buckets[0][0] == 1024e-9 and buckets[-2][0] == 2**30 / 1e9
        assert [value for _, value in buckets] == sorted(value for _, value in buckets)
        assert buckets[-1][1] == one(found, name + "_count", **labels) > 0
        assert one(found, name + "_sum", **labels) > 0


def test_gzip_when_asked_and_head(node):
    reply = node.exporter.get("/metrics", headers={"Accept-Encoding": "gzip"})
    assert reply.headers["content-encoding"] == "gzip"
    text = gzip.decompress(reply.body).decode()
    first = zlib.decompressobj(zlib.MAX_WBITS | 16)   # curl and browsers stop after one member
    assert first.decompress(reply.body).decode() == text and first.eof and not first.unused_data
    promtool_check(text)
    assert values_of_agent(samples(text)) and len(reply.body) < len(text) / 4
    plain = node.exporter.get("/metrics", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers and values_of_agent(samples(plain.text))
    head = node.exporter.get("/metrics", method="HEAD")
    assert head.status == 200 and head.body == b"" and int(head.headers["content-length"]) > 1000


def test_groups(node):
    exporter = node.exporter
    status = {"optipod_agent_up", TIMESTAMP}

    def names(query):
        reply = exporter.get("/metrics?" + query)
        assert reply.status == 200, reply.text
        promtool_check(reply.text)
        return {name for name, _ in samples(reply.text)} - status

    everything = names("")
    node_cpu = names("collect[]=node_cpu")
    assert node_cpu and all(name.startswith("optipod_node_c") for name in node_cpu)
    assert names("collect%5B%5D=node_cpu&collect[]=exporter") == node_cpu | {
        name for name in everything if name.startswith("optipod_exporter_")}
    process = names("collect[]=process")
    assert process == {name for name in everything if name.startswith("process_")}
    reply = exporter.get("/metrics?collect[]=cpu&collect[]=nodes")
    assert reply.status == 400 and "nodes" in reply.text and "container_memory" in reply.text


def test_open_metrics(stack, node):
    busy(stack, node.work)
    accept = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}

    def both():
        """One tick in both formats."""
        text = samples(node.exporter.get("/metrics", headers={"Accept": "text/plain"}).text)
        reply = node.exporter.get("/metrics", headers=accept)
        assert reply.status == 200
        return (text, reply) if f"\n{TIMESTAMP} " in reply.text and \
            one(text, TIMESTAMP) == open_samples(reply.text)[(TIMESTAMP, frozenset())] else None

    text, reply = wait_until(both, "a tick in both formats")
    assert reply.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert "Accept" in reply.headers["vary"]
    found = open_samples(reply.text)
    assert found.keys() == text.keys()
    moving = ("process_", "optipod_exporter_")
    assert {key: value for key, value in found.items() if not key[0].startswith(moving)} == \
        {key: value for key, value in text.items() if not key[0].startswith(moving)}
    assert len(found) > 200
    part = node.exporter.get("/metrics?collect[]=pressure", headers=accept).text
    assert 2 < len(open_samples(part)) < 30


def test_needs_no_privilege(node):
    status = dict(line.split(":\t", 1) for line in
                  pathlib.Path(f"/proc/{node.exporter.pid}/status").read_text().splitlines())
    assert status["Uid"].split() == ["65534"] * 4
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    after(node.exporter, time.time())
    # It cannot write what it reads.
    for line in pathlib.Path(f"/proc/{node.exporter.pid}/maps").read_text().splitlines():
        if str(node.segment) in line:
            assert line.split()[1].startswith("r--"), line
            break
    else:
        raise AssertionError("the segment is not mapped")


def test_refuses_a_segment_it_may_not_trust(stack, cgroup):
    agent = stack.agent("--segment-group", "nogroup", cgroup=cgroup)
    # Neither root's nor the exporter's own.
    foreign = stack.directory / "foreign.shm"
    foreign.write_bytes(agent.segment.read_bytes())
    foreign.chmod(0o644)
    os.chown(foreign, 12345, 65534)
    exporter = stack.exporter(foreign, user="nobody", ready=None)
    found = exporter.metrics()
    assert_down(found)
    assert state(found, "attach") == "refused"
    # Not readable for its group either.
    closed = stack.directory / "closed.shm"
    closed.write_bytes(agent.segment.read_bytes())
    closed.chmod(0o600)
    exporter = stack.exporter(closed, user="nobody", ready=None)
    found = exporter.metrics()
    assert_down(found)
    assert state(found, "attach") == "refused"


def test_agent_hung_killed_restarted_stopped(stack, cgroup, node):
    exporter = node.exporter

    def becomes(writer, up):
        def there():
            found = exporter.metrics()
            return found if state(found, "writer") == writer and one(found, "optipod_agent_up") == up else None
        return wait_until(there, f"writer {writer}, up {up}")

    becomes("live", 1)
    node.signal(signal.SIGSTOP)
    hung = becomes("hung", 0)
    assert_down(hung)
    assert exporter.get("/readyz").status == 200
    last = one(hung, TIMESTAMP)
    promtool_check(exporter.get("/metrics").text)
    node.signal(signal.SIGCONT)
    assert one(becomes("live", 1), TIMESTAMP) > last

    node.kill()
    gone = becomes("gone", 0)
    assert_down(gone)
    last = one(gone, TIMESTAMP)

    second = stack.agent("--segment-group", "nogroup", cgroup=cgroup, segment=node.segment)
    live = becomes("live", 1)
    assert one(live, TIMESTAMP) > last
    assert one(live, "optipod_exporter_attaches_total") == 2
    assert one(live, "optipod_exporter_records_corrupt_total") == 0

    assert second.stop() == 0
    closed = becomes("closed", 0)
    assert_down(closed)
    assert one(closed, TIMESTAMP) >= one(live, TIMESTAMP)


def test_missing_hostile_and_truncated_segments(stack, cgroup):
    path = stack.directory / "node" / "current.shm"
    path.parent.mkdir()
    exporter = stack.exporter(path, ready=None)
    assert exporter.get("/readyz").status == 503
    found = exporter.metrics()
    assert_down(found)
    assert state(found, "attach") == "no_segment" and series(found, TIMESTAMP) == []

    agent = stack.agent(cgroup=cgroup)
    wait_until(lambda: agent.segment.stat().st_size > 0, "a segment")
    time.sleep(1.5)
    agent.signal(signal.SIGSTOP)
    honest = agent.segment.read_bytes()

    def put(content):
        """Another file at the path, as a writer would put it there."""
        new = path.with_suffix(".new")
        new.write_bytes(content)
        new.chmod(0o640)
        new.rename(path)
        found = exporter.metrics()
        assert_down(found)  # nobody holds its lock
        return state(found, "attach")

    assert put(b"") == "truncated"
    assert put(b"\0" * 65536) == "foreign"
    assert put(random.Random(1).randbytes(65536)) == "foreign"
    assert put(honest[:len(honest) // 2]) == "truncated"
    assert put(honest) == "attached"
    resident = one(exporter.metrics(), "process_resident_memory_bytes")
    rng = random.Random(20260729)
    seen = set()
    for round_ in range(150):
        content = bytearray(honest)
        # Mostly where the header and the rings' heads are, sometimes anywhere.
        reach = len(content) if round_ % 3 == 0 else 4096
        for _ in range(rng.choice((1, 4, 64))):
            at = rng.randrange(0, reach - 8)
            content[at:at + 8] = rng.choice((b"\xff" * 8, b"\0" * 8, rng.randbytes(8)))
        seen.add(put(bytes(content)))
    assert "corrupt" in seen or "foreign" in seen or "abi_mismatch" in seen
    assert one(exporter.metrics(), "process_resident_memory_bytes") < resident + 32 * 2**20

    # Truncated while it is mapped: an error, no SIGBUS.
    assert put(honest) == "attached"
    with open(path, "r+b") as file:
        file.truncate(8192)
    assert state(exporter.metrics(), "attach") == "truncated"

    # And a real agent is taken at once. It holds its own lock beside its segment.
    agent.signal(signal.SIGCONT)
    path.unlink()
    stack.agent(cgroup=cgroup.child("second"), segment=path)
    wait_until(lambda: one(exporter.metrics(), "optipod_agent_up") == 1, "the real agent is seen")
    assert exporter.get("/readyz").status == 200


def test_scrapes_at_once(node):
    failures, pages = [], []

    def scrape():
        try:
            for _ in range(25):
                pages.append(node.exporter.metrics())
        except Exception as error:  # shown below
            failures.append(error)

    threads = [threading.Thread(target=scrape) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures and len(pages) == 200
    by_time = {}
    for found in pages:
        if one(found, "optipod_agent_up") == 0:
            continue  # on a machine so busy that the agent missed three of its ticks
        values = {key: value for key, value in found.items()
                  if key[0].startswith(("optipod_node_", "optipod_container_"))}
        assert by_time.setdefault(one(found, TIMESTAMP), values) == values  # one tick, one page
    assert by_time


def test_starts_and_stops_cleanly(stack):
    exporter = stack.exporter(stack.directory / "none.shm", ready=None)
    landing = exporter.get("/")
    assert landing.status == 200 and "/metrics" in landing.text
    assert exporter.get("/healthz").status == 200
    assert exporter.get("/nothing").status == 404
    assert exporter.get("/metrics", data="x").status == 405
    port = exporter.url.rpartition(":")[2]
    second = stack.start("exporter", "--web.listen-address", f"127.0.0.1:{port}")
    assert second.wait() == 1 and port in second.log()
    assert exporter.stop() == 0

    environment = {"OPTIPOD_WEB_LISTEN_ADDRESS": f"127.0.0.1:{free_port()}",
                   "OPTIPOD_SEGMENT": str(stack.directory / "other.shm")}
    third = stack.start("exporter", env=environment)
    url = "http://" + environment["OPTIPOD_WEB_LISTEN_ADDRESS"]
    wait_until(lambda: "other.shm" in third.log(), "the environment is read")
    assert http(url + "/healthz").status == 200
    assert third.stop() == 0
    for wrong in (["--segment-owner", "no such user"], ["--no-such-flag"]):
        process = stack.start("exporter", *wrong)
        assert process.wait() == 2, process.log()


def test_workload_label(stack, cgroup):
    cgroup.child("a")
    agent = stack.agent(cgroup=cgroup)
    plain, labelled = stack.exporter(agent.segment), stack.exporter(agent.segment, "--workload-label")

    def labels(exporter):
        return [dict(labels) for name, labels in exporter.metrics() if name.startswith("optipod_container_")]
    wait_until(lambda: labels(plain) and labels(labelled), "the container is shown")
    assert not any("workload" in of_one for of_one in labels(plain))
    assert all(of_one["workload"] == "" for of_one in labels(labelled))
