"""What a redirected connection speaks, by its first bytes, and what is asked where nobody can read it."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field, replace
from typing import Literal

from mitmproxy.proxy.commands import StartHook
from mitmproxy.proxy.layers.tls import parse_client_hello

from proxy.message import Action, Decision, Message, Part
from proxy.policy.routes import Route
from proxy.policy.values import normal_host

Speaks = Literal["http", "tls", "unknown"]

MOST_BYTES = 64 * 1024
"""Of an opening that is still none of these."""

MOST_RECORDS = 64
"""That a ClientHello is in: it fits into one."""
_RECORD = b"\x16\x03"
"""How a record of a TLS handshake begins (RFC 8446 5.1)."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_HTTP = re.compile(rb"[\r\n]{0,8}(?:CONNECT |%b{1,32} (?:[/*]|https?://))" % _TOKEN, re.IGNORECASE)
_HTTP_SO_FAR = re.compile(rb"[\r\n]{0,8}(?:%b{0,32}|%b{1,32} [htps:/]{0,7})" % (_TOKEN, _TOKEN), re.IGNORECASE)


def speaks(data: bytes) -> Speaks | None:
    """What a connection speaks whose client begins with ``data``; ``None``: it takes more to tell."""
    if _HTTP.match(data):
        return "http"
    if _RECORD.startswith(data[:2]):
        return "tls" if len(data) > 1 else None
    if _HTTP_SO_FAR.fullmatch(data) and len(data) < MOST_BYTES:
        return None
    return "unknown"


def has_hello(data: bytes | bytearray) -> bool:
    """Whether a ClientHello is whole in ``data``, or what is there is none; told at little cost, for it is asked with
    every byte that comes. Raises ``ValueError`` where it is in more records than any client makes of it."""
    at = size = 0
    begun = b""
    for _ in range(MOST_RECORDS):
        head = data[at : at + 5]
        end = at + 5 + int.from_bytes(head[3:])
        if not _RECORD.startswith(head[:2]) or (len(head) == 5 and end == at + 5):
            return True
        if len(head) < 5 or end > len(data):
            return False
        if len(begun) < 4:
            begun += data[at + 5 : min(end, at + 9)]
        size += end - at - 5
        at = end
        if len(begun) >= 4 and size >= 4 + int.from_bytes(begun[1:4]):
            return True
    raise ValueError("a ClientHello in crumbs")


def server_name(data: bytes) -> str | None:
    """The server name (RFC 6066) that a ClientHello asks for, as hosts are compared, or an empty string; ``None``: the
    ClientHello is not whole yet. Raises ``ValueError`` where it is none."""
    if len(data) > MOST_BYTES:
        raise ValueError("a ClientHello without an end")
    if not has_hello(data):
        return None
    hello = parse_client_hello(data)
    if hello is None:
        return None
    return (normal_host(hello.sni) or "") if hello.sni else ""


@dataclass(slots=True, eq=False, repr=False)
class Opaque:
    """A connection that nobody can read, waiting for the gate's word."""

    gap: str
    """Why not: a row of ``proxy.metrics.series.GAP_REASONS``."""
    peer: str
    host: str
    """Where it leads, or says it does."""
    port: int
    data: bytes = b""
    """Its first bytes."""
    protocol: Literal["tcp", "udp"] = "tcp"
    over: bool = False
    """Nothing of it goes on, whatever the word is: the client has ended it, or it cannot be answered."""
    draw: int = field(default_factory=lambda: secrets.randbelow(100))
    """Below ``percent`` it is enforced."""
    passed: bool = False
    """Its bytes may be passed on as they are."""

    def message(self, route: Route) -> Message:
        """It as a message. Redaction is not for bytes that nobody understands."""
        if self.over:
            route = replace(route, mode="enforce", on_gap="block")
        elif self.draw >= route.percent:
            route = replace(route, mode="monitor")
        if route.on_violation == "redact":
            route = replace(route, on_violation="block")
        parts = (Part("body", self.data),)
        return Message(route, "request", self.protocol, parts, self.peer, self.host, self.port, gap=self.gap)

    def carry_on(self, decision: object) -> None:
        """Lets it pass, if that was decided. Raises what goes wrong."""
        if not isinstance(decision, Decision):
            raise TypeError("the guard gave no decision")
        self.passed = not self.over and decision.action in (Action.ALLOW, Action.REPORT)


@dataclass(repr=False)
class OpaqueConnectionHook(StartHook):
    """Before a connection that nobody can read is passed on."""

    data: Opaque
