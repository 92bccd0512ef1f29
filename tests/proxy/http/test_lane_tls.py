"""TLS of a lane over real sockets: with a certificate of its own, with clients' certificates, and to its upstream."""

from __future__ import annotations

import asyncio
import re
import ssl
import subprocess
from contextlib import asynccontextmanager

import pytest
from hyperframe.frame import GoAwayFrame, SettingsFrame

from proxy.host import Host
from proxy.http import lane_tls as module
from proxy.http import tls as contexts
from proxy.http.tls import TlsFileError
from proxy.http.two_engine import PREFACE
from tests.e2e.authority import authority, client_context, pair, server_context
from tests.e2e.origin import OK, get, origin, read_response, status_of
from tests.e2e.plane import ScriptedGuard, plane, policy, until


def tls_of(*files, **more) -> dict:
    names = dict(zip(("certificate_file", "key_file", "client_ca_file"), map(str, files), strict=False))
    return {"tls": names | {name: str(path) for name, path in more.items()}}


@asynccontextmanager
async def lane(base, tls, **row):
    async with (
        origin() as server,
        plane(ScriptedGuard(policy(base, {"upstream": server.url, **row, **tls}))) as running,
    ):
        running.origin = server
        yield running


async def ask(running, context, path="/a") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port(), ssl=context)
    try:
        writer.write(get(path))
        return await read_response(reader)
    finally:
        writer.close()


async def curl(*command: str) -> subprocess.CompletedProcess:
    options = {"capture_output": True, "text": True, "timeout": 30, "check": False}
    return await asyncio.to_thread(subprocess.run, command, **options)


