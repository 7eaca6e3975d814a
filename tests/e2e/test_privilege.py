# SPDX-License-Identifier: Apache-2.0
"""What the programs are allowed: the least rights they start with, none while they run, and few system calls."""

import ctypes
import errno
import mmap
import os
import pwd
import shutil
import socket
import struct
import sys

import pytest

import inject
from optipod_e2e import busy, program_path, wait_until
from test_agent import service, status_of, value

NOBODY = 65534
NR_GETPID, NR_OPENAT, NR_MMAP, NR_SOCKET, NR_FORK, NR_EXECVE, NR_PTRACE, NR_BPF = 39, 257, 9, 41, 57, 59, 101, 321
NR_IOCTL, NR_PERF_EVENT_OPEN = 16, 298
BPF_MAP_CREATE, BPF_PROG_LOAD, BPF_MAP_LOOKUP_ELEM = 0, 5, 1


def features(exporter):
    """{name: (enabled, source)}"""
    pages = [dict(labels) | {"on": number} for (name, labels), number in exporter.metrics().items()
             if name == "optipod_agent_feature_enabled"]
    return {page["feature"]: (page["on"] == 1, page["source"]) for page in pages}


def capabilities(pid):
    status = status_of(pid)
    return {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}


def only(*names, uid=NOBODY):
    """Words that start a program with these capabilities and no way to others."""
    sets = ",".join(["-all", *(f"+{name}" for name in names)])
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs",
            f"--inh-caps={sets}", f"--bounding-set={sets}", f"--ambient-caps={sets}"]


# A program behind refuse_bpf(): its own words follow.
BEHIND_SECCOMP = f"import sys; sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r}); " \
                 "import os, test_privilege; test_privilege.refuse_bpf(); os.execv(sys.argv[1], sys.argv[1:])"


@pytest.fixture
def published(stack):
    """A directory that nobody may publish in."""
    place = stack.directory / "of-nobody"
    place.mkdir(mode=0o755)
    os.chown(place, NOBODY, NOBODY)
    return place / "current.shm"


def start(stack, words, segment, cgroup, *arguments, **kwargs):
    """An agent whose command begins with these words."""
    program = shutil.copy(program_path("agent"), stack.directory)   # where everybody may run it
    agent = stack.run([*words, program, "--segment", segment, "--cgroup-root", cgroup.relative, "--interval",
                       "100ms", *arguments], name="agent", **kwargs)
    wait_until(lambda: segment.exists() or not agent.alive(), "it publishes or ends", 30)
    assert agent.alive(), agent.log()
    return agent


def goes_on(exporter):
    ticks = value(exporter, "optipod_agent_ticks_total")
    wait_until(lambda: value(exporter, "optipod_agent_ticks_total") > ticks + 3, "it goes on", 30)
    assert value(exporter, "optipod_agent_errors_total") == 0


def test_two_capabilities_are_enough_and_none_is_kept(stack, cgroup, published):
    # Also where CAP_SETPCAP is missing, without which the bounding set cannot be cut: no_new_privs stands in.
    agent = start(stack, only("bpf", "perfmon"), published, cgroup)
    exporter = stack.exporter(published, "--segment-owner", NOBODY)
    found = features(exporter)
    for name in ("runqueue_wait", "preemptions", "context_switches", "cgroup_slots", "cgroup_iter", "block_io"):
        assert found[name][0], (name, found[name])
    assert not any(capabilities(agent.pid).values())
    status = status_of(agent.pid)
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2" and int(status["Seccomp_filters"]) >= 1
    made = cgroup.child("made-later")
    busy(stack, made)
    wait_until(lambda: (value(exporter, "optipod_container_context_switches_total", kind="involuntary",
                              **service("/made-later")) or 0) > 0, "a new cgroup is counted", 60)
    goes_on(exporter)


def bpf_attributes(agent_pid):
    """Address of readable memory in the agent; what stands there does not matter."""
    with open(f"/proc/{agent_pid}/maps", encoding="ascii") as maps:
        return next(int(line.split("-")[0], 16) for line in maps if " rw-p " in line)


def test_other_system_calls_fail(stack, cgroup):
    agent = stack.agent("--interval", "100ms", cgroup=cgroup)
    exporter = stack.exporter(agent.segment)
    wait_until(lambda: "published in" in agent.log(), "it has attached and published")
    memory = bpf_attributes(agent.pid)
    assert inject.call(agent.pid, NR_GETPID) == agent.pid
    closed = {
        "socket": (NR_SOCKET, socket.AF_INET, socket.SOCK_STREAM, 0), "fork": (NR_FORK,), "execve": (NR_EXECVE, 0, 0, 0),
        "ptrace": (NR_PTRACE, 0, 0, 0, 0), "load a program": (NR_BPF, BPF_PROG_LOAD, memory, 48),
        "make a map": (NR_BPF, BPF_MAP_CREATE, memory, 48),
        "open to write": (NR_OPENAT, -100, 0, os.O_WRONLY), "create": (NR_OPENAT, -100, 0, os.O_RDWR | os.O_CREAT),
        "executable memory": (NR_MMAP, 0, 4096, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
                              -1, 0)}
    for what, call in closed.items():
        assert inject.call(agent.pid, *call) == -errno.ENOSYS, what
    # Near them stands what it needs.
    assert inject.call(agent.pid, NR_OPENAT, -100, 0, os.O_RDONLY) == -errno.EFAULT
    assert inject.call(agent.pid, NR_BPF, BPF_MAP_LOOKUP_ELEM, 0, 0) != -errno.ENOSYS
    goes_on(exporter)
    assert features(exporter)["syscall_filter"] == (True, "seccomp")


