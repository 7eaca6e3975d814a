# SPDX-License-Identifier: Apache-2.0
"""A node that is a share of this machine: one CPU, an amount of memory, a disk of a limited speed.

What is measured of it is a cgroup v2 subtree, with a real agent and exporter. Memory and disk are limited
for all that runs there together, by cgroup v2's controllers, or by v1's where the kernel gave them to v1.
"""

import json
import os
import pathlib
import shutil
import tempfile

from optipod_e2e import Cgroup, cgroup2_mount, disk_directory, free_port, wait_until

WORK = pathlib.Path(__file__).resolve().parent / "trap_work.py"

# Into each of these cgroups, then become the program.
JOIN = 'for cgroup in $JOIN; do echo $$ >"$cgroup/cgroup.procs" || exit 1; done; exec "$@"'


def _controller(controller, v1_name):
    """(controller, None) where cgroup v2 has it, else (controller, where v1 has it mounted)."""
    if controller in (cgroup2_mount() / "cgroup.controllers").read_text().split():
        return controller, None
    for line in pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split()[:3]
        if kind == "cgroup" and v1_name in options.split(","):
            return controller, pathlib.Path(fields.split()[4])
    raise AssertionError(f"neither cgroup v2 nor a mounted cgroup v1 limits '{controller}' on this machine: "
                         f"mount -t cgroup -o {v1_name} none DIRECTORY, or boot with cgroup v2 alone")


def _whole_disk(path):
    """major:minor of the disk that holds this file: limits are a disk's, not a partition's."""
    number = os.stat(path).st_dev
    device = pathlib.Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve()
    return ((device.parent if (device / "partition").exists() else device) / "dev").read_text().strip()


class Share:
    """The cgroups that all processes of a node are in. `directories`: those to enter."""

    def __init__(self, node, name):
        self._inside = node.child("pods")   # limits a level below the subtree that is measured
        self._v1 = []
        places = [_controller(v2, v1) for v2, v1 in (("memory", "memory"), ("io", "blkio"))]
        self._memory, self._disk = (self._limited(node.path, name, *place) for place in places)

    @property
    def directories(self):
        return [self._inside.path, *self._v1]

    def _limited(self, node, name, controller, v1):
        if v1 is None:
            for above in (cgroup2_mount(), node):
                (above / "cgroup.subtree_control").write_text(f"+{controller}")
            return self._inside.path
        (v1 / name).mkdir()
        self._v1.append(v1 / name)
        return v1 / name

    def limit_memory(self, size):
        v1 = self._memory / "memory.limit_in_bytes"
        (v1 if v1.exists() else self._memory / "memory.max").write_text(str(size))

    def limit_disk(self, directory, per_second):
        """So many reads and so many writes a second."""
        disk = _whole_disk(directory)
        if (self._disk / "io.max").exists():
            (self._disk / "io.max").write_text(f"{disk} riops={per_second} wiops={per_second}")
            return
        for what in ("read", "write"):
            (self._disk / f"blkio.throttle.{what}_iops_device").write_text(f"{disk} {per_second}")

    def remove(self):
        """Nothing runs there any more."""
        def gone():
            try:
                for directory in list(self._v1):
                    directory.rmdir()
                    self._v1.remove(directory)
                return True
            except OSError:   # a killed task has not been reaped yet
                return False
        wait_until(gone, f"{self._v1} are removed")


class Node:
    """`.port` is its exporter's."""

    def __init__(self, stack, name, cpu, memory):
        self._stack, self.name, self._cpu, self._made = stack, name, cpu, 0
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="optipod-e2e-trap-", dir=disk_directory()))
        self._cgroup, self._share = None, None
        try:
            self._cgroup = Cgroup.temporary()
            self._share = Share(self._cgroup, self._cgroup.path.name)
            self._share.limit_memory(memory)
            self._serve()
        except BaseException:
            self.remove()
            raise

    def _serve(self):
        agent = self._stack.agent("--cpus", self._cpu, "--node-name", self.name, "--segment-group", "nogroup",
                                  cgroup=self._cgroup)
        self.port = free_port()
        self._stack.exporter(agent.segment, "--segment-owner", "root", port=self.port, user="nobody")

    def limit_disk(self, per_second):
        self._share.limit_disk(self.directory, per_second)

    def file(self, size):
        """A new file on the disk, none of it in the page cache."""
        self._made += 1
        path = self.directory / f"file-{self._made}"
        with open(path, "wb") as file:
            for _ in range(size >> 20):
                file.write(os.urandom(1 << 20))
            file.flush()
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return path

    def run(self, *work):
        """trap_work.py with these arguments, as a process of this node."""
        command = ["/bin/sh", "-c", JOIN, "join", "/usr/bin/python3", "-B", WORK, *work]
        join = " ".join(str(directory) for directory in self._share.directories)
        return self._stack.run(command, name=f"{self.name}-{work[0]}", env={"JOIN": join}, cpus={self._cpu})

    def job(self, *files):
        """{part: seconds} of one run of the newcomer here."""
        process = self.run("job", *files)
        status = process.wait(60)
        assert status == 0, f"the job on {self.name} ended with status {status}\n{process.log()[-2000:]}"
        return json.loads(process.log())

    def remove(self):
        if self._cgroup is not None:
            self._cgroup.remove()   # kills what runs in it
        if self._share is not None:
            self._share.remove()
        shutil.rmtree(self.directory, ignore_errors=True)
