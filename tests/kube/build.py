#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The pinned Kubernetes programs, built from go.mod's tools and kept outside the tree.

`build.py [TOOL…]` builds what is missing and prints where each is. Other scripts call programs().
The place is ${XDG_CACHE_HOME:-~/.cache}/optipod/kube/<key>; the key is all that decides the bytes, so
another version, Go or flag builds anew beside it. Removing the directory is always safe.
"""

import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent

TOOLS = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
}
# kubectl is only for a foreign cluster and for people, who mostly have one.
CONTROL_PLANE = [name for name in TOOLS if name != "kubectl"]


class Failed(Exception):
    """The message is for the user: what is missing and what to do."""


def required(what):
    """A version out of go.mod: the directive `go`, or the module of that name."""
    return re.search(rf"^\s*{re.escape(what)} v?(\S+)", (HERE / "go.mod").read_text(), re.MULTILINE)[1]


def _numbers(version):
    return [int(n) for n in re.findall(r"\d+", version)[:3]]


def go_command():
    """Path and version of a Go that is new enough."""
    wanted = required("go")
    # sudo's PATH lacks the usual place, and a distribution's Go may stand before it.
    elsewhere = ["/usr/local/go/bin/go", f"/usr/lib/go-{wanted[:4]}/bin/go"]
    found = []
    for go in filter(None, map(shutil.which, ["go", *elsewhere])):
        # Go ≥ 1.21 fetches the version that go.mod wants by itself, unless GOTOOLCHAIN=local.
        run = subprocess.run([go, "env", "GOVERSION"], cwd=HERE, capture_output=True, text=True, check=False)
        version = run.stdout.strip()
        if run.returncode == 0 and _numbers(version) >= _numbers(wanted):
            return go, version
        found.append(f"{go} is {version}" if run.returncode == 0 else f"{go}: {run.stderr.strip()}")
    raise Failed(f"the real control plane is built with Go ≥ {wanted}; {', '.join(found) or 'none is here'}.\n"
                 f"Install it: unpack https://go.dev/dl/go{wanted}.linux-amd64.tar.gz (or -arm64) into\n"
                 f"/usr/local, or take golang-{wanted[:4]} from Debian's backports.")


def _flags():
    version = "v" + required("k8s.io/kubernetes")
    major, minor = version[1:].split(".")[:2]
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean",
              "gitCommit": "", "buildDate": "1970-01-01T00:00:00Z"}
    names = " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in values.items())
    # Neither symbols nor DWARF are made, nor is a C compiler needed.
    return ["-mod=readonly", "-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false",
            f"-ldflags=-s -w {names}"]


def _environment():
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}


def directory(go_version):
    root = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    content = [(HERE / "go.mod").read_bytes(), (HERE / "go.sum").read_bytes(), go_version.encode(),
               os.uname().machine.encode(), "\0".join(_flags()).encode()]
    key = hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in content)).hexdigest()[:16]
    return root / "optipod" / "kube" / key


def _say(text):
    print(f"kube: {text}", file=sys.stderr, flush=True)


def _compile(go, packages, out):
    """One `go build` for all: what they share is compiled once. Counts the packages while it goes."""
    command = [go, "build", "-v", *_flags(), "-o", f"{out}/", *packages]
    build = subprocess.Popen(command, cwd=HERE, env=_environment(), stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    started, said = time.monotonic(), []

    def tell():
        while build.poll() is None:
            time.sleep(1)
            seconds = int(time.monotonic() - started)
            if seconds % 30 == 0:
                _say(f"{seconds} s, {len(said)} packages compiled of about 2,500")
    threading.Thread(target=tell, daemon=True).start()
    for line in build.stderr:
        said.append(line)
    if build.wait() != 0:
        raise Failed("go build failed in tests/kube:\n" + "".join(line for line in said if " " in line)[-4000:])
    return time.monotonic() - started


def programs(names=None):
    """{name: path} of these tools (default: the control plane), built if need be. Raises Failed.

    Two builders at once: the second waits for the first and finds its work. A program appears whole or
    not at all."""
    names = list(names or CONTROL_PLANE)
    go, version = go_command()
    place = directory(version)
    paths = {name: place / name for name in names}
    if all(path.exists() for path in paths.values()):
        return paths
    place.mkdir(parents=True, exist_ok=True)
    with open(place / ".lock", "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"another build is at work in {place}: waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [name for name in names if not paths[name].exists()]
        if missing:
            _say(f"building {', '.join(missing)} {required('k8s.io/kubernetes')} with {version} into {place}: "
                 "once, some minutes")
            with tempfile.TemporaryDirectory(prefix=".build-", dir=place) as out:
                seconds = _compile(go, [TOOLS[name] for name in missing], out)
                for name in missing:
                    made = pathlib.Path(out) / ("server" if name == "etcd" else name)
                    os.replace(made, paths[name])
            _say(f"built in {seconds:.0f} s")
    return paths


def main():
    names = sys.argv[1:]
    unknown = [name for name in names if name not in TOOLS]
    if unknown or "--help" in names:
        print(f"Usage: build.py [TOOL…]\n{__doc__}\nTools: {', '.join(TOOLS)}", file=sys.stderr)
        return 0 if "--help" in names else 2
    try:
        for path in programs(names).values():
            print(path)
    except Failed as error:
        print(f"kube: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
