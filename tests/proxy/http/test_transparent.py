"""A redirected connection by what it speaks. That iptables redirects is told by ``tests/e2e/test_transparent.py``; here
a lane is told that every connection was going to the origin."""

from __future__ import annotations

import asyncio
import ssl
import threading

import pytest

from detectors import Inspection, Inspector
from proxy import addon
from proxy.guard import Guard
from proxy.host import Host
from proxy.http import hooks as http_hooks
from proxy.http import seat, secure, transparent
from proxy.http.transparent import turned_away
from proxy.message import Action, Decision
from tests.e2e.authority import authority, server_context
from tests.e2e.origin import OK, exchange, get, origin, post, read_response, status_of
from tests.e2e.plane import PAN, ScriptedGuard, plane, policy, until
from tests.proxy.doubles import RecordingAudit, RecordingMeter
from tests.proxy.http.test_opening import hello

NAME = "logs.example"
BINARY = b"\x00\x01\x02\x03"
DENIED = b"\x15\x03\x01\x00\x02\x02\x31"
FAR = "127.0.0.1"


@pytest.fixture
def lane(tmp_path, monkeypatch):
    """``lane(port, ...)``: the rules of a transparent lane whose connections were all going to that port."""

    def make(port: int, mode: str = "enforce", authorities: bool = True, **row):
        monkeypatch.setattr(seat, "is_here", lambda *_: False)
        monkeypatch.setattr(seat, "original_destination", lambda _: (FAR, port))
        trusted, _ = authority(tmp_path)
        tls = {"ca_file": str(trusted)}
        if authorities:
            tls["intercept_ca_file"] = str(authority(tmp_path, "deployment")[1])
        defaults = {"upstream": "transparent", "destinations": [{"hosts": [NAME], "role": "logging"}], "tls": tls}
        return policy(tmp_path, {**defaults, **row}, mode=mode, limits={"inspect_seconds": 1})

    return make


@pytest.fixture(scope="module")
def inspector():
    return Inspector(fingerprint_key=b"k" * 32)


def guarded(rules, inspector):
    return Guard(policy=rules, inspector=inspector, meter=RecordingMeter(), audit=RecordingAudit())


def trusting(tmp_path, name="deployment"):
    return ssl.create_default_context(cafile=str(authority(tmp_path, name)[0]))


async def over_tls(running, context, data=None, name=NAME, alpn=()):
    """What a client inside of TLS is answered."""
    if alpn:
        context.set_alpn_protocols(list(alpn))
    reader, writer = await asyncio.open_connection(FAR, running.port(), ssl=context, server_hostname=name)
    try:
        writer.write(data or get("/", host=name))
        return await read_response(reader)
    finally:
        writer.close()


def gaps(running):
    """Reason and verdict of each."""
    return [(reason, verdict) for _, reason, _, verdict, _ in running.guard._ledger._meter.named("gap")]


async def echo():
    """A server that greets, says again what it is told, and keeps it."""
    heard = bytearray()

    async def serve(reader, writer):
        writer.write(b"220 ready\r\n")
        while data := await reader.read(65536):
            heard.extend(data)
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, FAR, 0)
    return server, server.sockets[0].getsockname()[1], heard


# HTTP.


async def test_http_goes_where_the_client_connected(lane, inspector):
    async with origin() as server, plane(guarded(lane(server.port, unlisted="external"), inspector)) as running:
        assert await exchange(running.port(), post("/a", b"{}", "X: 1")) == OK
        assert status_of(await exchange(running.port(), post("/a", PAN.encode()))) == 403
        assert server.requests == [post("/a", b"{}", "X: 1")]


async def test_connections_upstream_are_kept(lane, inspector):
    async with origin() as server, plane(guarded(lane(server.port, unlisted="external"), inspector)) as running:
        reader, writer = await asyncio.open_connection(FAR, running.port())
        for _ in range(3):
            writer.write(get("/"))
            assert await read_response(reader) == OK
        writer.close()
        assert (server.connections, len(server.requests)) == (1, 3)


