"""iptables redirects a pod's connections to a transparent lane: real rules, real users, a sidecar without capabilities.

What each kind of connection leads to, and what fails, is told by ``tests/proxy/http/test_transparent.py``.
"""

from __future__ import annotations

import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.browser import CHROMIUM, FLAGS
from tests.e2e.pod import (
    APP,
    EVIL4,
    LANE_PORT,
    LOGS4,
    LOGS6,
    POD4,
    POD6,
    SIDECAR,
    Pod,
    greets,
    http,
    pod,
    request,
)
from tests.sidecar import write_policy

CARD = b'{"card": "4111111111111111"}'
CLEAN = b'{"event": "paid"}'
BINARY = b"\x00\x01\x02\x03"
QUIC = b"\xc3\x00\x00\x00\x01" + bytes(1195)


@pytest.fixture(scope="module")
def enforcing() -> Iterator[Pod]:
    with pod() as made:
        for address in (LOGS4, LOGS6, EVIL4):
            made.world.serve(address, 80, http)
        made.world.serve(LOGS4, 443, made.world.tls("logs.example"))
        made.world.serve(LOGS6, 443, made.world.tls("six.example"))
        made.world.serve(LOGS4, 8443, made.world.tls("evil.example"))
        made.world.serve(LOGS4, 25, greets)
        yield made


def until(look: Callable[[], object]) -> None:
    """Returns once ``look`` says so."""
    began = time.monotonic()
    while not look():
        assert time.monotonic() - began < 60, "it did not come to be"
        time.sleep(0.02)


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_the_sidecar_has_no_capability(enforcing):
    said = Path(f"/proc/{enforcing.sidecar.process.pid}/status").read_text().splitlines()
    fields = dict(line.split(":\t", 1) for line in said if ":\t" in line)
    assert fields["Uid"].split() == [str(SIDECAR)] * 4
    assert {fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}


@pytest.mark.parametrize(
    ("name", "at", "source"), [("logs.example", LOGS4, POD4), ("six.example", LOGS6, POD6)], ids=["ipv4", "ipv6"]
)
def test_the_application_is_inspected(enforcing, name, at, source):
    before = len(enforcing.world.seen)
    assert enforcing.curl(f"http://{name}/clean", "-d", CLEAN.decode()) == "ok\n200"
    assert enforcing.curl(f"http://{name}/card", "-d", CARD.decode()).endswith("\n403")
    (seen,) = enforcing.world.seen[before:]
    assert (seen.at, seen.peer) == ((at, 80), source)
    assert seen.data.startswith(b"POST /clean HTTP/1.1\r\n")
    assert seen.data.endswith(CLEAN)


def test_http2_in_the_clear_to_a_server_that_does_not_speak_it(enforcing):
    """The first connection finds that out, and the next carries the message."""
    before = len(enforcing.world.seen)
    version = "--http2-prior-knowledge"
    assert enforcing.curl(version, "http://logs.example/two", "-d", CLEAN.decode()) == "ok\n200"
    assert enforcing.curl(version, "http://logs.example/card", "-d", CARD.decode()).endswith("\n403")
    assert enforcing.curl(version, "http://evil.example/", "-H", "Host: logs.example").endswith("\n403")
    seen = enforcing.world.seen[before:]
    assert {one.at for one in seen} == {(LOGS4, 80)}
    assert seen[-1].data.startswith(b"POST /two HTTP/1.1\r\n")


def test_the_users_own_connections_are_redirected_by_their_user_alone(enforcing):
    """Whoever runs as the sidecar's user is not redirected: nobody else may."""
    before, counted = len(enforcing.world.seen), enforcing.counted("sekisho_messages_total")
    assert enforcing.curl("http://evil.example/direct", uid=SIDECAR) == "ok\n200"
    assert enforcing.curl("http://evil.example/", uid=APP).endswith("\n403")
    (seen,) = enforcing.world.seen[before:]
    assert seen.data.startswith(b"GET /direct ")
    assert enforcing.counted("sekisho_messages_total") == counted + 1


def test_a_lie_about_the_host_changes_nothing(enforcing):
    before = len(enforcing.world.seen)
    answer = enforcing.say(EVIL4, 80, request("logs.example", CLEAN))
    assert status(answer) == 403
    assert b"unlisted-destination" in answer
    assert enforcing.world.seen[before:] == []


