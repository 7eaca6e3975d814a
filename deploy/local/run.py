#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""./dev run: all of OptiPod on this node, with a live view, until Ctrl-C."""

import argparse
import os
import pathlib
import signal
import subprocess
import sys
import time

import stack

RUN_DIRECTORY = pathlib.Path("/run/optipod")
RULES = pathlib.Path(__file__).resolve().parents[1] / "prometheus/rules.yml"


def arguments():
    parser = argparse.ArgumentParser(prog="./dev run", description=__doc__)
    parser.add_argument("--build", default="build", help=argparse.SUPPRESS)
    parser.add_argument("--for", dest="seconds", type=float, metavar="SECONDS",
                        help="end by itself after that long")
    parser.add_argument("--port-base", type=int, metavar="N",
                        help="exporter, aggregator, extender, Prometheus on N to N+3 instead of 9000, 5000, 8888, 9090")
    parser.add_argument("--no-prometheus", action="store_true",
                        help="start no Prometheus for the history that the aggregator's /query asks for")
    return parser.parse_args()


def start_history(programs, node, ports):
    """Debian's Prometheus: 12 h of what the exporter and the aggregator serve, and the rules."""
    exporter, aggregator, _, prometheus = ports
    config = {
        "global": {"scrape_interval": "5s", "scrape_timeout": "4s", "evaluation_interval": "5s"},
        "scrape_configs": [
            {"job_name": "optipod", "static_configs": [{"targets": [f"127.0.0.1:{exporter}"],
                                                        "labels": {"node": node}}]},
            {"job_name": "optipod-aggregator", "static_configs": [{"targets": [f"127.0.0.1:{aggregator}"]}]}]}
    if programs.start_prometheus(prometheus, config, rules=[RULES], user="nobody") is None:
        raise stack.Failed("prometheus is not installed: install it, or leave the history out with --no-prometheus")
    programs.wait_until(f"Prometheus at 127.0.0.1:{prometheus}",
                        lambda: stack.fetch(f"http://127.0.0.1:{prometheus}/-/ready") is not None, 60)


def start_all(programs, ports, history):
    exporter, aggregator, extender, prometheus = ports
    names = ("the exporter", "the aggregator", "the extender", "Prometheus")
    for port, what in list(zip(ports, names))[:4 if history else 3]:
        stack.require_free(port, what)
    node = os.uname().nodename
    segment = RUN_DIRECTORY / "current.shm"
    print("starting the agent (eBPF, then without any capability) …", flush=True)
    programs.start("agent", "--segment", segment, "--segment-group", "nogroup")
    programs.wait_until("the agent's first measurement", segment.exists)
    print("starting exporter, aggregator, extender" + (", Prometheus" if history else "") + " (as nobody) …", flush=True)
    programs.start("exporter", "--segment", segment, "--segment-owner", "root",
                   "--web.listen-address", f"127.0.0.1:{exporter}", user="nobody")
    programs.wait_ready("exporter", exporter)
    asked = ["--prometheus-url", f"http://127.0.0.1:{prometheus}"] if history else []
    programs.start("aggregator", "--target", f"{node}=127.0.0.1:{exporter}", *asked,
                   "--web.listen-address", f"127.0.0.1:{aggregator}", user="nobody")
    programs.wait_ready("aggregator", aggregator)
    programs.start("extender", "--metrics-url", f"http://127.0.0.1:{aggregator}",
                   "--web.listen-address", f"127.0.0.1:{extender}", user="nobody")
    programs.wait_ready("extender", extender)
    if history:
        start_history(programs, node, ports)
    programs.wait_until(
        "the scheduling view of this node",
        lambda: b"optipod:node_cpu_runqueue_wait:mean_15s" in
        (stack.fetch(f"http://127.0.0.1:{aggregator}/federate?match[]=%7B__name__%3D~%22optipod:node_.*%22%7D") or b""))
    return segment


def footer(ports, history):
    exporter, aggregator, extender, _ = ports
    return (f"metrics   http://127.0.0.1:{exporter}/metrics\n"
            f"nodes     http://127.0.0.1:{aggregator}/nodes\n"
            f"decisions http://127.0.0.1:{extender}/explain" +
            (f"\nhistory   http://127.0.0.1:{aggregator}/query?q=optipod:node_cpu_contention:mean_1m" if history else ""))


def main():
    args = arguments()
    base = args.port_base
    ports = tuple(range(base, base + 4)) if base else (9000, 5000, 8888, 9090)
    history = not args.no_prometheus
    made = not RUN_DIRECTORY.exists()
    # SIGTERM ends the view as Ctrl-C does, so that the clean-up below runs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    deadline = time.monotonic() + args.seconds if args.seconds else None
    status = 0
    try:
        with stack.Stack(args.build) as programs:
            segment = start_all(programs, ports, history)
            print(f"ready.\n{footer(ports, history)}", flush=True)
            view = subprocess.Popen([programs.build / stack.PROGRAMS["top"], "--segment", segment,
                                     "--footer", footer(ports, history) + "\nCtrl-C stops everything."])
            try:
                while view.poll() is None and (deadline is None or time.monotonic() < deadline):
                    programs.check()
                    time.sleep(0.1)
            finally:
                view.send_signal(signal.SIGINT)
                view.wait()
    except KeyboardInterrupt:
        pass
    except stack.Failed as error:
        print(f"./dev run: {error}", file=sys.stderr)
        status = 1
    finally:
        if made and RUN_DIRECTORY.exists():
            for path in RUN_DIRECTORY.iterdir():
                path.unlink()
            RUN_DIRECTORY.rmdir()
    print("stopped." if status == 0 else "stopped after an error.")
    return status


if __name__ == "__main__":
    sys.exit(main())
