from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from proxy.http.tls import Interception, TlsFileError, lane_context, upstream_context
from proxy.pem import read_pair
from tests.e2e.authority import authority, server_context
from tests.e2e.origin import OK, get, origin, status_of
from tests.e2e.plane import ScriptedGuard, plane, policy
from tests.sidecar import ROOT


def guard_for(base, host, port, ca_file=None):
    tls = {"tls": {"ca_file": str(ca_file)}} if ca_file else {}
    return ScriptedGuard(policy(base, {"upstream": f"https://{host}:{port}", **tls}))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_verified_upstream(tmp_path, host):
    public, _ = authority(tmp_path)
    async with origin(tls=server_context(tmp_path, host)) as server:
        async with plane(guard_for(tmp_path, host, server.port, public)) as running:
            assert await running.ask(get("/a", host="other.example")) == OK
        assert server.requests == [get("/a", host="other.example")]


async def refused(base, guard, server):
    async with plane(guard) as running:
        response = await running.ask(get("/a", "X: secret"))
        assert status_of(response) == 502
        assert running.meter.named("upstream_error") == [("lane", "tls")]
    assert bytes(server.received) == b""


async def test_an_unknown_authority(tmp_path):
    public, _ = authority(tmp_path)
    authority(tmp_path, "another")
    async with origin(tls=server_context(tmp_path, "127.0.0.1", "another")) as server:
        await refused(tmp_path, guard_for(tmp_path, "127.0.0.1", server.port, public), server)


async def test_public_authorities_by_default(tmp_path):
    authority(tmp_path)
    async with origin(tls=server_context(tmp_path, "127.0.0.1")) as server:
        await refused(tmp_path, guard_for(tmp_path, "127.0.0.1", server.port), server)


@pytest.mark.parametrize(("certificate", "upstream"), [("127.0.0.2", "127.0.0.1"), ("other.example", "localhost")])
async def test_another_name(tmp_path, certificate, upstream):
    public, _ = authority(tmp_path)
    async with origin(tls=server_context(tmp_path, certificate)) as server:
        await refused(tmp_path, guard_for(tmp_path, upstream, server.port, public), server)


async def test_no_tls_at_all(tmp_path):
    heard = bytearray()

    async def mail(reader, writer):
        writer.write(b"220 mail.example ESMTP\r\n")
        heard.extend(await reader.read())
        writer.close()

    server = await asyncio.start_server(mail, "127.0.0.1", 0)
    guard = guard_for(tmp_path, "127.0.0.1", server.sockets[0].getsockname()[1], authority(tmp_path)[0])
    async with plane(guard) as running:
        assert status_of(await running.ask(get("/secret"))) == 502
        assert running.meter.named("upstream_error") == [("lane", "tls")]
    server.close()
    assert b"secret" not in heard


@pytest.mark.parametrize(
    "content", [b"", b"not pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_ca_file_that_is_none(tmp_path, content):
    path = tmp_path / "ca.pem"
    path.write_bytes(content)
    with pytest.raises(TlsFileError, match=r"ca\.pem"):
        upstream_context(path)


def test_a_ca_file_that_is_not_there(tmp_path):
    with pytest.raises(TlsFileError, match=r"ca\.pem"):
        upstream_context(tmp_path / "ca.pem")


def test_interception_files(tmp_path):
    public, private = authority(tmp_path)
    Interception(private)
    public.chmod(0o600)
    with pytest.raises(TlsFileError, match="no unencrypted PEM key"):
        Interception(public)
    with pytest.raises(TlsFileError, match="does not exist"):
        Interception(tmp_path / "none.pem")


def test_a_key_of_somebody_else(tmp_path):
    one, _ = authority(tmp_path)
    _, other = authority(tmp_path, "another")
    key = other.read_bytes().partition(b"-----BEGIN CERTIFICATE-----")[0]
    mixed = tmp_path / "mixed.pem"
    mixed.write_bytes(key + one.read_bytes())
    mixed.chmod(0o600)
    with pytest.raises(TlsFileError, match="does not belong"):
        Interception(mixed)


def self_signed(key: Any, *, ca: bool) -> x509.Certificate:
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "own")]), datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 7, now - timedelta(1), now + timedelta(5))
    made = made.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    signer = key if hasattr(key, "sign") else ec.generate_private_key(ec.SECP256R1())
    return made.sign(signer, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


KEYS = {
    "ec": (ec.generate_private_key(ec.SECP256R1()), True, True),
    "ed25519": (ed25519.Ed25519PrivateKey.generate(), True, True),
    "rsa": (rsa.generate_private_key(65537, 2048), True, True),
    "short rsa": (rsa.generate_private_key(65537, 1024), False, True),
    "x25519": (x25519.X25519PrivateKey.generate(), False, False),
}


@pytest.mark.parametrize("kind", KEYS)
def test_kinds_of_keys(tmp_path, kind):
    """What OpenSSL would not use is an error when the file is read, and not one of each handshake."""
    key, serves, signs = KEYS[kind]
    certificate = self_signed(key, ca=True)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = tmp_path / "own.pem"
    path.write_bytes(pem + certificate.public_bytes(Encoding.PEM))
    path.chmod(0o600)
    both = read_pair(path, path)
    if serves:
        lane_context(both, (), two=True)
    else:
        with pytest.raises(TlsFileError, match=r"own\.pem: OpenSSL takes no key of this kind"):
            lane_context(both, (), two=True)
    if signs:
        Interception(path)
    else:
        with pytest.raises(TlsFileError, match=r"own\.pem: its key cannot sign"):
            Interception(path)


def test_leaves_have_a_key_of_their_own(tmp_path):
    """The authority's own key signs, and takes part in no handshake."""
    _, private = authority(tmp_path)
    made = Interception(private)
    shown = made._leaf("a.example", 1)
    assert shown.public_key() != made.authority.chain[0].public_key()
    assert made._leaf("a.example", 1) is shown
    assert made._leaf("a.example", 2) is not shown


HANDSHAKE = """
import sys
from pathlib import Path
from OpenSSL import SSL
from proxy.http.tls import upstream_context
public, private = map(Path, sys.argv[1:])
server_context = SSL.Context(SSL.TLS_SERVER_METHOD)
server_context.use_privatekey_file(str(private))
server_context.use_certificate_file(str(public))
client, server = SSL.Connection(upstream_context(public)), SSL.Connection(server_context)
client.set_connect_state(), server.set_accept_state()
for _ in range(6):
    for one, other in ((client, server), (server, client)):
        try: one.do_handshake()
        except SSL.WantReadError: pass
        try: other.bio_write(one.bio_read(65535))
        except SSL.WantReadError: pass
print(client.get_protocol_version_name())
"""


def test_session_keys_are_written_nowhere(tmp_path):
    """The host's own contexts write them to where this variable says, and who has them reads everything."""
    keys = tmp_path / "keys"
    ran = subprocess.run(
        [sys.executable, "-c", HANDSHAKE, *map(str, authority(tmp_path))],
        env=os.environ | {"SSLKEYLOGFILE": str(keys), "MITMPROXY_SSLKEYLOGFILE": str(keys), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "TLSv1.3\n"
    assert not keys.exists()
