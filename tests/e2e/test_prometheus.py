# SPDX-License-Identifier: Apache-2.0
"""Debian's Prometheus beside OptiPod: it scrapes the exporter and federates the aggregator, and what it
stores is what they served."""

import contextlib
import http.server
import re
import subprocess
import threading
import urllib.parse

import pytest

from optipod_e2e import Prometheus, busy, free_port, promtool_check, samples, samples_at, series, wait_until
from optipod_e2e import http as http_get

TIMESTAMP = "optipod_sample_timestamp_seconds"
NODE = "node-a"
MATCH = ['{__name__=~"optipod:.+"}', '{__name__=~"optipod_.+"}']


class Recorder:
    """Keeps fetching a page in the background and keeps every version of it."""

    def __init__(self, fetch):
        self.pages, self._fetch = [], fetch
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(0.1):
            try:
                page = self._fetch()
            except OSError:
                continue
            if page is not None and (not self.pages or page != self.pages[-1]):
                self.pages.append(page)

    def stop(self):
        self._stop.set()
        self._thread.join(30)
        return self.pages


def text_of(process, path):
    reply = process.get(path)
    return reply.text if reply.status == 200 else None


def canonical(name, labels, drop=()):
    """A series by name and labels. `le` is a number: its spelling is free. An empty label is no label."""
    return name, frozenset((key, float(value.replace("Inf", "inf")) if key == "le" else value)
                           for key, value in labels.items() if value and key not in drop and key != "__name__")


@pytest.fixture
def everything(stack, cgroup):
    work = cgroup.child("work")
    agent = stack.agent("--segment-group", "nogroup", "--node-name", NODE, cgroup=cgroup)
    exporter = stack.exporter(agent.segment, "--segment-owner", "root", user="nobody")
    target = exporter.url.removeprefix("http://")
    aggregator = stack.serve("aggregator", "--target", f"{NODE}={target}", "--scrape-interval", "1s",
                             "--scrape-timeout", "900ms", user="nobody")
    busy(stack, work)
    wait_until(lambda: "optipod:node_up:last" in (text_of(aggregator, federate_path()) or ""),
               "the aggregator has the node")
    return exporter, aggregator


def federate_path():
    return "/federate?" + urllib.parse.urlencode([("match[]", match) for match in MATCH])


def test_the_same_values_at_both_ends(stack, everything):
    exporter, aggregator = everything
    served = Recorder(lambda: text_of(exporter, "/metrics"))
    federated = Recorder(lambda: text_of(aggregator, federate_path()))
    try:
        prometheus = Prometheus(stack, [
            {"job_name": "exporter",
             "static_configs": [{"targets": [exporter.url.removeprefix("http://")]}]},
            {"job_name": "federate", "honor_labels": True, "metrics_path": "/federate",
             "params": {"match[]": MATCH},
             "static_configs": [{"targets": [aggregator.url.removeprefix("http://")]}]}])
        wait_until(lambda: len(prometheus.query(f'{TIMESTAMP}{{job="exporter"}}[5m]')) >= 5 and
                   len(prometheus.query('optipod:node_cpus:last[5m]')) >= 5, "five scrapes of each", 60)
    finally:
        served_pages, federated_pages = served.stop(), federated.stop()
    for target in prometheus.targets():
        assert target["health"] == "up" and target["lastError"] == "", target

    compare_exporter(prometheus, served_pages)
    compare_federation(prometheus, federated_pages)
    compare_ends(prometheus, served_pages)


class AsText(http.server.BaseHTTPRequestHandler):
    """Hands a scraper's request on as one that takes the text format only."""

    exporter = None
    protocol_version = "HTTP/1.1"

    def do_GET(self):  # noqa: N802
        reply = self.exporter.get(self.path, headers={"Accept": "text/plain;version=0.0.4"})
        assert reply.headers["content-type"].startswith("text/plain")
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.headers["content-type"])
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, *_args):
        pass