async def test_a_request_that_comes_byte_by_byte(lane, inspector):
    async with origin() as server, plane(guarded(lane(server.port, unlisted="external"), inspector)) as running:
        reader, writer = await asyncio.open_connection(FAR, running.port())
        for byte in get("/"):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        assert await read_response(reader) == OK
        writer.close()
        assert server.requests == [get("/")]


# TLS.


@pytest.mark.parametrize("alpn", [(), ("http/1.1",)])
async def test_tls_is_looked_into(lane, inspector, tmp_path, alpn):
    async with (
        origin(tls=server_context(tmp_path, NAME)) as server,
        plane(guarded(lane(server.port), inspector)) as running,
    ):
        context = trusting(tmp_path)
        assert await over_tls(running, context, alpn=alpn) == OK
        refused = await over_tls(running, context, post("/", PAN.encode(), host=NAME), alpn=alpn)
        assert status_of(refused) == 403
        assert server.requests == [get("/", host=NAME)]
        assert gaps(running) == []


async def test_the_upstream_must_bear_out_the_server_name(lane, inspector, tmp_path):
    """The client's name chose the rules: an address that cannot prove that name gets nothing."""
    async with (
        origin(tls=server_context(tmp_path, "evil.example")) as server,
        plane(guarded(lane(server.port), inspector)) as running,
    ):
        assert status_of(await over_tls(running, trusting(tmp_path))) == 502
        assert running.meter.named("upstream_error") == [("lane", "tls")]
        assert bytes(server.received) == b""


async def test_a_name_that_no_destination_lists(lane, inspector, tmp_path):
    async with (
        origin(tls=server_context(tmp_path, "evil.example")) as server,
        plane(guarded(lane(server.port), inspector)) as running,
    ):
        answer = await over_tls(running, trusting(tmp_path), name="evil.example")
        assert status_of(answer) == 403
        assert gaps(running) == [("unlisted-destination", "block")]
        assert server.connections == 0


async def test_host_inside_of_tls_does_not_choose_the_rules(lane, inspector, tmp_path):
    destinations = [
        {"hosts": [NAME], "role": "logging"},
        {"hosts": ["lax.example"], "role": "external", "mode": "monitor"},
    ]
    async with (
        origin(tls=server_context(tmp_path, NAME)) as server,
        plane(guarded(lane(server.port, destinations=destinations), inspector)) as running,
    ):
        data = post("/", PAN.encode(), host=NAME)
        assert status_of(await over_tls(running, trusting(tmp_path), data)) == 403
        data = post("/", PAN.encode(), host="lax.example")
        assert status_of(await over_tls(running, trusting(tmp_path), data)) == 421
        assert server.connections == 0


@pytest.mark.parametrize(
    "data",
    [
        get("/", host=NAME),
        post("/", b"1", host=f"{NAME}:443"),
        post("/", b"x" * 3_000_000, host=NAME),
        post("/", b"1", "Expect: 100-continue", host=NAME),
    ],
    ids=["GET", "POST", "large", "expects"],
)
async def test_what_a_lax_name_may_do_is_not_done_to_a_strict_one_behind_it(lane, inspector, tmp_path, data):
    """Domain fronting: in TLS for a name that is watched only, a request for one that is guarded. On record as what it
    is, whatever is in it and however large it is; no ``on_gap`` lets it pass."""
    destinations = [
        {"hosts": ["lax.example"], "role": "external", "mode": "monitor", "on_gap": "report"},
        {"hosts": [NAME], "role": "logging", "on_gap": "report"},
    ]
    async with (
        origin(tls=server_context(tmp_path, "lax.example")) as server,
        plane(guarded(lane(server.port, destinations=destinations, on_gap="report"), inspector)) as running,
    ):
        answer = await over_tls(running, trusting(tmp_path), data, name="lax.example")
        assert (status_of(answer), server.connections) == (421, 0)
        assert gaps(running) == [("misdirected", "block")]
        (record,) = running.guard._ledger._audit.events
        assert (record["kind"], record["destination"]) == ("gap", f"lax.example:{server.port}")
        assert record["gaps"][0]["reason"] == "misdirected"
        assert await over_tls(running, trusting(tmp_path), get("/", host="lax.example"), name="lax.example") == OK


