#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's kernels for the matrix: which ones, where they come from, kept outside the tree.

As a program: fetches all of them, or says what is missing and fails.

The newest version of each series is looked up in Debian's signed package index, once a day, and its
package is unpacked, not installed, into ${XDG_CACHE_HOME:-~/.cache}/optipod/kernels. Removing that
directory is always safe. Without a network what was found before is used, and that is said.
"""

import dataclasses
import functools
import hashlib
import json
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

MIRROR = os.environ.get("OPTIPOD_DEBIAN_MIRROR", "http://deb.debian.org")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
FLAVOUR = "cloud-amd64"   # small, and has ext4 and NVMe built in: no modules are needed
INDEX_AGE = 24 * 3600


@dataclasses.dataclass(frozen=True)
class Series:
    version: str   # the beginning of the kernel's version; "" is any
    suites: tuple  # archive/suite; the newest of all that answer wins


# The one table. 6.1: no cgroup storage, no block_io_start, no kfunc names of later. 6.12: the kernel of
# the current stable Debian. newest: what comes towards us.
SERIES = {
    "6.1": Series("6.1.", ("debian/bookworm", "debian-security/bookworm-security")),
    "6.12": Series("6.12.", ("debian/bookworm-backports", "debian/trixie")),
    "newest": Series("", ("debian/trixie-backports", "debian/experimental", "debian/sid")),
}


class Failed(Exception):
    """The message is for the user: what is missing and what to do."""


def cache():
    root = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    place = root / "optipod" / "kernels"
    place.mkdir(parents=True, exist_ok=True)
    return place


def say(text):
    print(f"kernels: {text}", file=sys.stderr, flush=True)


def _fetch(url, sha256=None):
    with urllib.request.urlopen(url, timeout=60) as reply:
        data = reply.read()
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise Failed(f"{url} is not what Debian's index says (SHA-256); try again, or another OPTIPOD_DEBIAN_MIRROR")
    return data


def _signed(text):
    """The content of a clear-signed file whose signature is Debian's."""
    if shutil.which("gpgv") is None or not os.path.exists(KEYRING):
        raise Failed("checking Debian's signature needs the packages gpgv and debian-archive-keyring")
    with tempfile.TemporaryDirectory() as scratch:
        signed, plain = pathlib.Path(scratch, "InRelease"), pathlib.Path(scratch, "Release")
        signed.write_bytes(text)
        # Newer signatures beside the known ones make gpgv exit with an error: a good one is what counts.
        run = subprocess.run(["gpgv", "--keyring", KEYRING, "--output", plain, "--status-fd", "1", signed],
                             capture_output=True, text=True, check=False)
        if "[GNUPG:] GOODSIG" not in run.stdout or "[GNUPG:] BADSIG" in run.stdout or not plain.exists():
            raise Failed(f"the signature of Debian's index is not good:\n{run.stderr}")
        return plain.read_text(encoding="utf-8")


def _kernels_of(suite):
    """Every kernel package of this suite, as dicts of package, version, url, sha256; from the network."""
    archive, name = suite.split("/")
    base = f"{MIRROR}/{archive}"
    release = _signed(_fetch(f"{base}/dists/{name}/InRelease"))
    index = "main/binary-amd64/Packages.xz"
    found = re.search(rf"^ ([0-9a-f]{{64}}) +\d+ {re.escape(index)}$", release, re.MULTILINE)
    if not found:
        raise Failed(f"{base}/dists/{name} has no {index}")
    text = lzma.decompress(_fetch(f"{base}/dists/{name}/{index}", found[1])).decode("utf-8")
    # The image itself is in linux-image until 7.1, in linux-binary since, where linux-image is empty.
    wanted = re.compile(rf"^Package: linux-(?:image|binary)-[0-9][^ ]*-{FLAVOUR}\n")
    kernels = []
    for stanza in text.split("\n\n"):
        if not wanted.match(stanza):
            continue
        fields = dict(line.split(": ", 1) for line in stanza.split("\n") if re.match(r"^[A-Z][\w-]*: ", line))
        if int(fields["Size"]) > 1_000_000:
            kernels.append({"package": fields["Package"], "version": fields["Version"],
                            "url": f"{base}/{fields['Filename']}", "sha256": fields["SHA256"]})
    return kernels


def _index(suite):
    """As _kernels_of(), asked once a day."""
    file = cache() / f"index-{suite.replace('/', '-')}.json"
    if file.exists() and time.time() - file.stat().st_mtime < INDEX_AGE:
        return json.loads(file.read_text(encoding="utf-8"))
    try:
        kernels = _kernels_of(suite)
    except (OSError, Failed, lzma.LZMAError) as error:
        if not file.exists():
            say(f"{MIRROR}/{suite}: {error}")
            return []
        say(f"{MIRROR}/{suite}: {error}; using what it said before")
        return json.loads(file.read_text(encoding="utf-8"))
    temporary = file.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(kernels), encoding="utf-8")
    os.replace(temporary, file)
    return kernels


def _older(a, b):
    less = subprocess.run(["dpkg", "--compare-versions", a["version"], "lt", b["version"]], check=False)
    return -1 if less.returncode == 0 else 1


def _unpack(kernel, image):
    say(f"fetching {kernel['package']} {kernel['version']}")
    data = _fetch(kernel["url"], kernel["sha256"])
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=cache()) as scratch:
        deb = pathlib.Path(scratch, "kernel.deb")
        deb.write_bytes(data)
        subprocess.run(["dpkg-deb", "-x", deb, scratch], check=True)
        found = [path for path in pathlib.Path(scratch).rglob("vmlinuz*") if path.is_file() and not path.is_symlink()]
        if len(found) != 1:
            raise Failed(f"{kernel['package']} {kernel['version']} holds {len(found)} kernel images, not one")
        os.replace(found[0], image)


def kernel(name):
    """(path of the bootable image, what it is) of a series in the table. Raises Failed."""
    series = SERIES[name]
    all_known = [k for suite in series.suites for k in _index(suite) if k["version"].startswith(series.version)]
    all_known.sort(key=functools.cmp_to_key(_older), reverse=True)
    problem = f"no kernel {series.version or 'at all'} in {', '.join(series.suites)} of {MIRROR}"
    for candidate in all_known[:3]:
        image = cache() / f"{candidate['package']}_{candidate['version']}"
        try:
            if not image.exists():
                _unpack(candidate, image)
            return image, f"Debian {candidate['package']} {candidate['version']}"
        except (OSError, Failed, subprocess.CalledProcessError) as error:
            problem = f"{candidate['url']}: {error}"
            say(problem)
    raise Failed(f"no kernel for '{name}': {problem}.\nIt is needed once, then kept in {cache()}; or name one: "
                 "KERNEL=/path/bzImage ./dev e2e kernels")


def main():
    try:
        for name in SERIES:
            print(f"{name}: {kernel(name)[1]}")
    except Failed as error:
        print(f"kernels: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
