# SPDX-License-Identifier: Apache-2.0
"""What end-to-end tests share: real programs as children, cgroups, loads, promtool, Prometheus.

Everything listens on loopback, lives in one temporary directory and is gone when the test ends. The
fixtures are in conftest.py: `stack` (a Stack) and `cgroup` (a Cgroup below the real cgroup2 mount).
"""

import dataclasses
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "deploy/local"))
from stack import AS_USER, PROGRAMS, _die_with_parent, cgroup2_mount, free_port   # noqa: E402


# ---- Waiting and HTTP ------------------------------------------------------------------------------


def wait_until(condition, what, seconds=20.0, every=0.05):
    """Returns the first true result of condition(); fails, naming `what`, after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(every)


@dataclasses.dataclass
class Reply:
    status: int
    headers: dict  # lower-case names
    body: bytes

    @property
    def text(self):
        return self.body.decode("utf-8")

    def json(self):
        return json.loads(self.body)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args, **_kwargs):
        return None


# No proxy from the environment: everything is on loopback.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


def http(url, data=None, headers=None, method=None, timeout=10.0):
    """One request. Any status is a Reply; no connection is an OSError. str and dict data are encoded."""
    headers = dict(headers or {})
    if isinstance(data, (dict, list)):
        data = json.dumps(data)
        headers.setdefault("Content-Type", "application/json")
    if isinstance(data, str):
        data = data.encode()
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with _OPENER.open(request, timeout=timeout) as reply:
            return Reply(reply.status, {k.lower(): v for k, v in reply.headers.items()}, reply.read())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())


def answers(url, status=200):
    """True when the URL answers with this status now."""
    try:
        return http(url, timeout=2).status == status
    except OSError:
        return False


# ---- Programs --------------------------------------------------------------------------------------


def build_dir():
    directory = os.environ.get("OPTIPOD_BUILD")
    if not directory:
        raise AssertionError("set OPTIPOD_BUILD to the build directory (meson test does)")
    return pathlib.Path(directory).resolve()


def program_path(name):
    """Path of a program of the build; a missing one is a failure, never a skip."""
    path = build_dir() / PROGRAMS.get(name, name)
    if not path.exists():
        raise AssertionError(f"{path} is not built: ninja -C {build_dir()}")
    return str(path)


class Process:
    """A child program in its own session. stdout and stderr go to `log_path`."""

    def __init__(self, command, log_path, name, cgroup=None, user=None, env=None, cpus=None):
        self.name, self.log_path = name, pathlib.Path(log_path)
        self.url = None  # base URL, when it serves
        command = [str(word) for word in command]
        if user is not None:
            uid, gid = (user, user) if isinstance(user, int) else pwd.getpwnam(user)[2:4]
            command = [sys.executable, "-c", AS_USER, str(uid), str(gid), *command]

        def enter():
            _die_with_parent()
            if cgroup is not None:
                (cgroup.path / "cgroup.procs").write_text(str(os.getpid()))
            if cpus is not None:
                os.sched_setaffinity(0, cpus)

        with open(self.log_path, "ab") as out:
            self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out,
                                          stderr=subprocess.STDOUT, start_new_session=True, cwd="/",
                                          preexec_fn=enter, env={**os.environ, **(env or {})})

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def log(self):
        return self.log_path.read_text(errors="replace")

    def signal(self, number):
        self.popen.send_signal(number)

    def wait(self, seconds=10.0):
        """Exit status; fails when it does not end in time."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {seconds:g} s\n{self.log()[-2000:]}") from None

    def kill(self):
        """SIGKILL, to it and to what it started."""
        self._kill_session()
        self.popen.wait(10)

    def _kill_session(self):
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def stop(self, seconds=10.0):
        """SIGTERM and wait; its exit status. Fails when it has to be killed. What it started goes too."""
        if self.alive():
            self.popen.send_signal(signal.SIGCONT)
            self.popen.terminate()
        try:
            status = self.popen.wait(seconds)
            self._kill_session()
            return status
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} ignored SIGTERM for {seconds:g} s\n{self.log()[-2000:]}") from None

    def get(self, path, **kwargs):
        return http(self.url + path, **kwargs)

    def metrics(self):
        """{(name, frozenset of label pairs): value} of its /metrics."""
        reply = self.get("/metrics")
        assert reply.status == 200, f"{self.name} /metrics: {reply.status}"
        return samples(reply.text)