async def test_an_address_is_its_own_name_where_it_is_listed(lane, inspector, tmp_path):
    """Clients send no server name for an address (RFC 6066 3)."""
    destinations = [{"hosts": [FAR], "role": "logging"}]
    async with (
        origin(tls=server_context(tmp_path, FAR)) as server,
        plane(guarded(lane(server.port, destinations=destinations), inspector)) as running,
    ):
        assert await over_tls(running, trusting(tmp_path), name=FAR) == OK
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("gap", "row", "name"), [("no-sni", {}, FAR), ("encrypted", {"authorities": False}, NAME)], ids=["no-sni", "no-ca"]
)
async def test_tls_that_cannot_be_looked_into_is_refused_in_its_own_words(lane, inspector, tmp_path, gap, row, name):
    async with (
        origin(tls=server_context(tmp_path, NAME)) as server,
        plane(guarded(lane(server.port, **row), inspector)) as running,
    ):
        with pytest.raises(ssl.SSLError, match=r"(?i)access.denied"):
            await over_tls(running, trusting(tmp_path, "test authority"), name=name)
        assert gaps(running) == [(gap, "block")]
        assert server.connections == 0


async def test_tls_that_cannot_be_looked_into_passes_in_monitor_mode(lane, inspector, tmp_path):
    async with (
        origin(tls=server_context(tmp_path, NAME)) as server,
        plane(guarded(lane(server.port, "monitor", authorities=False), inspector)) as running,
    ):
        assert await over_tls(running, trusting(tmp_path, "test authority")) == OK
        assert gaps(running) == [("encrypted", "report")]
        passed = {(direction, gap) for _, direction, gap, _ in running.meter.named("unread")}
        assert passed == {("request", "encrypted"), ("response", "encrypted")}


async def test_a_client_that_turns_away_is_counted(lane, inspector, tmp_path):
    async with (
        origin(tls=server_context(tmp_path, NAME)) as server,
        plane(guarded(lane(server.port), inspector)) as running,
    ):
        for _ in range(2):
            with pytest.raises(ssl.SSLCertVerificationError):
                await over_tls(running, trusting(tmp_path, "test authority"))
        await until(lambda: len(gaps(running)) == 2)
        assert gaps(running) == [("pinned", "block")] * 2
        assert running.guard._ledger._audit.events[0]["destination"] == f"{NAME}:{server.port}"
        assert server.connections == 0


async def test_a_number_in_a_server_name_is_in_no_record(lane, inspector, tmp_path):
    name = f"a{PAN}.example"
    async with origin() as server, plane(guarded(lane(server.port), inspector)) as running:
        with pytest.raises(ssl.SSLCertVerificationError):
            await over_tls(running, trusting(tmp_path, "test authority"), name=name)
        await until(lambda: gaps(running))
        assert status_of(await over_tls(running, trusting(tmp_path), name=name)) == 403
        events = running.guard._ledger._audit.events
        assert [event["gaps"][0]["reason"] for event in events] == ["pinned", "unlisted-destination"]
        assert PAN not in str(events)
        assert server.connections == 0


@pytest.mark.parametrize("row", [{"mode": "monitor"}, {"on_gap": "report"}], ids=["monitor", "gaps-pass"])
async def test_where_gaps_pass_a_client_that_has_turned_away_is_let_through(lane, inspector, tmp_path, row):
    async with origin(tls=server_context(tmp_path, NAME)) as server:
        rules = lane(server.port, unlisted="external", **row)
        async with plane(guarded(rules, inspector)) as running:
            pinned = trusting(tmp_path, "test authority")
            with pytest.raises(ssl.SSLCertVerificationError):
                await over_tls(running, pinned)
            await until(lambda: gaps(running))
            assert await over_tls(running, pinned) == OK
            assert gaps(running) == [("pinned", "block"), ("pinned", "report")]