def test_the_filter_can_be_left_out(stack, cgroup):
    agent = stack.agent("--no-seccomp", cgroup=cgroup)
    wait_until(lambda: "published in" in agent.log(), "it has attached and published")
    assert status_of(agent.pid)["Seccomp"] == "0"
    assert inject.call(agent.pid, NR_SOCKET, socket.AF_INET, socket.SOCK_STREAM, 0) >= 0
    assert features(stack.exporter(agent.segment))["syscall_filter"] == (False, "switched off")


def test_counters_of_the_cpus_are_for_those_who_ask(stack, cgroup):
    enable, reset = 0x2400, 0x2403   # PERF_EVENT_IOC_ENABLE, _RESET
    plain = stack.agent(cgroup=cgroup.child("plain"))
    wait_until(lambda: "published in" in plain.log(), "it has attached and published")
    assert "hardware_counters" not in features(stack.exporter(plain.segment))
    assert inject.call(plain.pid, NR_IOCTL, -1, enable, 0) == -errno.ENOSYS
    agent = stack.agent("--hardware-counters", "--interval", "100ms", cgroup=cgroup.child("counting"),
                        segment=stack.directory / "counting" / "current.shm")
    exporter = stack.exporter(agent.segment)
    wait_until(lambda: "published in" in agent.log(), "it has attached and published")
    on, source = features(exporter)["hardware_counters"]
    assert source in ("raw_tp, in windows", "no hardware counters")
    # Absent, not zero.
    assert on == any("cpu_cycles" in name for name, _ in exporter.metrics())
    assert inject.call(agent.pid, NR_IOCTL, -1, enable, 0) == -errno.EBADF
    assert inject.call(agent.pid, NR_IOCTL, -1, reset, 0) == -errno.ENOSYS
    assert inject.call(agent.pid, NR_PERF_EVENT_OPEN, 0, -1, 0, -1, 0) == -errno.ENOSYS
    goes_on(exporter)


def refuse_bpf():
    """What a container runtime's seccomp profile does: bpf() is EPERM, for this process and its children."""
    code = [(0x20, 0, 0, 0), (0x15, 0, 1, NR_BPF), (0x06, 0, 0, 0x00050000 | errno.EPERM), (0x06, 0, 0, 0x7FFF0000)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
    header = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(program))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, header, 0, 0):   # no_new_privs, seccomp
        raise OSError(ctypes.get_errno(), "seccomp")


@pytest.mark.parametrize("refused_by", ["seccomp", "no CAP_BPF", "no CAP_PERFMON", "no capability"])
def test_without_ebpf_files_are_served(stack, cgroup, published, refused_by):
    loaded = cgroup.child("loaded")
    words = {"seccomp": [sys.executable, "-c", BEHIND_SECCOMP], "no CAP_BPF": only("perfmon"),
             "no CAP_PERFMON": only("bpf"), "no capability": only()}[refused_by]
    agent = start(stack, words, published, cgroup)
    exporter = stack.exporter(published, "--segment-owner", NOBODY)
    busy(stack, loaded)
    wait_until(lambda: (value(exporter, "optipod_container_cpu_usage_seconds_total", **service("/loaded")) or 0) > 0.2,
               "CPU time from the cgroup's file", 60)
    found = features(exporter)
    for name in ("runqueue_wait", "preemptions", "context_switches", "cgroup_slots", "cgroup_iter", "block_io"):
        assert not found[name][0] and found[name][1], (name, found[name])
    # Absent, not zero.
    assert not [name for name, _ in exporter.metrics() if "runqueue_wait_seconds" in name or "block_io_lat" in name]
    assert not any(capabilities(agent.pid).values())
    goes_on(exporter)


def test_exporter_needs_nothing(stack, cgroup):
    agent = stack.agent("--segment-group", "daemon", cgroup=cgroup)
    exporter = stack.exporter(agent.segment, "--segment-owner", "root", user="daemon")
    assert value(exporter, "optipod_agent_up") == 1
    assert not any(capabilities(exporter.pid).values())
    status = status_of(exporter.pid)
    assert set(status["Uid"].split()) == {str(pwd.getpwnam("daemon").pw_uid)}
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    for what, call in {"fork": (NR_FORK,), "execve": (NR_EXECVE, 0, 0, 0), "open to write": (NR_OPENAT, -100, 0, os.O_RDWR),
                       "bpf": (NR_BPF, BPF_MAP_LOOKUP_ELEM, 0, 0)}.items():
        assert inject.call(exporter.pid, *call) == -errno.EPERM, what
    assert inject.call(exporter.pid, NR_OPENAT, -100, 0, os.O_RDONLY) == -errno.EFAULT
    assert value(exporter, "optipod_agent_up") == 1
