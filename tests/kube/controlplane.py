#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A real control plane on loopback: etcd, kube-apiserver, kube-controller-manager. No kubelet, no root.

    controlplane.py up           start it in the background; prints the KUBECONFIG to export
    controlplane.py kubeconfig   prints the path of the running one's kubeconfig
    controlplane.py down         stop it and remove everything

In a test, ControlPlane() is a context manager: ready in seconds, data in memory, and all of it gone when
the process that made it ends, however it ends. Nodes, kwok and schedulers are workspace.py's.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
import build                                                  # noqa: E402
import certificates                                           # noqa: E402
from api import Api                                           # noqa: E402
from optipod_e2e import Process, free_port, wait_until        # noqa: E402

# What the tests use of the controllers.
CONTROLLERS = ["deployment-controller", "replicaset-controller", "serviceaccount-controller",
               "namespace-controller", "garbage-collector-controller", "disruption-controller",
               "endpointslice-controller"]


def memory_directory(prefix):
    """A new directory on tmpfs where there is one. Removed when this process ends, even by SIGKILL."""
    shm = pathlib.Path("/dev/shm")
    directory = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir=shm if os.access(shm, os.W_OK) else None))
    subprocess.Popen(["/bin/sh", "-c", 'cat >/dev/null; rm -rf -- "$1"', "remove", str(directory)],
                     stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                     start_new_session=True, cwd="/")
    return directory


class Cluster:
    """An API server and the right to do everything on it.

    .api: an Api. .kubeconfig: a file for programs. .server and .authority (PEM file): for other kubeconfigs."""

    def __init__(self):
        self.directory = memory_directory("optipod-kube-")
        self.processes, self._started = [], 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def run(self, program, *arguments, name=None):
        name = f"{name or pathlib.Path(program).name}-{self._started}"
        self._started += 1
        process = Process([program, *arguments], self.directory / f"{name}.log", name)
        self.processes.append(process)
        return process

    def wait(self, condition, what, seconds=60.0):
        """As wait_until; a program that has ended by itself meanwhile is the reason given."""
        def there():
            for process in self.processes:
                if not process.alive():
                    raise AssertionError(f"{process.name} ended with status {process.popen.returncode}:\n"
                                         f"{process.log()[-3000:]}")
            return condition()
        try:
            return wait_until(there, what, seconds)
        except AssertionError as error:
            logs = "\n".join(f"--- {p.name}\n{p.log()[-800:]}" for p in self.processes)
            raise AssertionError(f"{error}\n{logs}") from None

    def stop(self, process):
        process.kill()
        self.processes.remove(process)

    def close(self):
        """Nothing here is worth a graceful end."""
        for process in reversed(self.processes):
            process.kill()
        self.processes.clear()
        shutil.rmtree(self.directory, ignore_errors=True)


class ControlPlane(Cluster):
    def __init__(self):
        super().__init__()
        try:
            self._start(build.programs())
        except BaseException:
            self.close()
            raise

    def _start(self, programs):
        etcd = self._etcd(programs["etcd"])
        authority = certificates.Authority(self.directory / "pki")
        self.authority = authority.certificate
        port = free_port()
        self.server = f"https://127.0.0.1:{port}"
        self._api_server = self._api_server_command(programs["kube-apiserver"], etcd, authority, port)
        self._api_server_process = self.run(*self._api_server)
        admin = authority.sign("admin", "optipod-e2e", "system:masters")
        self.kubeconfig = certificates.write_kubeconfig(self.directory / "kubeconfig", self.server,
                                                        self.authority, *admin)
        self.api = Api.with_certificate(port, self.authority, *admin)
        self._wait_for_api_server()
        self._controllers(programs["kube-controller-manager"], authority)

    def _wait_for_api_server(self):
        self.wait(self.api.ready, f"kube-apiserver: {self.server}/readyz")

    def kill_api_server(self):
        self.stop(self._api_server_process)

    def start_api_server(self):
        """After kill_api_server(): the same once more, with what etcd has kept."""
        self._api_server_process = self.run(*self._api_server)
        self._wait_for_api_server()

    def _etcd(self, program):
        client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self.run(program, "--name=e2e", f"--data-dir={self.directory}/etcd", "--unsafe-no-fsync",
                 f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
                 f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
                 f"--initial-cluster=e2e={peer}", "--snapshot-count=100000000", "--log-level=warn")
        return client

    @staticmethod
    def _api_server_command(program, etcd, authority, port):
        certificate, key = authority.sign("apiserver", "kube-apiserver",
                                          addresses=["IP:127.0.0.1", "DNS:localhost", "DNS:kubernetes"])
        signing, checking = authority.key_pair("tokens")
        return [program, f"--etcd-servers={etcd}", f"--secure-port={port}", "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
                f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}",
                f"--client-ca-file={authority.certificate}", "--authorization-mode=RBAC",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-signing-key-file={signing}", f"--service-account-key-file={checking}",
                "--service-cluster-ip-range=10.96.0.0/24", "--cert-dir=/nonexistent",
                # Many writers at once are the test, not a misuse.
                "--enable-priority-and-fairness=false", "--max-requests-inflight=0",
                "--max-mutating-requests-inflight=0",
                # Nodes come ready: nobody here would take the taint off again.
                "--disable-admission-plugins=TaintNodesByCondition",
                "--shutdown-delay-duration=0s", "--profiling=false"]

    def _controllers(self, program, authority):
        user = authority.sign("controllers", "system:kube-controller-manager")
        config = certificates.write_kubeconfig(self.directory / "controllers.kubeconfig", self.server,
                                               self.authority, *user)
        self.run(program, f"--kubeconfig={config}", "--leader-elect=false", "--secure-port=0",
                 "--use-service-account-credentials=true",
                 f"--controllers={','.join(CONTROLLERS)}", "--kube-api-qps=1000", "--kube-api-burst=2000",
                 "--concurrent-replicaset-syncs=20")


