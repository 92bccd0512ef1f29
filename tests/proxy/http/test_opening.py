from __future__ import annotations

import ssl

import pytest

from proxy.http.opening import MOST_BYTES, MOST_RECORDS, Opaque, has_hello, server_name, speaks
from proxy.message import Action, Decision
from proxy.policy import Route


def hello(name: str | None) -> bytes:
    """A ClientHello as Python sends it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


HTTP = [
    b"GET / HTTP/1.1\r\n",
    b"\r\nPOST /a",
    b"get /a",
    b"OPTIONS * HTTP/1.1",
    b"GET http://a/",
    b"GET HTTPS://a/",
    b"CONNECT a:443 ",
    b"PRI * HTTP/2.0\r\n",
    b"M-SEARCH * HTTP/1.1",
]
NOT_YET = [b"G", b"GET", b"GET ", b"GET h", b"GET http:", b"\r\n", b"\x16"]
UNKNOWN = [
    b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
    b"*1\r\n$4\r\nPING\r\n",
    b"PING\r\n",
    b"get key\r\n",
    b"EHLO a.example\r\n",
    b"SSH-2.0-x\r\n",
    b"OPTIONS rtsp://a",
    b"\x16\x02",
    b"\x80\x2e\x01\x03\x01",
    b"A" * 33,
    b"{",
    bytes(range(256)),
]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        *((data, "http") for data in HTTP),
        *((data, None) for data in NOT_YET),
        *((data, "unknown") for data in UNKNOWN),
        (b"\x16\x03", "tls"),
        (b"\x16\x03\x01\x00", "tls"),
    ],
)
def test_what_the_first_bytes_say(data, kind):
    assert speaks(data) == kind


@pytest.mark.parametrize("data", [*HTTP, *UNKNOWN])
def test_it_is_the_same_byte_by_byte(data):
    """A kind that has been told stays: nobody waits for more, and nothing that is unknown was HTTP before."""
    kinds = [kind for end in range(1, len(data) + 1) if (kind := speaks(data[:end])) is not None]
    assert set(kinds) == {speaks(data)}


@pytest.mark.parametrize(
    ("name", "found"), [("logs.example", "logs.example"), ("LOGS.Example", "logs.example"), (None, "")]
)
def test_the_server_name(name, found):
    data = hello(name)
    assert server_name(data) == found
    assert all(server_name(data[:end]) is None for end in range(len(data)))


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x00\x00", b"\x16\x03\x01\x00\x06\x01\x00\x00\x02ab"])
def test_no_client_hello(data):
    with pytest.raises(ValueError):
        server_name(data)


def test_a_client_hello_has_an_end():
    record = b"\x16\x03\x01\x40\x00" + b"\x01\xff\xff\xff" + b"x" * (16384 - 4)
    assert server_name(record) is None
    with pytest.raises(ValueError, match="without an end"):
        server_name(record * (MOST_BYTES // 16384 + 1))


@pytest.mark.parametrize(
    ("route", "over", "draw", "judged"),
    [
        (Route("l", "external"), False, 0, Route("l", "external")),
        (Route("l", "logging", on_violation="redact"), False, 0, Route("l", "logging")),
        (Route("l", "logging", mode="monitor", on_gap="report"), True, 0, Route("l", "logging")),
        (Route("l", "logging", percent=50), False, 49, Route("l", "logging", percent=50)),
        (Route("l", "logging", percent=50), False, 50, Route("l", "logging", percent=50, mode="monitor")),
    ],
    ids=["plain", "nothing-to-redact", "over", "in-the-share", "not-in-the-share"],
)
def test_as_a_message(route, over, draw, judged):
    message = Opaque("pinned", "c:1", "a.example", 443, b"abc", over=over, draw=draw).message(route)
    assert (message.route, message.gap, message.protocol) == (judged, "pinned", "tcp")
    assert (message.peer, message.host, message.port) == ("c:1", "a.example", 443)
    assert [(part.name, part.data) for part in message.parts] == [("body", b"abc")]


@pytest.mark.parametrize("over", [False, True])
@pytest.mark.parametrize("action", Action)
def test_it_passes_when_that_was_decided(action, over):
    opaque = Opaque("quic", "c:1", "", 443, over=over)
    opaque.carry_on(Decision(action))
    assert opaque.passed == (action in (Action.ALLOW, Action.REPORT) and not over)


def test_no_decision_lets_nothing_pass():
    opaque = Opaque("quic", "c:1", "", 443)
    with pytest.raises(TypeError):
        opaque.carry_on(None)
    assert not opaque.passed


def crumbs(data, size):
    """The same ClientHello in records of that size."""
    inner = data[5:]
    pieces = [inner[at : at + size] for at in range(0, len(inner), size)]
    return b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2) + piece for piece in pieces), len(pieces)


@pytest.mark.parametrize("size", [9, 50, 16384])
def test_a_client_hello_in_records_is_whole_with_its_last_byte(size):
    data, records = crumbs(hello("logs.example"), size)
    assert records <= MOST_RECORDS
    assert [end for end in range(len(data) + 1) if has_hello(data[:end])] == [len(data)]
    assert has_hello(data + b"more")
    assert server_name(data) == "logs.example"


def test_a_client_hello_whose_header_is_in_crumbs():
    data = hello("logs.example")
    head, rest = crumbs(data[:9], 1)[0], data[9:]
    data = head + b"\x16\x03\x01" + len(rest).to_bytes(2) + rest
    assert [end for end in range(len(data) + 1) if has_hello(data[:end])] == [len(data)]
    assert server_name(data) == "logs.example"


def test_a_client_hello_in_crumbs_is_none():
    """To read ten thousand records again with each that comes holds up all other clients."""
    data, _ = crumbs(hello("logs.example"), 1)
    with pytest.raises(ValueError, match="crumbs"):
        server_name(data)


def test_what_is_no_client_hello_is_left_to_the_parser():
    assert has_hello(b"\x17\x03\x03\x00\x01x")
    with pytest.raises(ValueError):
        server_name(b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00")
