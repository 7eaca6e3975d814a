# SPDX-License-Identifier: Apache-2.0
import pytest

import optipod_e2e


@pytest.fixture
def stack():
    """Starts programs; everything is stopped and removed when the test ends."""
    running = optipod_e2e.Stack()
    yield running
    running.close()


@pytest.fixture
def cgroup():
    """A cgroup of this test's own, directly below the cgroup2 mount."""
    made = optipod_e2e.Cgroup.temporary()
    yield made
    made.remove()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the programs' logs beside a failure. A skipped test showed nothing: it failed."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped:
        report.outcome = "failed"
    running = getattr(item, "funcargs", {}).get("stack")
    if report.failed and running is not None:
        for process in running.processes:
            if process.log_path.exists() and process.log():
                report.sections.append((f"log of {process.name}", process.log()[-4000:]))