async def test_a_client_that_has_turned_away_is_not_remembered_for_ever(lane, inspector, tmp_path, monkeypatch):
    monkeypatch.setattr(seat, "PINNED_SECONDS", 0.0)
    async with (
        origin(tls=server_context(tmp_path, NAME)) as server,
        plane(guarded(lane(server.port, "monitor"), inspector)) as running,
    ):
        for _ in range(2):
            with pytest.raises(ssl.SSLCertVerificationError):
                await over_tls(running, trusting(tmp_path, "test authority"))
        await until(lambda: len(gaps(running)) == 2)


def with_extension(client_hello: bytes, number: int, body: bytes) -> bytes:
    """The ClientHello with one more extension at its end."""
    extra = number.to_bytes(2) + len(body).to_bytes(2) + body
    record, handshake, rest = client_hello[:3], client_hello[5:6], client_hello[9:]
    at = 34
    at += 1 + rest[at]
    at += 2 + int.from_bytes(rest[at : at + 2])
    at += 1 + rest[at]
    extensions = rest[at + 2 :] + extra
    inner = rest[:at] + len(extensions).to_bytes(2) + extensions
    message = handshake + len(inner).to_bytes(3) + inner
    return record + len(message).to_bytes(2) + message


PARTS = (hello(NAME)[:-1], b"\x16")
GREASE = with_extension(hello(NAME), 0xFE0D, b"\x00" + bytes(range(200)))
"""As Chrome sends to every server: an Encrypted ClientHello that is none."""


async def test_a_client_hello_with_ech_is_answered_like_any_other(lane, inspector):
    """A client that only pretends (GREASE) goes on; one that means it turns away, and comes back without."""
    async with origin() as server, plane(guarded(lane(server.port), inspector)) as running:
        reader, writer = await asyncio.open_connection(FAR, running.port())
        writer.write(GREASE)
        answer = await reader.readexactly(6)
        assert (answer[0], answer[5]) == (0x16, 2), "a ServerHello"
        writer.write(b"\x15\x03\x03\x00\x02\x02\x79")  # ech_required
        await reader.read(-1)
        writer.close()
        await until(lambda: gaps(running))
        assert gaps(running) == [("ech", "block")]
        assert server.connections == 0


def old_hello(name: bytes) -> bytes:
    """A ClientHello that offers TLS 1.1 and nothing newer."""
    server = b"\x00" + len(name).to_bytes(2) + name
    body = len(server).to_bytes(2) + server
    extensions = b"\x00\x00" + len(body).to_bytes(2) + body
    inner = b"\x03\x02" + bytes(33) + b"\x00\x02\xc0\x13" + b"\x01\x00" + len(extensions).to_bytes(2) + extensions
    message = b"\x01" + len(inner).to_bytes(3) + inner
    return b"\x16\x03\x01" + len(message).to_bytes(2) + message


async def test_tls_that_cannot_be_agreed_on(lane, inspector):
    async with origin() as server, plane(guarded(lane(server.port), inspector)) as running:
        assert (await exchange(running.port(), old_hello(NAME.encode()), close=True))[:1] in (b"", b"\x15")
        await until(lambda: gaps(running))
        assert gaps(running) == [("tls-handshake", "block")]


@pytest.mark.parametrize(
    ("sent", "refused", "gap"),
    [(hello(NAME), [("lane", "slow-handshake")], []), *((sent, [], [("unknown-protocol", "block")]) for sent in PARTS)],
    ids=["handshake", "hello", "byte"],
)
async def test_a_handshake_has_its_time(lane, inspector, monkeypatch, sent, refused, gap):
    monkeypatch.setattr(secure, "HANDSHAKE_SECONDS", 0.05)
    monkeypatch.setattr(transparent, "SILENT_SECONDS", 0.05)
    async with origin() as server, plane(guarded(lane(server.port), inspector)) as running:
        await exchange(running.port(), sent, close=True)
        assert (running.meter.named("refused"), gaps(running)) == (refused, gap)


@pytest.mark.parametrize(
    ("alert", "closed", "gap"),
    [
        (48, False, "pinned"),
        (46, False, "pinned"),
        (42, True, "pinned"),
        (None, True, "pinned"),
        (121, False, "ech"),
        (121, True, "ech"),
        (40, False, "tls-handshake"),
        (70, True, "tls-handshake"),
        (None, False, "tls-handshake"),
    ],
)
def test_why_a_client_has_turned_away(alert, closed, gap):
    assert turned_away(alert, closed=closed) == gap


