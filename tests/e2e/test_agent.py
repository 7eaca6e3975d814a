# SPDX-License-Identifier: Apache-2.0
"""optipod-agent on the real kernel: what it counts for whom, and that it keeps no right it does not need."""

import os
import subprocess

from optipod_e2e import busy, program_path, wait_until

UID = "2c48913c-b29f-11e7-9350-020968147796"
SANDBOX, APP, SIDECAR = "a" * 64, "b" * 64, "c" * 64
SYSTEMD_POD = ("kubepods.slice/kubepods-burstable.slice/"
               f"kubepods-burstable-pod{UID.replace('-', '_')}.slice")


def run_agent(*arguments):
    """Runs an agent that is expected to end by itself; (status, what it said)."""
    done = subprocess.run([program_path("agent"), *map(str, arguments)], capture_output=True, text=True,
                          timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def value(exporter, name, **labels):
    """The sample's value, or None when it is absent."""
    return exporter.metrics().get((name, frozenset(labels.items())))


def service(path):
    return {"namespace": "", "pod": "", "container": path}


def containers(exporter):
    """{(namespace, pod, container)} with a series of its own."""
    return {tuple(dict(labels)[k] for k in ("namespace", "pod", "container"))
            for name, labels in exporter.metrics() if name == "optipod_container_cpu_usage_seconds_total"}


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as lines:
        return dict(line.rstrip("\n").split(":\t", 1) for line in lines)


def test_values_of_a_real_load(stack, cgroup):
    loaded, idle = cgroup.child("loaded"), cgroup.child("idle")
    agent = stack.agent("--interval", "200ms", cgroup=cgroup)
    exporter = stack.exporter(agent.segment)
    cpu = min(os.sched_getaffinity(0))
    busy(stack, loaded, count=2, cpus={cpu})

    def counted():
        return (value(exporter, "optipod_container_cpu_usage_seconds_total", **service("/loaded")) or 0) > 1

    wait_until(counted, "a second of CPU time", 60)
    before = loaded.stat()["usage_usec"] / 1e6
    page = exporter.metrics()
    after = loaded.stat()["usage_usec"] / 1e6

    def of(name, path="/loaded", **more):
        return page[(name, frozenset({**service(path), **more}.items()))]

    # The page is up to an interval older than the first look at the file.
    usage = of("optipod_container_cpu_usage_seconds_total")
    assert before - 1.0 <= usage <= after + 0.001
    # Two runnable threads on one CPU: one waits whenever the other runs.
    assert of("optipod_container_cpu_runqueue_wait_seconds_sum") > 0.3
    assert of("optipod_container_cpu_runqueue_wait_seconds_count") > 10
    assert of("optipod_container_context_switches_total", kind="involuntary") > 10
    assert of("optipod_container_cpu_usage_seconds_total", "/idle") < 0.1
    # The node is at least its parts.
    assert page[("optipod_node_cpu_usage_seconds_total", frozenset())] >= usage * 0.99
    waits = page[("optipod_node_cpu_runqueue_wait_seconds_count", frozenset())]
    assert waits >= of("optipod_container_cpu_runqueue_wait_seconds_count")
    assert idle.path.exists()


def test_no_right_is_left(stack, cgroup):
    agent = stack.agent(cgroup=cgroup)
    wait_until(lambda: "published in" in agent.log(), "it has attached and published")
    status = status_of(agent.pid)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, f"{name} is {status[name]}"
    assert status["NoNewPrivs"] == "1"
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"65534"}
    assert status["Groups"].split() in ([], ["65534"])
    assert status["Threads"] == "1"
    links = [os.readlink(f"/proc/{agent.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{agent.pid}/fd")]
    assert links and not [link for link in links if link.startswith("socket:")], "it opened a socket"


