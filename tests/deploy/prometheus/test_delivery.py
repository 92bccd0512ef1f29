"""The whole way of an alert: a leak through a real sidecar, a real Prometheus, a real Alertmanager, somebody's webhook."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
import yaml
from aiohttp import web

from tests.deploy.prometheus.servers import PLACE, alertmanager, prometheus, query, wait_for, watching
from tests.e2e.origin import origin
from tests.published_numbers import card_numbers_in
from tests.sidecar import Sidecar

PAN = "4242424242424242"


def delivering(port: int) -> dict:
    """The shipped example, with its waits as short as they can be, delivering to ``port``."""
    shipped = yaml.safe_load((PLACE / "alertmanager.yml").read_text())
    for route in (shipped["route"], *shipped["route"]["routes"]):
        route |= {"group_wait": "0s", "group_interval": "1s"}
    for receiver in shipped["receivers"]:
        for hook in receiver["webhook_configs"]:
            hook["url"] = f"http://127.0.0.1:{port}/{receiver['name']}"
    return shipped


class Webhook:
    """Keeps what Alertmanager delivers: (receiver, alert), in order."""

    def __init__(self) -> None:
        self.alerts: list[tuple[str, dict]] = []
        self.text = ""
        self.heard = asyncio.Condition()

    async def take(self, request: web.Request) -> web.Response:
        text = await request.text()
        async with self.heard:
            self.text += text
            self.alerts += [(request.path.strip("/"), alert) for alert in json.loads(text)["alerts"]]
            self.heard.notify_all()
        return web.Response()

    def names(self) -> set[tuple[str, str, str]]:
        """(receiver, alert, lane) of what has been delivered."""
        return {(to, alert["labels"]["alertname"], alert["labels"].get("lane", "")) for to, alert in self.alerts}

    async def has(self, *wanted: tuple[str, str, str]) -> None:
        async with asyncio.timeout(60), self.heard:
            await self.heard.wait_for(lambda: set(wanted) <= self.names())


class Servers:
    """Prometheus and Alertmanager, started together and ended together."""

    def __init__(self, base: Path, sidecar: Sidecar, port: int) -> None:
        self._open = ExitStack()
        with ExitStack() as opening:
            receiver = opening.enter_context(alertmanager(base / "alertmanager", delivering(port)))
            self.url = opening.enter_context(prometheus(base / "prometheus", watching(sidecar, receiver)))
            self._open = opening.pop_all()

    def close(self) -> None:
        self._open.close()


@pytest.fixture
async def webhook(aiohttp_server):
    hook = Webhook()
    application = web.Application()
    application.router.add_post("/{receiver}", hook.take)
    hook.port = (await aiohttp_server(application)).port
    return hook


async def test_a_leak_reaches_the_webhook(webhook, start_sidecar, tmp_path):
    async with origin() as sink:
        lanes = [
            {"name": "app-logs", "upstream": sink.url, "role": "logging", "on_violation": "redact"},
            {"name": "gmo", "upstream": sink.url, "role": "payment-gateway"},
            {"name": "quiet", "upstream": sink.url, "role": "storage"},
        ]
        sidecar = await asyncio.to_thread(start_sidecar, lanes)
        servers = await asyncio.to_thread(Servers, tmp_path, sidecar, webhook.port)
        try:
            await asyncio.to_thread(wait_for, lambda: query(servers.url, "up == 1"), "first scrape")
            clean = await asyncio.to_thread(requests.post, sidecar.url("quiet", "/"), json={"order": "A-1"}, timeout=60)
            assert clean.status_code == 200
            for lane, document in (("app-logs", {"card_number": PAN}), ("gmo", {"card_number": PAN, "cvv": "123"})):
                await asyncio.to_thread(requests.post, sidecar.url(lane, "/push"), json=document, timeout=60)
            await webhook.has(
                ("team", "SekishoCardDataRetention", "app-logs"),
                ("on-call", "SekishoCardDataPassthrough", "gmo"),
                ("on-call", "SekishoSensitiveAuthenticationData", "gmo"),
            )
        finally:
            await asyncio.to_thread(servers.close)
    assert {name for name in webhook.names() if name[2] not in ("app-logs", "gmo")} == set()
    assert {to for to, alert in webhook.alerts if alert["labels"]["severity"] == "critical"} == {"on-call"}
    (alert,) = [
        alert
        for _, alert in webhook.alerts
        if alert["labels"]["alertname"] == "SekishoCardDataPassthrough" and alert["labels"]["entity"] == "PAN"
    ][:1]
    assert alert["status"] == "firing"
    assert alert["annotations"]["summary"] == "Card data passes through the shop's systems on lane gmo"
    assert alert["annotations"]["description"].startswith(
        "PAN was sent on lane gmo, where only a token may pass (passthrough"
    )
    assert alert["annotations"]["runbook_url"].endswith("card-data.md#sekishocarddatapassthrough")
    assert card_numbers_in(webhook.text) == []