# What is neither.


async def test_an_unknown_protocol_is_refused(lane, inspector):
    server, port, heard = await echo()
    async with plane(guarded(lane(port), inspector)) as running:
        assert await exchange(running.port(), BINARY, close=True) == b""
        assert gaps(running) == [("unknown-protocol", "block")]
        (event,) = running.guard._ledger._audit.events
        assert (event["protocol"], event["destination"], event["verdict"]) == ("tcp", f"{FAR}:{port}", "block")
    assert heard == b""
    server.close()


async def test_a_client_that_says_nothing_is_refused(lane, inspector, monkeypatch):
    monkeypatch.setattr(transparent, "SILENT_SECONDS", 0.05)
    server, port, _ = await echo()
    async with plane(guarded(lane(port), inspector)) as running:
        assert await exchange(running.port(), b"", close=True) == b""
        assert gaps(running) == [("silent-client", "block")]
    server.close()


async def test_a_client_that_leaves_before_it_has_spoken_is_nothing(lane, inspector):
    server, port, _ = await echo()
    async with plane(guarded(lane(port), inspector)) as running:
        _, writer = await asyncio.open_connection(FAR, running.port())
        await until(lambda: running.host.listeners.connections)
        writer.close()
        await until(lambda: not running.host.listeners.connections)
        assert gaps(running) == []
    server.close()


@pytest.mark.parametrize("first", [BINARY, b""], ids=["unknown", "silent"])
@pytest.mark.parametrize(
    "row", [{"mode": "monitor"}, {"on_gap": "report", "unlisted": "external"}], ids=["monitor", "gaps-pass"]
)
async def test_where_gaps_pass_bytes_pass_as_they_are_and_are_counted(lane, inspector, monkeypatch, first, row):
    monkeypatch.setattr(transparent, "SILENT_SECONDS", 0.05)
    server, port, heard = await echo()
    gap = "unknown-protocol" if first else "silent-client"
    async with plane(guarded(lane(port, **row), inspector)) as running:
        reader, writer = await asyncio.open_connection(FAR, running.port())
        writer.write(first)
        assert await reader.readexactly(11) == b"220 ready\r\n"
        if first:
            assert await reader.readexactly(len(first)) == first
        writer.write(b"more\xff")
        assert await reader.readexactly(5) == b"more\xff"
        writer.write_eof()
        assert await reader.read(-1) == b""
        writer.close()
        assert bytes(heard) == first + b"more\xff"
        assert gaps(running) == [(gap, "report")]
        sizes = {"request": 0, "response": 0}
        for _, direction, reason, size in running.meter.named("unread"):
            assert reason == gap
            sizes[direction] += int(size)
        assert sizes == {"request": 5, "response": 11 + len(first) + 5}
    server.close()


async def test_a_relay_is_not_a_way_around_a_full_client(lane, inspector):
    """Both ends send at once, more than any buffer holds, and neither waits for the other for ever."""
    server, port, heard = await echo()
    size = 4 * 1024 * 1024
    async with plane(guarded(lane(port, "monitor"), inspector)) as running:
        reader, writer = await asyncio.open_connection(FAR, running.port())

        async def send():
            writer.write(BINARY + bytes(size))
            await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        async with asyncio.timeout(60):
            got = 0
            while data := await reader.read(65536):
                got += len(data)
            await sending
        writer.close()
        assert got == 11 + 4 + size
        assert len(heard) == 4 + size
    server.close()


async def test_a_relay_to_nowhere_ends(lane, inspector, free_port):
    async with plane(guarded(lane(free_port(), "monitor"), inspector)) as running:
        assert await exchange(running.port(), BINARY, close=True) == b""
        assert running.meter.named("upstream_error") == [("lane", "refused")]


