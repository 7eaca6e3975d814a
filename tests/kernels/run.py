#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Boots one kernel under QEMU and runs the agent, the exporter and the kernel side's tests on it.

Usage: run.py [--record] SERIES | /path/to/bzImage [WORD,…]
SERIES is one of debian.py's table. The build directory is $OPTIPOD_BUILD. --record writes what the
verifier and the compiler made of each program into verifier.json; without it, growth over 10 % fails.
WORD,… runs only the guest's tests with one of these in their name.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import debian
import guestimage

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
RECORD = HERE / "verifier.json"
GROWTH = 1.10
UNRECORDED = {"instructions": 50_000, "jit_bytes": 8_000}  # what a program without a record may cost
PROGRAMS = ("agent/profiler/optipod-agent", "agent/exporter/optipod-exporter")
TOOLS = {"bpftool": "/usr/sbin/bpftool", "setpriv": "/usr/bin/setpriv", "dd": "/usr/bin/dd", "dash": "/bin/sh"}
# A guest that tells nothing for so long hangs: none of its tests may take longer. How long all of them take
# is this machine's business.
SILENT_SECONDS = 420
# A busy machine lets a guest stand still for seconds. That is no stall, nor a timer that does not tick
# ("IO-APIC + timer doesn't work!", a panic at boot).
KERNEL_OPTIONS = ("console=ttyS0 panic=-1 psi=1 loglevel=5 no_timer_check watchdog_thresh=60 "
                  "rcupdate.rcu_cpu_stall_timeout=120")
# What a kernel says when something of ours has gone wrong in it.
COMPLAINT = re.compile(r"\bBUG\b|WARNING:|Oops|general protection|soft lockup|stall(?:s|ed) on CPU|rcu.*stall|"
                       r"hung_task|blocked for more than|KASAN|UBSAN|segfault")


def need(program):
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        raise debian.Failed(f"no {program} here: ./dev e2e kernels installs what is needed, or apt-get install "
                            "qemu-system-x86 busybox-static bpftool e2fsprogs")
    return path


def contents(build):
    """{file on this machine: path in the guest}. Every test of the kernel side that was built takes part."""
    files = {build / name: f"/optipod/build/{name}" for name in PROGRAMS}
    for test in (build / "tests/agent/kernel").glob("kernel_*_test"):
        if test.name != "kernel_unit_test":   # needs no kernel
            files[test] = f"/optipod/build/{test.relative_to(build)}"
    for missing in [path for path in files if not path.exists()]:
        raise debian.Failed(f"{missing} is not built: ninja -C {build}")
    return files | {need(name): path for name, path in TOOLS.items()}


def boot(kernel, directory, only):
    """Runs the guest to its end. Returns what it reported, a list of dicts. only: as WORD above, or ""."""
    console, report = directory / "console", directory / "report"
    command = [need("qemu-system-x86_64"), "-accel", "tcg,thread=single", "-cpu", "max", "-smp", "2", "-m", "1024",
               "-nodefaults", "-display", "none", "-no-reboot", "-kernel", kernel, "-initrd", directory / "initrd",
               "-append", f"{KERNEL_OPTIONS} OPTIPOD_ONLY={only}",
               "-serial", f"file:{console}", "-serial", f"file:{report}",
               "-drive", f"file={directory}/disk,if=none,id=disk,format=raw", "-device", "nvme,drive=disk,serial=optipod"]
    with subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL) as guest:
        try:
            while_it_tells(guest, report)
        finally:
            guest.kill()
    lines = report.read_text(errors="replace").splitlines() if report.exists() else []
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


def while_it_tells(guest, report):
    """Waits for the guest's end, or until its report has not grown for SILENT_SECONDS."""
    size, then = 0, time.monotonic()
    while guest.poll() is None:
        time.sleep(0.2)
        now = report.stat().st_size if report.exists() else 0
        if now != size:
            size, then = now, time.monotonic()
        elif time.monotonic() - then > SILENT_SECONDS:
            print(f"the guest told nothing for {SILENT_SECONDS} s", file=sys.stderr)
            return
    if guest.returncode != 0:
        raise debian.Failed(f"QEMU ended with {guest.returncode}")