def test_it_works_without_its_rights(stack, cgroup):
    agent = stack.agent("--interval", "100ms", cgroup=cgroup)
    exporter = stack.exporter(agent.segment)
    made = cgroup.child("made-later")  # needs a slot, which only eBPF maps give
    wait_until(lambda: ("", "", "/made-later") in containers(exporter), "the new cgroup is shown")
    busy(stack, made)
    wait_until(lambda: (value(exporter, "optipod_container_context_switches_total", kind="involuntary",
                              **service("/made-later")) or 0) > 0, "its switches are counted", 60)


def test_user_may_be_chosen(stack, cgroup):
    agent = stack.agent("--user", "12345", "--group", "23456", cgroup=cgroup)
    wait_until(lambda: "published in" in agent.log(), "it has attached and published")
    status = status_of(agent.pid)
    assert set(status["Uid"].split()) == {"12345"} and set(status["Gid"].split()) == {"23456"}
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    code, said = run_agent("--user", "no-such-user")
    assert code == 2 and "no-such-user" in said


def test_second_agent_is_refused_by_name(stack, cgroup):
    first = stack.agent(cgroup=cgroup)
    code, said = run_agent("--cgroup-root", cgroup.relative, "--segment", stack.directory / "other" / "x.shm")
    assert code == 3, said
    assert f"pid {first.pid}" in said and "optipod-agent" in said
    other = cgroup.child("below")
    code, said = run_agent("--cgroup-root", other.relative, "--segment", first.segment)
    assert code == 3, said
    assert f"pid {first.pid}" in said
    assert first.alive()
    # It lets go of both when it ends.
    assert first.stop() == 0
    assert stack.agent(cgroup=cgroup, segment=first.segment).alive()


def test_killed_agent_leaves_the_root_free(stack, cgroup):
    first = stack.agent(cgroup=cgroup)
    first.kill()
    stack.processes.remove(first)
    assert stack.agent(cgroup=cgroup, segment=first.segment).alive()


def test_sigterm_is_clean(stack, cgroup):
    agent = stack.agent("--interval", "30s", cgroup=cgroup)
    exporter = stack.exporter(agent.segment)
    assert agent.stop(5) == 0
    page = exporter.metrics()
    assert page[("optipod_agent_up", frozenset())] == 0
    assert page[("optipod_exporter_writer_state", frozenset({("state", "closed")}))] == 1


def test_cpus_are_honoured(stack, cgroup):
    first, second = sorted(os.sched_getaffinity(0))[:2]
    agent = stack.agent("--cpus", second, "--interval", "100ms", cgroup=cgroup)
    exporter = stack.exporter(agent.segment)
    here, there = cgroup.child("here"), cgroup.child("there")
    busy(stack, here, count=2, cpus={second})
    busy(stack, there, count=2, cpus={first})

    def switches(path):
        return value(exporter, "optipod_container_context_switches_total", kind="involuntary", **service(path)) or 0

    wait_until(lambda: switches("/here") > 50, "switches on the CPU that counts", 60)
    wait_until(lambda: there.stat()["usage_usec"] > 500_000, "work on the other CPU", 60)
    assert switches("/there") == 0
    assert value(exporter, "optipod_node_cpus") == 1


