# SPDX-License-Identifier: Apache-2.0
"""The real agent and exporter beside the kernel's own files, with controllers that do their work: quota,
memory limit, I/O, two groups that want the same CPU. A file is read before and after the page."""

import os
import pathlib
import subprocess

from optipod_e2e import busy, direct_io, wait_until

INTERVAL = "200ms"
RESOURCES = ("cpu", "memory", "io")


def name_of(cgroup):
    """Labels of this cgroup's own series, with the whole machine as root."""
    return {"namespace": "", "pod": "", "container": cgroup.relative}


class Page:
    """One scrape."""

    def __init__(self, exporter):
        self.samples = exporter.metrics()

    def get(self, name, **labels):
        return self.samples.get((name, frozenset(labels.items())))

    @property
    def ticks(self):
        return self.get("optipod_agent_ticks_total")


def fresh_page(exporter):
    """A page whose sample was begun after this call."""
    then = Page(exporter).ticks
    found = []

    def newer():
        found.append(Page(exporter))
        return found[-1].ticks >= then + 2
    wait_until(newer, "two more ticks", 60)
    return found[-1]


def between(exporter, read, series):
    """series: {name in the result of read(): (metric, labels, unit of the file in the metric's)}. Every
    metric must lie between what the file says before and after; returns the last read()."""
    before = read()
    page = fresh_page(exporter)
    after = read()
    assert series
    for key, (metric, labels, unit) in series.items():
        value = page.get(metric, **labels)
        assert value is not None, f"{metric} {labels} is absent"
        low, high = before[key] * unit, after[key] * unit
        assert low - 1e-6 <= value <= high + 1e-6, f"{metric} {labels}: {value}, {key} says {low} to {high}"
    return after


def grows_alike(exporter, read, series, condition):
    """As between(), for counters that began elsewhere: compares what is added until `condition`."""
    before, first, after = read(), fresh_page(exporter), read()
    condition()
    later_before, second, later_after = read(), fresh_page(exporter), read()
    for key, (metric, labels, unit) in series.items():
        grown = second.get(metric, **labels) - first.get(metric, **labels)
        low, high = (later_before[key] - after[key]) * unit, (later_after[key] - before[key]) * unit
        assert low - 1e-6 <= grown <= high + 1e-6, f"{metric} {labels}: grew by {grown}, {key} by {low} to {high}"
    return later_before


def pressure(path):
    """{"cpu some": µs, …} of a cgroup, or of the machine for /proc/pressure."""
    found = {}
    for resource in RESOURCES:
        file = path / f"{resource}.pressure" if (path / "cpu.pressure").exists() else path / resource
        for line in file.read_text().splitlines():
            found[f"{resource} {line.split()[0]}"] = int(line.rsplit("total=", 1)[1])
    return found


def pressure_series(prefix, labels, keys):
    words = {"some": "waiting", "full": "stalled"}
    return {key: (f"{prefix}_pressure_{key.split()[0]}_{words[key.split()[1]]}_seconds_total", labels, 1e-6)
            for key in keys}


def known_child(exporter, cgroup, name):
    """A new cgroup that the agent has seen before anything happens in it: its counts begin at 0."""
    made = cgroup.child(name)
    wait_until(lambda: Page(exporter).get("optipod_container_cpu_usage_seconds_total", **name_of(made)) is not None,
               f"{name} is known", 60)
    return made


def measured(stack, *arguments):
    return stack.exporter(stack.agent("--interval", INTERVAL, *arguments).segment)


def test_quota_is_told_from_contention(stack, cgroup):
    exporter = measured(stack)
    limited, calm = known_child(exporter, cgroup, "limited"), known_child(exporter, cgroup, "calm")
    (limited.path / "cpu.max").write_text("10000 50000")
    busy(stack, limited)
    wait_until(lambda: limited.stat()["nr_throttled"] > 20, "it is throttled", 60)
    # That a group has a quota at all is looked up every so many ticks.
    wait_until(lambda: Page(exporter).get("optipod_container_cpu_throttled_seconds_total", **name_of(limited)),
               "its quota is known", 60)
    seen = between(exporter, limited.stat, {
        "usage_usec": ("optipod_container_cpu_usage_seconds_total", name_of(limited), 1e-6),
        "throttled_usec": ("optipod_container_cpu_throttled_seconds_total", name_of(limited), 1e-6),
        "nr_periods": ("optipod_container_cpu_periods_total", name_of(limited), 1),
        "nr_throttled": ("optipod_container_cpu_throttled_periods_total", name_of(limited), 1)})
    assert seen["throttled_usec"] > seen["usage_usec"]
    page = fresh_page(exporter)
    assert page.get("optipod_container_cpu_throttled_seconds_total", **name_of(calm)) == 0


def waits_as_pressure_says(exporter, group):
    """The group has one thread: what that waits for a CPU is what PSI calls waiting. PSI by its file, which brings
    the total up to date; who only looks at it, as the agent does, sees it move every two seconds. Tries again,
    because a machine that stands still is neither's time; a wrong value stays wrong. Returns the last page."""
    def both(page):
        return (page.get("optipod_container_cpu_runqueue_wait_seconds_sum", **name_of(group)),
                pressure(group.path)["cpu some"] / 1e6)
    tried = []
    for _ in range(5):
        before = both(fresh_page(exporter))
        ran = group.stat()["usage_usec"]
        wait_until(lambda start=ran: group.stat()["usage_usec"] > start + 1_000_000, "it runs on", 60)
        page = fresh_page(exporter)
        waited, some = (now - then for now, then in zip(both(page), before))
        if waited > 0.1 and 0.8 * some <= waited <= 1.2 * some:
            return page
        tried.append((waited, some))
    raise AssertionError(f"waited, by PSI: {tried}")