@pytest.mark.parametrize(
    "name", ["a" * 63 + "." + "b" * 63 + ".example", "under_score.example", "4111111111111111.example"]
)
async def test_odd_server_names_get_a_certificate_and_their_rules(lane, inspector, tmp_path, name):
    """What is inside is refused, for nothing lists them; a number in one is found before a connection carries it out."""
    async with origin() as server, plane(guarded(lane(server.port), inspector)) as running:
        trust = trusting(tmp_path)
        trust.check_hostname = False
        assert status_of(await over_tls(running, trust, name=name)) == 403
        assert server.connections == 0


async def test_a_name_that_no_certificate_can_be_for(lane, inspector, tmp_path):
    """OpenSSL verifies no name of one letter. That the client asks for one is no failure of ours, and rings nothing."""
    rules = {"destinations": [{"hosts": ["a"], "role": "logging"}]}
    async with (
        origin(tls=server_context(tmp_path, NAME)) as server,
        plane(guarded(lane(server.port, **rules), inspector)) as running,
    ):
        assert status_of(await over_tls(running, trusting(tmp_path), name="a")) == 502
        assert running.meter.named("internal_error") == []
        assert running.meter.named("upstream_error") == [("lane", "tls")]
        assert bytes(server.received) == b""


# What fails.


class Faulty:
    """An inspector that does as the test says."""

    def __init__(self, fault):
        self.fault = fault

    def quiet(self, *_):
        return False

    def fields(self, *_):
        return iter(())

    def inspect(self, *_args, **_options):
        self.fault()
        return Inspection()


def raises():
    raise RuntimeError("broken")


def exits():
    raise SystemExit(1)


def cancelled():
    raise asyncio.CancelledError


FAULTS = {"raises": raises, "exits": exits, "cancelled": cancelled}


@pytest.fixture
def hangs(monkeypatch):
    """A fault that ends with the test."""
    monkeypatch.setattr(addon, "GRACE_SECONDS", 0.0)
    over = threading.Event()
    yield lambda: over.wait(10)
    over.set()


@pytest.fixture(params=[*FAULTS, "hangs"])
def fault(request, hangs):
    return FAULTS.get(request.param, hangs)


@pytest.mark.parametrize("mode", ["enforce", "monitor"])
async def test_the_inspector_fails_on_bytes_that_nobody_reads(lane, fault, mode):
    server, port, heard = await echo()
    async with plane(guarded(lane(port, mode), Faulty(fault))) as running:
        reader, writer = await asyncio.open_connection(FAR, running.port())
        writer.write(BINARY)
        answer = await reader.read(4)
        writer.close()
        assert answer == (b"" if mode == "enforce" else b"220 ")
        assert running.guard._ledger._meter.named("internal_error") or running.meter.named("internal_error")
        assert [event["kind"] for event in running.guard._ledger._audit.events] == ["failure"]
        assert bytes(heard) in ((b"",) if mode == "enforce" else (b"", BINARY))
    server.close()


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize("direction", ["request", "response"])
async def test_the_inspector_fails_on_a_message(lane, tmp_path, fault, tls, direction):
    asked = []

    def now_and_then():
        asked.append(1)
        if direction == "request" or server.requests:
            fault()

    context = server_context(tmp_path, NAME) if tls else None
    async with (
        origin(tls=context) as server,
        plane(guarded(lane(server.port, unlisted="external"), Faulty(now_and_then))) as running,
    ):
        if tls:
            answer = await over_tls(running, trusting(tmp_path))
        else:
            answer = await exchange(running.port(), get("/"))
        assert status_of(answer) == 503
        assert len(server.requests) == (0 if direction == "request" else 1)


@pytest.mark.parametrize("answer", [None, Decision(Action.REDACT), "allow"], ids=["nothing", "redact", "text"])
async def test_a_guard_that_does_not_say_that_it_passes(lane, answer):
    server, port, heard = await echo()
    script = {"quickly": lambda _: None, "slowly": lambda _: answer}
    async with plane(ScriptedGuard(lane(port), **script)) as running:
        assert await exchange(running.port(), BINARY, close=True) == b""
    assert heard == b""
    server.close()