async def subject_seen(running, public) -> str:
    """Whose certificate a new client sees."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port(), ssl=client_context(public))
    del reader
    ((shown,),) = writer.get_extra_info("ssl_object").getpeercert()["subject"]
    writer.close()
    return shown[1]


async def test_a_lane_with_a_certificate(tmp_path):
    public, _ = authority(tmp_path)
    async with lane(tmp_path, tls_of(*pair(tmp_path, "server"))) as running:
        assert await ask(running, client_context(public)) == OK
        assert running.origin.requests == [get("/a")]
        ((where, purpose, _),) = running.meter.named("certificate")
        assert (where, purpose) == ("lane", "server")


@pytest.mark.parametrize(("flag", "version"), [("--http1.1", "1.1"), ("--http2", "2")])
async def test_curl(tmp_path, flag, version):
    public, _ = authority(tmp_path)
    async with lane(tmp_path, tls_of(*pair(tmp_path, "server"))) as running:
        url = f"https://127.0.0.1:{running.port()}/a"
        ran = await curl("curl", "-q", "-sS", flag, "--cacert", str(public), "-w", " %{http_version}", url)
        assert (ran.stdout, ran.stderr) == (f"ok {version}", "")


async def test_http2_with_the_client_asks_nothing_of_a_cleartext_upstream(tmp_path):
    """One that has never heard of HTTP/2 answers its preface with a reset, before an answer can be read."""
    public, _ = authority(tmp_path)
    heard = []

    async def old(reader, writer):
        heard.append(await reader.readuntil(b"\r\n"))
        if heard[-1].startswith(b"PRI"):
            writer.transport.abort()
            return
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(old, "127.0.0.1", 0)
    row = {"upstream": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}
    async with plane(ScriptedGuard(policy(tmp_path, row | tls_of(*pair(tmp_path, "server"))))) as running:
        url = f"https://127.0.0.1:{running.port()}/a"
        ran = await curl("curl", "-q", "-sS", "--http2", "--cacert", str(public), url, url, "-w", " %{http_version} ")
        assert (ran.stdout, ran.stderr) == ("ok 2 ok 2 ", "")
        call = ["-H", "content-type: application/grpc", "-H", "te: trailers", "-d", ""]
        await curl("curl", "-q", "-sS", "--http2", "--cacert", str(public), *call, url)
    server.close()
    await server.wait_closed()
    assert heard == [b"GET /a HTTP/1.1\r\n", b"GET /a HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n"]


async def test_card_data_is_refused_inside(tmp_path):
    public, _ = authority(tmp_path)
    async with lane(tmp_path, tls_of(*pair(tmp_path, "server"))) as running:
        assert status_of(await ask(running, client_context(public), "/4111111111111111")) == 403
        assert running.origin.requests == []


async def test_cleartext_is_told_so_and_counted(tmp_path):
    authority(tmp_path)
    async with lane(tmp_path, tls_of(*pair(tmp_path, "server"))) as running:
        answer = await running.ask(get("/a"), close=True)
        assert status_of(answer) == 400
        assert b"urn:sekisho:problem:cleartext-on-tls" in answer
        assert running.meter.named("refused") == [("lane", "cleartext-on-tls")]
        assert running.origin.requests == running.guard.asked == []


async def unanswered(running, context) -> bool:
    """Whether no byte comes back: over TLS 1.3 a client learns of its refusal when it reads."""
    try:
        return await ask(running, context) == b""
    except (ssl.SSLError, ConnectionError):
        return True


async def refused(running, word, context) -> None:
    """The client gets no byte of an answer, and nothing of what it says is read."""
    assert await unanswered(running, context)
    await until(lambda: running.meter.named("refused"))
    assert running.meter.named("refused") == [("lane", word)]
    assert running.origin.requests == running.guard.asked == []


async def test_a_client_that_does_not_trust_the_lane(tmp_path):
    authority(tmp_path)
    other, _ = authority(tmp_path, "another")
    async with lane(tmp_path, tls_of(*pair(tmp_path, "server"))) as running:
        await refused(running, "tls-handshake", client_context(other))


@pytest.mark.parametrize(
    ("ciphers", "good"), [("ECDHE-ECDSA-AES128-GCM-SHA256", True), ("ECDHE-ECDSA-AES128-SHA", False)]
)
async def test_old_ciphers_are_refused(tmp_path, ciphers, good):
    public, _ = authority(tmp_path)
    context = client_context(public)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    async with lane(tmp_path, tls_of(*pair(tmp_path, "server"))) as running:
        if good:
            assert await ask(running, context) == OK
        else:
            await refused(running, "tls-handshake", context)


async def test_a_client_that_says_nothing_is_not_counted(tmp_path):
    authority(tmp_path)
    async with lane(tmp_path, tls_of(*pair(tmp_path, "server"))) as running:
        _, writer = await asyncio.open_connection("127.0.0.1", running.port())
        writer.close()
        await until(lambda: running.meter.named("connections")[-1:] == [("lane", "-1")])
        assert running.meter.named("refused") == []


async def test_the_probe_passes_a_lane_with_tls(tmp_path):
    public, _ = authority(tmp_path)
    tls = tls_of(*pair(tmp_path, "server"), public)
    async with lane(tmp_path, tls) as running:
        await running.host.probe._probe(running.guard.policy.lanes[0])
        assert running.meter.named("refused") == []
        ((_, outcome),) = running.meter.named("probe")
        assert running.host.probe.state["lane"] != "failed: the lane gave no answer"
        assert outcome in ("passed", "failed")


CLIENTS = {
    "no certificate": None,
    "another authority": {"issuer": "another"},
    "one of the same name": {"issuer": "impostor"},
    "ended": {"days": -1},
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_without_a_good_certificate(tmp_path, client, version):
    public, _ = authority(tmp_path)
    authority(tmp_path, "another")
    options = CLIENTS[client]
    own = pair(tmp_path, "client", **options) if options is not None else None
    context = client_context(public, own)
    context.minimum_version = context.maximum_version = version
    async with lane(tmp_path, tls_of(*pair(tmp_path, "server"), public)) as running:
        await refused(running, "client-certificate", context)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_with_a_good_certificate(tmp_path, version):
    public, _ = authority(tmp_path)
    context = client_context(public, pair(tmp_path, "client"))
    context.minimum_version = context.maximum_version = version
    async with lane(tmp_path, tls_of(*pair(tmp_path, "server"), public)) as running:
        assert await ask(running, context) == OK
        assert {row[1] for row in running.meter.named("certificate")} == {"server", "client-ca"}


async def test_sessions_of_verified_clients_are_not_resumed(tmp_path):
    """A resumed one would be good for longer than its certificate, or than its authority is trusted."""
    public, _ = authority(tmp_path)
    context = client_context(public, pair(tmp_path, "client"))
    async with lane(tmp_path, tls_of(*pair(tmp_path, "server"), public)) as running:
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port(), ssl=context)
            writer.write(get("/a"))
            assert await read_response(reader) == OK
            outer = writer.get_extra_info("ssl_object")
            assert not outer.session_reused
            writer.close()


async def test_openssl_sees_who_is_asked_for(tmp_path):
    public, _ = authority(tmp_path)
    certificate, key = pair(tmp_path, "client")
    async with lane(tmp_path, tls_of(*pair(tmp_path, "server"), public)) as running:
        where = ["-connect", f"127.0.0.1:{running.port()}", "-CAfile", str(public), "-verify_return_error"]
        own = ["-cert", str(certificate), "-key", str(key), "-alpn", "h2"]
        ran = await asyncio.to_thread(
            subprocess.run,
            ["openssl", "s_client", *where, *own],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Verify return code: 0 (ok)" in ran.stdout
        assert "ALPN protocol: h2" in ran.stdout
        assert re.search("Acceptable client certificate CA names\nCN ?= ?test authority", ran.stdout)


async def test_a_handshake_that_takes_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr("proxy.http.secure.HANDSHAKE_SECONDS", 0.05)
    authority(tmp_path)
    async with lane(tmp_path, tls_of(*pair(tmp_path, "server"))) as running:
        assert await running.ask(b"\x16\x03\x01", close=True) == b""
        assert running.meter.named("refused") == [("lane", "slow-handshake")]


async def test_a_first_message_without_end(tmp_path):
    authority(tmp_path)
    async with lane(tmp_path, tls_of(*pair(tmp_path, "server"))) as running:
        record = b"\x16\x03\x01\x40\x00" + b"\x01\xff\xff\xff" + b"\x00" * (0x4000 - 4)
        more = b"\x16\x03\x01\x40\x00" + b"\x00" * 0x4000
        assert await running.ask(record + more * 8, close=True) == b""
        assert running.meter.named("refused") == [("lane", "tls-handshake")]


async def test_a_handshake_whose_callback_fails_ends_the_connection(tmp_path, monkeypatch):
    def broken(*_):
        raise ValueError("5555555555554444")

    public, _ = authority(tmp_path)
    monkeypatch.setattr(contexts, "_choose_http", broken)
    context = client_context(public)
    context.set_alpn_protocols(["http/1.1"])
    async with lane(tmp_path, tls_of(*pair(tmp_path, "server"))) as running:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await ask(running, context)
        assert running.meter.named("internal_error") == [("handler",)]
        assert running.origin.requests == []


async def test_a_handshake_that_cannot_be_prepared_ends_the_connection(tmp_path, monkeypatch):
    def broken(*_):
        raise ValueError("no")

    public, _ = authority(tmp_path)
    monkeypatch.setattr("proxy.http.hooks.to_client", broken)
    async with lane(tmp_path, tls_of(*pair(tmp_path, "server"))) as running:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await ask(running, client_context(public))
        assert ("plane",) in running.meter.named("internal_error")
        assert running.origin.requests == []


# To the upstream.


def upstream_of(base, server, **more) -> dict:
    public, _ = authority(base)
    return {"upstream": f"https://127.0.0.1:{server.port}"} | tls_of(ca_file=public, **more)


def asking(base) -> ssl.SSLContext:
    """A server that lets in only who has a certificate of the test authority."""
    public, _ = authority(base)
    context = server_context(base, "127.0.0.1")
    context.load_verify_locations(public)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_a_certificate_for_the_upstream(tmp_path):
    async with origin(tls=asking(tmp_path)) as server:
        certificate, key = pair(tmp_path, "sekisho")
        row = upstream_of(tmp_path, server, upstream_certificate_file=certificate, upstream_key_file=key)
        async with plane(ScriptedGuard(policy(tmp_path, row))) as running:
            assert await running.ask(get("/a")) == OK
            assert {call[1] for call in running.meter.named("certificate")} == {"upstream", "upstream-ca"}


@pytest.mark.parametrize("issuer", ["", "another"])
async def test_an_upstream_that_refuses_ours(tmp_path, issuer):
    authority(tmp_path, "another")
    async with origin(tls=asking(tmp_path)) as server:
        more = {}
        if issuer:
            certificate, key = pair(tmp_path, "sekisho", issuer)
            more = {"upstream_certificate_file": certificate, "upstream_key_file": key}
        async with plane(ScriptedGuard(policy(tmp_path, upstream_of(tmp_path, server, **more)))) as running:
            assert status_of(await running.ask(get("/a"))) == 502
        assert server.requests == []


# A forward lane as an HTTPS proxy.


def forward_of(base, *, clients: bool = False) -> dict:
    public, private = authority(base)
    files = [*pair(base, "proxy"), *([public] if clients else [])]
    destinations = [{"hosts": ["127.0.0.1"], "role": "external"}]
    tls = tls_of(*files, ca_file=public, intercept_ca_file=private)
    return {"upstream": "forward", "destinations": destinations, **tls}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("clients", [False, True])
async def test_curl_through_an_https_proxy(tmp_path, scheme, clients):
    """TLS to the proxy, and for https another one inside, with HTTP/2 in it."""
    public, _ = authority(tmp_path)
    certificate, key = pair(tmp_path, "client")
    async with (
        origin(tls=server_context(tmp_path, "127.0.0.1") if scheme == "https" else None) as server,
        plane(ScriptedGuard(policy(tmp_path, forward_of(tmp_path, clients=clients)))) as running,
    ):
        shown = ["--proxy-cert", str(certificate), "--proxy-key", str(key)] if clients else []
        trust = ["--proxy-cacert", str(public), "--cacert", str(public), *shown]
        proxy, url = f"https://127.0.0.1:{running.port()}", f"{scheme}://127.0.0.1:{server.port}/a"
        command = ["curl", "-q", "-sS", "--max-time", "20", "--noproxy", "", *trust, "-x", proxy]
        ran = await curl(*command, "-w", " %{http_version}", url)
        assert (ran.stdout, ran.stderr) == ("ok 2" if scheme == "https" else "ok 1.1", "")
        ran = await curl(*command, "-w", " %{http_code}", f"{url}/4111111111111111")
        assert ran.stdout.endswith(" 403")
        assert len(server.requests) == 1
        if clients:
            ran = await curl(*[word for word in command if word not in shown], url)
            assert (ran.returncode != 0, ran.stdout) == (True, "")
            assert ("lane", "client-certificate") in running.meter.named("refused")
        assert running.meter.named("internal_error") == []


async def test_a_proxy_with_tls_in_the_clear(tmp_path):
    async with plane(ScriptedGuard(policy(tmp_path, forward_of(tmp_path)))) as running:
        answer = await running.ask(b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: a\r\n\r\n", close=True)
        assert b"urn:sekisho:problem:cleartext-on-tls" in answer
        assert running.guard.asked == []


# Files that change.


async def reload(running) -> None:
    """As ``sekisho run`` does it: the policy is read again, its files with it."""
    from proxy.policy import load

    await running.host.reload(load(running.guard.policy.path))


async def test_a_rotated_certificate_is_seen_by_new_connections(tmp_path):
    public, _ = authority(tmp_path)
    async with lane(tmp_path, tls_of(*pair(tmp_path, "server"))) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port(), ssl=client_context(public))
        assert await subject_seen(running, public) == "server"
        pair(tmp_path, "server", subject="rotated", days=5)
        assert await subject_seen(running, public) == "server"
        await reload(running)
        assert await subject_seen(running, public) == "rotated"
        writer.write(get("/a"))
        assert await read_response(reader) == OK
        writer.close()
        ends = [float(end) for _, _, end in running.meter.named("certificate")]
        assert ends[1] - ends[0] == pytest.approx(3 * 86_400, abs=60)


async def test_a_rotated_client_authority(tmp_path):
    public, _ = authority(tmp_path)
    other, _ = authority(tmp_path, "another")
    trusted = tmp_path / "clients.pem"
    trusted.write_bytes(public.read_bytes())
    former, new = (
        client_context(public, pair(tmp_path, f"client of {who}", who)) for who in ("test authority", "another")
    )
    async with lane(tmp_path, tls_of(*pair(tmp_path, "server"), trusted)) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port(), ssl=former)
        writer.write(get("/a"))
        assert await read_response(reader) == OK
        trusted.write_bytes(public.read_bytes() + other.read_bytes())
        await reload(running)
        assert await ask(running, former) == await ask(running, new) == OK
        trusted.write_bytes(other.read_bytes())
        await reload(running)
        assert await ask(running, new) == OK
        assert await unanswered(running, former)
        writer.write(get("/a"))
        assert await read_response(reader) == OK
        writer.close()


HALF = {
    "another key": lambda certificate, key, base: key.write_bytes(pair(base, "other")[1].read_bytes()),
    "half a certificate": lambda certificate, key, base: certificate.write_bytes(certificate.read_bytes()[:200]),
    "an empty key": lambda certificate, key, base: key.write_bytes(b""),
    "no certificate": lambda certificate, key, base: certificate.unlink(),
    "a key for all": lambda certificate, key, base: key.chmod(0o644),
}


@pytest.mark.parametrize("change", HALF)
async def test_files_that_are_half_written_change_nothing(tmp_path, change):
    from proxy.policy import PolicyError

    public, _ = authority(tmp_path)
    certificate, key = pair(tmp_path, "server")
    async with lane(tmp_path, tls_of(certificate, key)) as running:
        HALF[change](certificate, key, tmp_path)
        with pytest.raises(PolicyError):
            await reload(running)
        with pytest.raises(TlsFileError):  # between the look at the policy and the reading of its files
            await running.host.reload(running.guard.policy)
        assert await subject_seen(running, public) == "server"
        pair(tmp_path, "server", subject="rotated")
        await reload(running)
        assert await subject_seen(running, public) == "rotated"


async def test_a_lane_that_becomes_secure_ends_its_cleartext_connections(tmp_path):
    authority(tmp_path)
    async with lane(tmp_path, {}) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        writer.write(get("/a"))
        assert await read_response(reader) == OK
        row = {"upstream": running.origin.url, "listen": f"127.0.0.1:{running.port()}"}
        del row["listen"]
        await running.host.reload(policy(tmp_path, row | tls_of(*pair(tmp_path, "server"))))
        assert await reader.read() == b""
        writer.close()
        assert status_of(await running.ask(get("/a"), close=True)) == 400


async def test_drain_lets_a_request_finish_inside_tls(tmp_path):
    public, _ = authority(tmp_path)
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await go_on.wait()
        writer.write(OK)
        writer.close()

    server = await asyncio.start_server(slow, "127.0.0.1", 0)
    row = {"upstream": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}
    async with plane(ScriptedGuard(policy(tmp_path, row | tls_of(*pair(tmp_path, "server"))))) as running:
        answer = asyncio.create_task(ask(running, client_context(public)))
        await asked.wait()
        draining = asyncio.create_task(running.host.drain(5))
        await until(lambda: running.host._table.draining)
        go_on.set()
        assert (await answer).endswith(b"ok")
        await draining
    server.close()
    await server.wait_closed()


async def test_a_meter_that_fails_keeps_no_certificate_out(tmp_path, monkeypatch):
    public, _ = authority(tmp_path)
    async with lane(tmp_path, tls_of(*pair(tmp_path, "server"))) as running:
        monkeypatch.setattr(running.meter, "certificates", None)
        pair(tmp_path, "server", subject="rotated")
        await reload(running)
        assert await subject_seen(running, public) == "rotated"


async def test_drain_says_goodbye_to_http2_inside_tls(tmp_path):
    public, _ = authority(tmp_path)
    context = client_context(public)
    context.set_alpn_protocols(["h2"])
    async with lane(tmp_path, tls_of(*pair(tmp_path, "server"))) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port(), ssl=context)
        writer.write(PREFACE + SettingsFrame().serialize())
        heard = await reader.readexactly(9)
        assert heard[3] == SettingsFrame.type
        await running.host.drain(5)
        assert GoAwayFrame().serialize()[3:9] in await reader.read()
        writer.close()


def test_files_that_cannot_be_used(tmp_path):
    authority(tmp_path)
    certificate, key = pair(tmp_path, "server")
    good = policy(tmp_path, {"upstream": "http://a:1", **tls_of(certificate, key)})
    key.write_bytes(pair(tmp_path, "other")[1].read_bytes())
    with pytest.raises(TlsFileError, match="does not belong to the first certificate"):
        module.lane_tls(good.lanes[0], module.Files())
    with pytest.raises(TlsFileError, match=r"server\.key"):
        Host(ScriptedGuard(good), None)


def test_files_are_read_once_for_all_lanes(tmp_path, monkeypatch):
    """And again for the next policy: a file may have been replaced."""
    public, private = authority(tmp_path)
    own = pair(tmp_path, "server")
    files = tls_of(*own, client_ca_file=public, ca_file=public, intercept_ca_file=private)
    rows = [{"name": name, "upstream": "forward", **files} for name in ("one", "two", "three")]
    lanes = policy(tmp_path, *rows).lanes
    read = []
    for name in ("read_pair", "read_certificates", "upstream_context", "Interception"):
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *paths, original=original: read.append(paths) or original(*paths))
    first = module.Files()
    made = [module.lane_tls(lane, first) for lane in lanes]
    assert len({(one.upstream, one.interception) for one in made}) == 1
    assert sorted(read) == sorted([own, (public,), (public,), (private,)])
    again = module.lane_tls(lanes[0], module.Files())
    assert again.upstream is not made[0].upstream
    assert len(read) == 8
