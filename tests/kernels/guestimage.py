# SPDX-License-Identifier: Apache-2.0
"""The file system of a guest: an initramfs with this build's programs, Python, busybox, and what these
need, taken from the machine at hand. The guest needs no modules, no network and no other disk."""

import os
import pathlib
import re
import subprocess

PYTHON = "/usr/bin/python3"
# What no test imports, and the parts of the standard library that need display servers or compilers.
LEFT_OUT = {"test", "tests", "idlelib", "lib2to3", "ensurepip", "tkinter", "turtledemo", "pydoc_data", "distutils"}


class Initramfs:
    """Collects files; write() makes a cpio archive ("newc") of them."""

    def __init__(self):
        self._entries = {}  # path in the guest: (mode, content)

    def directory(self, path, mode=0o755):
        path = "/" + str(path).strip("/")
        if path == "/" or path in self._entries:
            return
        self.directory(os.path.dirname(path))
        self._entries[path] = (0o040000 | mode, b"")

    def text(self, path, content, mode=0o644):
        self.directory(os.path.dirname(path))
        self._entries[path] = (0o100000 | mode, content.encode())

    def link(self, path, target):
        self.directory(os.path.dirname(path))
        self._entries[path] = (0o120777, target.encode())

    def file(self, source, path=None):
        """One file, links followed."""
        path = str(path or source)
        self.directory(os.path.dirname(path))
        mode = os.stat(source).st_mode & 0o777
        self._entries[path] = (0o100000 | mode, pathlib.Path(source).read_bytes())

    def program(self, source, path=None):
        """An executable or shared object and the libraries it needs."""
        self.file(source, path)
        listed = subprocess.run(["ldd", source], capture_output=True, text=True, check=False).stdout
        for library in re.findall(r"(/\S+) \(0x", listed):
            if library not in self._entries:
                self.file(library)

    def tree(self, source, path=None):
        """A directory with all below, except LEFT_OUT."""
        for place, directories, files in os.walk(source):
            directories[:] = [d for d in directories if d not in LEFT_OUT and not d.startswith("config-")]
            for name in files:
                full = os.path.join(place, name)
                target = os.path.join(str(path or source), os.path.relpath(full, source))
                if ".so" in name:
                    self.program(full, target)
                elif os.path.isfile(full):
                    self.file(full, target)

    def write(self, file):
        with open(file, "wb") as out:
            for number, (path, (mode, content)) in enumerate([*self._entries.items(), ("TRAILER!!!", (0, b""))]):
                name = path.lstrip("/").encode() + b"\0"
                fields = [number + 1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0]
                head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
                out.write(head + b"\0" * (-len(head) % 4) + content + b"\0" * (-len(content) % 4))


def python(image):
    image.program(os.path.realpath(PYTHON), PYTHON)
    version = subprocess.run([PYTHON, "-c", "import sysconfig; print(sysconfig.get_paths()['stdlib'])"],
                             capture_output=True, text=True, check=True).stdout.strip()
    image.tree(version)
    for module in ("_pytest", "pytest", "pluggy", "iniconfig", "packaging", "attr", "py"):
        where = subprocess.run([PYTHON, "-c", f"import {module}; print({module}.__path__[0])"],
                               capture_output=True, text=True, check=False).stdout.strip()
        if where:
            image.tree(where)


def build(file, source, programs, tests):
    """Writes the initramfs to `file`. source: the root of the tree; programs: {host path: guest path}."""
    image = Initramfs()
    for place in ("/proc", "/sys", "/dev", "/run", "/var/log", "/var/tmp", "/root", "/etc", "/sbin", "/usr/sbin"):
        image.directory(place)
    image.directory("/tmp", 0o1777)
    image.file("/bin/busybox")
    image.file(source / "tests/kernels/guest/init", "/init")
    image.text("/etc/passwd", "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
    image.text("/etc/group", "root:x:0:\nnogroup:x:65534:\n")
    image.text("/etc/hosts", "127.0.0.1 localhost\n")
    python(image)
    for host, guest in programs.items():
        image.program(str(host), guest)
    for part in tests:
        image.tree(source / part, f"/optipod/{part}")
    image.write(file)


def disk(file, mebibytes=256):
    """An empty ext4 file system for the tests that need a real block device."""
    with open(file, "wb") as out:
        out.truncate(mebibytes << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", file], check=True)
