"""Everything the demo runs on: the embedded servers, the shop, and between them the real ``sekisho run`` process.

All of it listens on free ports of 127.0.0.1, and all of it is gone when the stage is left, however it is left.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from proxy.demo.gmo_emulator import HERE, Gateway, api, token_server
from proxy.demo.shop import Lanes, Shop, shop_app
from proxy.demo.sinks import Sink, log_store, search_store, session_store

READY_SECONDS = 30.0
STOP_SECONDS = 10.0
LANES = ("app-logs", "search", "sessions", "gmo", "front")


class StageError(Exception):
    """The sidecar did not start. The message is its own output."""


@dataclass(slots=True)
class Stage:
    """Addresses and objects the story needs. Every address is ``http://127.0.0.1:port``."""

    lanes: Mapping[str, str]
    admin: str
    token_server: str
    shop: Shop
    sinks: Mapping[str, Sink]
    """What was received behind each lane, by lane name."""
    browser: aiohttp.ClientSession
    audit: Path

    def audit_lines(self) -> list[dict[str, Any]]:
        """The audit records written so far."""
        if not self.audit.exists():
            return []
        return [json.loads(line) for line in self.audit.read_text(encoding="utf-8").splitlines()]


@dataclass(slots=True)
class Parts:
    """The embedded servers, each listening, with their own addresses (``host:port``) by the lane they stand behind."""

    sinks: Mapping[str, Sink]
    shop: Shop
    addresses: Mapping[str, str]
    token_server: str


async def open_parts(stack: AsyncExitStack, lanes: Lanes) -> Parts:
    """Everything but the sidecar, until ``stack`` is left. The shop sends all it has to say to ``lanes``."""
    gateway, sinks = Gateway(), {name: Sink(name) for name in LANES}
    shop = Shop(await stack.enter_async_context(_client()), lanes)
    gmo = api(gateway, sinks["gmo"])
    apps = {
        "app-logs": log_store(sinks["app-logs"]),
        "search": search_store(sinks["search"]),
        "sessions": session_store(sinks["sessions"]),
        "gmo": gmo,
        "front": shop_app(shop, sinks["front"]),
    }
    addresses = {name: await _serve(stack, app) for name, app in apps.items()}
    gmo[HERE].append(addresses["gmo"])
    return Parts(sinks, shop, addresses, await _serve(stack, token_server(gateway)))


@asynccontextmanager
async def open_stage(mode: str) -> AsyncIterator[Stage]:
    """A ready stage. Raises ``StageError`` when the sidecar cannot start."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sekisho-demo-")))
        listen = dict(zip((*LANES, "admin"), _free_addresses(len(LANES) + 1), strict=True))
        urls = {name: f"http://{address}" for name, address in listen.items()}
        lanes = Lanes(urls["app-logs"], urls["search"], urls["sessions"], urls["gmo"], urls["front"])
        parts = await open_parts(stack, lanes)
        policy = write_policy(directory, mode, listen, parts.addresses)
        browser = await stack.enter_async_context(_client())
        await stack.enter_async_context(_sidecar(policy, browser, urls["admin"]))
        yield Stage(
            lanes={name: urls[name] for name in LANES},
            admin=urls["admin"],
            token_server=f"http://{parts.token_server}",
            shop=parts.shop,
            sinks=parts.sinks,
            browser=browser,
            audit=directory / "var" / "audit.jsonl",
        )


def _client() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15), trust_env=False)


async def _serve(stack: AsyncExitStack, app: web.Application) -> str:
    """Starts ``app`` on a free port until the stack is left: its ``host:port``."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    return f"{host}:{port}"


def _free_addresses(count: int) -> list[str]:
    """Addresses nothing listens on now. All are held at once, so that none is given twice."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{probe.getsockname()[1]}" for probe in probes]


def write_policy(directory: Path, mode: str, listen: Mapping[str, str], upstreams: Mapping[str, str]) -> Path:
    """The policy file, with its key, in ``directory``."""
    key = directory / "secrets" / "fingerprint.key"
    key.parent.mkdir(mode=0o700)
    key.touch(mode=0o600)
    key.write_text(secrets.token_hex(32) + "\n", encoding="ascii")
    (directory / "var").mkdir()
    rules = {
        "app-logs": "role: logging, on_violation: redact",
        "search": "role: storage",
        "sessions": "role: storage",
        "gmo": "role: payment-gateway",
        "front": "role: shop",
    }
    lanes = [
        f'  - {{name: {name}, listen: "{listen[name]}", upstream: "http://{upstreams[name]}", {rules[name]}}}'
        for name in LANES
    ]
    text = "\n".join(
        [
            "version: 1",
            "policy_id: sekisho-demo",
            f"mode: {mode}",
            f'admin: {{listen: "{listen["admin"]}"}}',
            "audit: {path: var/audit.jsonl, retention_days: 1, fingerprint_key_file: secrets/fingerprint.key}",
            "defaults: {on_violation: block, on_gap: block, redaction: mask}",
            "lanes:",
            *lanes,
            "",
        ]
    )
    path = directory / "sekisho.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@asynccontextmanager
async def _sidecar(policy: Path, client: aiohttp.ClientSession, admin: str) -> AsyncIterator[None]:
    """The real process, ready. In a session of its own: Ctrl-C reaches the demo alone, which then ends it in order."""
    output = policy.parent / "sidecar.log"
    with output.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", "run", "-c", str(policy)),
            cwd=policy.parent,
            env=_environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        await _until_ready(process, client, admin, output)
        yield
    finally:
        await _stop(process)


def _environment() -> dict[str, str]:
    """Ours, with these very packages importable in the child, installed or not."""
    packages = str(Path(__file__).resolve().parents[2])
    search = os.pathsep.join(part for part in (packages, os.environ.get("PYTHONPATH", "")) if part)
    return os.environ | {"PYTHONPATH": search}


async def _until_ready(
    process: asyncio.subprocess.Process, client: aiohttp.ClientSession, admin: str, output: Path
) -> None:
    try:
        async with asyncio.timeout(READY_SECONDS):
            while process.returncode is None:
                try:
                    async with client.get(f"{admin}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise StageError(f"the sidecar was not ready after {READY_SECONDS:.0f} s:\n{_tail(output)}") from None
    raise StageError(f"the sidecar ended with exit code {process.returncode}:\n{_tail(output)}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, then SIGKILL for one that does not end."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _tail(output: Path) -> str:
    return "\n".join(output.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
