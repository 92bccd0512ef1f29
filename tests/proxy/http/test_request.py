from __future__ import annotations

import asyncio
import json

import pytest

from proxy.http.request import refusal_response
from tests.e2e.origin import OK, body_of, get, origin, post, read_response, status_of
from tests.e2e.plane import PAN, ScriptedGuard, lane, plane, policy

NUMBER = PAN.encode()
MASKED = b"411111******1111"


def chunks(*pieces, end=b"0\r\n\r\n"):
    head = b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


def whole_only(request):
    """The same as a message that cannot be inspected in pieces."""
    return request.replace(b"\r\n", b"\r\nContent-Type: application/x-protobuf\r\n", 1)


UNTOUCHED = {
    "get": get("/a?b=%20c", "X-b: 1", "x-A:  2 ", "X-B: 3").replace(b"x-A:  2 ", b"x-A: 2"),
    "post": post("/a", b"\x00\xff binary", "content-type: application/octet-stream"),
    "empty post": post("/a", b""),
    "chunked": chunks(b"hello"),
    "chunked with trailers": chunks(b"hello", end=b"0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n"),
    "encoded": post("/a", b"whatever", "Content-Encoding: gzip"),
    "odd method": get("/a").replace(b"GET", b"PURGE"),
    "options star": get("*").replace(b"GET", b"OPTIONS"),
    "delete with body": post("/a", b"x").replace(b"POST", b"DELETE"),
    "cookies": get("/a", "Cookie: a=1;b=2 ; c", "cookie: d=4"),
    "raw bytes": b"GET /\xe3\x81\x82 HTTP/1.1\r\nHost: h\r\nX: \xe3\x81\x82\r\n\r\n",
    "hop by hop": get("/a", "Connection: keep-alive, X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5"),
    "http/1.0": b"POST /a HTTP/1.0\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi",
}


@pytest.mark.parametrize("request_", UNTOUCHED.values(), ids=UNTOUCHED.keys())
async def test_what_is_clean_is_forwarded_byte_for_byte(tmp_path, request_):
    async with lane(tmp_path) as running:
        assert status_of(await running.ask(request_)) == 200
        assert running.origin.requests == [request_]


async def test_absolute_form_on_a_reverse_lane_goes_to_its_upstream(tmp_path):
    async with lane(tmp_path) as running:
        assert await running.ask(b"GET http://elsewhere.example/a HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n") == OK
        assert running.origin.requests == [b"GET /a HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n"]


REDACTED = {
    "body": (post("/a", b'{"n":"' + NUMBER + b'"}'), post("/a", b'{"n":"' + MASKED + b'"}')),
    "chunked body": (chunks(b"a" + NUMBER[:5], NUMBER[5:] + b"b"), chunks(b"a" + MASKED + b"b")),
    "path": (get(f"/c/{PAN}?a=b"), get("/c/411111******1111?a=b")),
    "query": (get(f"/c?a={PAN}&b"), get("/c?a=411111******1111&b")),
    "header": (get("/", "X-A: 1", f"X-A: n {PAN}"), get("/", "X-A: 1", "X-A: n 411111******1111")),
    "cookie": (get("/", f"Cookie: a=1; b={PAN}; c=3"), get("/", "Cookie: a=1; b=411111******1111; c=3")),
    "trailer": (
        chunks(b"x", end=b"0\r\nX-T: %s\r\n\r\n" % NUMBER),
        chunks(b"x", end=b"0\r\nX-T: %s\r\n\r\n" % MASKED),
    ),
}


@pytest.mark.parametrize(("sent", "arrived"), REDACTED.values(), ids=REDACTED.keys())
async def test_redaction_changes_the_number_and_nothing_else(tmp_path, sent, arrived):
    async with lane(tmp_path, on_violation="redact") as running:
        assert status_of(await running.ask(sent)) == 200
        assert running.origin.requests == [arrived]