@contextlib.contextmanager
def as_text(exporter):
    """Address of an AsText in front of it."""
    handler = type("Handler", (AsText,), {"exporter": exporter})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_both_formats_store_the_same(stack, everything):
    exporter, _ = everything
    with as_text(exporter) as text:
        prometheus = Prometheus(stack, [
            {"job_name": "open", "static_configs": [{"targets": [exporter.url.removeprefix("http://")]}]},
            {"job_name": "text", "static_configs": [{"targets": [text]}]}])

        def by_moment(job):
            """Scrapes of one tick: {time of the sample: time of the scrape}."""
            return {value: when for _, when, value in prometheus.query(f'{TIMESTAMP}{{job="{job}"}}[5m]')}

        wait_until(lambda: len(by_moment("open").keys() & by_moment("text").keys()) >= 4, "four ticks in both", 60)
        for target in prometheus.targets():
            assert target["health"] == "up" and target["lastError"] == "", target
    # Debian's Prometheus asks for OpenMetrics first; only there a metric's unit is told.
    metadata = http_get(f"{prometheus.process.url}/api/v1/targets/metadata?match_target=" +
                        urllib.parse.quote('{job="open"}')).json()["data"]
    assert {entry["unit"] for entry in metadata if entry["metric"] == "optipod_node_cpu_usage_seconds"} == {"seconds"}

    def stored(job, when):
        found = prometheus.query(f'{{job="{job}",__name__=~"optipod_(node|container|agent)_.+"}}', at=when)
        return {canonical(labels["__name__"], labels, drop=("job", "instance")): value
                for labels, _, value in found}

    opened, plain = by_moment("open"), by_moment("text")
    for moment in opened.keys() & plain.keys():
        first = stored("open", opened[moment])
        assert first == stored("text", plain[moment])
        assert len(first) > 100 or first[canonical("optipod_agent_up", {})] == 0


def test_native_histograms_over_protobuf(stack, everything):
    """Prometheus that takes native histograms asks for Protobuf: the same numbers as in text, a histogram one series."""
    exporter, _ = everything
    accept = {"Accept": "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"}
    assert exporter.get("/metrics", headers=accept).headers["content-type"].startswith("application/vnd.google.protobuf")
    with as_text(exporter) as text:
        prometheus = Prometheus(stack, [
            {"job_name": "native", "static_configs": [{"targets": [exporter.url.removeprefix("http://")]}]},
            {"job_name": "text", "static_configs": [{"targets": [text]}]}], features=["native-histograms"])

        def by_moment(job):
            return {value: when for _, when, value in prometheus.query(f'{TIMESTAMP}{{job="{job}"}}[5m]')}

        wait_until(lambda: len(by_moment("native").keys() & by_moment("text").keys()) >= 4, "four ticks in both", 60)
        for target in prometheus.targets():
            assert target["health"] == "up" and target["lastError"] == "", target
    waits = "optipod_container_cpu_runqueue_wait_seconds"
    assert prometheus.query(f'{waits}_bucket{{job="text"}}')

    def values(expression, when):
        return {canonical("", labels, drop=("job", "instance")): value
                for labels, _, value in prometheus.query(expression, at=when)}

    native, plain = by_moment("native"), by_moment("text")
    histogram = "|".join(re.findall(r"^# TYPE (\S+) histogram$", exporter.get("/metrics").text, re.MULTILINE))
    compared = 0
    for moment in native.keys() & plain.keys():
        here, there = native[moment], plain[moment]
        scalars = f'__name__=~"optipod_(node|container|agent)_.+",__name__!~"({histogram})(_bucket|_sum|_count)?"'
        stored = {canonical(labels["__name__"], labels, drop=("job", "instance")): value
                  for labels, _, value in prometheus.query(f'{{job="text",{scalars}}}', at=there)}
        histograms = 0
        for labels, _, value in prometheus.query(f'{{job="native",{scalars}}}', at=here):
            assert stored.pop(canonical(labels["__name__"], labels, drop=("job", "instance"))) == value
        assert stored == {}
        for name in (waits, "optipod_node_cpu_runqueue_wait_seconds", "optipod_node_block_io_latency_seconds"):
            counts = values(f'histogram_count({name}{{job="native"}})', here)
            assert counts == values(f'{name}_count{{job="text"}}', there), name
            assert values(f'histogram_sum({name}{{job="native"}})', here) == values(f'{name}_sum{{job="text"}}', there)
            exact = values(f'histogram_quantile(0.9, {name}_bucket{{job="text"}})', there)
            for key, value in values(f'histogram_quantile(0.9, {name}{{job="native"}})', here).items():
                if counts[key] > 0 and 1e-5 < exact[key] < 1:
                    assert exact[key] / 2.1 < value < exact[key] * 2.1, (name, key, value, exact[key])
                    histograms += 1
            assert not prometheus.query(f'{name}_bucket{{job="native"}}', at=here)
        compared += histograms > 0
    assert compared >= 3


