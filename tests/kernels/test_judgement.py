# SPDX-License-Identifier: Apache-2.0
"""The matrix fails when it should: without a kernel, a report, or when a program has grown."""

import subprocess

import pytest

import debian
import run

PASSED = [{"kernel": "6.1", "collected": ["a", "b"]}, {"test": "a", "outcome": "passed", "seconds": 1},
          {"test": "b", "outcome": "passed", "seconds": 1}, {"finished": 0}]
RECORD = {"6.1": {"kernel": "6.1.0", "programs": {"p": {"instructions": 1000, "jit_bytes": 500}}}}


def test_every_test_must_report():
    assert not run.judge_tests(PASSED)
    assert run.judge_tests([]) and run.judge_tests(PASSED[:1])
    assert run.judge_tests(PASSED[:-1]) == ["the guest ended before its tests did"]
    assert run.judge_tests(PASSED[:2] + PASSED[3:]) == ["b: did not report"]
    skipped = [*PASSED[:2], {"test": "b", "outcome": "skipped", "seconds": 0}, PASSED[3]]
    assert run.judge_tests(skipped) == ["b: skipped"]


@pytest.mark.parametrize("instructions,jit_bytes,problems", [(1100, 550, 0), (1101, 550, 1), (1100, 551, 1), (900, 1, 0)])
def test_growth_over_a_tenth_fails(instructions, jit_bytes, problems):
    now = {"p": {"instructions": instructions, "jit_bytes": jit_bytes}}
    said = run.judge_programs("6.1", now, RECORD)
    assert len(said) == problems
    assert all("--record 6.1" in one for one in said)


def test_a_program_without_a_record_has_a_budget():
    assert not run.judge_programs("6.1", {"new": {"instructions": 5000, "jit_bytes": 2000}}, RECORD)
    assert run.judge_programs("6.1", {"new": {"instructions": 50_001, "jit_bytes": 2000}}, RECORD)
    assert run.judge_programs("6.1", {}, RECORD) == ["no program was measured"]


def test_what_is_recorded_is_the_table():
    assert set(run.load_record()) == set(debian.SERIES)


def test_a_guest_that_tells_nothing_is_given_up(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(run, "SILENT_SECONDS", 0.5)
    with subprocess.Popen(["sleep", "infinity"]) as guest:
        try:
            run.while_it_tells(guest, tmp_path / "report")
            assert guest.poll() is None
            assert "told nothing" in capsys.readouterr().err
        finally:
            guest.kill()


def test_a_guest_that_cannot_run_is_a_failure(tmp_path):
    with subprocess.Popen(["false"]) as guest, pytest.raises(debian.Failed, match="ended with 1"):
        run.while_it_tells(guest, tmp_path / "report")


@pytest.mark.parametrize("line", ["BUG: kernel NULL pointer dereference", "WARNING: CPU: 1 PID: 42 at kernel/bpf/x.c",
                                  "rcu: INFO: rcu_preempt self-detected stall on CPU",
                                  "watchdog: BUG: soft lockup - CPU#0 stuck", "optipod-agent[7]: segfault at 0"])
def test_what_kernels_complain_of_is_seen(line):
    assert run.COMPLAINT.search(line)
    assert not run.COMPLAINT.search("Memory cgroup out of memory: Killed process 145 (python3)")


def test_no_kernel_is_a_failure_that_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(debian, "MIRROR", "http://127.0.0.1:9")
    with pytest.raises(debian.Failed, match="KERNEL=/path/bzImage"):
        debian.kernel("6.1")


def test_the_newest_version_wins():
    versions = ["7.3~rc7-1~exp1", "7.3.4-1~bpo13+1", "7.2.13-1"]
    newest = max(({"version": v} for v in versions), key=debian.functools.cmp_to_key(debian._older))
    assert newest["version"] == "7.3.4-1~bpo13+1"
