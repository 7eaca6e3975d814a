#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""./dev bench aggregate: 5,000 nodes' scheduling metrics every 5 s into optipod-aggregator, and then, in the same run,
into Debian's Prometheus. The nodes are tests/sim's fake_nodes, which share the machine with what is measured.

Then OptiPod's scheduling view is asked for once a second meanwhile, as extenders do: no scrape may be late for that.

CPU time is the kernel's own, of all the program's threads; memory is what is resident at the end. A scrape that was
left out or failed makes the bench fail. At last a second aggregator scrapes nodes whose clocks run as many times too
fast as it asks too often, until its windows are full: the memory of a program that has been running for long.
"""

import argparse
import copy
import json
import pathlib
import statistics
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "deploy/local"))
import stack   # noqa: E402
from agent import cpu_seconds, megabytes   # noqa: E402

GOAL_RATIO, GOAL_BYTES = 20.0, 64.0
PAST = 330  # seconds, after which a node's windows of up to five minutes are full: no past takes more memory


def numbers(port):
    """{series as written: value} of a program's own /metrics."""
    page = stack.fetch(f"http://127.0.0.1:{port}/metrics", timeout=30)
    if page is None:
        raise stack.Failed(f"port {port} does not answer /metrics")
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
            for line in page.decode().splitlines() if not line.startswith("#")}


class Scraper:
    """What is measured: `process` scrapes the nodes and tells at `port` how it fares."""

    def __init__(self, name, process, port):
        self.name, self.process, self.port = name, process, port

    def counted(self):
        """Samples so far, scrapes so far, scrapes lost so far, series held."""
        raise NotImplementedError

    def measure(self, seconds):
        before, cpu, begun = self.counted(), cpu_seconds(self.process.pid), time.monotonic()
        time.sleep(seconds)
        after, used = self.counted(), cpu_seconds(self.process.pid) - cpu
        self.seconds = time.monotonic() - begun
        self.samples, self.scrapes, self.lost = (b - a for a, b in zip(before[:3], after[:3]))
        self.cores, self.megabytes, self.series = used / self.seconds, megabytes(self.process.pid), after[3]
        self.samples_per_cpu_second = self.samples / used
        self.bytes_per_series = self.megabytes * 1e6 / self.series


class Aggregator(Scraper):
    def __init__(self, programs, targets, interval):
        port = stack.free_port()
        process = programs.start("aggregator", "--file-sd", targets, "--scrape-interval", f"{interval}s",
                                 "--scrape-timeout", f"{interval * 0.8:g}s", "--web.listen-address",
                                 f"127.0.0.1:{port}")
        super().__init__("optipod", process, port)

    def counted(self):
        found = numbers(self.port)
        ok = found.get('optipod_aggregator_scrapes_total{result="ok"}', 0)
        every = sum(v for k, v in found.items() if k.startswith("optipod_aggregator_scrapes_total{"))
        return (found["optipod_aggregator_samples_total"], ok,
                every - ok + found["optipod_aggregator_scrapes_skipped_total"], found["optipod_aggregator_series"])


class Asking:
    """Asks for the whole scheduling view once a second, until it ends."""

    def __init__(self, port):
        query = urllib.parse.urlencode({"match[]": '{__name__=~"optipod:.+"}'})
        self.url, self.seconds, self.failed, self.bytes = f"http://127.0.0.1:{port}/federate?{query}", [], 0, 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._ended.wait(1):
            begun = time.monotonic()
            body = stack.fetch(self.url, timeout=30)
            if body:
                self.seconds.append(time.monotonic() - begun)
                self.bytes = len(body)
            else:
                self.failed += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()


class Prometheus(Scraper):
    def __init__(self, programs, targets, interval):
        port = stack.free_port()
        config = {"global": {"scrape_interval": f"{interval}s", "scrape_timeout": f"{interval}s"},
                  "scrape_configs": [{"job_name": "optipod", "file_sd_configs": [{"files": [str(targets)]}]}]}
        process = programs.start_prometheus(port, config)
        if process is None:
            raise stack.Failed("Debian's prometheus is not installed")
        super().__init__("Debian's Prometheus", process, port)

    def counted(self):
        found = numbers(self.port)

        def total(name):
            return sum(value for series, value in found.items() if series.partition("{")[0] == name)
        return (total("prometheus_tsdb_head_samples_appended_total"),
                total("prometheus_target_interval_length_seconds_count"), 0, total("prometheus_tsdb_head_series"))


def one(build, kind, nodes, interval, seconds, series, settle):
    with stack.Stack(build, ["aggregator", "fake_nodes"]) as programs:
        targets = programs.directory / "nodes.json"
        port = stack.free_port()
        sim = programs.start("fake_nodes", "--nodes", nodes, "--series", series, "--file-sd", targets, "--port", port)
        programs.wait_until("the nodes", targets.exists)
        scraper = kind(programs, targets, interval)
        deadline = 10 * interval + 60
        programs.wait_until("every node is scraped", lambda: answers(scraper) and scraper.counted()[1] >= nodes,
                            deadline)
        time.sleep(max(settle, 3 * interval))  # connections stand, windows are there
        used = cpu_seconds(sim.pid)
        scraper.measure(seconds)
        scraper.sim_cores = (cpu_seconds(sim.pid) - used) / scraper.seconds
        if kind is Aggregator:
            scraper.asked = copy.copy(scraper)
            with Asking(scraper.port) as scraper.asking:
                scraper.asked.measure(seconds)
        programs.check()
        return scraper


