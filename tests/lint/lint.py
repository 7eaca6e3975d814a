#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What `./dev lint` checks. Each check is one line of the result: ok, or what is wrong and where."""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# A room may include itself and the rooms named here (see CONTRIBUTING.md).
LAYERS = {
    "extender": {"common", "shm"},
    "aggregator": {"common", "shm"},
    "agent": {"common", "shm", "bpf"},
    "common": {"shm"},
    "shm": set(),
    "bpf": set(),
}
# Never in the same file: whoever needs two of these has mixed two rooms' work.
ONLY_IN = {
    r"<boost/(beast|asio)": ("common/http/", "tests/"),
    r"<httplib\.h>": ("common/http/", "tests/"),
    r"<boost/interprocess": ("shm/", "tests/"),
    r"<(bpf/(libbpf|bpf)|linux/bpf)\.h>": ("agent/profiler/kernel/", "bpf/", "tests/"),
    r"<simdjson": ("extender/", "common/", "tests/"),
    r"<protozero/": ("common/kube/", "tests/"),
}


def tracked(*suffixes):
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout.split("\n")
    return [n for n in names if n.endswith(suffixes) and (ROOT / n).is_file()]


def tool(*names):
    for name in names:
        if shutil.which(name):
            return name
    raise SystemExit(f"lint: none of {', '.join(names)} is installed; './dev lint' installs it")


def run(command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def check_format(args):
    files = tracked(".cpp", ".hpp", ".c", ".h")
    clang_format = tool("clang-format-16", "clang-format-19", "clang-format")
    if args.fix:
        run([clang_format, "-i", *files])
    status, out = run([clang_format, "--dry-run", "-Werror", *files])
    return [] if status == 0 else [line for line in out.splitlines() if "error:" in line][:40]


def check_layers(_args):
    bad = []
    for name in tracked(".cpp", ".hpp", ".h", ".c"):
        room = name.split("/")[0]
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1):
            include = re.match(r'\s*#\s*include\s+(["<])([^">]+)', line)
            if not include:
                continue
            target = include[2].split("/")[0]
            if include[1] == '"' and room in LAYERS and target in LAYERS:
                if target != room and target not in LAYERS[room]:
                    bad.append(f"{name}:{number}: {room} must not include {target}")
                if target == "bpf" != room and include[2] != "bpf/shared.h" and not include[2].endswith(".skel.h"):
                    bad.append(f"{name}:{number}: only bpf/shared.h is meant for other rooms")
            for pattern, homes in ONLY_IN.items():
                if re.search(pattern, line) and not name.startswith(homes):
                    bad.append(f"{name}:{number}: {include[2]} belongs in {' or '.join(homes)}")
    return bad


def compile_commands(build):
    with open(ROOT / build / "compile_commands.json", encoding="utf-8") as file:
        entries = json.load(file)
    seen = {}
    for entry in entries:
        path = os.path.relpath(os.path.join(entry["directory"], entry["file"]), ROOT)
        if path.endswith(".cpp") and not path.startswith(("..", "build")):
            seen.setdefault(path, entry)
    return seen


def first_includes(files):
    """Headers that stand before all else in one of these files: compiling that has shown that they need nothing."""
    comments = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
    begins = (re.match(r'\s*#\s*include\s+"([^"]+)"', comments.sub("", (ROOT / file).read_text())) for file in files)
    return {include[1] for include in begins if include}


def check_headers(args):
    """Every header compiles alone, with the flags of a file of its room. The build directory is up to date."""
    commands = compile_commands(args.build)
    flags = {}
    for path, entry in commands.items():
        words = [w for w in shlex.split(entry["command"]) if w.startswith(("-I", "-D", "-std", "-isystem"))]
        room = "/".join(path.split("/")[:2]) if path.startswith(("agent", "tests")) else path.split("/")[0]
        flags.setdefault(room, set()).update(words)
        flags.setdefault(path.split("/")[0], set()).update(words)

    def one(header):
        parts = header.split("/")
        words = flags.get("/".join(parts[:2]), flags.get(parts[0], set()))
        status, out = run(["c++", "-fsyntax-only", "-x", "c++", "-Wno-pragma-once-outside-header", "-w",
                           *[w.replace("-I", f"-I{args.build}/", 1) if w.startswith("-I")
                             and not os.path.isabs(w[2:]) else w for w in words],
                           "-std=c++20", "-I.", header])
        return [] if status == 0 else [f"{header}: does not compile alone", *out.splitlines()[:4]]

    shown = first_includes(commands)
    headers = [header for header in tracked(".hpp") if header not in shown]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [line for lines in pool.map(one, headers) for line in lines]


def check_tidy(args):
    clang_tidy = tool("clang-tidy-16", "clang-tidy-19", "clang-tidy")
    files = sorted(f for f in compile_commands(args.build) if not f.endswith("catch_main.cpp"))

    def one(file):
        # A test may be plain where the product must be fast.
        checks = ["--checks=-performance-*,-readability-container-size-empty"] if file.startswith("tests/") else []
        status, out = run([clang_tidy, "--quiet", *checks, "-p", args.build, "--extra-arg=-Wno-unknown-warning-option",
                           "--extra-arg=-w", file])
        return [] if status == 0 else [l for l in out.splitlines() if "error:" in l or "warning:" in l][:10]

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return sorted({line for lines in pool.map(one, files) for line in lines})


def check_shell(_args):
    scripts = ["dev", ".ci/run", *tracked(".sh")]
    status, out = run([tool("shellcheck"), *scripts])
    return [] if status == 0 else out.splitlines()


def check_python(_args):
    bad = []
    for name in tracked(".py"):
        try:
            compile((ROOT / name).read_text(), name, "exec")
        except SyntaxError as error:
            bad.append(f"{name}:{error.lineno}: {error.msg}")
    return bad


def check_licence(_args):
    missing = []
    for name in tracked(".cpp", ".hpp", ".c", ".h", ".py", ".sh", "meson.build"):
        if "SPDX-License-Identifier: Apache-2.0" not in "".join((ROOT / name).read_text().splitlines(True)[:3]) \
                and "SPDX-License-Identifier" not in (ROOT / name).read_text()[:400]:
            missing.append(f"{name}: no SPDX-License-Identifier line")
    return missing


CHECKS = {
    "clang-format": check_format,
    "layers": check_layers,
    "licence": check_licence,
    "shellcheck": check_shell,
    "python": check_python,
    "headers": check_headers,
    "clang-tidy": check_tidy,
}


def main():
    parser = argparse.ArgumentParser(prog="./dev lint")
    parser.add_argument("--build", default="build")
    parser.add_argument("--fix", action="store_true", help="let clang-format rewrite")
    parser.add_argument("only", nargs="*", choices=[*CHECKS, []], help="checks to run; default all")
    args = parser.parse_args()
    passed = failed = 0
    for name, check in CHECKS.items():
        if args.only and name not in args.only:
            continue
        problems = check(args)
        print(f"{'ok  ' if not problems else 'FAIL'} {name}", flush=True)
        for line in problems:
            print(f"     {line}")
        passed, failed = passed + (not problems), failed + bool(problems)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
