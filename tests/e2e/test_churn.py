# SPDX-License-Identifier: Apache-2.0
"""A day of pods that come and go, and agents that come and go: nothing leaks, no pod is charged with another's
work, and no counter ever tells a rate that was not there."""

import os
import pathlib
import re
import signal
import time

from churn import Pod, Scraper, increases, live_shortly
from optipod_e2e import busy, samples, wait_until

HOURS, PODS_AN_HOUR, SHORT_LIVED = 24, 80, 20   # of the 80, so many are gone before anybody may have looked
WARM_UP_HOURS = 4
SPAN_HOURS = 4          # a leak shows in every span so long, a buffer that met a longer page only in one
GROWN_BUFFERS = 2 << 20
RESTING_TICKS = 4


def resident(process):
    """Bytes of memory that this process has for itself."""
    rollup = pathlib.Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
    fields = dict(line.split(":", 1) for line in rollup.splitlines()[1:])
    return sum(int(fields[name].split()[0]) for name in ("Private_Clean", "Private_Dirty")) * 1024


def descriptors(process):
    """Open files, of several looks the fewest: the last request's connection may be about to be closed."""
    def look():
        time.sleep(0.02)
        return len(os.listdir(f"/proc/{process.pid}/fd"))
    return min(look() for _ in range(10))


def of_pods(text, name, more=""):
    """{pod: value} of a page that has thousands of other series."""
    return {pod: float(value) for pod, value in re.findall(
        rf'^{name}{{namespace="churn",pod="([^"]*)",container="app"{more}}} (\S+)$', text, re.MULTILINE)}


class Day:
    """Hour by hour, pods whose work is known; `latest` is what the exporter said last of each."""

    def __init__(self, cgroup, logs, exporter):
        self.cgroup, self.logs, self.exporter = cgroup, logs, exporter
        self.number, self.checked, self.partial, self.absent = 0, 0, 0, 0

    def make(self, name=None):
        self.number += 1
        return Pod(self.cgroup, self.logs, self.number, name or f"pod-{self.number}")

    def shown(self):
        page = self.exporter.get("/metrics").text
        return (of_pods(page, "optipod_container_cpu_usage_seconds_total"),
                of_pods(page, "optipod_container_context_switches_total", ',kind="voluntary"'))

    def shown_all(self, names):
        """shown(), or None while one of them is not: on a busy machine the agent may be late, and nothing is."""
        cpu, switches = self.shown()
        return (cpu, switches) if names <= cpu.keys() & switches.keys() else None

    def hour(self):
        """Most pods are seen before they work, so all of their work must be theirs; the others are made, work and
        are removed at once. A StatefulSet's pod comes every hour under the same name."""
        gates = os.pipe()
        same_name = "stateful-0"
        pods = [self.make(same_name if i == 0 else None) for i in range(PODS_AN_HOUR - SHORT_LIVED)]
        for pod in pods:
            pod.start(milliseconds=1 + pod.number % 7, sleeps=3 * (pod.number % 31), seen=gates[0])
        names = {pod.name for pod in pods}
        before = wait_until(lambda: self.shown_all(names), "all pods are shown", 60)
        os.write(gates[1], b"x" * len(pods))
        # Meanwhile others, whose slots and names must not get into anybody's numbers.
        for i in range(SHORT_LIVED):
            short = self.make()
            short.start(milliseconds=1, sleeps=5 + 100 * (i % 2))
            work = short.finish()
            short.remove()
            self.check_short(short, work)
        work = {pod.name: pod.finish() for pod in pods}

        def all_told():
            told = self.shown_all(names)
            return told and all(told[0][name] >= work[name].cpu_seconds - 1e-6 for name in names) and told
        cpu, switches = wait_until(all_told, "all CPU time is shown", 60)
        for pod in pods:
            done = work[pod.name]
            assert cpu[pod.name] <= done.cpu_seconds + 1e-6, f"{pod.name}: {cpu[pod.name]} of {done}"
            # Those before it was seen may be lost; the last one, into its death, is no longer in its own count.
            assert switches[pod.name] - before[1][pod.name] <= done.voluntary_switches + 1, pod.name
            assert switches[pod.name] <= done.voluntary_switches + 1, f"{pod.name}: {switches[pod.name]} of {done}"
            # Not the number of its sleeps: one that is over before the process has given up the CPU is no switch.
            assert switches[pod.name] >= done.voluntary_switches - done.switches_when_seen, \
                f"{pod.name}: {switches[pod.name]} of {done}"
            self.checked += 1
        for pod in pods:
            pod.remove()
        for end in gates:
            os.close(end)

    def check_short(self, pod, work):
        cpu, switches = self.shown()
        if pod.name not in cpu:
            self.absent += 1
            return
        self.partial += 1
        assert cpu[pod.name] <= work.cpu_seconds + 1e-6, f"{pod.name}: {cpu[pod.name]} of {work}"
        assert switches.get(pod.name, 0) <= work.voluntary_switches + 1, f"{pod.name}: {switches} of {work}"


