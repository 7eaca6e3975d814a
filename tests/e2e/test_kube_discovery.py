# SPDX-License-Identifier: Apache-2.0
"""Targets of --kube-sd follow a Service on a real API server, whose own controller makes its EndpointSlices.

Its API server is killed, so that it is a control plane of this test's own even when KUBECONFIG is set."""

import pathlib
import secrets
import subprocess

import pytest
import yaml

import certificates
import controlplane
import objects
from aggregator_peers import FakeExporter, federated, nodes_of, who_is_up
from optipod_e2e import series, wait_until
from workspace import Workspace

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs/aggregator.md"
ACCOUNT = "aggregator"


@pytest.fixture
def addresses():
    """Three addresses of this machine that Kubernetes takes for pods': it refuses loopback ones. They go with this
    process, however it ends."""
    subnet = f"10.254.{secrets.randbelow(256)}"
    made = [f"{subnet}.{i + 1}/32" for i in range(3)]
    remove = "cat >/dev/null; for address; do ip address del $address dev lo; done"
    with subprocess.Popen(["/bin/sh", "-c", remove, "remove", *made], stdin=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, start_new_session=True):
        for address in made:
            subprocess.run(["ip", "address", "add", address, "dev", "lo"], check=True)
        yield [address.removesuffix("/32") for address in made]


@pytest.fixture
def exporters(addresses):
    """One on each address, all on one port."""
    first = FakeExporter(addresses[0])
    made = [first] + [FakeExporter(address, first.port) for address in addresses[1:]]
    yield made
    for exporter in made:
        exporter.close()


@pytest.fixture
def plane():
    with controlplane.ControlPlane() as made:
        yield made


class Exporters:
    """A headless Service and its pods, one a node; `.names` are the nodes'."""

    def __init__(self, plane, exporters):
        self.workspace, self.api, self.exporters = Workspace(plane, kwok=False), plane.api, exporters
        self.path = self.workspace.path
        self.names = [f"{self.workspace.name}-{i}" for i in range(len(exporters))]
        self.workspace.nodes(self.names)
        self.api.post(f"{self.path}/services", {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "exporter"},
            "spec": {"clusterIP": "None", "selector": {"app": "exporter"},
                     "ports": [{"name": "other", "port": 1}, {"name": "metrics", "port": exporters[0].port}]}})

    def make(self, i, ready=True):
        """The pod of node i, as its kubelet would tell of it."""
        spec = {**self.workspace.spec("nobody"), "nodeName": self.names[i]}
        self.api.post(f"{self.path}/pods", objects.pod(f"exporter-{i}", spec, labels={"app": "exporter"}))
        self.tell(i, ready)

    def tell(self, i, ready):
        address = self.exporters[i].address.split(":")[0]
        self.api.request("PATCH", f"{self.path}/pods/exporter-{i}/status", {"status": {
            "phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": str(ready)}]}})

    def remove(self, i):
        self.api.delete(f"{self.path}/pods/exporter-{i}", grace_seconds=0)

    def kubeconfig(self):
        """With the rights that docs/aggregator.md tells people to give, and no more."""
        _, _, text = DOCS.read_text(encoding="utf-8").partition("```yaml\nkind: Role\n")
        role = yaml.safe_load("kind: Role\n" + text.partition("```")[0])
        role["metadata"] = {"name": ACCOUNT}
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self.workspace.name}"
        self.api.post(f"{rbac}/roles", role)
        self.api.post(f"{self.path}/serviceaccounts",
                      {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}})
        self.api.post(f"{rbac}/rolebindings", {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": ACCOUNT},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": self.workspace.name}]})
        token = self.api.post(f"{self.path}/serviceaccounts/{ACCOUNT}/token", {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600}})["status"]["token"]
        cluster = self.workspace.cluster
        return certificates.write_kubeconfig(cluster.directory / "aggregator.kubeconfig", cluster.server,
                                             cluster.authority, token=token)


def test_targets_follow_a_service_and_outlive_the_api_server(stack, plane, exporters):
    service = Exporters(plane, exporters)
    one, two, three = service.names
    service.make(0)
    service.make(1, ready=False)
    aggregator = stack.serve("aggregator", "--kube-sd", f"{service.workspace.name}/exporter",
                             "--kubeconfig", service.kubeconfig())

    def up(*nodes):
        plane.wait(lambda: who_is_up(aggregator) == set(nodes_of(aggregator)) == set(nodes),
                   f"{len(nodes)} nodes are there, and up")

    def good():
        return series(aggregator.metrics(), "optipod_aggregator_discovery_good") == [1]

    up(one)   # the one that is not ready is no target
    assert nodes_of(aggregator)[one]["target"] == f"http://{exporters[0].address}/metrics"
    service.tell(1, ready=True)
    up(one, two)
    service.make(2)
    up(one, two, three)
    service.remove(0)
    up(two, three)
    assert not federated(aggregator, f'{{node="{one}"}}')

    plane.kill_api_server()
    wait_until(lambda: not good(), "the API server is gone")
    asked = nodes_of(aggregator)[two]["last_scrape"]
    wait_until(lambda: nodes_of(aggregator)[two]["last_scrape"] > asked, "what it said last goes on")
    up(two, three)
    wait_until(lambda: "its last good list of 2 targets stays in use" in aggregator.log(), "the log says so")

    plane.start_api_server()
    service.remove(2)
    service.make(0)
    up(one, two)
    wait_until(good, "it is believed again")
