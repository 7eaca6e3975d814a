# SPDX-License-Identifier: Apache-2.0
"""optipod-top on a real terminal, with a real agent: keys go in, and what stands on the screen is judged."""

import csv
import fcntl
import io
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import termios

import pyte
import pytest

from optipod_e2e import busy, program_path, wait_until

DOWN, UP, ESCAPE, ENTER, CTRL_C = "\033[B", "\033[A", "\033", "\r", "\003"


class Top:
    """The program on a terminal of its own, as pyte shows that."""

    def __init__(self, *arguments, columns=100, rows=30, term="linux", **env):
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.master, slave = pty.openpty()
        self.size(columns, rows, tell=False)
        self.slave = slave
        self.before = termios.tcgetattr(slave)

        def own_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        environment = {**os.environ, "TERM": term, "LC_ALL": "C.UTF-8", **env}
        environment.pop("NO_COLOR", None) if "NO_COLOR" not in env else None
        self.popen = subprocess.Popen([program_path("top"), *map(str, arguments)], stdin=slave, stdout=slave,
                                      stderr=slave, preexec_fn=own_terminal, env=environment)

    def read(self):
        while select.select([self.master], [], [], 0.02)[0]:
            data = os.read(self.master, 65536)
            self.raw += data
            self.stream.feed(data)

    def text(self):
        self.read()
        return "\n".join(line.rstrip() for line in self.screen.display)

    def shows(self, *words, seconds=20):
        """Waits until all of them stand on the screen."""
        try:
            wait_until(lambda: all(word in self.text() for word in words), f"{words} on the screen", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text()}") from None

    def keys(self, *keys):
        for key in keys:
            os.write(self.master, key.encode())
            self.read()

    def size(self, columns, rows, tell=True):
        if tell:
            self.read()
            self.screen.resize(rows, columns)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def ended(self, seconds=10):
        """Exit status. The terminal must be as it was, with its cursor."""
        def over():
            self.read()
            return self.popen.poll() is not None
        wait_until(over, "optipod-top ends", seconds)
        self.read()
        assert termios.tcgetattr(self.slave) == self.before, "the terminal's modes were not restored"
        assert not self.screen.cursor.hidden, "the cursor was not restored"
        return self.popen.returncode

    def close(self):
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def top():
    """Starts optipod-top on terminals; all are closed at the end."""
    made = []

    def start(*arguments, **options):
        made.append(Top(*arguments, **options))
        return made[-1]
    yield start
    for one in made:
        one.close()


def run(*arguments, status=0, **env):
    """Runs optipod-top without a terminal: (stdout, stderr). status None: any but a crash."""
    done = subprocess.run([program_path("top"), *map(str, arguments)], capture_output=True, timeout=60,
                          stdin=subprocess.DEVNULL, check=False, env={**os.environ, **env})
    assert done.returncode == status or (status is None and done.returncode in (0, 1)), done.stderr.decode()
    return done.stdout.decode(), done.stderr.decode()


def loaded(stack, cgroup, *names):
    """An agent on cgroups of these names; two loops on one CPU run in the first."""
    children = [cgroup.child(name) for name in names]
    agent = stack.agent("--interval", "200ms", cgroup=cgroup)
    busy(stack, children[0], count=2, cpus={min(os.sched_getaffinity(0))})
    return agent


def fast(agent):
    return "--segment", agent.segment, "--interval", "200ms"


def test_rows_filter_zoom_and_screens(stack, cgroup, top):
    agent = loaded(stack, cgroup, "crowded", "quiet", "evil\033[2Jname")
    view = top(*fast(agent))
    view.shows(os.uname().nodename, "agent live", "!/crowded", "/quiet", "/evil?[2Jname", "▼hurt", "LIVE")
    assert view.text().index("/crowded") < view.text().index("/quiet")
    assert b"\033[2Jname" not in view.raw

    view.keys("/", "q", "u", "i")  # q is a letter here
    view.shows("filter: qui_", "1 of 1 found by 'qui' among 3")
    assert "/crowded" not in view.text()
    view.keys(ESCAPE)
    view.shows("3 of 3", "/crowded")

    view.keys(",")  # to the left of the first column: by name
    view.shows("container or cgroup ▲")
    view.keys(".")
    view.shows("▼hurt")
    view.keys(DOWN)
    view.shows(">!/crowded")
    view.keys(ENTER)
    view.shows("/crowded", "runnable tasks without a CPU, on average", "Esc back")
    view.keys("\033[6~", "\033[6~")
    view.shows("wait for a CPU, last", "p95", "█")
    view.keys(ESCAPE)
    view.shows("(everything else)")

    view.keys("2")
    view.shows("wait p99", "share of the node's CPU time used")
    view.keys("3")
    view.shows("disk", "wr p95")
    view.keys("4")
    view.shows("What the agent costs", "What this kernel gives", "runqueue_wait", "from tp_btf")
    view.keys("?")
    view.shows("next, previous sample")
    view.keys(ESCAPE, "1", "c")
    view.shows("Columns of the pods screen", "> [x] hurt")
    view.keys(DOWN, " ", ENTER)
    view.shows("(everything else)")
    heading = next(line for line in view.text().splitlines() if "▼hurt" in line)
    assert "CPUs" not in heading and "waiting" in heading
    view.keys("q")
    assert view.ended() == 0