class Foreign(Cluster):
    """The cluster of a KUBECONFIG, whatever it authenticates with: kubectl knows."""

    def __init__(self, kubeconfig):
        super().__init__()
        self.kubeconfig = pathlib.Path(kubeconfig).resolve()
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    def _connect(self):
        kubectl = shutil.which("kubectl") or build.programs(["kubectl"])["kubectl"]
        view = subprocess.run([kubectl, f"--kubeconfig={self.kubeconfig}", "config", "view", "--raw", "--minify",
                               "--flatten", "-o", "json"], capture_output=True, text=True, check=False)
        if view.returncode != 0:
            raise build.Failed(f"KUBECONFIG={self.kubeconfig}: {view.stderr.strip()}")
        cluster = json.loads(view.stdout)["clusters"][0]["cluster"]
        if "certificate-authority-data" not in cluster:
            raise build.Failed(f"KUBECONFIG={self.kubeconfig}: its cluster has no certificate-authority, "
                               "which the extender's own credentials need")
        self.server = cluster["server"]
        self.authority = self.directory / "ca.crt"
        decoded = subprocess.run(["base64", "-d"], input=cluster["certificate-authority-data"].encode(),
                                 capture_output=True, check=True)
        self.authority.write_bytes(decoded.stdout)
        port = free_port()
        self.run(kubectl, f"--kubeconfig={self.kubeconfig}", "proxy", f"--port={port}", "--reject-paths=^$")
        self.api = Api("127.0.0.1", port)
        self.wait(self.api.ready, f"the API server at {self.server}")


def open_cluster():
    """The cluster of $KUBECONFIG; without it a control plane of our own. A context manager."""
    kubeconfig = os.environ.get("KUBECONFIG")
    return Foreign(kubeconfig) if kubeconfig else ControlPlane()


# ---- Command line ----------------------------------------------------------------------------------


def _state():
    return pathlib.Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp") / f"optipod-kube-{os.getuid()}.json"


def _running():
    """{'pid', 'kubeconfig'} of the one that runs in the background, or None."""
    try:
        state = json.loads(_state().read_text())
        command = pathlib.Path(f"/proc/{state['pid']}/cmdline").read_bytes()
        return state if b"controlplane.py" in command else None
    except (OSError, ValueError, KeyError):
        return None


def _keep(ready):
    """The background process: owns the control plane until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):   # a shell that reads what `up` prints must see its end
        os.dup2(nowhere, stream)
    with ControlPlane() as plane:
        state = _state()
        state.unlink(missing_ok=True)
        with open(os.open(state, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
            json.dump({"pid": os.getpid(), "kubeconfig": str(plane.kubeconfig)}, out)
        try:
            os.write(ready, b"1")
            os.dup2(nowhere, 2)
            while True:
                time.sleep(1)
                plane.wait(lambda: True, "")   # ends when one of them has
        finally:
            state.unlink(missing_ok=True)


def up():
    state = _running()
    if state is None:
        build.programs()
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.setsid()
            os.close(reading)
            _keep(writing)
            os._exit(0)
        os.close(writing)
        if os.read(reading, 1) != b"1":
            raise build.Failed("the control plane did not start; what it said stands above")
        state = _running()
    print(f"export KUBECONFIG={state['kubeconfig']}")


def down():
    state = _running()
    if state is None:
        raise build.Failed("no control plane runs")
    os.kill(state["pid"], signal.SIGTERM)
    wait_until(lambda: not os.path.exists(f"/proc/{state['pid']}"), "the control plane stops")


def kubeconfig():
    state = _running()
    if state is None:
        raise build.Failed("no control plane runs: controlplane.py up")
    print(state["kubeconfig"])


def main():
    commands = {"up": up, "down": down, "kubeconfig": kubeconfig}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        print(__doc__, file=sys.stderr)
        return 0 if "--help" in sys.argv else 2
    try:
        commands[sys.argv[1]]()
    except (build.Failed, AssertionError) as error:
        print(f"controlplane: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
