# SPDX-License-Identifier: Apache-2.0
import pathlib
import sys

import pytest

import optipod_e2e

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kube"))
import controlplane                      # noqa: E402
import feed as feeds                     # noqa: E402
from workspace import PATIENT, Workspace   # noqa: E402


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


@pytest.fixture(scope="module")
def cluster():
    """A real control plane, or the cluster of $KUBECONFIG."""
    with controlplane.open_cluster() as made:
        yield made


@pytest.fixture
def workspace(cluster, monkeypatch):
    """A namespace, nodes and schedulers of this test's own in the cluster. Extenders answer late rather than
    neutrally, as these schedulers wait."""
    monkeypatch.setenv("OPTIPOD_DEADLINE", PATIENT)
    made = Workspace(cluster)
    yield made
    made.close()


@pytest.fixture
def feed():
    """The Prometheus that an extender may ask."""
    made = feeds.Feed()
    yield made
    made.close()


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