def test_time_stands_still_and_goes_back(stack, cgroup, top):
    agent = loaded(stack, cgroup, "crowded")
    view = top(*fast(agent))
    view.shows("LIVE", "/crowded")
    view.keys(" ")
    view.shows("PAUSED")
    stood = view.text()
    view.keys("T", "T")
    # More than the two steps: the agent goes on.
    view.shows("s back")
    assert view.text() != stood
    view.keys("g", "T")
    view.shows("this is the oldest sample kept")
    view.keys("G")
    view.shows("LIVE")


def test_the_rings_past_is_there_from_the_start(stack, cgroup, top):
    agent = loaded(stack, cgroup, "crowded")

    def enough():
        return json.loads(run(*fast(agent), "--once", "--json", status=None)[0]).get("tick", 0) > 12
    wait_until(enough, "twelve samples", 30)
    view = top(*fast(agent))
    view.shows("/crowded")
    view.keys(*"TTTTT")
    view.shows("PAUSED")
    assert "oldest" not in view.text()


def test_sizes(stack, cgroup, top):
    view = top(*fast(loaded(stack, cgroup, "crowded")), columns=80, rows=24)
    view.shows("/crowded", "LIVE")
    view.size(60, 20)
    view.shows("optipod-top needs 80x24, here are 60x20")
    view.size(200, 60)
    view.shows("/crowded", "disk p95", "write/s")  # columns that 80 have no room for
    assert view.text().splitlines()[-1].startswith(" LIVE")
    view.size(80, 24)
    view.shows("columns to the right")


def test_an_agent_hangs_dies_and_is_replaced(stack, cgroup, top):
    agent = loaded(stack, cgroup, "crowded")
    view = top(*fast(agent))
    view.shows("agent live", "/crowded")
    agent.signal(signal.SIGSTOP)
    view.shows("agent HUNG for")
    agent.signal(signal.SIGCONT)
    view.shows("agent live")
    agent.kill()
    view.shows("agent GONE since", "/crowded")  # what it last said stays
    again = stack.agent("--interval", "200ms", cgroup=cgroup, segment=agent.segment)
    view.shows("agent live", "/crowded")
    view.keys("T", "T")
    assert again.stop() == 0
    view.keys("G")
    view.shows("agent STOPPED")

    # Another version's segment takes its place.
    other = agent.segment.with_name("other")
    data = bytearray(agent.segment.read_bytes())
    data[8] += 1  # abi_major
    other.write_bytes(data)
    other.chmod(0o640)
    other.rename(agent.segment)
    view.shows("no newer data", "ABI", "/crowded")
    said = json.loads(run("--segment", agent.segment, "--once", "--json", "--interval", "100ms", status=1)[0])
    assert said["agent"]["segment"] == "abi_mismatch"


def test_no_agent_at_all(stack, top):
    nowhere = stack.directory / "nowhere" / "current.shm"
    view = top("--segment", nowhere)
    view.shows("no such file; start optipod-agent", "agent UNKNOWN", "NO DATA")
    view.keys("?")
    view.shows("60 samples on, back")
    view.keys("q")
    assert view.ended() == 0
    said = json.loads(run("--segment", nowhere, "--once", "--json", "--interval", "100ms", status=1)[0])
    assert said["agent"]["segment"] == "none" and "node" not in said


@pytest.mark.parametrize("how", ["q", "Ctrl-C", "SIGTERM", "SIGTERM, xterm"])
def test_the_terminal_is_given_back(stack, cgroup, top, how):
    agent = stack.agent("--interval", "200ms", cgroup=cgroup)
    view = top(*fast(agent), term="xterm" if "xterm" in how else "linux")
    if "xterm" in how:  # its alternate screen
        wait_until(lambda: view.read() or b"\033[?1049h" in view.raw, "the alternate screen")
    else:
        view.shows("agent live")
        assert view.screen.cursor.hidden
    if how == "q":
        view.keys("q")
    elif how == "Ctrl-C":
        view.keys(CTRL_C)
    else:
        view.popen.terminate()
    assert view.ended() == 0
    if "xterm" in how:
        assert view.raw.rfind(b"\033[?1049l") > view.raw.rfind(b"\033[?1049h")