class Stack:
    """Starts programs and stops all of them, last first. Fails the test when one did not stop on SIGTERM."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="optipod-e2e-"))
        self.directory.chmod(0o755)  # other users open segments in it
        self.processes = []
        self.scratch = []  # files elsewhere, removed at the end

    def run(self, command, name=None, **kwargs):
        name = f"{name or pathlib.Path(command[0]).name}-{len(self.processes)}"
        process = Process(command, self.directory / f"{name}.log", name, **kwargs)
        self.processes.append(process)
        return process

    def start(self, program, *arguments, name=None, **kwargs):
        """Starts a program of the build with these arguments; does not wait."""
        return self.run([program_path(program), *arguments], name=name or program, **kwargs)

    def serve(self, program, *arguments, port=None, ready="/readyz", seconds=20.0, **kwargs):
        """Starts a program that listens on loopback and waits until `ready` answers 200 (None: /healthz)."""
        port = port or free_port()
        process = self.start(program, *arguments, "--web.listen-address", f"127.0.0.1:{port}", **kwargs)
        process.url = f"http://127.0.0.1:{port}"
        self.wait_for(process, ready or "/healthz", seconds)
        return process

    def wait_for(self, process, path, seconds=20.0):
        def there():
            if not process.alive():
                raise AssertionError(f"{process.name} ended with status {process.popen.returncode}:\n{process.log()}")
            return answers(process.url + path)
        try:
            wait_until(there, f"{process.name}: {process.url}{path} answers 200", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{process.log()[-2000:]}") from None

    def agent(self, *arguments, cgroup=None, segment=None, **kwargs):
        """Starts an agent and waits for its segment, which is its `.segment`."""
        segment = pathlib.Path(segment or self.directory / f"agent-{len(self.processes)}" / "current.shm")
        segment.parent.mkdir(exist_ok=True)
        segment.parent.chmod(0o755)
        root = ["--cgroup-root", cgroup.relative] if cgroup is not None else []
        process = self.start("agent", "--segment", segment, *root, *arguments, **kwargs)
        process.segment = segment

        def there():
            if not process.alive():
                raise AssertionError(f"the agent ended with status {process.popen.returncode}:\n{process.log()}")
            return segment.exists()
        wait_until(there, f"the agent publishes {segment}", 30)
        return process

    def exporter(self, segment, *arguments, **kwargs):
        return self.serve("exporter", "--segment", segment, *arguments, **kwargs)

    def close(self):
        """Stops everything, removes the directory; the first failure is raised at the end."""
        failure = None
        for process in reversed(self.processes):
            try:
                process.stop()
            except AssertionError as error:
                failure = failure or error
        shutil.rmtree(self.directory, ignore_errors=True)
        for file in self.scratch:
            file.unlink(missing_ok=True)
        if failure:
            raise failure


# ---- cgroups and loads -----------------------------------------------------------------------------


class Cgroup:
    """A cgroup v2 directory that this test made."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.path.mkdir()

    @classmethod
    def temporary(cls):
        """A new one directly below the mount."""
        return cls(tempfile.mktemp(prefix=f"optipod-e2e-{os.getpid()}-", dir=cgroup2_mount()))

    @property
    def relative(self):
        """Path from the mount, with a leading slash: what --cgroup-root takes."""
        return "/" + str(self.path.relative_to(cgroup2_mount()))

    def child(self, name):
        """name may have several levels; missing ones are made."""
        *parents, last = name.split("/")
        below = self.path.joinpath(*parents)
        below.mkdir(parents=True, exist_ok=True)
        return Cgroup(below / last)

    def stat(self, file="cpu.stat"):
        """A flat keyed file as {key: int}."""
        pairs = (line.split() for line in (self.path / file).read_text().splitlines())
        return {key: int(value) for key, value in pairs}

    def remove(self):
        """Kills what runs in it and removes it with everything below."""
        def gone():
            if not self.path.exists():
                return True
            (self.path / "cgroup.kill").write_text("1")
            try:
                for below in sorted((p for p in self.path.rglob("*") if p.is_dir()), reverse=True):
                    below.rmdir()
                self.path.rmdir()
            except OSError:  # a killed task has not been reaped yet
                return False
            return True
        wait_until(gone, f"{self.path} is removed")


def busy(stack, cgroup, count=1, cpus=None):
    """`count` CPU-bound single-threaded processes in the cgroup, on these CPUs."""
    return [stack.run(["/bin/sh", "-c", "while :; do :; done"], name="busy", cgroup=cgroup, cpus=cpus)
            for _ in range(count)]


def disk_directory():
    """A directory on a real block device (O_DIRECT works there), else fails."""
    for candidate in (build_dir(), pathlib.Path("/var/tmp"), pathlib.Path("/tmp")):
        device = os.stat(candidate).st_dev
        if os.major(device) != 0:
            return candidate
    raise AssertionError("no directory on a block device for direct I/O")


