"""Upstreams: real servers, with certificates that are good and that are not."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import time
from email.utils import formatdate

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from proxy.authority import leaf, make, pem
from proxy.doctor import upstreams, wire
from proxy.doctor.upstreams import Place
from proxy.http.tls import upstream_context
from tests.e2e.authority import authority, server_context
from tests.e2e.origin import origin
from tests.e2e.plane import policy
from tests.sidecar import free_port


def dated(ahead: float):
    date = formatdate(time.time() + ahead, usegmt=True)
    return f"HTTP/1.1 405 Method Not Allowed\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode()


async def looked(port, host="127.0.0.1", context=None):
    place = Place(host, port, context is not None, "lane")
    return await asyncio.to_thread(lambda: list(upstreams.rows(place, context)))


async def test_a_plain_upstream():
    async with origin(dated(0)) as server:
        rows = await looked(server.port)
    place = f"127.0.0.1:{server.port}"
    assert [(row.name, row.state, row.seen) for row in rows] == [
        (f"upstream {place}", "ok", "takes connections"),
        (f"clock {place}", "ok", "agrees with ours"),
    ]
    assert server.requests == [f"OPTIONS * HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n".encode()]


@pytest.mark.parametrize(("ahead", "state"), [(-30, "warning"), (600, "broken")])
async def test_a_clock_that_is_wrong(ahead, state):
    async with origin(dated(ahead)) as server:
        _, clock = await looked(server.port)
    assert (clock.check, clock.state) == ("clock", state)
    assert clock.fix == "on the machine that is wrong: timedatectl set-ntp true"


async def test_no_answer_is_no_clock():
    async with origin(lambda _: None) as server:
        upstream, clock = await looked(server.port)
    assert (upstream.state, clock.state) == ("ok", "skipped")


@pytest.mark.parametrize("tls", [False, True])
async def test_nobody_listens(tls):
    port = free_port()
    (row,) = await looked(port, context=upstream_context(None) if tls else None)
    assert (row.state, row.seen) == ("broken", "no connection: Connection refused")
    assert row.fix == f"start it, or let this machine reach it: curl -v telnet://127.0.0.1:{port}"


@pytest.mark.parametrize("host", ["sekisho-doctor.invalid", "a" * 64 + ".example"])
async def test_a_name_that_is_none(host):
    (row,) = await looked(443, host)
    assert row.state == "broken"
    assert row.seen.startswith("its name does not resolve: ")
    assert row.fix == f"getent hosts {host}; mend the name in the lane's upstream, or the resolver here"


async def test_a_name_that_no_certificate_can_be_for():
    (row,) = await looked(443, "1", upstream_context(None))
    assert (row.state, row.seen) == ("broken", "resolves to 0.0.0.1, OpenSSL verifies no certificate for such a name")
    assert row.fix == "give 1 a longer name"


@pytest.mark.parametrize(
    ("ends", "lasts", "state", "seen"),
    [
        (15, 365, "ok", "certificate verified, 14 days left"),
        (13, 365, "warning", "certificate verified, but only 12 days left"),
        (3, 7, "ok", "certificate verified, 2 days left"),
        (2, 7, "warning", "certificate verified, but only 1 day left"),
    ],
)
async def test_a_certificate_that_verifies(tmp_path, ends, lasts, state, seen):
    made = make("shop", 30)
    key = ec.generate_private_key(ec.SECP256R1())
    until = dt.datetime.now(dt.UTC) + dt.timedelta(days=ends)
    short = leaf("localhost", key, made.signing)
    builder = x509.CertificateBuilder(short.issuer, short.subject, key.public_key(), 7)
    builder = builder.not_valid_before(until - dt.timedelta(days=lasts)).not_valid_after(until)
    for extension in short.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    (tmp_path / "ca.crt").write_bytes(pem(made.trusted))
    (tmp_path / "own.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "own.crt").write_bytes(pem([builder.sign(made.signing.key, hashes.SHA256())]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "own.crt", tmp_path / "own.key")
    async with origin(dated(0), tls=context) as server:
        upstream, clock = await looked(server.port, "localhost", upstream_context(tmp_path / "ca.crt"))
    assert (upstream.state, clock.state) == (state, "ok")
    assert upstream.seen.startswith("resolves to ")
    assert upstream.seen.endswith(seen)
    assert bool(upstream.fix) == (state == "warning")


REFUSED = {
    "another authority": ("127.0.0.1", "another", "unable to get local issuer certificate", 20),
    "another address": ("127.0.0.2", "test authority", "IP address mismatch", 64),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_certificate_that_does_not_verify(tmp_path, name):
    host, issuer, words, code = REFUSED[name]
    public, _ = authority(tmp_path)
    authority(tmp_path, "another")
    async with origin(tls=server_context(tmp_path, host, issuer)) as server:
        (row,) = await looked(server.port, context=upstream_context(public))
        assert bytes(server.received) == b""
    assert row.state == "broken"
    assert row.seen == f"its certificate does not verify: {words} (for {host}, issued by {issuer})"
    assert row.fix == upstreams.FIXES[code]


async def test_another_name(tmp_path):
    public, _ = authority(tmp_path)
    async with origin(tls=server_context(tmp_path, "es.example")) as server:
        (row,) = await looked(server.port, "localhost", upstream_context(public))
    assert "hostname mismatch (for es.example, issued by test authority)" in row.seen
    assert row.fix == upstreams.FIXES[62]


async def test_no_tls_at_all(monkeypatch):
    monkeypatch.setattr(wire, "ANSWER_SECONDS", 0.2)
    async with origin(b"HTTP/1.1 400 No\r\nconnection: close\r\n\r\n") as server:
        (row,) = await looked(server.port, context=upstream_context(None))
    assert (row.state, row.seen) == ("broken", "takes connections, but no TLS handshake ends")


def test_where_a_policy_leads(tmp_path):
    _, private = authority(tmp_path)
    hosts = ["*.mul-pay.jp", "p01.mul-pay.jp"]
    destinations = [{"hosts": hosts, "role": "payment-gateway"}]
    rules = policy(
        tmp_path,
        {"name": "a", "upstream": "http://loki:3100"},
        {"name": "b", "upstream": "http://loki:3100"},
        {"name": "c", "upstream": "https://es"},
        {"name": "d", "upstream": "forward", "destinations": destinations, "unlisted": "external"},
        {
            "name": "e",
            "upstream": "forward",
            "destinations": destinations,
            "tls": {"intercept_ca_file": str(private)},
        },
    )
    assert list(upstreams.places(rules)) == [
        Place("loki", 3100, False, "a"),
        Place("es", 443, True, "c"),
        "*.mul-pay.jp",
        Place("p01.mul-pay.jp", 80, False, "d"),
        Place("p01.mul-pay.jp", 443, True, "e"),
    ]