async def test_redaction_to_another_length(tmp_path):
    """The next request on the same upstream connection starts where it should."""
    async with lane(tmp_path, on_violation="redact") as running:
        check = running.guard.check

        def shorter(message):
            decision = check(message)
            parts = {index: data.replace(MASKED, b"*") for index, data in decision.parts.items()}
            return type(decision)(decision.action, status=200, parts=parts)

        running.guard.check = shorter
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
        async with asyncio.timeout(60):
            for _ in range(2):
                writer.write(post("/a", NUMBER))
                assert await read_response(reader) == OK
        writer.close()
        assert running.origin.requests == [post("/a", b"*")] * 2
        assert running.origin.connections == 1


async def test_a_sealed_message_is_blocked_instead_of_redacted(tmp_path):
    async with lane(tmp_path, on_violation="redact") as running:
        response = await running.ask(post("/a", NUMBER, "Content-Digest: sha-256=:x:"))
        assert status_of(response) == 403
        assert "content-digest seals the message" in json.loads(body_of(response))["detail"]
        assert running.origin.connections == 0


async def test_a_sealed_message_passes_when_it_is_clean(tmp_path):
    request = post("/a", b"clean", "Content-Digest: sha-256=:x:")
    async with lane(tmp_path, on_violation="redact") as running:
        assert await running.ask(request) == OK
        assert running.origin.requests == [request]


@pytest.mark.parametrize(
    ("asked", "arrived"),
    [("gzip, br", "gzip, br"), ("gzip, compress", "gzip"), ("*", "identity")],
)
async def test_accept_encoding_is_limited(tmp_path, asked, arrived):
    async with lane(tmp_path) as running:
        assert await running.ask(get("/", f"Accept-Encoding: {asked}")) == OK
        assert f"ccept-encoding: {arrived}\r\n".encode() in running.origin.requests[0].replace(b"Encoding", b"encoding")


async def test_monitor_mode_alters_nothing(tmp_path):
    request = post("/a", NUMBER, "Accept-Encoding: compress, *", f"X: {PAN}")
    answer = b"HTTP/1.1 200 OK\r\nAlt-Svc: h3\r\nContent-Length: 16\r\n\r\n" + NUMBER
    async with lane(tmp_path, answer, mode="monitor") as running:
        assert await running.ask(request) == answer
        assert running.origin.requests == [request]


async def test_h2c_offers_are_dropped(tmp_path):
    """curl --http2 and the Java client make them with every first request."""
    offer = get("/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ")
    async with lane(tmp_path) as running:
        assert await running.ask(offer) == OK
        assert running.origin.requests == [get("/")]


@pytest.mark.parametrize("options", [{"mode": "monitor"}, {"on_gap": "report"}], ids=["monitor", "on_gap-report"])
@pytest.mark.parametrize("form", ["length", "chunked"])
async def test_a_body_over_the_limit_streams_where_the_policy_lets_it(tmp_path, options, form):
    body = b"0123456789" * 20_000
    request = whole_only(post("/a", body) if form == "length" else chunks(body[:70_000], body[70_000:]))
    async with lane(tmp_path, limits={"body": 4096}, **options) as running:
        assert await running.ask(request) == OK
        got = running.origin.requests[0]
        assert got.endswith(body) if form == "length" else got.replace(b"\r\n", b"").count(b"0123456789") > 19_000
        assert [message.gap for message in running.guard.asked if message.direction == "request"] == ["body-too-large"]


async def test_the_first_part_of_a_large_body_is_still_inspected(tmp_path):
    async with lane(tmp_path, limits={"body": 4096}, on_gap="report") as running:
        assert status_of(await running.ask(whole_only(chunks(NUMBER, b"x" * 9000, end=b"")))) == 403
        assert running.origin.connections == 0


