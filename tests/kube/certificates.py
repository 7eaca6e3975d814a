# SPDX-License-Identifier: Apache-2.0
"""Certificates and kubeconfig files of a control plane that lives for one test run."""

import base64
import json
import pathlib
import subprocess

DAYS = "7"
_EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def _openssl(*arguments):
    run = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]} failed (OpenSSL ≥ 3 is needed):\n{run.stderr}")


class Authority:
    """A CA in a directory of its own; each certificate it signs lies beside it."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(mode=0o700)
        self.certificate, self._key = self.directory / "ca.crt", self.directory / "ca.key"
        _openssl("req", "-x509", *_EC, "-subj", "/CN=optipod-e2e", "-days", DAYS, "-keyout", self._key,
                 "-out", self.certificate)

    def sign(self, name, user, group=None, addresses=None):
        """(certificate, key) for this user (CN) and group (O), or for a server at these addresses."""
        certificate, key = self.directory / f"{name}.crt", self.directory / f"{name}.key"
        usage = "serverAuth" if addresses else "clientAuth"
        extensions = ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", f"extendedKeyUsage={usage}"]
        if addresses:
            extensions += ["-addext", f"subjectAltName={','.join(addresses)}"]
        subject = (f"/O={group}" if group else "") + f"/CN={user}"
        _openssl("req", "-x509", *_EC, "-CA", self.certificate, "-CAkey", self._key, "-subj", subject,
                 "-days", DAYS, *extensions, "-keyout", key, "-out", certificate)
        return certificate, key

    def key_pair(self, name):
        """(private, public): sign and check the tokens of service accounts."""
        private, public = self.directory / f"{name}.key", self.directory / f"{name}.pub"
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", private)
        _openssl("pkey", "-in", private, "-pubout", "-out", public)
        return private, public


def _data(file):
    return base64.b64encode(pathlib.Path(file).read_bytes()).decode()


def write_kubeconfig(file, server, authority, certificate=None, key=None, token=None):
    """`authority`: the CA's PEM file. A client certificate with its key, or a bearer token."""
    if token:
        user = f"    token: {token}\n"
    else:
        user = f"    client-certificate-data: {_data(certificate)}\n    client-key-data: {_data(key)}\n"
    file = pathlib.Path(file)
    file.touch(mode=0o600)
    file.write_text(f"""apiVersion: v1
kind: Config
current-context: e2e
contexts:
- name: e2e
  context:
    cluster: e2e
    user: e2e
clusters:
- name: e2e
  cluster:
    server: {json.dumps(server)}
    certificate-authority-data: {_data(authority)}
users:
- name: e2e
  user:
{user}""", encoding="ascii")
    return file