def test_a_day_of_churn(stack, cgroup):
    """Two thousand pods through a hundred places."""
    logs = stack.directory / "logs"
    (logs / "pods").mkdir(parents=True)
    agent = stack.agent("--interval", "50ms", "--max-containers", 100, "--pods-dir", logs / "pods", cgroup=cgroup)
    exporter = stack.exporter(agent.segment)
    cgroup.child("stays")
    day = Day(cgroup, logs, exporter)

    def at_rest():
        """When the last pod of the hour is gone and its slot has rested."""
        ticks = ("optipod_agent_ticks_total", frozenset())
        wait_until(lambda: not day.shown()[0], "the hour's pods are gone", 60)
        since = exporter.metrics()[ticks]
        wait_until(lambda: exporter.metrics()[ticks] > since + RESTING_TICKS, "slots have rested", 60)
        return [(resident(p), descriptors(p)) for p in (agent, exporter)]

    rests = []
    for hour in range(HOURS):
        day.hour()
        if hour >= WARM_UP_HOURS and (hour - WARM_UP_HOURS) % SPAN_HOURS == 0 or hour == HOURS - 1:
            rests.append(at_rest())
    assert day.checked == HOURS * (PODS_AN_HOUR - SHORT_LIVED)
    assert day.checked + day.partial + day.absent == HOURS * PODS_AN_HOUR
    for name, states in zip(("agent", "exporter"), zip(*rests)):
        memory, files = zip(*states)
        assert any(later <= earlier for earlier, later in zip(memory, memory[1:])), f"{name} grows on: {memory} bytes"
        assert memory[-1] <= memory[0] + GROWN_BUFFERS, f"{name} grew: {memory} bytes"
        assert len(set(files)) == 1, f"{name}'s open files: {files}"
    page = exporter.metrics()
    assert page[("optipod_agent_errors_total", frozenset())] == 0
    assert page[("optipod_agent_containers_cut", frozenset())] == 0
    print(f"figures: churn: {day.number} pods, {day.checked} exact, of {day.partial + day.absent} short-lived ones "
          f"{day.absent} not shown; agent {rests[-1][0][0] / 1e6:.1f} MB, {rests[-1][0][1]} files")


def test_short_lived_is_seen_between_ticks(stack, cgroup):
    """New cgroups are told by the kernel, not found at the next tick: what lives in between is counted for itself."""
    logs = stack.directory / "logs"
    (logs / "pods").mkdir(parents=True)
    agent = stack.agent("--interval", "5s", "--pods-dir", logs / "pods", cgroup=cgroup)
    exporter = stack.exporter(agent.segment)
    day = Day(cgroup, logs, exporter)
    ticks = ("optipod_agent_ticks_total", frozenset())

    def tick():
        since = exporter.metrics()[ticks]
        wait_until(lambda: exporter.metrics()[ticks] > since, "a tick", 60)

    tick()
    pods = [day.make() for _ in range(5)]
    time.sleep(1)   # for the agent, on a busy machine; less than a tick
    for pod in pods:
        pod.start(milliseconds=1, sleeps=50)
    work = {pod.name: pod.finish() for pod in pods}
    for pod in pods:
        pod.remove()
    tick()
    _, switches = day.shown()
    seen = [name for name in work if 50 <= switches.get(name, 0) <= work[name].voluntary_switches + 1]
    assert seen, f"none of {work} in {switches}"


