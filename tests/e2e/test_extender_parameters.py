# SPDX-License-Identifier: Apache-2.0
"""The real extender's parameters: its file, read again while requests are under way, and its mistakes."""
import json
import os
import pathlib
import subprocess
import sys
import threading

import pytest

import optipod_e2e
from optipod_e2e import wait_until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kube"))
from feed import CALM, CONTENDED, Feed   # noqa: E402


@pytest.fixture
def feed():
    made = Feed()
    made.set("calm", **CALM)
    made.set("busy", **CONTENDED)
    yield made
    made.close()


BODY = json.dumps({"Pod": {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}}, "Nodes": None,
                   "NodeNames": ["busy", "calm"]})


def filtered(extender):
    reply = optipod_e2e.http(extender.url + "/filter", data=BODY, headers={"Content-Type": "application/json"})
    assert reply.status == 200
    return reply.json()["NodeNames"]


def replace(path, text):
    """As a ConfigMap is replaced: at once."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


def test_a_changed_file_counts_without_a_dropped_request(stack, feed, tmp_path):
    path = tmp_path / "policies.yaml"
    path.write_text("contention: {reject_above: 1}\n")
    extender = stack.serve("extender", "--metrics-url", feed.url, "--policies", path)
    wait_until(lambda: extender.get("/readyz").json()["nodes_fresh"] == 2, "measurements arrive")
    assert filtered(extender) == ["busy", "calm"]

    stop, answered, failures = threading.Event(), [], []

    def hammer():
        while not stop.is_set():
            try:
                answered.append(len(filtered(extender)))
            except (AssertionError, OSError) as error:
                failures.append(error)
    threads = [threading.Thread(target=hammer) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            replace(path, "contention: {reject_above: 0.5}\n")
            wait_until(lambda: filtered(extender) == ["calm"], "the new parameters count")
            replace(path, "contention: {reject_above: much}\n")
            wait_until(lambda: extender.get("/readyz").json()["policies"]["file_error"], "the mistake is told")
            assert filtered(extender) == ["calm"]   # the ones before it stay
            replace(path, "contention: {reject_above: 1}\n")
            wait_until(lambda: filtered(extender) == ["busy", "calm"], "the parameters after the mistake count")
            assert extender.get("/readyz").json()["policies"]["file_error"] == ""
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert len(answered) > 100 and set(answered) == {1, 2}
    loads = extender.metrics()
    assert loads[("optipod_extender_policy_loads_total", frozenset({("result", "error")}))] == 3
    assert f"{path}:1: contention.reject_above: 'much' is not a number from 0 to 1" in extender.log()


def run(*arguments, **environment):
    """Status and messages of an extender that ends by itself."""
    done = subprocess.run([optipod_e2e.program_path("extender"), *map(str, arguments)], capture_output=True, text=True,
                          timeout=20, env={**os.environ, **environment}, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("arguments,environment,message", [
    (["--policy", "best"], {}, "--policy best: there is no policy 'best'; there are: contention"),
    (["--policy", "contention=-1"], {}, "the weight must be a number over 0"),
    (["--policies", "/nonexistent.yaml"], {}, "/nonexistent.yaml: cannot be read: No such file"),
    (["--metrics-url", "localhost"], {}, "--metrics-url: "),
    (["--kubeconfig", "/nonexistent"], {}, "/nonexistent"),
    (["--kubernetes", "on"], {}, "KUBERNETES_SERVICE_HOST"),
    (["--kubernetes", "off", "--kubeconfig", "x"], {}, "leave one out"),
    (["--kube-context", "prod"], {}, 'context "prod" is in no file; give a kubeconfig file'),
    (["--booking", "maybe"], {}, "'maybe' is none of on|off"),
    (["--expire-after", "1s"], {}, "--expire-after must be longer than --fresh-for"),
    ([], {"HTTP_PORT": "http"}, "HTTP_PORT=http: is no port"),
    ([], {"LOG_LEVEL": "LOUD"}, "LOG_LEVEL=LOUD: is none of TRACE"),
    ([], {"SAFEUTILIZATION": "101"}, "SAFEUTILIZATION=101"),
    ([], {"SAFEPERCENTILE": "x"}, "SAFEPERCENTILE=x"),
    ([], {"SAFEFORECASTWEIGHT": "-1"}, "SAFEFORECASTWEIGHT=-1"),
    ([], {"CONGESTION_FACTOR_MAX": "0"}, "CONGESTION_FACTOR_MAX=0"),
    ([], {"POLICY_OBJECTIVE": "SPREAD"}, "POLICY_OBJECTIVE=SPREAD"),
    ([], {"NUM_RESOURCES": "6"}, "NUM_RESOURCES=6"),
], ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else None)
def test_a_mistake_ends_it_at_the_start_and_is_named(arguments, environment, message):
    status, said = run("--web.listen-address", "127.0.0.1:0", *arguments, **environment)
    assert status == 2, said
    assert message in said


def test_the_older_systems_variables_are_defaults(stack, feed):
    port = optipod_e2e.free_port()
    extender = stack.start("extender", "--metrics-url", feed.url, env={"HTTP_PORT": str(port), "LOG_LEVEL": "DEBUG"})
    extender.url = f"http://127.0.0.1:{port}"
    stack.wait_for(extender, "/readyz")
    assert extender.get("/readyz").json()["kubernetes"]["state"] == "off"
