from __future__ import annotations

import asyncio

import pytest

from tests.e2e.origin import OK, origin, post
from tests.e2e.plane import PAN, ScriptedGuard, plane, policy
from tests.e2e.two import client, ok, origin_two


@pytest.fixture
def two(tmp_path):
    """A lane to an HTTP/2 origin: ``async with two(answer, **lane) as (running, origin, client)``."""
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def build(answer=ok, *, settings=None, origin_settings=None, script=None, **options):
        top = {name: options.pop(name) for name in ("mode", "limits") if name in options}
        async with origin_two(answer, settings=origin_settings) as server:
            guard = ScriptedGuard(policy(tmp_path, {"upstream": server.url, **options}, **top), **(script or {}))
            async with plane(guard) as running, client(running.port(), settings=settings) as asking:
                yield running, server, asking

    return build


async def test_a_request_and_its_answer(two):
    async with two() as (running, server, asking):
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


async def test_one_leaking_among_fifty(two):
    async with two() as (running, server, asking):
        bodies = [PAN.encode() if number == 17 else b"clean %d" % number for number in range(50)]
        answers = await asyncio.gather(*[asking.ask(f"/{n}", body) for n, body in enumerate(bodies)])
        assert [answer.status for answer in answers] == [403 if n == 17 else 200 for n in range(50)]
        assert answers[17].fields["content-type"] == "application/problem+json"
        assert sorted(request.body for request in server.requests) == sorted(b for b in bodies if b != PAN.encode())
        assert server.connections == 1
        assert running.meter.named("internal_error") == []
