"""What stands around Sekisho in deploy/compose.yaml, one role in each container: ``stub.py ROLE``.

Made of the parts of ``sekisho demo``. Each role listens on port 8000, and on the next one for a second server.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import aiohttp
from aiohttp import web

from proxy.demo.cards import VISA
from proxy.demo.gmo_emulator import HERE, Gateway, api, token_server
from proxy.demo.scenarios import ScenarioError, browser_posts_card, token_order
from proxy.demo.shop import Lanes, Shop, shop_app
from proxy.demo.sinks import Handler, Sink, search_store, session_store
from proxy.demo.stage import Stage

HOST, PORT = "0.0.0.0", 8000
PAUSE_SECONDS = float(os.environ.get("PAUSE_SECONDS", "2"))
MISTAKE_EVERY = 10
LANES = Lanes(
    logs="http://sekisho:3100",
    search="http://sekisho:9200",
    sessions="http://sekisho:8001",
    gmo="http://sekisho:8443",
    front="http://sekisho:8080",
)
"""All that a backend is told: in the place of each address it had, Sekisho's."""
GMO_HERE, TOKEN_SERVER = "gmo:8000", "http://gmo:8001"
FAILURES = (aiohttp.ClientError, TimeoutError, ScenarioError, ValueError, LookupError)

Traffic = Callable[[], Awaitable[None]]


class Forgetful(Sink):
    """A sink that keeps nothing: this one runs for days."""

    @web.middleware
    async def keep(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        return await handler(request)


async def shop(client: aiohttp.ClientSession) -> tuple[list[web.Application], Traffic]:
    """The backend: serves orders, and now and then writes a card number where none belongs."""
    backend = Shop(client, LANES)
    mistakes = [backend.debug_log, backend.crash_dump, backend.store_card, backend.remember_code, backend.pay_raw]

    async def traffic() -> None:
        for turn in range(sys.maxsize):
            await asyncio.sleep(PAUSE_SECONDS * MISTAKE_EVERY)
            with suppress(*FAILURES):
                answer = await mistakes[turn % len(mistakes)](VISA)
                say(f"{mistakes[turn % len(mistakes)].__name__}: {answer.status}")

    return [shop_app(backend, Forgetful("shop"))], traffic


async def customers(client: aiohttp.ClientSession) -> tuple[list[web.Application], Traffic]:
    """Browsers: orders paid with tokens, and now and then an old page that posts the card."""
    front = {"front": LANES.front}
    stage = Stage(front, "", TOKEN_SERVER, Shop(client, LANES), {}, client, Path("/nonexistent"))

    async def traffic() -> None:
        for turn in range(sys.maxsize):
            await asyncio.sleep(PAUSE_SECONDS)
            play = browser_posts_card if turn % MISTAKE_EVERY == MISTAKE_EVERY - 1 else token_order
            try:
                answer = await play(stage)
                say(f"{play.__name__}: {answer.status}")
            except FAILURES as error:
                say(f"{play.__name__}: {type(error).__name__}")

    return [web.Application()], traffic


async def gmo(_client: aiohttp.ClientSession) -> tuple[list[web.Application], None]:
    """The gateway: what backends call, and what browsers call."""
    gateway = Gateway()
    called = api(gateway, Forgetful("gmo"))
    called[HERE].append(GMO_HERE)
    return [called, token_server(gateway)], None


async def stores(_client: aiohttp.ClientSession) -> tuple[list[web.Application], None]:
    """The search index and the session store."""
    return [search_store(Forgetful("search")), session_store(Forgetful("sessions"))], None


async def pager(_client: aiohttp.ClientSession) -> tuple[list[web.Application], None]:
    """Whoever is on call."""

    async def ring(request: web.Request) -> web.Response:
        for alert in (await request.json())["alerts"]:
            labels = alert["labels"]
            say(f"{request.path[1:]}: {alert['status']} {labels['alertname']} {labels.get('lane', '')}")
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/{whom}", ring)])
    return [app], None


ROLES = {role.__name__: role for role in (shop, customers, gmo, stores, pager)}


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def main(role: str) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as client:
        apps, traffic = await ROLES[role](client)
        for number, app in enumerate(apps):
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
            await runner.setup()
            await web.TCPSite(runner, HOST, PORT + number).start()
        say(f"{role} listens")
        await (traffic() if traffic else asyncio.Event().wait())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
