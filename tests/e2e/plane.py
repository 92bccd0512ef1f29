"""The HTTP plane on real sockets, with a guard that the test scripts or with the real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proxy.guard import Guard
from proxy.host import Host
from proxy.message import Action, Decision, Message
from proxy.policy import Policy, load
from tests.e2e.origin import OK, Origin, Reply, exchange, origin
from tests.proxy.doubles import RecordingAudit, RecordingMeter
from tests.sidecar import policy_document

PAN = "4111111111111111"
BLOCK = Decision(Action.BLOCK, "id", 403, b'{"type":"urn:sekisho:problem:card-data","status":403,"detail":"blocked."}')
GAP = Decision(Action.BLOCK, "id", 422, b'{"type":"urn:sekisho:problem:uninspectable","status":422,"detail":"gap."}')
FAILED = Decision(Action.BLOCK, "id", 503, b'{"type":"urn:sekisho:problem:failure","status":503,"detail":"failed."}')
ALLOW = Decision(Action.ALLOW, status=200)


def card_in(message: Message) -> bool:
    """What a guard would find, as plainly as a test can ask."""
    return any(PAN.encode() in part.data for part in message.parts)


@dataclass
class ScriptedGuard:
    """A guard that says what the test tells it to, and remembers what it was asked."""

    policy: Policy
    quickly: Callable[[Message], Decision | None] | None = None
    """Instead of: ALLOW when there is no card and no gap, else ``None``."""
    slowly: Callable[[Message], Decision] | None = None
    """Instead of: BLOCK when there is a card or (in enforce mode) a gap, masking where the lane redacts."""
    asked: list[Message] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    adopted: list[Policy] = field(default_factory=list)

    def quick(self, message: Message) -> Decision | None:
        self.asked.append(message)
        if self.quickly is not None:
            return self.quickly(message)
        return None if message.gap or card_in(message) else ALLOW

    def check(self, message: Message) -> Decision:
        if message not in self.asked:
            self.asked.append(message)
        if self.slowly is not None:
            return self.slowly(message)
        if message.route.mode == "monitor":
            return Decision(Action.REPORT, "id", 200)
        if card_in(message):
            return redacted(message) if message.route.on_violation == "redact" else BLOCK
        if message.gap and message.route.on_gap == "block":
            return GAP
        return Decision(Action.REPORT if message.gap else Action.ALLOW, status=200)

    def failed(self, message: Message, where: str) -> Decision:
        self.failures.append(where)
        return ALLOW if message.route.mode == "monitor" else FAILED

    def note(self, kind: str, **own: object) -> None:
        del kind, own

    def adopt(self, policy: Policy) -> None:
        self.adopted.append(policy)
        self.policy = policy


def redacted(message: Message) -> Decision:
    """Every part with its number masked."""
    masked = PAN[:6] + "*" * 6 + PAN[-4:]
    new = {
        index: part.data.replace(PAN.encode(), masked.encode())
        for index, part in enumerate(message.parts)
        if PAN.encode() in part.data
    }
    return Decision(Action.REDACT, "id", 200, parts=new)


@dataclass
class Plane:
    """A running host and what it talks to."""

    host: Host
    guard: Any
    meter: RecordingMeter

    origin: Origin = field(default_factory=Origin)
    """The origin of the only lane, where there is one."""
    audit: RecordingAudit = field(default_factory=RecordingAudit)

    async def ask(self, data: bytes, **options: Any) -> bytes:
        """What the lane answers."""
        return await exchange(self.port(), data, **options)

    def port(self, lane: str = "lane") -> int:
        return self.host.addresses[lane][1]

    def kinds(self) -> list[str]:
        """Of the guard's records, in order."""
        return [event["kind"] for event in self.audit.events]


def policy(base: Path, *lanes: dict[str, Any], **top: Any) -> Policy:
    """A policy of ``lanes``; each is a reverse lane of role logging on a free port unless it says otherwise."""
    rows = [{"name": "lane", "listen": "127.0.0.1:0", "role": "logging", **lane} for lane in lanes]
    for row in rows:
        if row.get("upstream") in ("forward", "transparent"):
            del row["role"]
    path = base / "plane.yaml"
    path.write_text(json.dumps(policy_document(base, rows, **top)))
    return load(path)


@asynccontextmanager
async def plane(guard: Any, meter: RecordingMeter | None = None) -> AsyncIterator[Plane]:
    """The host of ``guard.policy``, listening; drained at the end."""
    counts = meter or RecordingMeter()
    host = Host(guard, counts)
    await host.start()
    try:
        yield Plane(host, guard, counts)
    finally:
        await host.drain(0)
        asyncio.get_running_loop().set_exception_handler(None)


@asynccontextmanager
async def lane(
    base: Path, reply: Reply = OK, *, script: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[Plane]:
    """An origin and a plane with one lane to it, under a scripted guard. Policy keys go in as ``mode`` and ``limits``."""
    top = {name: options.pop(name) for name in ("mode", "limits") if name in options}
    async with origin(reply) as server:
        guard = ScriptedGuard(policy(base, {"upstream": server.url, **options}, **top), **(script or {}))
        async with plane(guard) as running:
            running.origin = server
            yield running


@asynccontextmanager
async def boundary(base: Path, inspector: Any, reply: Reply = OK, **row: Any) -> AsyncIterator[Plane]:
    """An origin, the plane in front of it with a real guard, and what the guard recorded (``audit``)."""
    meter, audit = RecordingMeter(), RecordingAudit()
    mode = row.pop("mode", "enforce")
    limits = {"inspect_seconds": 30, **row.pop("limits", {})}
    async with origin(reply) as server:
        rules = policy(base, {"upstream": server.url, **row}, mode=mode, limits=limits)
        guard = Guard(policy=rules, inspector=inspector, meter=meter, audit=audit)
        async with plane(guard, meter) as running:
            running.origin, running.audit = server, audit
            yield running


async def until(holds: Callable[[], object], seconds: float = 60) -> None:
    """Returns once ``holds()`` does, for what has no event of its own."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.005)


__all__ = [
    "ALLOW",
    "BLOCK",
    "FAILED",
    "GAP",
    "PAN",
    "Plane",
    "ScriptedGuard",
    "boundary",
    "lane",
    "plane",
    "policy",
    "redacted",
    "until",
]