def test_two_groups_want_one_cpu(stack, cgroup):
    exporter = measured(stack)
    groups = [known_child(exporter, cgroup, "one"), known_child(exporter, cgroup, "two")]
    cpu = {max(os.sched_getaffinity(0))}
    for group in groups:
        busy(stack, group, cpus=cpu)
    for group in groups:
        wait_until(lambda g=group: g.stat()["usage_usec"] > 800_000, "both have run", 120)
        keys = ("cpu some", "cpu full")
        between(exporter, group.stat,
                {"usage_usec": ("optipod_container_cpu_usage_seconds_total", name_of(group), 1e-6)})
        between(exporter, lambda g=group: pressure(g.path),
                pressure_series("optipod_container", name_of(group), keys))
        page = waits_as_pressure_says(exporter, group)
        by_other = page.get("optipod_container_cpu_preemptions_total", by="other", **name_of(group))
        by_self = page.get("optipod_container_cpu_preemptions_total", by="self", **name_of(group))
        assert by_other > 5 and by_other > by_self
    machine = pathlib.Path("/proc/pressure")
    enough = pressure(machine)["cpu some"] + 1_000_000
    grows_alike(exporter, lambda: pressure(machine),
                pressure_series("optipod_node", {}, ("cpu some", "memory some", "io some", "io full")),
                lambda: wait_until(lambda: pressure(machine)["cpu some"] > enough, "the machine is under pressure", 60))


def test_memory_limit_stalls_and_kills(stack, cgroup):
    exporter = measured(stack)
    tight = known_child(exporter, cgroup, "tight")
    (tight.path / "memory.max").write_text(str(16 << 20))
    # The page cache of one file twice as large as the limit, read again and again: reclaim.
    subprocess.run(["dd", "if=/dev/zero", "of=/var/tmp/large", "bs=1M", "count=32"], check=True, capture_output=True)
    os.sync()
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")   # cached pages belong to who read them first
    stack.run(["/bin/sh", "-c", "while :; do cat /var/tmp/large; done >/dev/null"], name="reader", cgroup=tight)
    wait_until(lambda: tight.stat("memory.events")["max"] > 100, "it is at its limit", 60)
    wait_until(lambda: pressure(tight.path)["memory some"] > 1000 and pressure(tight.path)["io some"] > 1000,
               "it waits for memory and the disk", 60)
    between(exporter, lambda: pressure(tight.path),
            pressure_series("optipod_container", name_of(tight), ("memory some", "memory full", "io some", "io full")))
    usage = fresh_page(exporter).get("optipod_container_memory_usage_bytes", **name_of(tight))
    assert 4 << 20 < usage <= 16 << 20
    eater = stack.run(["python3", "-c", "x = bytearray(64 << 20)"], name="eater", cgroup=tight)
    assert eater.wait(60) == -9
    assert tight.stat("memory.events")["oom_kill"] >= 1
    # Whatever name it has, a count of kills must be the kernel's.
    page = fresh_page(exporter)
    for (name, labels), value in page.samples.items():
        if "oom_kills_total" in name and ("container", cgroup.relative + "/tight") in labels:
            assert value == tight.stat("memory.events")["oom_kill"], name


def io_stat(cgroup):
    sums = {"rbytes": 0, "wbytes": 0}
    for line in (cgroup.path / "io.stat").read_text().splitlines():
        for word in line.split()[1:]:
            key, value = word.split("=")
            if key in sums:
                sums[key] += int(value)
    return sums


def diskstats():
    with open("/proc/diskstats", encoding="ascii") as lines:
        for line in lines:
            words = line.split()
            if words[2] == "nvme0n1":
                return {"read": int(words[5]) * 512, "write": int(words[9]) * 512}
    raise AssertionError("no nvme0n1")


def test_io_is_charged_to_who_does_it(stack, cgroup):
    exporter = measured(stack)
    writer, idle = known_child(exporter, cgroup, "writer"), known_child(exporter, cgroup, "idle")
    os.sync()
    first = diskstats()["write"]
    loop = direct_io(stack, writer, mebibytes=1)
    grows_alike(exporter, diskstats, {key: ("optipod_node_block_io_bytes_total",
                                            {"device": "nvme0n1", "operation": key}, 1) for key in ("write",)},
                lambda: wait_until(lambda: diskstats()["write"] > first + (4 << 20), "four MiB are written", 60))
    assert loop.alive()
    kinds = {"rbytes": "read", "wbytes": "write"}
    seen = between(exporter, lambda: io_stat(writer),
                   {key: ("optipod_container_block_io_bytes_total", {**name_of(writer), "operation": operation}, 1)
                    for key, operation in kinds.items()})
    assert seen["wbytes"] > 2 << 20
    page = fresh_page(exporter)
    assert page.get("optipod_container_block_io_latency_seconds_count", operation="write", **name_of(writer)) >= 32
    assert not page.get("optipod_container_block_io_bytes_total", operation="write", **name_of(idle))
    source = [dict(labels)["source"] for name, labels in page.samples
              if name == "optipod_agent_feature_enabled" and ("feature", "block_io") in labels]
    assert source and "bio" in source[0], "with the io controller on, the bio's cgroup is the one that counts"
