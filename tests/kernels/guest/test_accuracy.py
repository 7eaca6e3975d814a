# SPDX-License-Identifier: Apache-2.0
"""The kernel side's own tests (tests/agent/kernel), as they are, on this kernel: each compares with the
kernel's own counts. All that were built take part."""

import pathlib
import subprocess

import pytest

TESTS = sorted(path.name for path in pathlib.Path("/optipod/build/tests/agent/kernel").glob("kernel_*_test"))
# runqlat is no part of the kernel; that comparison is made where it is installed. What takes the whole
# machine is made here.
WHICH = "~run-queue wait is distributed as runqlat sees it,[own-machine]"


@pytest.mark.parametrize("name", TESTS or ["none was built"])
def test_accuracy(name):
    run = subprocess.run([f"/optipod/build/tests/agent/kernel/{name}", "-d", "yes", WHICH], cwd="/var/tmp", timeout=300,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(run.stdout[-6000:])
    assert run.returncode == 0
    assert "assertions" in run.stdout, "it compared nothing"
