"""The gate: flows of the host become messages for the guard, and its decisions are carried out on the flows.

Whatever fails in between (an exception, a deadline, a cancelled task) ends in the guard's word for failures, or, if
that fails too, in a refusal; only a lane in monitor mode goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Protocol

from mitmproxy import http

from proxy.dialects import grpc_kind, grpc_status, spoken
from proxy.faults import place
from proxy.gmo.calls import is_gmo_host
from proxy.http import marks
from proxy.http.flows import Context, piece_message, put, request_message, response_message
from proxy.http.opening import Opaque
from proxy.http.pieces import Piece
from proxy.http.request import bare_response, refusal_response
from proxy.http.said import Said, carry_on, said_message
from proxy.http.seals import unsealed
from proxy.http.upgrade import limit_extensions
from proxy.message import Action, Decision, Direction, Message
from proxy.policy import Lane, Policy, Route
from proxy.refusals import GAP_ANSWERS, REFUSALS, problem, restated
from proxy.threads import Overloaded, Threads

INLINE_BYTES = 256 * 1024
"""Bodies up to this size are sieved on the event loop, where a pass takes less time than handing it to a thread."""
GRACE_SECONDS = 1.0
"""Added to the inspector's own deadline: it ends itself with a gap, and only if it cannot is it given up."""

RECORD_SECONDS = 1.0
"""How long the record of a failed inspection may take to be written, before the failure is only counted."""

HEAVY_BYTES = 32 * 1024 * 1024
"""Decoded bytes from which on an inspection counts as heavy. Memory is about twice of what the decoders make."""

logger = logging.getLogger(__name__)


class Asked(Protocol):
    """The guard, as the gate knows it."""

    policy: Policy

    def quick(self, message: Message) -> Decision | None:
        """ALLOW for what is clean at first sight, without leaving the event loop; ``None``: ask ``check``."""

    def check(self, message: Message) -> Decision:
        """The decision. Runs on another thread."""

    def failed(self, message: Message, where: str) -> Decision:
        """The decision about a message whose inspection failed."""


class Latency(Protocol):
    """The part of the meter that the gate uses."""

    def added_latency(self, lane: str, seconds: float) -> None:
        """One message was held for ``seconds``."""

    def internal_error(self, where: str) -> None:
        """Sekisho itself failed."""

    def audit_error(self) -> None:
        """A record could not be written."""


