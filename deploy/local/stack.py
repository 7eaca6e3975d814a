# SPDX-License-Identifier: Apache-2.0
"""The programs of OptiPod as children of one Python program: start, wait until ready, stop.

Everything listens on loopback. Each program runs in its own session, dies with its parent, and logs to
a file that is shown when it fails. Used by run.py, demo.py and tests/bench/age.py.
"""

import ctypes
import json
import os
import pathlib
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

PROGRAMS = {
    "agent": "agent/profiler/optipod-agent",
    "exporter": "agent/exporter/optipod-exporter",
    "top": "agent/top/optipod-top",
    "aggregator": "aggregator/optipod-aggregator",
    "extender": "extender/optipod-extender",
    "fake_nodes": "tests/sim/fake_nodes",  # only who names it needs it
}
OWN = tuple(name for name in PROGRAMS if name != "fake_nodes")

# Runs a program as another user although that user may not be able to reach its path.
AS_USER = """
import os, sys
uid, gid, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
fd = os.open(path, os.O_RDONLY)
os.setgroups([]); os.setresgid(gid, gid, gid); os.setresuid(uid, uid, uid)
os.execve(fd, sys.argv[3:], os.environ)
"""


class Failed(Exception):
    """Something did not start; the message is for the user."""


_given = set()  # by free_port(): who gets one may take its time to listen


def free_port():
    """Of those that the kernel gives to nobody who asks for any, a client's connection or a server on port 0: what
    is free now is so still when the program that gets it has started."""
    while True:
        port = random.randrange(10_000, 21_000)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port


def require_free(port, what):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            holder = subprocess.run(["ss", "-Hltnp", f"sport = :{port}"], capture_output=True, text=True,
                                    check=False).stdout.strip()
            raise Failed(f"port {port}, for {what}, is taken: {holder or 'by another program'}\n"
                         "Stop that program or choose other ports with --port-base") from None


def fetch(url, data=None, timeout=2.0):
    """The body, or None while the server does not answer 200."""
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} if data else {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return reply.read()
    except (urllib.error.URLError, OSError):
        return None


def cgroup2_mount():
    with open("/proc/self/mountinfo", encoding="ascii", errors="replace") as mounts:
        for line in mounts:
            fields, _, rest = line.partition(" - ")
            if rest.split()[0] == "cgroup2":
                return pathlib.Path(fields.split()[4])
    raise Failed("no cgroup v2 hierarchy is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified")


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Stack:
    """A set of running programs. A context manager: leaving it stops them, last started first."""

    def __init__(self, build, programs=OWN):
        """programs: those that it will be asked to start."""
        self.build = pathlib.Path(build)
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="optipod-"))
        self.directory.chmod(0o755)
        self.running = []
        for program in map(PROGRAMS.get, programs):
            if not (self.build / program).exists():
                raise Failed(f"{self.build / program} is missing: './dev build' makes it")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for name, process, _ in reversed(self.running):
            if process.poll() is None:
                process.terminate()
        for name, process, _ in reversed(self.running):
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                print(f"{name} did not stop within 5 s of SIGTERM; killed", file=sys.stderr)
                process.kill()
                process.wait()
        for path in sorted(self.directory.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        self.directory.rmdir()

    def start(self, program, *arguments, name=None, user=None):
        """Starts a program; `user` runs it without any privilege."""
        command = [str((self.build / PROGRAMS[program]).resolve()), *map(str, arguments)]
        return self.start_command(name or program, command, user)

    def start_prometheus(self, port, config, rules=(), user=None):
        """Debian's Prometheus on loopback, with 12 h of history in this directory, gone when it stops. `config`
        is prometheus.yml as a dict; `rules` are files. Nothing is started when it is not installed: None."""
        program = shutil.which("prometheus")
        if program is None:
            return None
        directory = self.directory / "prometheus"
        (directory / "data").mkdir(parents=True)
        for number, file in enumerate(rules):
            shutil.copy(file, directory / f"rules-{number}.yml")
        config = {**config, "rule_files": [str(directory / "rules-*.yml")]}
        (directory / "prometheus.yml").write_text(json.dumps(config, indent=1), encoding="ascii")
        if user and os.geteuid() == 0:
            shutil.chown(directory / "data", user)
        command = [program, f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data",
                   "--storage.tsdb.retention.time=12h", f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
        return self.start_command("prometheus", command, user)

    def start_command(self, name, command, user=None):
        """Likewise a program that is not ours."""
        if user and os.geteuid() == 0:
            entry = pwd.getpwnam(user)
            command = [sys.executable, "-c", AS_USER, str(entry.pw_uid), str(entry.pw_gid), *command]
        log = self.directory / f"{name}.log"
        with open(log, "wb") as out:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out,
                                       stderr=subprocess.STDOUT, start_new_session=True, cwd="/",
                                       preexec_fn=_die_with_parent)
        self.running.append((name, process, log))
        return process

    def check(self):
        """Raises when a program has ended by itself."""
        for name, process, log in self.running:
            if process.poll() is not None:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
                raise Failed(f"{name} ended with status {process.returncode}:\n{tail}")

    def wait_until(self, what, condition, seconds=20.0):
        deadline = time.monotonic() + seconds
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                logs = "\n".join(f"--- {n}\n{l.read_text(errors='replace')[-800:]}" for n, _, l in self.running)
                raise Failed(f"not ready after {seconds:.0f} s: {what}\n{logs}")
            time.sleep(0.05)

    def wait_ready(self, name, port, seconds=20.0):
        self.wait_until(f"{name} at 127.0.0.1:{port}/readyz",
                        lambda: fetch(f"http://127.0.0.1:{port}/readyz") is not None, seconds)