def direct_io(stack, cgroup, cpus=None, mebibytes=16):
    """Endless synchronous direct writes of one file of this size, from the cgroup."""
    file = pathlib.Path(tempfile.mktemp(prefix="optipod-e2e-io-", dir=disk_directory()))
    stack.scratch.append(file)
    loop = (f'while :; do dd if=/dev/zero of="$1" bs=64k count={mebibytes * 16} oflag=direct,dsync '
            'conv=notrunc 2>/dev/null || exit 1; done')
    return stack.run(["/bin/sh", "-c", loop, "direct-io", file], name="direct-io", cgroup=cgroup, cpus=cpus)


# ---- Exposition, promtool, Prometheus ----------------------------------------------------------------

_SAMPLE = re.compile(r'^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: (\d+))?$')
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"(?:,|$)')
_ESCAPES = {"n": "\n", "\\": "\\", '"': '"'}


def samples_at(text):
    """{(name, frozenset of label pairs): (value, timestamp in ms or None)}. Strict: a line that is not
    clean 0.0.4, or a series that appears twice, fails."""
    found = {}
    assert text == "" or text.endswith("\n"), "the last line has no end"
    for line in text.split("\n")[:-1]:
        if line.startswith("#"):
            continue
        match = _SAMPLE.match(line)
        assert match, f"not a sample: {line!r}"
        name, body, value, timestamp = match.groups()
        pairs, end = [], 0
        for label in _LABEL.finditer(body or ""):
            assert label.start() == end, f"broken labels: {line!r}"
            end = label.end()
            pairs.append((label[1], re.sub(r"\\(.)", lambda m: _ESCAPES[m[1]], label[2])))
        assert end == len(body or ""), f"broken labels: {line!r}"
        key = (name, frozenset(pairs))
        assert key not in found, f"series twice: {line!r}"
        found[key] = (float(value.replace("Inf", "inf")), int(timestamp) if timestamp else None)
    return found


def samples(text):
    """As samples_at(), values only."""
    return {key: value for key, (value, _) in samples_at(text).items()}


def open_samples(text):
    """As samples(), of an OpenMetrics page, by the reference implementation's strict parser."""
    # Here, so that the benchmarks, which share this file, do not need it.
    from prometheus_client.openmetrics.parser import text_string_to_metric_families
    assert text.endswith("# EOF\n")
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert sample.timestamp is None and sample.exemplar is None
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"series twice: {key}"
            found[key] = sample.value
    return found


def series(found, name, **labels):
    """The values of `name` whose labels include these, as a list; found is what samples() returned."""
    wanted = set(labels.items())
    return [value for (metric, pairs), value in found.items() if metric == name and wanted <= pairs]


def promtool_check(text):
    """Fails unless `promtool check metrics` exits 0 and says nothing."""
    run = subprocess.run(["promtool", "check", "metrics"], input=text.encode() if isinstance(text, str) else text,
                         capture_output=True, timeout=60, check=False)
    said = (run.stdout + run.stderr).decode(errors="replace")
    assert run.returncode == 0 and said == "", f"promtool check metrics: status {run.returncode}\n{said}"


class Prometheus:
    """Debian's prometheus with its own configuration and data directory on a loopback port."""

    def __init__(self, stack, scrape_configs, interval="1s", features=(), rules=(), external_labels=None):
        """scrape_configs: a list of dicts as in prometheus.yml (written as JSON, which is YAML); rules: files."""
        directory = stack.directory / f"prometheus-{len(stack.processes)}"
        directory.mkdir()
        config = {"global": {"scrape_interval": interval, "scrape_timeout": interval,
                             "evaluation_interval": interval, "external_labels": external_labels or {}},
                  "rule_files": [str(file) for file in rules], "scrape_configs": scrape_configs}
        (directory / "prometheus.yml").write_text(json.dumps(config, indent=1))
        port = free_port()
        self.process = stack.run(["prometheus", f"--config.file={directory}/prometheus.yml",
                                  f"--storage.tsdb.path={directory}/data",
                                  f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
                                  *(f"--enable-feature={feature}" for feature in features)], name="prometheus")
        self.process.url = f"http://127.0.0.1:{port}"
        stack.wait_for(self.process, "/-/ready", 60)

    def query(self, expression, at=None):
        """Instant query: a list of (labels dict, timestamp in s, value). Range selectors such as
        'x[1m]' give one entry per raw sample."""
        parameters = {"query": expression, **({"time": f"{at:.3f}"} if at is not None else {})}
        reply = http(f"{self.process.url}/api/v1/query?{urllib.parse.urlencode(parameters)}").json()
        assert reply["status"] == "success", reply
        return [(entry["metric"], when, float(value)) for entry in reply["data"]["result"]
                for when, value in entry.get("values", [entry.get("value")])]

    def targets(self):
        return http(f"{self.process.url}/api/v1/targets").json()["data"]["activeTargets"]
