from __future__ import annotations

import asyncio

import h2.settings
import pytest
from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame, PingFrame, SettingsFrame

from proxy.http.two_engine import STREAMS, WINDOW
from tests.e2e.plane import ALLOW, BLOCK, PAN, until
from tests.e2e.two import client
from tests.proxy.two_lanes import two_lane

NO_WINDOW = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0}


def layer_of(running):
    (handler,) = running.host.listeners.connections.values()
    return handler.layer


def kept(running):
    """Bytes of bodies that the plane holds for its only client."""
    return layer_of(running)._kept()


async def test_a_request_and_its_answer(tmp_path):
    async with two_lane(tmp_path) as (running, server, asking):
        answer = await asking.ask("/a?b=c", b"hello", ("x-mine", "1"))
        assert (answer.status, answer.body, answer.fields["content-type"]) == (200, b"ok", "text/plain")
        (request,) = server.requests
        assert request.body == b"hello"
        assert request.fields == {
            ":method": "POST",
            ":scheme": "http",
            ":path": "/a?b=c",
            ":authority": "lane.example",
            "x-mine": "1",
        }
        assert running.meter.named("internal_error") == []


async def test_one_leaking_among_fifty(tmp_path):
    async with two_lane(tmp_path) as (running, server, asking):
        bodies = [PAN.encode() if number == 17 else b"clean %d" % number for number in range(50)]
        answers = await asyncio.gather(*[asking.ask(f"/{n}", body) for n, body in enumerate(bodies)])
        assert [answer.status for answer in answers] == [403 if n == 17 else 200 for n in range(50)]
        assert answers[17].fields["content-type"] == "application/problem+json"
        assert sorted(request.body for request in server.requests) == sorted(b for b in bodies if b != PAN.encode())
        assert server.connections == 1
        assert running.meter.named("internal_error") == []


PLACES = {
    "path": ([], f"/{PAN}", b"", None),
    "authority": ([], "/", b"", None),
    "field": ([("x-note", PAN)], "/", b"", None),
    "cookie": ([("cookie", f"a={PAN}")], "/", b"", None),
    "trailer": ([], "/", b"body", [("x-note", PAN)]),
    "body cut into frames": ([], "/", [PAN[:7].encode(), PAN[7:].encode()], None),
    "body byte by byte": ([], "/", [bytes([digit]) for digit in PAN.encode()], None),
}


@pytest.mark.parametrize("place", PLACES)
async def test_a_number_is_found_everywhere(tmp_path, place):
    fields, path, body, trailers = PLACES[place]
    raw = None
    if place == "authority":
        raw = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", f"{PAN}.example")]
    async with two_lane(tmp_path) as (_running, server, asking):
        answer = await asking.ask(path, body, *fields, trailers=trailers, raw=raw)
        assert answer.status == 403
        assert (await asking.ask("/next")).status == 200
        assert [request.fields[":path"] for request in server.requests] == ["/next"]


@pytest.mark.parametrize("place", ["body", "field", "trailer"])
async def test_a_number_in_an_answer_is_found(tmp_path, place):
    def answer(request):
        fields = [(":status", "200"), *([("x-note", PAN)] if place == "field" else [])]
        trailers = [("x-note", PAN)] if place == "trailer" else []
        return fields, PAN.encode() if place == "body" else b"clean", trailers

    async with two_lane(tmp_path, answer) as (_, _server, asking):
        found = await asking.ask()
        assert found.status == 403
        assert PAN not in str(found)


async def test_trailers_pass_both_ways(tmp_path):
    def answer(request):
        return [(":status", "200")], b"body", [("x-sum", request.trailers["x-sum"])]

    async with two_lane(tmp_path, answer) as (_, server, asking):
        found = await asking.ask("/", b"body", trailers=[("x-sum", "7")])
        assert (found.body, found.trailers) == (b"body", {"x-sum": "7"})
        assert server.requests[0].trailers == {"x-sum": "7"}


async def test_a_redacted_body_keeps_its_length_true(tmp_path):
    def answer(request):
        return [(":status", "200"), ("content-length", str(len(request.body)))], request.body, []

    async with two_lane(tmp_path, answer, on_violation="redact") as (_, server, asking):
        body = b'{"card": "%s"}' % PAN.encode()
        found = await asking.ask("/", body, ("content-length", str(len(body))))
        assert found.body == b'{"card": "411111******1111"}'
        assert server.requests[0].fields["content-length"] == str(len(found.body))


# One stream, and the others.


@pytest.mark.parametrize("fault", ["crash", "lie", "hang"])
async def test_a_hook_that_fails_ends_its_stream_only(tmp_path, fault):
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    def quickly(message):
        return None if message.path == "/bad" else ALLOW

    def slowly(message):
        if fault == "crash":
            raise ValueError("broken")
        if fault == "lie":
            return "fine"
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
        return BLOCK

    async with two_lane(tmp_path, script={"quickly": quickly, "slowly": slowly}) as (_running, server, asking):
        bad = asyncio.ensure_future(asking.ask("/bad", b"x"))
        assert [(await asking.ask(f"/{n}", b"x")).status for n in range(5)] == [200] * 5
        release.set()
        assert (await bad).status in (403, 503)
        assert "/bad" not in [request.fields[":path"] for request in server.requests]


async def test_a_reset_stream_leaves_the_others(tmp_path):
    async with two_lane(tmp_path) as (running, server, asking):
        stream = asking.h2.get_next_available_stream_id()
        head = [(":method", "POST"), (":scheme", "http"), (":path", "/cut"), (":authority", "a")]
        asking.h2.send_headers(stream, head)
        asking.h2.send_data(stream, b"begun")
        asking.flush()
        (handler,) = await until_there(lambda: list(running.host.listeners.connections.values()))
        await until(lambda: handler.layer.streams)
        asking.h2.reset_stream(stream, 8)
        asking.flush()
        assert (await asking.ask("/next")).status == 200
        assert handler.layer.streams == {}
        assert [request.fields[":path"] for request in server.requests] == ["/next"]


