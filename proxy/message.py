"""What the planes hand to the guard, and what they get back. Plain frozen values; no host framework here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from proxy.policy import Route

Direction = Literal["request", "response"]


class Action(StrEnum):
    """What was done with a message."""

    ALLOW = "allow"
    REDACT = "redact"
    BLOCK = "block"
    REPORT = "report"


class Part(NamedTuple):
    """One inspectable piece of a message. An exchange has ten; a frozen dataclass takes three times as long."""

    name: str
    """Where it is, as the client knows it: ``method``, ``path``, ``query``, ``header:user-agent``, ``cookie:sid``,
    ``trailer:x``, ``body``. Header and cookie names that could themselves hold digits are part of ``data``."""
    data: bytes
    content_type: str = ""
    content_encoding: str = ""
    field: int = 0
    """Position among the header fields, where a name comes more than once."""
    held: int = 0
    """The last bytes of ``data``, which come again with the next piece of a body in motion: what begins there is found
    then."""

    def __repr__(self) -> str:
        return f"Part({len(self.data)} bytes)"


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """One request or response on a lane, ready to be judged."""

    route: Route
    """The lane (and, on a forward lane, the destination) whose rules apply."""
    direction: Direction
    protocol: str
    parts: tuple[Part, ...]
    peer: str = ""
    """Address of the client, ``host:port``."""
    host: str = ""
    """Destination host of the *connection*, lower case: never the Host header."""
    port: int = 0
    method: str = ""
    path: str = ""
    """Raw path without the query, as sent. For a response: the path of its request."""
    status: int = 0
    traceparent: str = ""
    request_id: str = ""
    gap: str = ""
    """A reason why the plane itself could not hand over all bytes (``body-too-large``); judged as a Gap."""
    moving: bool = False
    """A further piece of a message that has been counted with its head."""
    probe: Callable[[bool], None] | None = None
    """The self-probe's: it is told whether card data was found, and nothing else is counted or recorded."""
    measured: bool = False
    """The length of the body is on its way: a redaction must not change it."""

    def __repr__(self) -> str:
        return f"Message({self.direction}, {len(self.parts)} parts)"


@dataclass(frozen=True, slots=True)
class Decision:
    """The guard's answer. ``action`` is BLOCK until a finished inspection has said otherwise."""

    action: Action = Action.BLOCK
    id: str = ""
    """The audit record's id (a UUID), empty where nothing was recorded."""
    status: int = 503
    """For BLOCK: 403 violation, 422 uninspectable, 503 Sekisho itself failed."""
    problem: bytes = b""
    """For BLOCK: the RFC 9457 answer, ready to send as application/problem+json. Holds no digits."""
    parts: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    """For REDACT: index in ``Message.parts`` → the part's new bytes (still content-encoded as declared)."""
