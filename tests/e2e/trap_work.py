#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What runs on the nodes of test_trap.py. The loads run until they are killed:

    trap_work.py reread FILE THREADS   memory contention: two halves of FILE in turn, each needed soon again
    trap_work.py write FILE THREADS    I/O contention: synchronous direct writes of 16 KiB, over FILE
    trap_work.py compute SHARE         that share of a CPU, and nothing else

    trap_work.py job READ WRITE        the newcomer: the same work each time; prints the seconds it took as JSON
"""

import hashlib
import json
import mmap
import os
import random
import sys
import threading
import time

PAGE = 4096
WRITE_BYTES = 16384

# The newcomer's work.
JOB_HASHED_MIB = 128
JOB_MEMORY_BYTES, JOB_MEMORY_TIMES = 12 << 20, 8
JOB_READS, JOB_WRITES = 256, 64


def _in_threads(work, count):
    for seed in range(count):
        threading.Thread(target=work, args=(random.Random(seed),)).start()


def reread(file, threads):
    """A working set that moves. A page read twice in a row counts as in use; when its half's turn comes
    again it is missed, and that wait is what the kernel accounts as memory stall."""
    fd = os.open(file, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    half = os.fstat(fd).st_size // PAGE // 2

    def work(choose):
        first = 0
        while True:
            for _ in range(2 * half // threads):   # six of seven pages of the half, by all threads
                offset = (first + choose.randrange(half)) * PAGE
                os.pread(fd, PAGE, offset)
                os.pread(fd, PAGE, offset)
            first = half - first
    _in_threads(work, threads)


def write(file, threads):
    def work(choose):
        writer = _DirectWriter(file)
        while True:
            writer.write(choose)
    _in_threads(work, threads)


class _DirectWriter:
    def __init__(self, file):
        self._fd = os.open(file, os.O_WRONLY | os.O_DIRECT | os.O_DSYNC)
        self._blocks = os.fstat(self._fd).st_size // WRITE_BYTES
        self._data = mmap.mmap(-1, WRITE_BYTES)   # aligned, as direct I/O wants it

    def write(self, choose):
        os.pwritev(self._fd, [self._data], choose.randrange(self._blocks) * WRITE_BYTES)


def compute(share):
    busy = 0.004
    while True:
        until = time.thread_time() + busy
        while time.thread_time() < until:
            pass
        time.sleep(busy * (1 - share) / share)


# ---- The newcomer ----------------------------------------------------------------------------------


def _job_cpu():
    block, sha = bytes(1 << 20), hashlib.sha256()
    for _ in range(JOB_HASHED_MIB):
        sha.update(block)


def _job_memory():
    for _ in range(JOB_MEMORY_TIMES):
        with mmap.mmap(-1, JOB_MEMORY_BYTES) as memory:
            for offset in range(0, JOB_MEMORY_BYTES, PAGE):
                memory[offset] = 1


def _job_read(file):
    fd = os.open(file, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)   # a newcomer's data is in no page cache
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    choose, pages = random.Random(1), os.fstat(fd).st_size // PAGE
    for _ in range(JOB_READS):
        os.pread(fd, PAGE, choose.randrange(pages) * PAGE)


def _job_write(file):
    writer, choose = _DirectWriter(file), random.Random(2)
    for _ in range(JOB_WRITES):
        writer.write(choose)


def job(read_file, write_file):
    parts = {"cpu": _job_cpu, "memory": _job_memory, "read": lambda: _job_read(read_file),
             "write": lambda: _job_write(write_file)}
    took = {}
    for name, part in parts.items():
        started = time.monotonic()
        part()
        took[name] = time.monotonic() - started
    print(json.dumps(took))


def main():
    what, *arguments = sys.argv[1:]
    if what == "reread":
        reread(arguments[0], int(arguments[1]))
    elif what == "write":
        write(arguments[0], int(arguments[1]))
    elif what == "compute":
        compute(float(arguments[0]))
    elif what == "job":
        job(*arguments)
    else:
        sys.exit(f"{what!r} is no work; there are:\n{__doc__}")


if __name__ == "__main__":
    main()