async def until_there(find):
    await until(find)
    return find()


async def test_an_upstream_reset_is_one_refusal(tmp_path):
    async with two_lane(tmp_path, None) as (running, server, asking):
        waiting = asyncio.ensure_future(asking.ask("/a"))
        await until(lambda: server.requests)
        (end,) = server.ends
        end.h2.reset_stream(1, 2)
        end.flush()
        assert (await waiting).status == 502
        assert len(running.meter.named("upstream_error")) == 1


# Bounds.


async def test_a_client_that_takes_nothing_is_bounded(tmp_path):
    """Its window is closed: what its answers leave in memory does not grow with their number."""
    size = 1_000_000
    top = {"body": "2MB"}
    answer = ([(":status", "200"), ("content-type", "application/octet-stream")], b"x" * size, [])
    async with two_lane(tmp_path, lambda request: answer, settings=NO_WINDOW, limits=top) as (running, server, asking):
        for _ in range(40):
            await asking.ask("/large", wait=False)
        await until(lambda: len(server.requests) == 40)
        await until(lambda: kept(running) >= size)
        for _ in range(20):
            await asyncio.sleep(0.01)
            assert kept(running) < 3 * 2_000_000 + 40 * WINDOW
        asking.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**24})
        asking.h2.increment_flow_control_window(2**30)
        asking.flush()
        await asking.until(lambda: all(stream.over for stream in asking.streams.values()))
        assert {len(stream.body) for stream in asking.streams.values()} == {size}
        assert running.meter.named("internal_error") == []


async def test_a_large_upload_and_download_pass(tmp_path):
    body = bytes(range(256)) * 20_000

    async with two_lane(tmp_path, lambda request: ([(":status", "200")], request.body, [])) as (_, server, asking):
        answer = await asking.ask("/", body)
        assert answer.body == body
        assert server.requests[0].body == body


async def test_a_body_beyond_the_limit(tmp_path):
    async with two_lane(tmp_path, limits={"body": "1MB"}) as (_, server, asking):
        answer = await asking.ask("/", b"x" * 900_000)
        assert answer.status == 200
        found = await asking.ask("/", [b"x" * 1_100_000], ("content-type", "application/x-protobuf"), wait=False)
        await asking.until(lambda: found.over)
        assert found.status == 413
        assert (await asking.ask("/next")).status == 200
        assert len(server.requests) == 2


async def test_more_streams_than_the_limit_are_refused_one_by_one(tmp_path):
    async with two_lane(tmp_path, None) as (running, server, asking):
        for _ in range(STREAMS + 5):
            await asking.ask("/", wait=False)
        await asking.until(lambda: sum(stream.over for stream in asking.streams.values()) == 5)
        assert {stream.reset for stream in asking.streams.values()} == {None, 7}
        await until(lambda: len(server.requests) == STREAMS)
        assert running.meter.named("refused") == [("lane", "too-many-streams")] * 5


async def test_rapid_reset(tmp_path):
    """CVE-2023-44487: work in progress stays within the limit, and the connection ends."""
    async with two_lane(tmp_path, None) as (running, _server, asking):
        seen = 0
        while not asking.closed and asking.goaway is None:
            stream = asking.h2.get_next_available_stream_id()
            await asking.ask("/", wait=False)
            asking.h2.reset_stream(stream, 8)
            asking.flush()
            await asyncio.sleep(0)
            seen = max([seen, *(len(handler.layer.streams) for handler in running.host.listeners.connections.values())])
            assert stream < 4000
        await asking.gone()
        assert asking.goaway == 11
        assert seen <= STREAMS
        assert ("lane", "flood") in running.meter.named("refused")


def raw(*frames):
    return b"".join(frame.serialize() for frame in frames)


def empty_data(asking):
    asking.h2.send_headers(
        1, [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a")], end_stream=False
    )
    asking.flush()
    return raw(DataFrame(1)) * 20_000


def continuations(asking):
    head = HeadersFrame(1)
    head.data = b"\x82"
    return raw(head, *[ContinuationFrame(1, data=b"") for _ in range(100)])


def huge_block(asking):
    block = asking.h2.encoder.encode([(b"x-%d" % n, b"v" * 4000) for n in range(200)], huffman=False)
    head = HeadersFrame(1)
    head.data = block[:16000]
    rest = [ContinuationFrame(1, data=block[at : at + 16000]) for at in range(16000, len(block), 16000)]
    rest[-1].flags.add("END_HEADERS")
    return raw(head, *rest)


FLOODS = {
    "settings": (lambda asking: raw(SettingsFrame(0)) * 20_000, 11),
    "ping": (lambda asking: raw(PingFrame(0)) * 20_000, 11),
    "empty data": (empty_data, 11),
    "continuation": (continuations, 1),
    "header block": (huge_block, 11),
    "garbage": (lambda asking: PAN.encode() * 1000, 6),
}


@pytest.mark.parametrize("flood", FLOODS)
async def test_floods_end_their_connection(tmp_path, flood):
    make, code = FLOODS[flood]
    async with two_lane(tmp_path) as (running, server, asking), client(running.port()) as other:
        asking.writer.write(make(asking))
        assert (await other.ask("/")).status == 200
        await asking.gone()
        assert asking.goaway == code
        assert len(server.requests) == 1
        assert running.meter.named("internal_error") == []
