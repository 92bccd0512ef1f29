"""What is said on a WebSocket, between the layer that has read it and the gate that judges it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mitmproxy import http
from wsproto.frame_protocol import CloseReason

from proxy.http.flows import Context
from proxy.message import Action, Decision, Direction, Message, Part

Kind = Literal["text", "binary", "ping", "pong", "close"]
_MOST: Mapping[Kind, int] = {"ping": 125, "pong": 125, "close": 123}
"""Bytes that fit into a control frame (RFC 6455 5.5); a close has its status before its reason."""


@dataclass(slots=True, eq=False, repr=False)
class Said:
    """A message, or what a control frame says, waiting for the gate's word."""

    flow: http.HTTPFlow
    """The handshake's."""
    direction: Direction
    kind: Kind
    data: bytes
    gap: str = ""
    """Why there is more of it than ``data``."""
    status: int = CloseReason.INTERNAL_ERROR
    """With what both ends are closed; 0 once the gate has let it pass."""

    def put(self, data: bytes) -> None:
        """Says something else instead. Raises ``ValueError`` where that cannot be said in this way."""
        if self.kind in ("text", "close"):
            data.decode()
        if len(data) > _MOST.get(self.kind, len(data)):
            raise ValueError("too long for a control frame")
        self.data = data


def said_message(said: Said, context: Context) -> Message:
    """It as a message with one part."""
    request = said.flow.request.data
    is_control = said.kind in _MOST
    return Message(
        route=context.route,
        direction=said.direction,
        protocol="websocket",
        parts=(Part(said.kind if is_control else "body", said.data),),
        peer=context.peer,
        host=request.host.lower(),
        port=request.port,
        method=request.method.decode("latin-1"),
        path=request.path.partition(b"?")[0].decode("latin-1"),
        status=101 if said.direction == "response" else 0,
        traceparent=request.headers.get("traceparent", ""),
        request_id=request.headers.get("x-request-id", ""),
        gap=context.gap,
    )


def carry_on(said: Said, message: Message, decision: object) -> None:
    """Lets it pass, redacted where that was decided, or gives it the status of its refusal. Raises what goes wrong."""
    if not isinstance(decision, Decision):
        raise TypeError("the guard gave no decision")
    if decision.action is Action.BLOCK:
        said.status = CloseReason.INTERNAL_ERROR
        if decision.status != 503:
            large = message.gap == "body-too-large"
            said.status = CloseReason.MESSAGE_TOO_BIG if large else CloseReason.POLICY_VIOLATION
        return
    if decision.action is Action.REDACT:
        said.put(decision.parts[0])
    said.status = 0
