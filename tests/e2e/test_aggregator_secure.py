# SPDX-License-Identifier: Apache-2.0
"""Exporter, aggregator and extender with TLS, client certificates and passwords between them."""

import base64
import crypt
import json
import os
import ssl
import urllib.request

import pytest

from aggregator_peers import FakeExporter, federated, nodes_of, who_is_up
from certificates import Authority
from optipod_e2e import free_port, http, series, wait_until

NODE = "node-a"


def hashed(password):
    return crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=2 ** 4))


def replace(path, text):
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    os.replace(fresh, path)


class Site:
    """An authority, a server's and a client's certificate, and both sides' files."""

    def __init__(self, directory):
        directory.mkdir()
        authority = Authority(directory / "authority")
        self.ca = authority.certificate
        self.server = authority.sign("server", "optipod", addresses=["IP:127.0.0.1"])
        self.client = authority.sign("client", "optipod-client")
        self.web, self.config = directory / "web.yml", directory / "client.yml"
        self.password = directory / "password"
        self.set_password("secret")
        self.password.write_text("secret\n")
        self.config.write_text(json.dumps({
            "tls_config": {"ca_file": str(self.ca), "cert_file": str(self.client[0]), "key_file": str(self.client[1])},
            "basic_auth": {"username": "optipod", "password_file": str(self.password)}}))

    def set_password(self, password):
        """Of the servers."""
        replace(self.web, json.dumps({
            "tls_server_config": {"cert_file": str(self.server[0]), "key_file": str(self.server[1]),
                                  "client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": str(self.ca)},
            "basic_auth_users": {"optipod": hashed(password)}}))

    def get(self, url, password="secret"):
        """Status and text."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(*map(str, self.client))
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        opener.addheaders = [("Authorization", "Basic " + base64.b64encode(f"optipod:{password}".encode()).decode())]
        with opener.open(url, timeout=10) as reply:
            return reply.status, reply.read().decode()


def test_exporter_to_aggregator_to_extender_over_tls_with_passwords(stack, cgroup):
    site = Site(stack.directory / "site")
    agent = stack.agent(cgroup=cgroup)
    port = free_port()
    stack.start("exporter", "--segment", agent.segment, "--web.listen-address", f"127.0.0.1:{port}",
                "--web.config.file", site.web)
    target = f"{NODE}=127.0.0.1:{port}"
    plain = stack.serve("aggregator", "--target", target, "--scrape-scheme", "https", "--scrape.config.file", site.config)
    wait_until(lambda: who_is_up(plain) == {NODE}, "the exporter is scraped over TLS")

    # Who does not know the authority, or is not known, is told so.
    stranger = stack.serve("aggregator", "--target", target, "--scrape-scheme", "https")
    wait_until(lambda: "certificate is not accepted" in (nodes_of(stranger)[NODE]["last_error"] or ""),
               "a stranger's certificate is refused")

    # The same between aggregator and extender.
    inner = free_port()
    stack.start("aggregator", "--target", f"{NODE}=https://127.0.0.1:{port}", "--scrape.config.file", site.config,
                "--web.listen-address", f"127.0.0.1:{inner}", "--web.config.file", site.web)
    url = f"https://127.0.0.1:{inner}"

    def answered():
        try:
            return site.get(url + "/readyz")[0] == 200
        except OSError:
            return False
    wait_until(answered, "the aggregator answers over TLS with a password")
    with pytest.raises(OSError):
        http(f"http://127.0.0.1:{inner}/metrics")
    extender = stack.serve("extender", "--metrics-url", url, "--metrics.config.file", site.config)

    wait_until(lambda: sum(series(extender.metrics(), "optipod_extender_samples_total")) > 0,
               "the extender has measurements, over TLS")

    # The servers' password changes: the clients are refused, until their file has the new one.
    site.set_password("changed")
    wait_until(lambda: "status 401" in (nodes_of(plain)[NODE]["last_error"] or ""), "the old password is refused")
    assert who_is_up(plain) == set()
    replace(site.password, "changed\n")
    wait_until(lambda: who_is_up(plain) == {NODE}, "the new one is taken without a restart")


def test_a_token_is_read_again_when_it_changes(stack):
    valid, token = ["Bearer one"], stack.directory / "token"
    token.write_text("one\n")
    config = stack.directory / "scrape.yml"
    config.write_text(f"authorization:\n  credentials_file: {token}\n")
    fake = FakeExporter(authorization=lambda: valid[0])
    try:
        aggregator = stack.serve("aggregator", "--target", f"{NODE}={fake.address}", "--scrape.config.file", config)
        wait_until(lambda: who_is_up(aggregator) == {NODE}, "the token is shown")
        valid[0] = "Bearer two"
        wait_until(lambda: who_is_up(aggregator) == set(), "the old token is refused")
        assert federated(aggregator, "optipod_node_cpus") == {}
        replace(token, "two\n")
        wait_until(lambda: who_is_up(aggregator) == {NODE}, "the new one is shown")
    finally:
        fake.close()


def test_certificates_rotate_while_they_are_used(stack):
    """Authority, server's and client's certificate, one after the other, and not one scrape is lost; a broken one
    changes nothing, and is said once."""
    site = Site(stack.directory / "site")
    new = Authority(stack.directory / "site" / "new")
    both = site.ca.read_text() + new.certificate.read_text()
    port = free_port()
    target = stack.start("aggregator", "--web.listen-address", f"127.0.0.1:{port}", "--web.config.file", site.web)
    aggregator = stack.serve("aggregator", "--target", f"{NODE}=https://127.0.0.1:{port}", "--scrape.config.file",
                             site.config, seconds=60)
    wait_until(lambda: who_is_up(aggregator) == {NODE}, "it is scraped over TLS")
    failures = nodes_of(aggregator)[NODE]["failures"]

    def step(*changes):
        changes_seen = aggregator.log().count("changed, and in use")
        for path, text in changes:
            replace(path, text)
        wait_until(lambda: aggregator.log().count("changed, and in use") > changes_seen, "the aggregator has seen it")
        scrapes = nodes_of(aggregator)[NODE]["scrapes"]
        wait_until(lambda: nodes_of(aggregator)[NODE]["scrapes"] >= scrapes + 3, "it goes on")
        assert nodes_of(aggregator)[NODE]["failures"] == failures, nodes_of(aggregator)[NODE]["last_error"]

    step((site.ca, both))
    certificate, key = new.sign("server", "optipod", addresses=["IP:127.0.0.1"])
    replace(site.server[1], key.read_text())    # between these two they do not fit
    replace(site.server[0], certificate.read_text())
    certificate, key = new.sign("client", "optipod-client")
    replace(site.client[1], key.read_text())
    step((site.client[0], certificate.read_text()))
    step((site.ca, new.certificate.read_text()))   # who still had the old one would be refused now

    replace(site.client[0], "-----BEGIN CERTIFICATE-----\nnothing\n")
    said = "cannot read the client certificate"
    wait_until(lambda: said in aggregator.log(), "it says that the new one is broken")
    scrapes = nodes_of(aggregator)[NODE]["scrapes"]
    wait_until(lambda: nodes_of(aggregator)[NODE]["scrapes"] >= scrapes + 3, "it goes on")
    assert aggregator.log().count(said) == 1
    step((site.client[0], certificate.read_text()))
    assert target.alive()


def test_what_is_wrong_in_its_files_is_said_by_line(stack):
    config = stack.directory / "scrape.yml"
    for text, said in (("tls_config:\n  ca_file: /none\n", "scrape.yml:2: tls_config.ca_file"),
                       ("basic_auth:\n  username: x\n  pass: y\n", "scrape.yml:3: basic_auth.pass is unknown here"),
                       ("authorization: [\n", "scrape.yml:")):
        config.write_text(text)
        for flag in ("--scrape.config.file", "--http-sd.config.file"):
            process = stack.start("aggregator", "--http-sd", "http://127.0.0.1:1/", flag, config)
            assert process.wait() == 2
            assert said in process.log()
