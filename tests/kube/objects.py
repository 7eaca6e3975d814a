# SPDX-License-Identifier: Apache-2.0
"""Kubernetes objects that the tests make."""

import pathlib

import yaml

# What users are given.
DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy/scheduler"

# Says which run of the tests a node belongs to: kwok plays only those, and only its own pods go there.
MARK = "optipod.dev/e2e"


def node(name, mark, cpu="16", memory="64Gi", pods=110, storage="100Gi", extended=None, labels=None, taints=()):
    """A node that is Ready at once. `extended`: {resource name: amount}. Amounts as Kubernetes writes them.
    `taints`: beside the one that keeps other pods away."""
    resources = {"cpu": cpu, "memory": memory, "pods": str(pods), "ephemeral-storage": storage, **(extended or {})}
    conditions = [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready"}]
    conditions += [{"type": kind, "status": "False", "reason": "Fine", "message": ""}
                   for kind in ("MemoryPressure", "DiskPressure", "PIDPressure")]
    return {"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "annotations": {MARK: mark},
                         "labels": {MARK: mark, "kubernetes.io/hostname": name, **(labels or {})}},
            # Pods of others on a foreign cluster stay away.
            "spec": {"taints": [{"key": MARK, "value": mark, "effect": "NoSchedule"}, *taints]},
            "status": {"allocatable": resources, "capacity": resources, "conditions": conditions}}


def pod_spec(mark, scheduler, cpu="500m", memory="2Gi", extended=None, priority_class=None):
    """By default the same share (1/32) of node()'s CPU and memory, so that each pod moves in-tree scores."""
    spec = {"schedulerName": scheduler, "automountServiceAccountToken": False, "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 0, "nodeSelector": {MARK: mark},
            "tolerations": [{"key": MARK, "operator": "Exists"}],
            "containers": [{"name": "main", "image": "e2e.invalid/pause",
                            "resources": {"requests": {"cpu": cpu, "memory": memory, **(extended or {})},
                                          "limits": dict(extended or {})}}]}
    if priority_class:
        spec["priorityClassName"] = priority_class
    return spec


def pod(name, spec, labels=None, annotations=None):
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": labels or {}, "annotations": annotations or {}}, "spec": spec}


def deployment(name, replicas, spec, annotations=None):
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels},
                     "template": {"metadata": {"labels": labels, "annotations": annotations or {}}, "spec": spec}}}


def extender_rbac(namespace, name):
    """(path, object) of a service account with the rights that deploy/ gives the extender, and no more."""
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    deployed = {o["kind"]: o for o in yaml.safe_load_all((DEPLOY / "rbac.yaml").read_text()) if o}
    deployed["ServiceAccount"]["metadata"] = {"name": name}
    deployed["ClusterRole"]["metadata"] = deployed["ClusterRoleBinding"]["metadata"] = {"name": namespace}
    deployed["ClusterRoleBinding"]["roleRef"]["name"] = namespace
    deployed["ClusterRoleBinding"]["subjects"] = [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]
    return [(f"/api/v1/namespaces/{namespace}/serviceaccounts", deployed["ServiceAccount"]),
            (f"{rbac}/clusterroles", deployed["ClusterRole"]),
            (f"{rbac}/clusterrolebindings", deployed["ClusterRoleBinding"])]