@pytest.mark.parametrize("mode", ["enforce", "monitor"])
async def test_the_hook_itself_fails(lane, monkeypatch, mode):
    def opaque(*_):
        raise RuntimeError("broken")

    monkeypatch.setattr(addon.Gate, "opaque", opaque)
    server, port, _ = await echo()
    async with plane(ScriptedGuard(lane(port, mode))) as running:
        reader, writer = await asyncio.open_connection(FAR, running.port())
        writer.write(BINARY)
        assert await reader.read(4) == (b"" if mode == "enforce" else b"220 ")
        writer.close()
        assert running.guard.failures == ["plane"]
    server.close()


async def test_a_layer_breaks(lane, monkeypatch):
    def broken(_):
        raise RuntimeError("broken")

    monkeypatch.setattr(transparent, "speaks", broken)
    server, port, heard = await echo()
    async with plane(ScriptedGuard(lane(port, "monitor"))) as running:
        assert await exchange(running.port(), BINARY, close=True) == b""
        assert running.meter.named("internal_error") == [("handler",)]
    assert heard == b""
    server.close()


async def test_a_look_up_that_fails_leaves_the_rules_of_the_address(lane, monkeypatch):
    async def broken(*_):
        raise RuntimeError("broken")

    monkeypatch.setattr(http_hooks, "addresses_of", broken)
    async with origin() as server, plane(ScriptedGuard(lane(server.port))) as running:
        assert status_of(await exchange(running.port(), get("/", host=NAME))) == 403
        assert running.guard.asked[0].gap == "unlisted-destination"
        assert running.meter.named("internal_error") == [("plane",)]
        assert server.connections == 0


# Reload and drain.


async def test_reload_keeps_and_drain_ends(lane, inspector, tmp_path):
    server, port, _ = await echo()
    async with origin() as http:
        rules = lane(port, "monitor")
        async with plane(guarded(rules, inspector)) as running:
            relayed, relaying = await asyncio.open_connection(FAR, running.port())
            relaying.write(BINARY)
            await relayed.readexactly(11 + 4)
            idle, waiting = await asyncio.open_connection(FAR, running.port())
            await until(lambda: len(running.host.listeners.connections) == 2)
            row = {**_row(rules), "unlisted": "external", "on_gap": "report"}
            await running.host.reload(policy(tmp_path, row, mode="enforce"))
            assert running.guard.policy.mode == "enforce"
            relaying.write(b"still")
            assert await relayed.readexactly(5) == b"still"
            hurry = asyncio.Event()
            drained = asyncio.create_task(running.host.drain(20, hurry))
            async with asyncio.timeout(60):
                assert await idle.read(-1) == b"", "who has not begun is let go at once"
                relaying.write(b"on")
                assert await relayed.readexactly(2) == b"on", "what is under way may finish"
                hurry.set()
                assert await relayed.read(-1) == b""
                await drained
            waiting.close()
            relaying.close()
        assert http.connections == 0
    server.close()


def _row(rules):
    (only,) = rules.lanes
    tls = {"ca_file": str(only.tls.ca_file), "intercept_ca_file": str(only.tls.intercept_ca_file)}
    return {"upstream": "transparent", "listen": str(only.listen), "tls": tls}


async def test_an_idle_client_inside_of_tls_is_let_go(lane, inspector, tmp_path):
    async with (
        origin(tls=server_context(tmp_path, NAME)) as server,
        plane(guarded(lane(server.port), inspector)) as running,
    ):
        reader, writer = await asyncio.open_connection(
            FAR, running.port(), ssl=trusting(tmp_path), server_hostname=NAME
        )
        writer.write(get("/", host=NAME))
        assert await read_response(reader) == OK
        drained = asyncio.create_task(running.host.drain(20))
        async with asyncio.timeout(60):
            assert await reader.read(-1) == b""
            await drained
        writer.close()


async def test_two_hosts_share_the_lane(lane, free_port):
    """As the workers of one sidecar do: IPv4, IPv6 and QUIC."""
    rules = lane(1, listen=f"127.0.0.1:{free_port()}")
    one, two = (Host(ScriptedGuard(rules), RecordingMeter(), shared=True) for _ in range(2))
    await one.start()
    try:
        await two.start()
        assert one.listening() == two.listening() == {"lane": True}
    finally:
        await one.drain(0)
        await two.drain(0)