WEB_CONFIG = """\
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: server.crt
  min_version: TLS13
http_server_config:
  headers:
    Strict-Transport-Security: max-age=31536000
basic_auth_users:
  # Of "secret"; cheap, as this is a test.
  prometheus: $2b$04$aaaaaaaaaaaaaaaaaaaaaOGY9KrC7e/pHj3EXQPxs8hKEBbvQhsvG
"""


def test_prometheus_comes_with_certificate_and_password(stack):
    directory = stack.directory / "web"
    directory.mkdir(mode=0o755)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-keyout", directory / "server.key", "-out", directory / "server.crt",
                    "-subj", "/CN=exporter", "-addext", "subjectAltName=IP:127.0.0.1"], check=True,
                   capture_output=True)
    (directory / "server.key").chmod(0o644)  # for nobody; its directory goes with the test
    config = directory / "web.config.yml"
    config.write_text(WEB_CONFIG)
    # It is the format that Prometheus itself takes.
    subprocess.run(["promtool", "check", "web-config", config], check=True, capture_output=True)
    certificate = {"ca_file": str(directory / "server.crt"), "cert_file": str(directory / "server.crt"),
                   "key_file": str(directory / "server.key")}
    jobs = {"both": {"password": "secret", **certificate}, "wrong": {"password": "Secret", **certificate},
            "bare": {"password": "secret", "ca_file": certificate["ca_file"]}}
    addresses = []
    for program in ("exporter", "aggregator", "extender"):
        addresses.append(f"127.0.0.1:{free_port()}")
        extra = ["--metrics-url", "http://127.0.0.1:1"] if program == "extender" else []
        stack.start(program, "--web.listen-address", addresses[-1], "--web.config.file", config, *extra,
                    user="nobody")
    prometheus = Prometheus(stack, [
        {"job_name": name, "scheme": "https", "basic_auth": {"username": "prometheus", "password": job.pop("password")},
         "tls_config": job, "static_configs": [{"targets": addresses}]} for name, job in jobs.items()])

    def up(job):
        return [value for _, _, value in prometheus.query(f'up{{job="{job}"}}')]

    wait_until(lambda: up("both") == [1, 1, 1], "all programs are scraped", 60)
    wait_until(lambda: up("wrong") == up("bare") == [0, 0, 0], "who may not scrape has tried", 60)
    errors = {target["labels"]["job"]: target["lastError"] for target in prometheus.targets()}
    assert errors["both"] == "" and "401" in errors["wrong"] and "tls" in errors["bare"].lower(), errors
    assert prometheus.query('optipod_exporter_build_info{job="both"}')


def compare_exporter(prometheus, pages):
    """Every series of a scrape against the page with the same sample time."""
    at_time = {}
    for page in pages:
        found = samples(page)
        [moment] = series(found, TIMESTAMP)
        if series(found, "optipod_agent_up") == [0]:
            continue  # on a machine so busy that the agent missed three of its ticks
        at_time[moment] = {canonical(name, dict(labels)): value for (name, labels), value in found.items()
                           if name.startswith(("optipod_node_", "optipod_container_", "optipod_agent_"))}
    scrapes = 0
    for _, when, moment in prometheus.query(f'{TIMESTAMP}{{job="exporter"}}[5m]'):
        if moment not in at_time:
            continue  # a tick that our own fetches did not see
        stored = {canonical(labels["__name__"], labels, drop=("job", "instance")): value
                  for labels, _, value in
                  prometheus.query('{job="exporter",__name__=~"optipod_(node|container|agent)_.+"}', at=when)}
        if stored[canonical("optipod_agent_up", {})] == 0:
            continue
        assert stored == at_time[moment]
        assert len(stored) > 100
        scrapes += 1
    assert scrapes >= 3, f"only {scrapes} scrapes could be compared"


