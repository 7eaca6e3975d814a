# SPDX-License-Identifier: Apache-2.0
"""Pods that come and go: cgroups and logs as a kubelet leaves them, with a known amount of work in each,
and a scraper that computes increases as Prometheus does."""

import dataclasses
import mmap
import os
import resource
import shutil
import threading
import time

from optipod_e2e import Cgroup, samples_at

TIMESTAMP = ("optipod_sample_timestamp_seconds", frozenset())
POD_SLICE = "kubepods/burstable/pod{uid}"


@dataclasses.dataclass
class Work:
    """What a pod's only process has used in its life, by the kernel's own account."""
    cpu_seconds: float
    voluntary_switches: int
    switches_when_seen: int   # of these, those before it went on


class Pod:
    """A pod with one container `app` (and its sandbox), as containerd with the cgroupfs driver makes it."""

    def __init__(self, root, logs, number, name):
        self.uid = f"{number:08x}-0000-4000-8000-{number:012x}"
        self.number, self.name, self.container_id = number, name, f"{number:064x}"
        self.directory = root.path / POD_SLICE.format(uid=self.uid)
        self.log = logs / "pods" / f"churn_{name}_{self.uid}"
        self.link = logs / "containers" / f"{name}_churn_app-{self.container_id}.log"
        (self.log / "app").mkdir(parents=True)
        (self.log / "app" / "0.log").touch()
        self.link.parent.mkdir(exist_ok=True)
        self.link.touch()
        self.directory.mkdir(parents=True)
        self.sandbox = Cgroup(self.directory / f"{number + (1 << 200):064x}")
        self.app = Cgroup(self.directory / self.container_id)
        self.worker = None
        self.when_seen = mmap.mmap(-1, 8)   # the process writes it

    def start(self, milliseconds, sleeps, seen=None):
        """Forks the process: so much CPU time, so many sleeps. `seen`: a pipe's end to wait on first."""
        self.worker = os.fork()
        if self.worker == 0:
            try:
                (self.app.path / "cgroup.procs").write_text("0")
                if seen is not None:
                    os.read(seen, 1)
                switches = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
                self.when_seen[:] = switches.to_bytes(8, "little")
                end = time.process_time() + milliseconds / 1e3
                while time.process_time() < end:
                    pass
                for _ in range(sleeps):
                    time.sleep(1e-6)
                os._exit(0)
            finally:
                os._exit(1)

    def finish(self):
        """Waits for the process; what the kernel says that its cgroup and it have used."""
        _, status, used = os.wait4(self.worker, 0)
        assert status == 0, "the pod's process failed"
        return Work(self.app.stat()["usage_usec"] / 1e6, used.ru_nvcsw, int.from_bytes(self.when_seen, "little"))

    def remove(self):
        for directory in (self.app.path, self.sandbox.path, self.directory):
            directory.rmdir()
        shutil.rmtree(self.log)
        self.link.unlink()


def live_shortly(cgroup, seconds, sleeps):
    """A process that sleeps so often, so long in all, in the cgroup, which is removed then; its voluntary switches."""
    worker = os.fork()
    if worker == 0:
        try:
            (cgroup.path / "cgroup.procs").write_text("0")
            for _ in range(sleeps):
                time.sleep(seconds / sleeps)
            os._exit(0)
        finally:
            os._exit(1)
    _, status, used = os.wait4(worker, 0)
    assert status == 0, "the short-lived process failed"
    cgroup.path.rmdir()
    return used.ru_nvcsw


def counters(text):
    """{series: value} of the page's counters, histograms' parts among them, and the sample's time."""
    kinds = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE "))

    def is_counter(name):
        base = next((name[:-len(end)] for end in ("_bucket", "_sum", "_count")
                     if name.endswith(end) and kinds.get(name[:-len(end)]) == "histogram"), name)
        return kinds.get(base) in ("counter", "histogram")
    found = samples_at(text)
    return ({key: value for key, (value, _) in found.items() if is_counter(key[0])},
            found.get(TIMESTAMP, (None,))[0])


class Scraper(threading.Thread):
    """Scrapes without pause until stopped and keeps every change of every counter.

    history: {series: [(time the values were read from the kernel, value), …]}
    """

    def __init__(self, exporter, prefix="optipod_"):
        super().__init__(daemon=True)
        self.exporter, self.prefix = exporter, prefix
        self.history, self.pages, self.failure = {}, 0, None
        self._ended = threading.Event()

    def run(self):
        try:
            while not self._ended.is_set():
                self.look()
                time.sleep(0.01)
        except Exception as error:  # pylint: disable=broad-except   # shown by finish()
            self.failure = error

    def look(self):
        values, moment = counters(self.exporter.get("/metrics").text)
        self.pages += 1
        for key, value in values.items():
            if key[0].startswith(self.prefix):
                seen = self.history.setdefault(key, [])
                if not seen or seen[-1][1] != value:
                    seen.append((moment, value))

    def finish(self):
        self._ended.set()
        self.join(30)
        if self.failure:
            raise self.failure
        return self.history


def increases(history):
    """[(seconds, increase, is_reset)] between neighbours, as Prometheus' rate() takes them: what is less than
    before began again at 0."""
    return [(b[0] - a[0], b[1] - a[1] if b[1] >= a[1] else b[1], b[1] < a[1])
            for a, b in zip(history, history[1:])]