async def test_a_body_as_large_as_the_limit(tmp_path):
    async with lane(tmp_path, limits={"body": 4096}) as running:
        assert await running.ask(post("/a", b"x" * 4096)) == OK
        assert status_of(await running.ask(whole_only(post("/a", b"x" * 4097)))) == 413


# The forward lane.


@pytest.fixture
def forward(tmp_path):
    def made(*hosts, **options):
        destinations = [{"hosts": list(hosts), "role": "logging"}] if hosts else []
        row = {"upstream": "forward", "destinations": destinations, **options}
        return ScriptedGuard(policy(tmp_path, row))

    return made


async def test_forward_proxying(forward):
    async with origin() as server, plane(forward("127.0.0.1")) as running:
        at = f"127.0.0.1:{server.port}"
        sent = f"GET http://{at}/a?b HTTP/1.1\r\nHost: {at}\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: x\r\n\r\n"
        assert await running.ask(sent.encode()) == OK
        assert server.requests == [f"GET /a?b HTTP/1.1\r\nHost: {at}\r\n\r\n".encode()]
        (asked,) = [message for message in running.guard.asked if message.direction == "request"]
        assert (asked.host, asked.port) == ("127.0.0.1", server.port)
        assert ("host", b"127.0.0.1") in [(part.name, part.data) for part in asked.parts]


async def test_the_host_header_cannot_name_another_host(forward):
    """Domain fronting: the rules are those of the destination, so the destination is what Host says."""
    async with origin() as server, plane(forward("127.0.0.1")) as running:
        at = f"127.0.0.1:{server.port}"
        assert await running.ask(f"GET http://{at}/ HTTP/1.1\r\nHost: other.example\r\n\r\n".encode()) == OK
        assert server.requests == [f"GET / HTTP/1.1\r\nHost: {at}\r\n\r\n".encode()]


async def test_unlisted_destinations_are_refused(forward):
    async with origin() as server, plane(forward("listed.example")) as running:
        response = await running.ask(f"GET http://127.0.0.1:{server.port}/ HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert status_of(response) == 403
        assert server.connections == 0
        (asked,) = running.guard.asked
        assert (asked.gap, asked.route.role) == ("unlisted-destination", "external")


async def test_unlisted_destinations_pass_as_external_where_the_policy_says_so(forward, monkeypatch):
    monkeypatch.setattr("proxy.http.seat.LaneSeat.may_reach", lambda *_: True)  # loopback stands in for elsewhere
    async with origin() as server, plane(forward(unlisted="external")) as running:
        at = f"127.0.0.1:{server.port}"
        assert await running.ask(f"GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n".encode()) == OK
        assert running.guard.asked[0].route.role == "external"


async def test_unlisted_destinations_on_this_machine_are_refused_all_the_same(forward):
    async with origin() as server, plane(forward(unlisted="external")) as running:
        at = f"127.0.0.1:{server.port}"
        response = await running.ask(f"GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n".encode())
        assert status_of(response) == 403
        assert server.connections == 0


async def test_origin_form_on_the_forward_lane(forward):
    """Host alone must not choose a destination: a web page can make a browser send that anywhere."""
    async with origin() as server, plane(forward("127.0.0.1")) as running:
        response = await running.ask(get("/", host=f"127.0.0.1:{server.port}"))
        assert status_of(response) == 400
        assert b"absolute-form" in response
        assert server.connections == 0


async def test_a_lane_is_no_destination(forward):
    """A proxy that dials itself does so until nothing is left."""
    async with plane(forward("127.0.0.1", "localhost")) as running:
        at = f"127.0.0.1:{running.port()}"
        response = await running.ask(f"GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n".encode())
        assert status_of(response) == 502


def test_refusal_response():
    response = refusal_response(403, b"{}")
    assert (response.status_code, response.data.reason, response.data.content) == (403, b"Forbidden", b"{}")
    assert response.headers["content-length"] == "2"
    head = refusal_response(403, b"{}", head=True)
    assert (head.data.content, head.headers["content-length"]) == (b"", "2")