@pytest.mark.parametrize("name", ["logs.example", "six.example"], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_tls_is_looked_into_for_curl(enforcing, name, version):
    trust = ("--cacert", str(enforcing.authority), version)
    before = len(enforcing.world.seen)
    assert enforcing.curl(*trust, f"https://{name}/clean", "-d", CLEAN.decode()) == "ok\n200"
    assert enforcing.curl(*trust, f"https://{name}/card", "-d", CARD.decode()).endswith("\n403")
    (seen,) = enforcing.world.seen[before:]
    assert seen.at == (LOGS4 if name == "logs.example" else LOGS6, 443)
    assert seen.data.startswith(b"POST /clean ")


def test_tls_is_looked_into_for_python(enforcing):
    trust = ssl.create_default_context(cafile=str(enforcing.authority))
    assert status(enforcing.say(LOGS4, 443, request("logs.example", CLEAN), tls=trust, name="logs.example")) == 200
    assert status(enforcing.say(LOGS4, 443, request("logs.example", CARD), tls=trust, name="logs.example")) == 403


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is missing: apt-get install chromium")
def test_tls_is_looked_into_for_chromium(enforcing, tmp_path):
    """It pretends an Encrypted ClientHello to every server (GREASE), and is not bothered when nobody reads it."""
    before = len(enforcing.world.seen)
    flags = (*FLAGS, "--ignore-certificate-errors", f"--user-data-dir={tmp_path}", "--dump-dom")
    page = enforcing.here.run(str(CHROMIUM), *flags, "https://logs.example/page")
    assert ">ok</pre>" in page
    assert any(seen.data.startswith(b"GET /page ") for seen in enforcing.world.seen[before:])
    assert [row for row in enforcing.gaps() if row[0] == "ech"] == []


def test_an_address_must_bear_out_the_server_name(enforcing):
    trust = ssl.create_default_context(cafile=str(enforcing.authority))
    answer = enforcing.say(LOGS4, 8443, request("logs.example", CLEAN), tls=trust, name="logs.example")
    assert status(answer) == 502
    assert enforcing.counted("sekisho_upstream_errors_total", lane="out", reason="tls") == 1


def test_a_pinned_client_is_counted(enforcing):
    """curl with the public authorities only."""
    assert enforcing.curl("https://logs.example/", "-d", CLEAN.decode()).endswith("\n000")
    until(lambda: enforcing.counted("sekisho_gaps_total", lane="out", reason="pinned", verdict="block") == 1)
    assert ("pinned", "block", "logs.example:443") in enforcing.gaps()


def test_what_nobody_can_read_is_refused_and_counted(enforcing):
    before = len(enforcing.world.seen)
    assert enforcing.say(LOGS4, 25, BINARY) == b""
    assert enforcing.say(LOGS6, 80, BINARY) == b""
    assert enforcing.say(LOGS4, 25, b"") == b"", "the server would speak first"
    assert enforcing.world.seen[before:] == []
    found = [row for row in enforcing.gaps() if row[0] in ("unknown-protocol", "silent-client")]
    assert found == [
        ("unknown-protocol", "block", f"{LOGS4}:25"),
        ("unknown-protocol", "block", f"{LOGS6}:80"),
        ("silent-client", "block", f"{LOGS4}:25"),
    ]
    assert enforcing.counted("sekisho_gaps_total", lane="out", reason="unknown-protocol", verdict="block") == 2


def test_quic_is_counted_and_leaves_nothing(enforcing):
    def send() -> None:
        for family, address in ((socket.AF_INET, LOGS4), (socket.AF_INET6, LOGS6)):
            with socket.socket(family, socket.SOCK_DGRAM) as client:
                client.sendto(QUIC, (address, 443))

    def listen() -> socket.socket:
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((LOGS4, 443))
        server.setblocking(False)
        return server

    with enforcing.world.here.enter(listen) as server:
        enforcing.here.enter(send)
        until(lambda: enforcing.counted("sekisho_gaps_total", lane="out", reason="quic", verdict="block") == 2)
        with pytest.raises(BlockingIOError):
            server.recv(10)


def test_a_connection_to_the_listener_itself_goes_nowhere(enforcing):
    """Told by its own address, and by one of the pod's that a rule sends to it: it would come back for ever."""
    pid = enforcing.sidecar.process.pid
    refused = ("-t", "nat", "-d", POD4, "-p", "tcp", "--dport", str(LANE_PORT), "-j", "REDIRECT")
    enforcing.here.run("iptables", "-I", "OUTPUT", *refused, "--to-ports", str(LANE_PORT))
    descriptors = open_files(pid)
    for address, word in (
        ("127.0.0.1", b"not-redirected"),
        ("::1", b"not-redirected"),
        (POD4, b"local-destination"),
    ):
        for _ in range(20):
            assert word in enforcing.say(address, LANE_PORT, b"")
    until(lambda: open_files(pid) <= descriptors)
    for word, count in (("not-redirected", 40), ("local-destination", 20)):
        assert enforcing.counted("sekisho_refusals_total", lane="out", reason=word) == count


def test_nothing_of_a_card_has_left(enforcing):
    assert b"4111111111111111" not in enforcing.world.reached()
    assert enforcing.counted("sekisho_internal_errors_total") == 0
    assert '"ready": true' in enforcing.admin("/readyz")


def test_two_workers_and_a_reload_to_monitor_mode():
    """Each worker has the lane on both loopback addresses and counts QUIC; in monitor mode nothing is refused."""
    with pod(arguments=("--workers", "2")) as made:
        made.world.serve(LOGS4, 80, http)
        made.world.serve(LOGS6, 80, http)
        made.world.serve(LOGS4, 25, greets)
        for address, name in ((LOGS4, "logs.example"), (LOGS6, "six.example")):
            assert [status(made.say(address, 80, request(name, CLEAN))) for _ in range(6)] == [200] * 6
            assert [status(made.say(address, 80, request(name, CARD))) for _ in range(6)] == [403] * 6
        assert made.say(LOGS4, 25, BINARY) == b""

        def send() -> None:
            for _ in range(6):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                    client.sendto(QUIC, (LOGS4, 443))

        made.here.enter(send)
        until(lambda: made.counted("sekisho_gaps_total", lane="out", reason="quic") == 6)
        write_policy(made.base, {**made.sidecar.policy, "mode": "monitor"})
        made.sidecar.process.send_signal(signal.SIGHUP)
        until(lambda: made.counted("sekisho_policy_info", mode="monitor") == 1)

        def converse() -> bytes:
            with socket.create_connection((LOGS4, 25), timeout=60) as client:
                client.sendall(BINARY)
                got = b""
                while len(got) < 11 + len(BINARY):
                    got += client.recv(100)
                return got

        assert made.here.enter(converse) == b"220 ready\r\n" + BINARY
        assert ("unknown-protocol", "report", f"{LOGS4}:25") in made.gaps()
        until(
            lambda: (
                made.counted("sekisho_uninspected_bytes_total", direction="response", reason="unknown-protocol")
                == 11 + len(BINARY)
            )
        )
        assert status(made.say(LOGS4, 80, request("logs.example", CARD))) == 200
