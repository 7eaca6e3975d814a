# SPDX-License-Identifier: Apache-2.0
"""What this kernel makes of the programs: none refused, and what each costs to verify and to run."""

import json
import os
import subprocess

import conftest
from optipod_e2e import wait_until

# What every kernel of the matrix has; what else there is, is reported.
EVERYWHERE = {"runqueue_wait", "throttled_wait", "preemptions", "context_switches", "migrations", "far_migrations",
              "cgroup_slots", "cgroup_iter", "softirq_time", "hardirq_time", "block_io", "reclaim_stall", "oom_kills",
              "page_faults", "file_io", "tcp_retransmits", "tcp_connections", "page_allocations"}
RIGHTS = "-all,+bpf,+perfmon"


def features(exporter):
    """{name: (enabled, source)}"""
    found = {}
    for (name, labels), value in exporter.metrics().items():
        if name == "optipod_agent_feature_enabled":
            pairs = dict(labels)
            found[pairs["feature"]] = (value == 1, pairs["source"])
    return found


def check_features(found):
    assert EVERYWHERE <= set(found)
    missing = {name: source for name, (enabled, source) in found.items() if name in EVERYWHERE and not enabled}
    assert not missing
    assert not {name: source for name, (_, source) in found.items() if "load failed" in source}


def check_log(agent):
    """What does not load is replaced by what older kernels have, and only the log tells."""
    assert "not on this kernel" not in agent.log() and "failed to load" not in agent.log()


def loaded_programs(pid):
    """{name: {"instructions", "jit_bytes"}} of the programs this process holds."""
    programs = {}
    for number in os.listdir(f"/proc/{pid}/fdinfo"):
        with open(f"/proc/{pid}/fdinfo/{number}", encoding="ascii") as lines:
            info = dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)
        if "prog_type" not in info or "verified_insns" not in info:
            continue   # no program, or a link to one
        shown = json.loads(subprocess.run(["bpftool", "-j", "prog", "show", "id", info["prog_id"]],
                                          capture_output=True, check=True).stdout)
        name = shown["name"]
        assert name not in programs, f"two programs are called {name}"
        programs[name] = {"instructions": int(info["verified_insns"]), "jit_bytes": shown["bytes_jited"]}
    return programs


def test_root_gets_every_program(stack):
    agent = stack.agent("--log-level", "debug", "--page-allocations")
    exporter = stack.exporter(agent.segment)
    found = features(exporter)
    check_features(found)
    check_log(agent)
    programs = loaded_programs(agent.pid)
    assert programs and all(all(program.values()) for program in programs.values())
    conftest.tell(programs=programs, features={name: ("+" if on else "-") + source
                                                 for name, (on, source) in found.items()})


def test_two_capabilities_get_the_same(stack):
    as_root = features(stack.exporter(stack.agent("--cgroup-root", "/", "--page-allocations").segment))
    stack.processes[-1].stop()
    stack.processes[-2].stop()
    place = stack.directory / "unprivileged"
    place.mkdir()
    os.chown(place, 65534, 65534)
    agent = stack.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs",
                       f"--inh-caps={RIGHTS}", f"--bounding-set={RIGHTS}", f"--ambient-caps={RIGHTS}",
                       "/optipod/build/agent/profiler/optipod-agent", "--log-level", "debug",
                       "--page-allocations", "--segment", place / "current.shm"], name="agent")
    wait_until((place / "current.shm").exists, "the agent publishes", 30)
    exporter = stack.exporter(place / "current.shm", "--segment-owner", "65534")
    found = features(exporter)
    check_features(found)
    check_log(agent)
    assert found == as_root
    with open(f"/proc/{agent.pid}/status", encoding="ascii") as lines:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in lines)
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapInh"], 16) == 0
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert found["syscall_filter"] == (True, "seccomp")
    ticks = exporter.metrics()[("optipod_agent_ticks_total", frozenset())]
    wait_until(lambda: exporter.metrics()[("optipod_agent_ticks_total", frozenset())] > ticks + 2,
               "it goes on without any right", 30)
    assert exporter.metrics()[("optipod_agent_errors_total", frozenset())] == 0