class Gate:
    """Asks the guard about each message of a flow and carries out the answer.

    Each method returns ``None`` when the answer is carried out already, or an awaitable that does it.
    """

    def __init__(self, guard: Asked, threads: Threads, meter: Latency) -> None:
        self.guard = guard
        self._threads = threads
        self._meter = meter

    def head(self, flow: http.HTTPFlow, lane: Lane) -> Awaitable[None] | None:
        """Before a client is told to send the body that it holds back (``Expect``). The whole request is asked about,
        and counted, when it is there; so nothing is said now where only that can be judged, or nothing is refused."""
        route, gap = self._route(lane, flow, "request")
        by_body = route.role == "payment-gateway" or is_gmo_host(flow.request.host)
        if by_body or route.mode == "monitor" or route.on_violation == "report":
            marks.set_passed(flow, "request")
            return None
        route, seal = unsealed(route, flow.request, gap)
        message = request_message(flow.request, self._context(route, flow, gap, lane))
        return self._ask(replace(message, moving=True), partial(carry_out, flow, message, seal=seal))

    def request(self, flow: http.HTTPFlow, lane: Lane) -> Awaitable[None] | None:
        """Before a request is forwarded."""
        route, gap = self._route(lane, flow, "request")
        if route.mode == "enforce":
            marks.limit_codings(flow.request.headers)
            limit_extensions(flow.request.headers)
        route, seal = unsealed(route, flow.request, gap)
        message = request_message(flow.request, self._context(route, flow, gap, lane))
        return self._ask(message, partial(carry_out, flow, message, seal=seal))

    def response(self, flow: http.HTTPFlow, lane: Lane) -> Awaitable[None] | None:
        """Before a response is forwarded."""
        route, gap = self._route(lane, flow, "response")
        if flow.response is None:
            raise ValueError("a response hook without a response")
        if route.mode == "enforce" and "alt-svc" in flow.response.headers:
            del flow.response.headers["alt-svc"]  # it would teach the client a way around the lane (RFC 7838)
        route, seal = unsealed(route, flow.response, gap)
        message = response_message(flow, self._context(route, flow, gap, lane))
        return self._ask(message, partial(carry_out, flow, message, seal=seal))

    def piece(self, flow: http.HTTPFlow, direction: Direction, piece: Piece, lane: Lane) -> Awaitable[None] | None:
        """Before a piece of a body in motion is forwarded."""
        route, gap = self._route(lane, flow, direction)
        target = flow.request if direction == "request" else flow.response
        if target is None:
            raise ValueError("a piece of no message")
        gap = gap or piece.gap
        route, seal = unsealed(route, target, "its content-encoding" if piece.coded else gap)
        message = piece_message(flow, direction, self._context(route, flow, gap, lane), piece)
        carry = partial(carry_out, flow, message, seal=seal, piece=piece)
        return self._ask(message, carry) or asyncio.sleep(0)  # a row of them leaves the others a turn

    def connect(self, flow: http.HTTPFlow, lane: Lane, *, readable: bool) -> Awaitable[None] | None:
        """Before a tunnel is opened. ``readable``: its inside will be decrypted and asked about, message by message."""
        route, gap = self._route(lane, flow, "request")
        if readable:
            marks.set_readable(flow)
            if not gap:
                marks.set_passed(flow, "request")
                return None
        message = request_message(flow.request, self._context(route, flow, gap or "encrypted", lane))
        return self._ask(message, partial(carry_out, flow, message))

    def said(self, said: Said, lane: Lane) -> Awaitable[None] | None:
        """Before what is said on a WebSocket is passed on."""
        message = self._spoken(said, lane)
        return self._ask(message, partial(carry_on, said, message))

    def unheard(self, said: Said, lane: Lane, where: str) -> None:
        """As ``broken``, for what is said on a WebSocket."""
        message = self._spoken(said, lane)
        carry_on(said, message, self._failed(message, where))

    def opaque(self, opaque: Opaque, lane: Lane) -> Awaitable[None] | None:
        """Before a connection that nobody can read is passed on."""
        message = opaque.message(lane.route(opaque.host) or self._unlisted(lane))
        return self._ask(message, opaque.carry_on)

    def unseen(self, opaque: Opaque, lane: Lane, where: str) -> None:
        """As ``broken``, for such a connection."""
        message = opaque.message(lane.route(opaque.host) or self._unlisted(lane))
        opaque.carry_on(self._failed(message, where))

    def broken(
        self, flow: http.HTTPFlow, lane: Lane, direction: Direction, where: str, piece: Piece | None = None
    ) -> None:
        """Carries out the guard's word for a failure: the hook itself did not come to an end."""
        route, gap = self._route(lane, flow, direction)
        about = (_peer(flow), flow.request.host.lower(), flow.request.port, flow.request.method)
        message = Message(route, direction, "http", (), *about, gap=gap, probe=marks.probe(flow))
        carry_out(flow, message, self._failed(message, where), piece=piece)

    def _route(self, lane: Lane, flow: http.HTTPFlow, direction: Direction) -> tuple[Route, str]:
        """The rules for the flow's destination, and the gap known so far. Monitor mode reports unlisted destinations;
        nothing else lets them pass, and nothing at all what would escape the rules of another."""
        gap = marks.gap(flow, direction)
        if gap == "misdirected":
            return replace(self._unlisted(lane), mode="enforce"), gap
        route = lane.route(flow.request.host)
        if route is not None:
            return (route if marks.enforced(flow, route.percent) else replace(route, mode="monitor")), gap
        return self._unlisted(lane), gap or "unlisted-destination"

    def _unlisted(self, lane: Lane) -> Route:
        return Route(lane.name, "external", lane.mode or self.guard.policy.mode, source=lane.source)

    def _spoken(self, said: Said, lane: Lane) -> Message:
        route, gap = self._route(lane, said.flow, said.direction)
        if said.gap and route.on_violation == "redact":
            route = replace(route, on_violation="block")  # a part of a message cannot be redacted
        return said_message(said, self._context(route, said.flow, said.gap or gap, lane))

    def _context(self, route: Route, flow: http.HTTPFlow, gap: str, lane: Lane) -> Context:
        return Context(route, _peer(flow), gap, marks.probe(flow), chosen=lane.upstream.chosen)

    def _ask(self, message: Message, carry: Callable[[object], None]) -> Awaitable[None] | None:
        began = perf_counter()
        if not message.gap and sum(len(part.data) for part in message.parts) <= INLINE_BYTES:
            decision = self.guard.quick(message)
            if isinstance(decision, Decision) and decision.action is Action.ALLOW:
                carry(decision)
                self._count(message, began)
                return None
        return self._check(message, carry, began)

    async def _check(self, message: Message, carry: Callable[[object], None], began: float) -> None:
        decision = await self._decision(message)
        try:
            carry(decision)
        except Exception as error:  # noqa: BLE001 - whatever it was, the message is refused
            logger.error("carrying out failed: %s", place(error))
            carry(await self._word(message, "carry-out"))
        self._count(message, began)

    def _count(self, message: Message, began: float) -> None:
        if message.probe is not None:
            return
        try:
            self._meter.added_latency(message.route.lane, perf_counter() - began)
        except Exception as error:  # noqa: BLE001 - a histogram never decides what the client gets
            logger.error("counting failed: %s", place(error))

    async def _decision(self, message: Message) -> Decision:
        """The guard's decision, or its word for a failure, within the route's deadline."""
        seconds, lane = message.route.limits.seconds + GRACE_SECONDS, message.route.lane
        try:
            return await self._threads.run(self.guard.check, message, seconds, lane=lane, heavy=is_heavy(message))
        except TimeoutError:
            where = "timeout"
        except asyncio.CancelledError:
            where = "cancelled"
        except Exception as error:  # noqa: BLE001 - fail closed on whatever it was
            if not isinstance(error, Overloaded):
                logger.error("worker failed: %s", place(error))
            where = "worker"
        return await self._word(message, where)

    async def _word(self, message: Message, where: str) -> Decision:
        """As ``_failed``, away from the event loop: it writes a record, and a disk may hang."""
        try:
            return await self._threads.run(lambda failed: self._failed(failed, where), message, RECORD_SECONDS)
        except (TimeoutError, Overloaded):
            return self._unrecorded(message, where)
        except asyncio.CancelledError:
            return self._unrecorded(message, "cancelled")
        except Exception:  # noqa: BLE001 - no thread can be had
            return self._failed(message, where)

    def _unrecorded(self, message: Message, where: str) -> Decision:
        try:
            self._meter.internal_error(where)
            self._meter.audit_error()
        except Exception as error:  # noqa: BLE001 - a counter never decides what the client gets
            logger.error("counting failed: %s", place(error))
        return Decision(Action.ALLOW if message.route.mode == "monitor" else Action.BLOCK)

    def _failed(self, message: Message, where: str) -> Decision:
        try:
            return self.guard.failed(message, where)
        except BaseException:  # noqa: BLE001 - the last edge: nothing is left to ask
            return self._unrecorded(message, where)


