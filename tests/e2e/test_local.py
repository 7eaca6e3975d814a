# SPDX-License-Identifier: Apache-2.0
"""What a newcomer types: ./dev run and ./dev demo, on this machine's real kernel.

Runs the same deploy/local programs as ./dev, with the build under test and free ports.
"""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOCAL = ROOT / "deploy/local"
BUILD = os.environ["OPTIPOD_BUILD"]
sys.path.insert(0, str(LOCAL))
import nodes   # noqa: E402
import stack   # noqa: E402


def optipod_processes():
    found = subprocess.run(["pgrep", "-af", f"{BUILD}/.*/optipod-"], capture_output=True, text=True, check=False)
    return [line for line in found.stdout.splitlines() if "pgrep" not in line]


def local_cgroups():
    return list(stack.cgroup2_mount().glob("optipod-local-*"))


def free_port_base():
    for base in range(21000, 29000, 37):
        try:
            for port in range(base, base + 4):
                stack.require_free(port, "a test")
            return base
        except stack.Failed:
            continue
    raise AssertionError("no four free ports")


def start_run(*arguments):
    base = free_port_base()
    process = subprocess.Popen([LOCAL / "run.py", "--build", BUILD, "--port-base", str(base), *arguments],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return process, base


def wait_page(url, wanted, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        page = stack.fetch(url)
        if page is not None and wanted in page:
            return page
        time.sleep(0.1)
    raise AssertionError(f"{url} did not show {wanted!r} within {seconds} s; last: {page}")


def test_run_serves_everything_and_leaves_nothing():
    before = optipod_processes()
    process, base = start_run()
    try:
        wait_page(f"http://127.0.0.1:{base + 2}/readyz", b"")
        wait_page(f"http://127.0.0.1:{base}/metrics", b"\noptipod_agent_up 1\n")
        assert b"optipod_node_cpu_runqueue_wait_seconds_bucket" in stack.fetch(f"http://127.0.0.1:{base}/metrics")
        wait_page(f"http://127.0.0.1:{base + 1}/nodes", os.uname().nodename.encode())
        wait_page(f"http://127.0.0.1:{base + 1}/federate?match[]=optipod:node_cpus:last", b"node=")
        # The past, through the aggregator: what the exporter serves, and what the rules make of it.
        for query in ("optipod_agent_up", "optipod:node_cpu_contention:mean_1m"):
            wait_page(f"http://127.0.0.1:{base + 1}/query?q={query}", b'"node":"' + os.uname().nodename.encode(), 60)
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert f"http://127.0.0.1:{base}/metrics" in output
    assert "stopped." in output
    assert optipod_processes() == before
    assert not pathlib.Path("/run/optipod/current.shm").exists()


def test_run_without_history():
    process, base = start_run("--no-prometheus")
    try:
        wait_page(f"http://127.0.0.1:{base + 2}/readyz", b"")
        wait_page(f"http://127.0.0.1:{base + 1}/federate?match[]=optipod:node_cpus:last", b"node=")
        stack.require_free(base + 3, "nobody")
        assert stack.fetch(f"http://127.0.0.1:{base + 1}/query?q=up") is None
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output


def test_run_says_who_holds_a_port():
    base = free_port_base()
    with socket.create_server(("127.0.0.1", base + 1)):
        done = subprocess.run([LOCAL / "run.py", "--build", BUILD, "--port-base", str(base), "--for", "5"],
                              capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"port {base + 1}, for the aggregator, is taken" in done.stderr
    assert "python" in done.stderr or "pytest" in done.stderr


def test_demo_ends_with_the_idle_node_in_front():
    before = local_cgroups()
    done = subprocess.run([LOCAL / "demo.py", "--build", BUILD, "--seconds", "12", "--every", "3"],
                          capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"alone in front in (\d+) of \1 rankings", done.stdout), done.stdout
    assert "lost: " in done.stdout
    assert local_cgroups() == before
    assert optipod_processes() == []


def test_a_killed_agent_makes_its_node_unknown_and_a_new_one_brings_it_back():
    with nodes.Cluster(BUILD, ["node-a", "node-b"]) as cluster:
        page = f"http://127.0.0.1:{cluster.nodes['node-b'].port}/metrics"
        victim = next(p for name, p, _ in cluster.programs.running if name == "agent-node-b")
        assert b"\noptipod_agent_up 1\n" in stack.fetch(page)
        victim.kill()
        victim.wait()
        cluster.programs.running = [r for r in cluster.programs.running if r[1] is not victim]
        dead = wait_page(page, b"\noptipod_agent_up 0\n")
        assert b"optipod_node_cpu_runqueue_wait_seconds_bucket" not in dead
        assert b"optipod_sample_timestamp_seconds" in dead
        assert cluster.prioritize(nodes.pod("while-dead"))  # still answered, with 200
        node = cluster.nodes["node-b"]
        cluster.programs.start("agent", "--cgroup-root", "/" + str(node.cgroup.relative_to(cluster.mount)),
                               "--cpus", node.cpu, "--node-name", node.name, "--segment", node.segment,
                               "--segment-group", "nogroup", name="agent-node-b-again")
        alive = wait_page(page, b"\noptipod_agent_up 1\n")
        assert b"optipod_node_cpu_runqueue_wait_seconds_bucket" in alive
        cluster.programs.wait_until("node-b in the scheduling view again",
                                    lambda: cluster.view("up:last").get("node-b") == 1)