def test_without_colour_or_utf8_or_a_screen(stack, cgroup, top):
    agent = loaded(stack, cgroup, "crowded")
    colour, mono, ascii_ = (top(*fast(agent), **env) for env in ({}, {"NO_COLOR": "1"}, {"LC_ALL": "C"}))
    for view in (colour, mono, ascii_):
        view.shows("!/crowded", "(everything else)")

    def colours(view):
        return {cell.fg for line in view.screen.buffer.values() for cell in line.values()} - {"default"}
    assert colours(colour) and not colours(mono)
    assert all(byte < 0x80 for byte in ascii_.raw)

    frames = top(*fast(agent), term="dumb")
    wait_until(lambda: frames.read() or frames.raw.count(b"(everything else)") > 2, "three frames")
    assert b"\033" not in frames.raw
    frames.popen.terminate()
    assert frames.ended() == 0


def test_scripts_get_json_and_csv(stack, cgroup):
    agent = loaded(stack, cgroup, "crowded", "quiet, \"really\"")

    def sample():
        made = json.loads(run(*fast(agent), "--once", "--json", status=None)[0])
        return made if made.get("containers") and made["containers"][0]["cpus_used"] > 0.5 else None
    said = wait_until(sample, "the load is measured", 60)
    assert said["agent"]["state"] == "live" and said["node"]["name"] == os.uname().nodename
    crowded = next(c for c in said["containers"] if c["cgroup"] == "/crowded")
    # Two loops share one CPU: one runs, one waits, or both give way to others.
    assert 0 < crowded["cpus_used"] <= 1.1 and crowded["cpu_waiting_tasks"] > 0.5

    # On a crowded machine the agent may be late just now, which is status 1.
    text, _ = run(*fast(agent), "--once", "--csv", status=None)
    assert text.endswith("\r\n") and text.count("\n") == text.count("\r\n")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["kind"] for row in rows] == ["node", "container", "container", "rest"]
    assert {row["container"] for row in rows[1:3]} == {"/crowded", "/quiet, \"really\""}
    assert all(set(row) == set(rows[0]) and None not in row for row in rows)
    assert float(next(row for row in rows if row["container"] == "/crowded")["cpu_waiting_tasks"]) > 0.2

    # A stream ends quietly with whoever reads it.
    stream = subprocess.Popen([program_path("top"), *map(str, fast(agent)), "--json"], stdout=subprocess.PIPE)
    ticks = [json.loads(stream.stdout.readline())["tick"] for _ in range(3)]
    stream.stdout.close()
    assert stream.wait(20) == 0 and ticks == sorted(set(ticks))

    text, _ = run(*fast(agent), "--once", "--rows", "6", "--filter", "crowd", "--sort", "-name", "--columns",
                  "cpus_used", status=None)
    assert len(text.splitlines()) == 6
    for wrong in (("--columns", "x"), ("--sort", "x"), ("--json", "--csv"), ("--record", "a", "--replay", "b")):
        assert "optipod-top: " in run(*wrong, status=2)[1]


def test_record_and_replay(stack, cgroup, top):
    agent = loaded(stack, cgroup, "crowded")
    file = stack.directory / "node.rec"
    recorder = stack.start("top", *fast(agent), "--record", file)
    wait_until(lambda: file.exists() and file.stat().st_size > 5000, "something is recorded", 60)
    recorder.signal(signal.SIGINT)
    assert recorder.wait() == 0 and "samples" in recorder.log()
    agent.kill()  # a replay needs none

    rows = [json.loads(line) for line in run("--replay", file, "--json")[0].splitlines()]
    assert len(rows) > 3 and any(row["containers"] for row in rows)
    text, _ = run("--replay", file, "--csv")
    assert len({row["tick"] for row in csv.DictReader(io.StringIO(text, newline=""))}) == len(rows)
    assert "exists already" in run("--record", file, status=1)[1]

    view = top("--replay", file)
    view.shows("replay", "REPLAY")
    view.keys("g")
    view.shows("REPLAY STOPPED 1/")
    view.keys("t", "t")
    view.shows("REPLAY STOPPED 3/", "/crowded")
    view.keys("G", "t")
    view.shows("this is the newest sample")
    view.keys(" ")
    view.shows("REPLAY 1/")
    view.keys("q")
    assert view.ended() == 0

    cut = stack.directory / "cut.rec"
    cut.write_bytes(file.read_bytes()[:-10])
    assert "the last sample is incomplete" in run("--replay", cut, "--once")[1]
    shutil.copy(file, stack.directory / "damaged.rec")
    with open(stack.directory / "damaged.rec", "r+b") as damaged:
        damaged.seek(3000)
        damaged.write(b"\xff" * 2000)
    assert "damaged" in run("--replay", stack.directory / "damaged.rec", "--csv")[1]
    assert "is no recording" in run("--replay", program_path("top"), status=1)[1]


def test_a_recording_ends_at_its_limit(stack, cgroup):
    agent = loaded(stack, cgroup, "crowded")
    file = stack.directory / "small.rec"
    recorder = stack.start("top", *fast(agent), "--record", file, "--record-limit", "20KB")
    assert recorder.wait(60) == 0
    assert "--record-limit is reached" in recorder.log()
    assert 5000 < file.stat().st_size <= 20 * 1024
    assert run("--replay", file, "--once")[1] == ""