def judge_tests(told):
    """What is wrong with the tests' reports: one that did not report has failed."""
    outcomes = {one["test"]: one["outcome"] for one in told if "test" in one}
    collected = [name for one in told for name in one.get("collected", [])]
    problems = [f"{name}: {outcomes.get(name, 'did not report')}" for name in collected
                if outcomes.get(name) != "passed"]
    if not collected:
        problems.append("no test reported: the guest did not come so far")
    if not any("finished" in one for one in told):
        problems.append("the guest ended before its tests did")
    return problems


def judge_programs(series, programs, record):
    """What has grown over the record of this series."""
    if not programs:
        return ["no program was measured"]
    problems = []
    for name, costs in sorted(programs.items()):
        known = record.get(series, {}).get("programs", {}).get(name)
        for cost, value in costs.items():
            limit = known[cost] * GROWTH if known else UNRECORDED[cost]
            if value > limit:
                was = f"recorded {known[cost]}" if known else "no record"
                problems.append(f"program {name}: {cost} {value}, {was}, limit {limit:.0f}. If that is meant: "
                                f"OPTIPOD_BUILD=build tests/kernels/run.py --record {series}")
    return problems


def load_record():
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}


def write_record(series, kernel, programs):
    record = load_record()
    record[series] = {"kernel": kernel, "programs": dict(sorted(programs.items()))}
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def run(series, record, only):
    if series in debian.SERIES:
        kernel, what = debian.kernel(series)
    else:
        kernel, what = pathlib.Path(series), series
        if not kernel.is_file():
            raise debian.Failed(f"no kernel image {kernel}; give a file, or one of {', '.join(debian.SERIES)}")
    build = pathlib.Path(os.environ.get("OPTIPOD_BUILD", "build")).resolve()
    with tempfile.TemporaryDirectory(prefix="optipod-kernels-", dir="/var/tmp") as scratch:
        directory = pathlib.Path(scratch)
        guestimage.build(directory / "initrd", SOURCE, contents(build),
                         ["tests/e2e", "tests/kernels/guest", "deploy/local"])
        guestimage.disk(directory / "disk")
        told = boot(kernel, directory, only)
        console = (directory / "console").read_text(errors="replace")
    for one in told:
        if "test" in one:
            print(f"{one['outcome']}, {one['seconds']} s: {one['test']}")
    merged = {key: value for one in told for key, value in one.items() if key in ("kernel", "programs", "features")}
    problems = judge_tests(told)
    problems += [f"the kernel said: {line}" for line in console.splitlines() if COMPLAINT.search(line)]
    programs = merged.get("programs", {})
    if record and programs:
        write_record(series, merged.get("kernel", what), programs)
    elif programs or not only:
        problems += judge_programs(series, programs, load_record())
    print(f"figures: {what}, booted as {merged.get('kernel', '?')}: "
          f"{sum(one.get('outcome') == 'passed' for one in told)} tests")
    for name, costs in sorted(programs.items()):
        print(f"figures:   {name}: {costs['instructions']} instructions verified, {costs['jit_bytes']} bytes of code")
    for name, source in sorted(merged.get("features", {}).items()):
        print(f"figures:   {source[0]}{name}: {source[1:]}")
    if problems:
        print(console, "\n".join(f"FAILED: {problem}" for problem in problems), sep="\n")
    return 1 if problems else 0


def main():
    arguments = [word for word in sys.argv[1:] if word != "--record"]
    only = arguments.pop() if len(arguments) == 2 else ""
    if len(arguments) != 1 or arguments[0].startswith("-") or not re.fullmatch(r"[\w,]*", only):
        print(__doc__, file=sys.stderr)
        return 0 if "--help" in arguments else 2
    # An end by a signal, too, ends the guest and takes its files along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return run(arguments[0], "--record" in sys.argv, only)
    except (debian.Failed, subprocess.CalledProcessError) as error:
        print(f"kernels: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