def windows_full(build, nodes, interval, series):
    """An aggregator whose nodes have a whole past: each second brings them what `interval` brings otherwise."""
    seconds = PAST / interval + 5
    with stack.Stack(build, ["aggregator", "fake_nodes"]) as programs:
        targets = programs.directory / "nodes.json"
        programs.start("fake_nodes", "--nodes", nodes, "--series", series, "--file-sd", targets, "--port",
                       stack.free_port(), "--speed", interval, "--behind", f"{2 * seconds * interval:.0f}s")
        programs.wait_until("the nodes", targets.exists)
        scraper = Aggregator(programs, targets, 1)
        programs.wait_until("every node is scraped", lambda: answers(scraper) and scraper.counted()[1] >= nodes, 60)
        scraper.measure(seconds)
        programs.check()
        return scraper


def answers(scraper):
    return stack.fetch(f"http://127.0.0.1:{scraper.port}/metrics", timeout=30) is not None


def report(as_json, case, unit, value, peer=None, lower_is_better=True):
    ratio = None if peer is None else (peer / value if lower_is_better else value / peer)
    if as_json:
        print(json.dumps({"bench": "aggregate", "case": case, "value": round(value, 4), "unit": unit,
                          "peer": None if peer is None else "Debian's Prometheus",
                          "peer_value": None if peer is None else round(peer, 4),
                          "ratio": None if ratio is None else round(ratio, 3)}), flush=True)
    elif peer is None:
        print(f"aggregate  {case:<28} {value:12.4g} {unit}", flush=True)
    else:
        print(f"aggregate  {case:<28} {value:12.4g} {unit:<22} Debian's Prometheus {peer:12.4g} {ratio:8.2f}x",
              flush=True)


def main():
    parser = argparse.ArgumentParser(prog="./dev bench aggregate", description=__doc__)
    parser.add_argument("--build", default="build", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--interval", type=int, default=5, help="seconds between two scrapes of a node (default 5)")
    parser.add_argument("--seconds", type=int, default=60, help="how long each is measured (default 60)")
    parser.add_argument("--series", choices=("scheduling", "all"), default="scheduling")
    parser.add_argument("--settle", type=int, default=0, help="seconds before each is measured; three intervals at least "
                        "(default 0)")
    parser.add_argument("--no-peer", action="store_true", help="measure OptiPod alone")
    args = parser.parse_args()
    size = (args.nodes, args.interval, args.seconds, args.series)
    try:
        ours = one(args.build, Aggregator, *size, args.settle)
        full = windows_full(args.build, args.nodes, args.interval, args.series)
        peer = None if args.no_peer else one(args.build, Prometheus, *size, args.settle)
    except stack.Failed as error:
        print(f"./dev bench aggregate: {error}", file=sys.stderr)
        return 1
    of = (lambda name: None) if peer is None else (lambda name: getattr(peer, name))
    report(args.json, "samples per CPU second", "", ours.samples_per_cpu_second, of("samples_per_cpu_second"), False)
    report(args.json, "CPU used", "cores", ours.cores, of("cores"))
    report(args.json, "resident", "MB", ours.megabytes, of("megabytes"))
    report(args.json, "resident, a series", "B", ours.bytes_per_series, of("bytes_per_series"))
    report(args.json, "resident, windows full", "MB", full.megabytes)
    report(args.json, "resident, a series, windows full", "B", full.bytes_per_series)
    report(args.json, "scrapes lost, windows full", "", full.lost)
    report(args.json, "series held", "", ours.series)
    report(args.json, "scrapes in time", "1/s", ours.scrapes / ours.seconds, of("scrapes") and peer.scrapes / peer.seconds,
           False)
    report(args.json, "scrapes lost", "", ours.lost)
    report(args.json, "the simulator meanwhile", "cores", ours.sim_cores, of("sim_cores"))
    asked, asking = ours.asked, ours.asking
    report(args.json, "asked meanwhile, scrapes in time", "1/s", asked.scrapes / asked.seconds)
    report(args.json, "asked meanwhile, scrapes lost", "", asked.lost)
    report(args.json, "asked meanwhile, CPU used", "cores", asked.cores)
    if asking.seconds:
        report(args.json, "the view, median", "ms", statistics.median(asking.seconds) * 1e3)
        report(args.json, "the view", "MB", asking.bytes / 1e6)
    due = args.nodes / args.interval * ours.seconds
    due_asked = args.nodes / args.interval * asked.seconds
    failed = [text for bad, text in (
        (ours.lost > 0 or ours.scrapes < due * 0.98, f"scrapes were missed: {ours.scrapes:.0f} of {due:.0f}, "
         f"{ours.lost:.0f} lost"),
        (asked.lost > 0 or asked.scrapes < due_asked * 0.98, f"scrapes were missed while the view was asked for: "
         f"{asked.scrapes:.0f} of {due_asked:.0f}, {asked.lost:.0f} lost"),
        (asking.failed or not asking.seconds, f"the view was not served: {asking.failed} requests failed"),
        (peer and ours.samples_per_cpu_second < GOAL_RATIO * peer.samples_per_cpu_second, "below 20 times the samples per "
         "CPU second"),
        (full.lost > 0.05 * full.scrapes, f"too many scrapes were lost to say what full windows take: {full.lost:.0f}"),
        (max(ours.bytes_per_series, full.bytes_per_series) > GOAL_BYTES, "over 64 B a series")) if bad]
    for text in failed:
        print(f"goal not reached: {text}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