def test_no_wrong_rate_through_restarts(stack, cgroup):
    """An agent killed, stopped, continued, ended and replaced by one of another layout, under a steady load and a
    scraper: what Prometheus computes from the samples is never more than the CPUs can have done."""
    load = cgroup.child("load")
    busy(stack, load)
    wait_until(lambda: load.stat()["usage_usec"] > 2_500_000, "a past that no agent has seen", 120)
    segment = stack.directory / "agent" / "current.shm"

    def start(*arguments):
        return stack.agent("--interval", "50ms", *arguments, cgroup=cgroup, segment=segment)

    agent = start()
    exporter = stack.exporter(segment)
    scraper = Scraper(exporter)
    scraper.start()

    def grows(by=0.3):
        """The container's CPU time, as served, grows by so much."""
        key = ("optipod_container_cpu_usage_seconds_total",
               frozenset({("namespace", ""), ("pod", ""), ("container", "/load")}))
        last, grown = None, 0.0
        deadline = time.monotonic() + 120
        while grown < by:
            assert time.monotonic() < deadline, "the load is not shown to work"
            now = samples(exporter.get("/metrics").text).get(key)
            if now is not None and last is not None and now > last:
                grown += now - last
            last = now
            time.sleep(0.02)

    def up(which):
        wait_until(lambda: exporter.metrics()[("optipod_agent_up", frozenset())] == which, f"agent_up is {which}", 60)

    def lose(process):
        stack.processes.remove(process)

    grows()
    resets = 0
    for arguments in ([], ["--max-containers", "64"], ["--no-ebpf"], []):
        agent.kill()
        lose(agent)
        up(0)
        agent = start(*arguments)
        grows()
        agent.signal(signal.SIGSTOP)
        up(0)
        agent.signal(signal.SIGCONT)
        up(1)
        grows()
        assert agent.stop() == 0
        lose(agent)
        up(0)
        agent = start()
        grows()
        resets += 2
    history = scraper.finish()
    cpus = os.cpu_count()
    judged, began_again = 0, {}
    for (name, labels), samples_of in history.items():
        for seconds, increase, reset in increases(samples_of):
            began_again[name] = began_again.get(name, 0) + reset
            # A tick is stamped before the first file is read, and the load works on while the others are.
            if name.endswith("cpu_usage_seconds_total"):
                judged += 1
                assert increase <= cpus * (seconds + 0.5), f"{name} {dict(labels)}: {increase} s in {seconds} s"
    assert scraper.pages > 100 and judged > 100
    # Restarts are real resets, and nothing else is one.
    assert 0 < began_again["optipod_agent_ticks_total"] <= resets
    assert 0 < began_again["optipod_container_cpu_usage_seconds_total"] <= resets
    assert sum(began_again[n] for n in began_again if n.startswith(("optipod_exporter_", "process_"))) == 0


def test_fifty_milliseconds_are_shown_or_counted_as_cut(stack, cgroup):
    """Of services that live 50 ms each is shown with no more than its own work, or counted as gone too early."""
    agent = stack.agent("--interval", "2s", cgroup=cgroup)
    exporter = stack.exporter(agent.segment)
    ticks = ("optipod_agent_ticks_total", frozenset())
    cuts = ("optipod_agent_container_cuts_total", frozenset({("reason", "short_lived")}))
    lives = 30

    def tick(times=1):
        since = exporter.metrics()[ticks]
        wait_until(lambda: exporter.metrics()[ticks] >= since + times, "a tick", 60)

    for attempt in range(5):
        scraper = Scraper(exporter, "optipod_")
        scraper.start()
        tick()
        before = exporter.metrics()[cuts]
        work = {}
        for number in range(lives):
            name = f"short-{attempt}-{number}"
            work[f"/{name}"] = live_shortly(cgroup.child(name), 0.05, sleeps=10)
        tick(2)
        cut = exporter.metrics()[cuts] - before
        history = scraper.finish()
        seen_ticks = [value for _, value in history[ticks]]
        if any(b != a + 1 for a, b in zip(seen_ticks, seen_ticks[1:])):
            continue   # the scraper missed a tick, and with it what only that one showed
        switches = {dict(labels)["container"]: values[-1][1] for (name, labels), values in history.items()
                    if name == "optipod_container_context_switches_total" and ("kind", "voluntary") in labels}
        shown = work.keys() & switches.keys()
        # The last one, into its death, is no longer in the process' own count.
        assert all(switches[name] <= work[name] + 1 for name in shown), f"{switches} of {work}"
        assert len(shown) + cut == lives, f"{len(shown)} shown, {cut} cut of {lives}"
        print(f"figures: churn: of {lives} services that lived 50 ms {len(shown)} were shown, {cut:.0f} counted as cut")
        return
    assert False, "in no attempt every tick was scraped"