def test_kubernetes_names(stack, cgroup):
    pods = stack.directory / "logs" / "pods"
    (pods / f"shop_web-0_{UID}" / "app").mkdir(parents=True)
    (pods / f"shop_web-0_{UID}" / "app" / "0.log").touch()
    sandbox = cgroup.child(f"{SYSTEMD_POD}/cri-containerd-{SANDBOX}.scope")
    app = cgroup.child(f"{SYSTEMD_POD}/cri-containerd-{APP}.scope")
    inner = app.child("init.scope")
    cgroup.child("system.slice/ssh.service")
    agent = stack.agent("--interval", "100ms", "--pods-dir", pods, cgroup=cgroup)
    exporter = stack.exporter(agent.segment)
    expected = {("shop", "web-0", "app"), ("", "", "/system.slice/ssh.service")}
    wait_until(lambda: containers(exporter) == expected, f"exactly {expected}")
    assert value(exporter, "optipod_container_info", namespace="shop", pod="web-0", container="app",
                 pod_uid=UID, container_id=APP, qos="burstable") == 1
    # What runs below a container is the container's.
    busy(stack, inner, count=2, cpus={min(os.sched_getaffinity(0))})
    names = {"namespace": "shop", "pod": "web-0", "container": "app"}
    wait_until(lambda: (value(exporter, "optipod_container_context_switches_total", kind="involuntary",
                              **names) or 0) > 20, "the child's switches are counted for it", 60)
    # A sidecar is started later; kubelet's link names it.
    (pods / f"shop_web-0_{UID}" / "proxy").mkdir()
    (pods / f"shop_web-0_{UID}" / "proxy" / "0.log").touch()
    links = stack.directory / "logs" / "containers"
    links.mkdir()
    (links / f"web-0_shop_proxy-{SIDECAR}.log").touch()
    sidecar = cgroup.child(f"{SYSTEMD_POD}/cri-containerd-{SIDECAR}.scope")
    expected.add(("shop", "web-0", "proxy"))
    wait_until(lambda: containers(exporter) == expected, f"exactly {expected}")
    # And goes.
    sidecar.remove()
    expected.discard(("shop", "web-0", "proxy"))
    wait_until(lambda: containers(exporter) == expected, f"exactly {expected}")
    assert sandbox.path.exists()


def test_churn_leaks_no_slot(stack, cgroup):
    agent = stack.agent("--interval", "50ms", "--max-containers", 20, cgroup=cgroup)
    exporter = stack.exporter(agent.segment)
    cgroup.child("stays")
    wait_until(lambda: containers(exporter) == {("", "", "/stays")}, "the first cgroup")
    seen_any = set()
    for number in range(60):
        made = [cgroup.child(f"churn-{number}-{i}") for i in range(10)]
        if number % 10 == 0:
            seen_any |= wait_until(lambda: containers(exporter) - {("", "", "/stays")}, "some of them are shown")
        for one in made:
            one.path.rmdir()
    assert seen_any
    # Six hundred came and went through twenty places; all of them are free again.
    wait_until(lambda: containers(exporter) == {("", "", "/stays")}, "only what stays is left")
    full = [cgroup.child(f"last-{i}") for i in range(25)]
    wait_until(lambda: len(containers(exporter)) == 20, "every place is taken again")
    assert value(exporter, "optipod_agent_containers_cut") == 6
    for one in full:
        one.path.rmdir()
    wait_until(lambda: value(exporter, "optipod_agent_containers_cut") == 0, "nothing is cut any more")


def test_without_ebpf(stack, cgroup):
    loaded = cgroup.child("loaded")
    agent = stack.agent("--no-ebpf", "--interval", "100ms", cgroup=cgroup)
    exporter = stack.exporter(agent.segment)
    busy(stack, loaded)
    wait_until(lambda: (value(exporter, "optipod_container_cpu_usage_seconds_total", **service("/loaded")) or 0)
               > 0.2, "CPU time from the cgroup's file", 60)
    names = {name for name, _ in exporter.metrics()}
    # What eBPF would give is absent, not zero, and said to be.
    assert not [name for name in names if "runqueue_wait_seconds" in name or "context_switches" in name]
    features = {dict(labels)["feature"]: number for (name, labels), number in exporter.metrics().items()
                if name == "optipod_agent_feature_enabled"}
    assert features["runqueue_wait"] == 0
    assert len(features) > 5


def test_wrong_use_is_said(stack):
    for arguments, word in ((["--cpus", "3-1"], "--cpus"), (["--cgroup-root", "/no/such/cgroup"], "/no/such/cgroup"),
                            (["--interval", "5"], "--interval"), (["--interval", "1ms"], "--interval"),
                            (["--max-containers", "0"], "--max-containers"), (["--cpus", "8191"], "CPU 8191")):
        code, said = run_agent(*arguments, "--segment", stack.directory / "never" / "x.shm")
        assert code == 2 and word in said, (arguments, code, said)
    assert not (stack.directory / "never").exists()
    code, said = run_agent("--abi")
    assert code == 0 and said.startswith("1.")
