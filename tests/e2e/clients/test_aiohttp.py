"""aiohttp."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import aiohttp

from tests.e2e.clients.exchanges import ASKED, Reply, assert_redacted, assert_refused, assert_unharmed, csv, order
from tests.e2e.clients.stage import PAN


async def lines(value: str) -> AsyncIterator[bytes]:
    for line in csv(value).splitlines(keepends=True):
        yield line.encode()


def form(value: str) -> aiohttp.FormData:
    """A form with a file, which aiohttp sends as multipart/form-data."""
    made = aiohttp.FormData({"shop": "1"})
    made.add_field("file", csv(value).encode(), filename="orders.csv", content_type="text/csv")
    return made


async def send(base: str, value: str) -> dict[str, Reply]:
    octets = {"Content-Type": "application/octet-stream"}
    packed = gzip.compress(csv(value).encode(), mtime=0)
    async with aiohttp.ClientSession(base, timeout=aiohttp.ClientTimeout(20)) as session:
        made = {
            "call/json": await session.post("/call/json", json=order(value)),
            "call/form": await session.post("/call/form", data={"CardNo": value, "Method": "1", "name": "山田"}),
            "call/multipart": await session.post("/call/multipart", data=form(value)),
            "call/bytes": await session.put("/call/bytes", data=csv(value).encode(), headers=octets, expect100=True),
            "call/chunked": await session.post("/call/chunked", data=lines(value), headers=octets),
            "call/gzip": await session.post("/call/gzip", data=packed, headers={"Content-Encoding": "gzip"}),
            "call/query": await session.get("/call/query", params={"card_number": value, "page": 2}),
            "call/header": await session.get("/call/header", headers={"X-Card": value}),
        }
        made |= {f"answer/{name}": await session.get(f"/answer/{name}") for name in ASKED}
        return {name: await read(answer) for name, answer in made.items()}


async def read(answer: aiohttp.ClientResponse) -> Reply:
    fields = [(name.decode().lower(), value.decode()) for name, value in answer.raw_headers]
    headers = {name: ", ".join(value for key, value in fields if key == name) for name, _ in fields}
    return Reply(answer.status, headers, await answer.read())


def send_all(base: str, value: str) -> dict[str, Reply]:
    return asyncio.run(send(base, value))


def test_clean(stage):
    assert_unharmed(stage, send_all)


def test_refused(stage):
    assert_refused(stage, send_all)


def test_redacted(stage):
    assert_redacted(stage, send_all)


async def test_its_exception_after_the_problem_was_read(stage):
    async with aiohttp.ClientSession() as session, session.post(stage.url("store"), json=order(PAN)) as answer:
        problem = await answer.json(content_type="application/problem+json")
        assert problem["findings"][0]["where"] == "body $.card.number"
        try:
            answer.raise_for_status()
        except aiohttp.ClientResponseError as error:
            assert (error.status, error.message) == (403, "Forbidden")  # noqa: PT017 - the answer must still be open
        else:
            raise AssertionError("a refusal is an error to aiohttp")
