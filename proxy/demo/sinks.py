"""Where a shop's data comes to rest: a log store, a search store and a session store, each with its own parser.

Each keeps what it received, so that the demo can look for cards in it afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
"""What answers a request."""


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """One request as a server got it, its body decompressed."""

    line: bytes
    """Method, path and query, and every header."""
    body: bytes

    @property
    def data(self) -> bytes:
        """All of it."""
        return self.line + b"\n" + self.body

    def __repr__(self) -> str:
        return f"Record({len(self.line)} + {len(self.body)} bytes)"


@dataclass(slots=True)
class Sink:
    """What one server received."""

    name: str
    records: list[Record] = field(default_factory=list)

    @web.middleware
    async def keep(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Middleware: every request is kept, also one that the handler then refuses."""
        head = [f"{request.method} {request.raw_path}".encode("utf-8", "surrogateescape")]
        head += [name + b": " + value for name, value in request.raw_headers]
        self.records.append(Record(b"\n".join(head), await request.read()))
        return await handler(request)


def log_store(sink: Sink) -> web.Application:
    """Loki's push endpoint. 204, or 400 for what Loki could not read."""

    async def push(request: web.Request) -> web.Response:
        try:
            streams = json.loads(await request.read())["streams"]
            lines = [str(line) for stream in streams for _time, line in stream["values"]]
        except (ValueError, KeyError, TypeError) as error:
            return web.Response(status=400, text=f"error parsing push request: {type(error).__name__}")
        return web.Response(status=204 if lines else 400)

    return _app(sink, [web.post("/loki/api/v1/push", push), web.get("/ready", _ready)])


def search_store(sink: Sink) -> web.Application:
    """Elasticsearch's ``_doc`` and ``_bulk``. Errors have its shape too."""

    async def index(request: web.Request) -> web.Response:
        try:
            json.loads(await request.read())
        except ValueError:
            return _parse_error()
        number = str(len(sink.records))
        return web.json_response(
            {"_index": request.match_info["index"], "_id": number, "result": "created"}, status=201
        )

    async def bulk(request: web.Request) -> web.Response:
        try:
            rows = [json.loads(line) for line in (await request.read()).splitlines() if line.strip()]
        except ValueError:
            return _parse_error()
        items = [{"index": {"_index": action["index"]["_index"], "status": 201}} for action in rows[::2]]
        return web.json_response({"took": 1, "errors": len(rows) % 2 == 1, "items": items})

    return _app(sink, [web.post("/_bulk", bulk), web.post("/{index}/_doc", index), web.get("/", _ready)])


def session_store(sink: Sink) -> web.Application:
    """A key/value store over HTTP: PUT and GET of ``/sessions/{id}``."""
    values: dict[str, bytes] = {}

    async def put(request: web.Request) -> web.Response:
        values[request.match_info["id"]] = await request.read()
        return web.Response(status=204)

    async def get(request: web.Request) -> web.Response:
        value = values.get(request.match_info["id"])
        if value is None:
            return web.Response(status=404)
        return web.Response(body=value, content_type="application/json")

    return _app(sink, [web.put("/sessions/{id}", put), web.get("/sessions/{id}", get)])


def _app(sink: Sink, routes: list[web.RouteDef]) -> web.Application:
    app = web.Application(middlewares=[sink.keep], client_max_size=64 * 1024 * 1024)
    app.add_routes(routes)
    return app


async def _ready(_request: web.Request) -> web.Response:
    return web.Response(text="ready\n")


def _parse_error() -> web.Response:
    error = {"type": "mapper_parsing_exception", "reason": "failed to parse"}
    return web.json_response({"error": error, "status": 400}, status=400)
