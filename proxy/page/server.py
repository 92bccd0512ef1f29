"""The inspector page of the admin server: lanes, the policy in force, the latest violations as they come, each in full.

It only shows: there is nothing in it that changes anything, it loads nothing from elsewhere, and what it shows is what
the audit file and /metrics say, escaped. Whoever may not read those must not read this: off the loopback interface it
asks for a token, and no other site's page may load it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from proxy.admin import WRITTEN, Readiness
from proxy.metrics.sum import Counts
from proxy.page import views as page_views
from proxy.page.views import Filter
from proxy.policy import Policy
from proxy.records.recent import MOST, Recent
from proxy.texts import TEXTS, Lang, language, say

LISTED = 100
"""Violations that the page lists."""
STREAMS = 32
"""Pages that may be live at a time."""
BEAT_SECONDS = 15.0
"""A silent stream sends a comment so often, or whatever is between would close it."""
PAUSE_SECONDS = 0.2
"""Between two bursts of violations."""

ASSETS = Path(__file__).parent.parent / "assets"
STATIC = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
CHALLENGE = {"WWW-Authenticate": 'Basic realm="sekisho", charset="UTF-8"'}
NO_TOKEN = "This page is shown off the loopback interface only with a token: set admin.token_file in the policy.\n"  # noqa: S105 - words


@dataclass(frozen=True, slots=True)
class Shown:
    """Where the page finds what it shows."""

    policy: Callable[[], Policy]
    readiness: Callable[[], Awaitable[Readiness]]
    counts: Callable[[], Awaitable[Counts]]
    recent: Recent


class Page:
    """The page's routes. ``token``: what a reader must know, if anything; without one, only ``local`` readers are let
    in: those whom the admin server's loopback address has let in already."""

    def __init__(self, shown: Shown, *, token: bytes, local: bool) -> None:
        self._shown = shown
        self._token = token
        self._local = local
        self._is_over = False
        self._streams: set[asyncio.Event] = set()
        loader = FileSystemLoader(ASSETS)
        self._templates = Environment(loader=loader, autoescape=True, auto_reload=False, undefined=StrictUndefined)
        self._templates.trim_blocks = self._templates.lstrip_blocks = True
        self._static = {name: (ASSETS / name).read_bytes() for name in STATIC}

    def add_to(self, application: web.Application) -> None:
        """Adds the routes. Call it before the application is served."""
        rows = {
            "/": self._overview,
            "/violations/{id}": self._violation,
            "/events": self._events,
            "/static/{name}": self._file,
        }
        for path, handler in rows.items():
            application.router.add_get(path, self._guarded(handler), allow_head=False)
        application.on_shutdown.append(self._end)

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            if not is_own(request):
                return self._html("elsewhere.html", request, status=403, address=request.rel_url.raw_path_qs)
            if not self._token and not self._local:
                return web.Response(status=403, text=NO_TOKEN)
            if self._token and not knows(self._token, request.headers.get("Authorization", "")):
                return web.Response(status=401, text="The token, please.\n", headers=CHALLENGE)
            return await handler(request)

        return guarded

    async def _overview(self, request: web.Request) -> web.Response:
        lang, wanted = lang_of(request), filter_of(request)
        readiness, counts = await self._shown.readiness(), await self._shown.counts()
        policy, at = self._shown.policy(), self._shown.recent.last
        fitting = [record for record in self._shown.recent.after() if wanted.fits(record)]
        asked = {"lane": wanted.lane, "kind": wanted.kind, "entity": wanted.entity, "lang": lang}
        return self._html(
            "overview.html",
            request,
            policy=policy,
            ready=readiness.ready,
            lost="" if readiness.audit == WRITTEN else readiness.audit,
            now=page_views.clock(datetime.now(UTC).isoformat()),
            lanes=page_views.lanes(policy, readiness, counts, lang),
            rows=[page_views.row(record, lang) for record in reversed(fitting[-LISTED:])],
            wanted=wanted,
            kinds=page_views.KINDS,
            entities=[name.removeprefix("entity.") for name in TEXTS if name.startswith("entity.")],
            most=MOST,
            listed=LISTED,
            events=f"/events?{urlencode({**asked, 'after': at})}",
        )

    async def _violation(self, request: web.Request) -> web.Response:
        record = self._shown.recent.find(request.match_info["id"])
        if record is None or record["kind"] not in page_views.KINDS:
            return self._html("gone.html", request, status=404)
        today = datetime.now(UTC).astimezone().date()
        shown = page_views.detail(record, self._shown.policy(), today, lang_of(request))
        return self._html("violation.html", request, **shown)

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in STATIC:
            raise web.HTTPNotFound
        return web.Response(body=self._static[name], content_type=STATIC[name], charset="utf-8", headers=HEADERS)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Violations as they come, as server-sent events, from the one after ``after`` (or Last-Event-ID) on."""
        if len(self._streams) >= STREAMS or self._is_over:
            return web.Response(status=503, text="Too many pages are live.\n")
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream; charset=utf-8"})
        news = asyncio.Event()
        tell = partial(_tell, asyncio.get_running_loop(), news)
        self._streams.add(news)
        try:
            with self._shown.recent.listening(tell), suppress(ConnectionError):
                await response.prepare(request)
                await self._stream(request, response, news)
        finally:
            self._streams.discard(news)
        return response

    async def _stream(self, request: web.Request, response: web.StreamResponse, news: asyncio.Event) -> None:
        lang, wanted = lang_of(request), filter_of(request)
        at = self._first(request)
        beat = b": \n\n"
        while not self._is_over:
            news.clear()
            records = self._shown.recent.after(at)
            at = records[-1]["seq"] if records else at
            told = b"".join(event(record, lang) for record in records if wanted.fits(record))
            await response.write(told or beat)
            if told:
                await asyncio.sleep(PAUSE_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await news.wait()

    def _first(self, request: web.Request) -> int:
        """The number of the last record that the reader has; 0 if it is of another audit file, begun anew since."""
        asked = request.headers.get("Last-Event-ID") or request.query.get("after", "")
        last = self._shown.recent.last
        at = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 20 else last
        return at if at <= last else 0

    async def _end(self, _: web.Application) -> None:
        self._is_over = True
        for news in self._streams:
            news.set()

    def _html(self, name: str, request: web.Request, status: int = 200, **values: object) -> web.Response:
        lang = lang_of(request)
        other: Lang = "en" if lang == "ja" else "ja"
        text = self._templates.get_template(name).render(
            lang=lang,
            other=other,
            elsewise=f"{request.rel_url.raw_path}?{urlencode({**request.query, 'lang': other})}",
            t=partial(said, lang),
            href=partial(address, lang),
            **values,
        )
        # "replace": a JSON key may hold half a surrogate pair.
        body = text.encode("utf-8", "replace")
        return web.Response(status=status, body=body, content_type="text/html", charset="utf-8", headers=HEADERS)


def _tell(loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> None:
    """From whatever thread a record was written on."""
    loop.call_soon_threadsafe(news.set)


def said(lang: Lang, name: str, otherwise: str = "", **values: object) -> str:
    """A text of the page."""
    text = say(name, lang, otherwise)
    return text.format(**values) if values else text


def address(lang: Lang, record: str) -> str:
    """Where a violation is shown in full."""
    return f"/violations/{record}?lang={lang}"


def event(record: page_views.Record, lang: Lang) -> bytes:
    """A violation as a server-sent event: the row that the page lists it in."""
    row = page_views.row(record, lang)
    told = {"href": address(lang, row.id), "verdict": row.verdict, "cells": row.cells}
    return b"id: %d\nevent: violation\ndata: %b\n\n" % (record["seq"], json.dumps(told).encode("ascii"))


def lang_of(request: web.Request) -> Lang:
    """The language that the reader has chosen, or prefers."""
    return language(request.query.get("lang", ""), request.headers.get("Accept-Language", ""))


def filter_of(request: web.Request) -> Filter:
    """What the reader wants to see."""
    return Filter(*(request.query.get(name, "") for name in ("lane", "kind", "entity")))


def is_own(request: web.Request) -> bool:
    """Whether the request is the reader's own doing, as far as the browser says: not that of another site's page."""
    if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    try:
        return origin is None or urlsplit(origin).netloc.lower() == request.headers.get("Host", "").lower()
    except ValueError:  # a host in brackets that is no address
        return False


def knows(token: bytes, authorization: str) -> bool:
    """Whether an Authorization header holds the token: as ``Bearer``, or as the password of ``Basic``."""
    scheme, _, given = authorization.strip().partition(" ")
    value = given.strip().encode("utf-8", "replace")
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(value, token)
