# SPDX-License-Identifier: Apache-2.0
"""Inside the guest: the fixtures, and a line of JSON per test on the second serial port."""

import json
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "e2e"))
import optipod_e2e   # noqa: E402

_REPORT = open("/dev/ttyS1", "w", encoding="ascii")  # pylint: disable=consider-using-with


def tell(**what):
    """Tells the host."""
    print(json.dumps(what), file=_REPORT, flush=True)


@pytest.fixture
def stack():
    running = optipod_e2e.Stack()
    yield running
    running.close()


@pytest.fixture
def cgroup():
    """A cgroup of the test's own with every controller for its children."""
    made = optipod_e2e.Cgroup.temporary()
    (made.path / "cgroup.subtree_control").write_text("+cpu +io +memory")
    yield made
    made.remove()


def pytest_collection_finish(session):
    tell(kernel=os.uname().release, collected=[item.nodeid.split("::", 1)[1] for item in session.items])


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        tell(test=report.nodeid.split("::", 1)[1], outcome=report.outcome, seconds=round(report.duration, 1))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the programs' logs beside a failure."""
    outcome = yield
    running = getattr(item, "funcargs", {}).get("stack")
    if outcome.get_result().failed and running is not None:
        for process in running.processes:
            if process.log_path.exists() and process.log():
                outcome.get_result().sections.append((f"log of {process.name}", process.log()[-4000:]))


def pytest_sessionfinish(exitstatus):
    tell(finished=int(exitstatus))