def federated_samples(prometheus):
    """(name, labels as the aggregator gave them, time in whole ms, value) of all that was federated. What
    comes without a job gets the scrape's; the node's own series bring theirs."""
    for metric, when, value in prometheus.query(f'{{node="{NODE}",__name__=~"optipod.+"}}[5m]'):
        labels = dict(metric)
        name = labels.pop("__name__")
        if labels.get("job") == "federate":
            del labels["job"]
        yield name, labels, round(when * 1000), value


def compare_federation(prometheus, pages):
    """Every sample that Prometheus federated against the aggregator's own answer, by series and time."""
    answered = {}
    for page in pages:
        for (name, labels), (value, moment) in samples_at(page).items():
            assert moment is not None, f"{name} without the time it was measured"
            answered.setdefault((canonical(name, dict(labels)), moment), value)
    compared = {}
    for name, labels, moment, value in federated_samples(prometheus):
        key = canonical(name, labels), moment
        if key in answered:
            assert answered[key] == value, (key, answered[key], value)
            compared[name] = compared.get(name, 0) + 1
    for name in ("optipod:node_cpus:last", "optipod:node_up:last", "optipod:node_cpu_utilization:mean_15s",
                 "optipod:node_cpu_runqueue_wait:mean_15s", "optipod_node_cpu_usage_seconds_total",
                 "optipod_container_cpu_runqueue_wait_seconds_bucket"):
        assert compared.get(name, 0) >= 3, (name, compared)


def compare_ends(prometheus, pages):
    """What went kernel → exporter → aggregator → Prometheus against the exporter's own page."""
    # The views that only carry a value on, and what they carry.
    carried = {"optipod:node_cpus:last": "optipod_node_cpus",
               "optipod:node_memory_bytes:last": "optipod_node_memory_total_bytes"}
    at_time = {}
    for page in pages:
        found = samples(page)
        [moment] = series(found, TIMESTAMP)
        if series(found, "optipod_agent_up") == [0]:
            continue
        at_time[int(moment * 1000)] = {canonical(name, dict(labels)): value
                                       for (name, labels), value in found.items()}
    compared = {}
    for name, labels, moment, value in federated_samples(prometheus):
        # Samples carry whole milliseconds of the measurement's time.
        page = next((at_time[m] for m in (moment, moment - 1, moment + 1) if m in at_time), None)
        raw = carried.get(name, name)
        if page is None or ":" in raw:
            continue
        # These have the scrape's time; and the info's own label `node` gives way to the aggregator's.
        if raw.startswith("optipod_exporter_") or raw in ("optipod_agent_up", "optipod_node_info"):
            continue
        key = canonical(raw, labels, drop=("job", "instance", "node"))
        assert page.get(key) == value, (key, page.get(key), value)
        compared[name] = compared.get(name, 0) + 1
    assert sum(compared.values()) > 300, compared
    for name in (*carried, "optipod_node_cpu_usage_seconds_total"):
        assert compared.get(name, 0) >= 3, (name, compared)


def test_promtool_is_silent_on_every_program(stack, everything):
    exporter, aggregator = everything
    extender = stack.serve("extender", "--metrics-url", aggregator.url, user="nobody")
    pod = {"metadata": {"name": "p", "namespace": "default", "uid": "u"},
           "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}}}]}}
    reply = extender.get("/prioritize", data={"Pod": pod, "Nodes": None, "NodeNames": [NODE, "node-b"]})
    assert reply.status == 200
    for program in (exporter, aggregator, extender):
        page = text_of(program, "/metrics")
        assert page.count("# TYPE ") > 10
        promtool_check(page)
        samples(page)