def is_heavy(message: Message) -> bool:
    """Whether the decoders may make so much of it that only few of its kind may be inspected at once."""
    limits = message.route.limits
    return min(limits.expanded, sum(len(part.data) for part in message.parts) * limits.ratio) > HEAVY_BYTES


def carry_out(
    flow: http.HTTPFlow, message: Message, decision: object, seal: str = "", piece: Piece | None = None
) -> None:
    """Marks the flow, or the piece of it, as passed (with redacted parts put in), or gives the flow its refusal. Raises
    whatever goes wrong."""
    if not isinstance(decision, Decision):
        raise TypeError("the guard gave no decision")
    if decision.action is Action.BLOCK:
        response = _refusal(flow, message, decision, seal)
        marks.set_refusal(flow, response)
        flow.response = response
        return
    if decision.action is Action.REDACT:
        target = flow.request if message.direction == "request" else flow.response
        if target is None:
            raise ValueError("nothing to redact")
        new = dict(decision.parts)
        body = new.pop(0, None) if piece is not None else None
        put(target, message.parts, new)
        _pass(flow, message, piece, body)
        return
    _pass(flow, message, piece)


def _pass(flow: http.HTTPFlow, message: Message, piece: Piece | None, body: bytes | None = None) -> None:
    if piece is None:
        marks.set_passed(flow, message.direction)
    else:
        piece.passes(body)


def _refusal(flow: http.HTTPFlow, message: Message, decision: Decision, seal: str) -> http.Response:
    document, status = decision.problem or problem("internal"), decision.status
    if not decision.problem:
        status = REFUSALS["internal"].status
    elif message.gap in GAP_ANSWERS and status == 422:
        large_answer = message.direction == "response" and message.gap in ("body-too-large", "piece-too-large")
        status, why = GAP_ANSWERS["answer-too-large" if large_answer else message.gap]
        document = restated(document, status=status, add=why)
    elif seal:
        document = restated(document, add=f"This lane redacts, but {seal} seals the message: an edit would break it.")
    if kind := grpc_kind(flow.request.headers.get("content-type", "")):
        return bare_response(grpc_status(kind, status, document))
    media, body = spoken(flow.request.headers, flow.request.data.path, status, document)
    return refusal_response(status, body, media=media, head=flow.request.method == "HEAD")


def _peer(flow: http.HTTPFlow) -> str:
    host, port, *_ = flow.client_conn.peername
    return f"{host}:{port}"
