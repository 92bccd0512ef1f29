"""A lane with HTTP/2 on both sides, for the tests of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.e2e.plane import Plane, ScriptedGuard, plane, policy
from tests.e2e.two import Answer, Client, OriginTwo, client, ok, origin_two


@asynccontextmanager
async def two_lane(
    base: Path,
    answer: Answer | None = ok,
    *,
    settings: dict[int, int] | None = None,
    origin_settings: dict[int, int] | None = None,
    script: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[tuple[Plane, OriginTwo, Client]]:
    """A lane to an HTTP/2 origin in the clear under a scripted guard, and a client with prior knowledge on it."""
    top = {name: options.pop(name) for name in ("mode", "limits") if name in options}
    async with origin_two(answer, settings=origin_settings) as server:
        guard = ScriptedGuard(policy(base, {"upstream": server.url, **options}, **top), **(script or {}))
        async with plane(guard) as running, client(running.port(), settings=settings) as asking:
            yield running, server, asking


@asynccontextmanager
async def asking_of(base: Path, url: str, **options: Any) -> AsyncIterator[tuple[Plane, Client]]:
    """A lane to ``url`` under a scripted guard, and a client with prior knowledge on it."""
    top = {name: options.pop(name) for name in ("mode", "limits") if name in options}
    guard = ScriptedGuard(policy(base, {"upstream": url, **options}, **top))
    async with plane(guard) as running, client(running.port()) as asking:
        yield running, asking


@asynccontextmanager
async def serving(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    """The URL of a server that does ``serve`` with each connection, and then closes it."""

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
