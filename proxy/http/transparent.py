"""A redirected connection: what it speaks is told by its first bytes, and HTTP is read, in the clear or inside of TLS.

Whatever else it is, the gate is asked about it as a gap, and it is passed on unread only where the policy lets gaps
pass. All of it goes to the address that the client connected to, whatever names it uses.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from mitmproxy.connection import Server
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator, Layer
from mitmproxy.proxy.layers.http import HTTPMode

from proxy.http.layers import Drained, LaneHttpLayer
from proxy.http.one import Deadline
from proxy.http.opening import Opaque, OpaqueConnectionHook, server_name, speaks
from proxy.http.relay import RelayLayer, peer_of
from proxy.http.seat import LaneSeat
from proxy.http.secure import SecureLayer
from proxy.http.tls import last_alert
from proxy.http.websocket import Leaving

SILENT_SECONDS = 5.0
"""How long a client may say nothing before its server is taken for the one who speaks first."""
_DENIED = b"\x15\x03\x01\x00\x02\x02\x31"
"""A TLS alert: access_denied (RFC 8446 6.2)."""
_ECH_REQUIRED = 121
"""The alert by which a client turns away from a server that has not read its Encrypted ClientHello (RFC 9849)."""
_DISTRUST = frozenset({42, 43, 44, 45, 46, 48, 49, 51})
"""Alerts by which a client turns away from a certificate: bad_certificate to certificate_unknown, unknown_ca,
access_denied, decrypt_error (RFC 8446 6.2)."""


class TransparentLayer(Layer):
    """What a redirected connection speaks, and the layers for it."""

    def __init__(self, context: Context, seat: LaneSeat) -> None:
        super().__init__(context)
        self.seat = seat
        self._deadline = Deadline()
        self._timers: set[commands.Command] = set()
        self._begun = bytearray()
        self._child: Layer | None = None
        self._over = False

    @property
    def busy(self) -> bool:
        """Whether something is under way."""
        return self._child.busy if isinstance(self._child, LaneHttpLayer) else self._child is not None

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, events.Start):
            yield from self._within(SILENT_SECONDS)
        elif isinstance(event, events.Wakeup) and event.command in self._timers:
            self._timers.discard(event.command)
            if self._deadline.is_over(event):
                yield from self._overdue()
        elif self._child is not None:
            yield from self._to_child(self._child, event)
        elif self._over:
            return
        elif isinstance(event, events.DataReceived):
            self._begun += event.data
            yield from self._look()
        elif isinstance(event, events.ConnectionClosed):
            yield from self._end()

    def _to_child(self, child: Layer, event: events.Event) -> CommandGenerator[None]:
        if isinstance(child, RelayLayer) and isinstance(event, Drained | Leaving):
            return
        yield from child.handle_event(event)

    def _within(self, seconds: float) -> Iterator[commands.Command]:
        for command in self._deadline.start(seconds):
            if isinstance(command, commands.RequestWakeup):
                self._timers.add(command)
            yield command

    def _overdue(self) -> CommandGenerator[None]:
        if self._child is None:
            yield from self._opaque("unknown-protocol" if self._begun else "silent-client")

    def _look(self) -> CommandGenerator[None]:
        """Takes what has come so far for what it is, once that is clear."""
        data = bytes(self._begun)
        kind = speaks(data)
        if kind == "http":
            yield from self._deadline.stop()
            yield from self._begin(LaneHttpLayer(self.context, HTTPMode.transparent, self.seat))
        elif kind == "unknown":
            yield from self._opaque("unknown-protocol")
        elif kind == "tls":
            try:
                name = server_name(data)
            except ValueError:
                yield from self._opaque("unknown-protocol")
                return
            if name is not None:
                yield from self._tls(name)

    def _tls(self, name: str) -> CommandGenerator[None]:
        """TLS with a certificate of the deployment's authority for the name, which the upstream's must bear out, and in
        it the same inspection for one destination."""
        host, port = self.seat.leads_to
        if not name and self.seat.lists(host):
            name = host
        if not self.seat.intercepts:
            yield from self._opaque("encrypted", _DENIED)
        elif not name:
            yield from self._opaque("no-sni", _DENIED)
        elif self.seat.is_pinned(name, time.monotonic()):
            yield from self._opaque("pinned", _DENIED)
        else:
            self.seat.inside = True
            self.context.server = Server(address=(name, port), tls=True, sni=self.seat.server_name(name))
            yield from self._deadline.stop()
            yield from self._begin(InterceptedLayer(self.context, self.seat, name))

    def _opaque(self, gap: str, last_word: bytes = b"") -> CommandGenerator[None]:
        """Passes on what nobody can read, where the policy lets it, or ends it."""
        yield from self._deadline.stop()
        host, port = self.seat.leads_to
        opaque = Opaque(gap, peer_of(self.context), host, port, bytes(self._begun))
        yield OpaqueConnectionHook(opaque)
        if opaque.passed:
            error = yield commands.OpenConnection(self.context.server)
            if error:
                self.seat.upstream_failed("upstream-unreachable", error)
                yield from self._end()
                return
            self.seat.duplex = True
            yield from self._begin(RelayLayer(self.context, self.seat, gap, host, port, len(opaque.data)))
            return
        if last_word:
            yield commands.SendData(self.context.client, last_word)
        yield from self._end()

    def _begin(self, child: Layer) -> CommandGenerator[None]:
        self._child = child
        yield from child.handle_event(events.Start())
        if self._begun:
            data = bytes(self._begun)
            self._begun.clear()
            yield from child.handle_event(events.DataReceived(self.context.client, data))

    def _end(self) -> CommandGenerator[None]:
        yield from self._deadline.stop()
        self._over = True
        yield commands.CloseConnection(self.context.client)


class InterceptedLayer(SecureLayer):
    """TLS towards the client. A client that turns away from it is a gap: its application trusts something else."""

    def __init__(self, context: Context, seat: LaneSeat, name: str) -> None:
        super().__init__(context, seat)
        self.child_layer = LaneHttpLayer(context, HTTPMode.transparent, seat)
        self._seat = seat
        self._name = name

    def on_handshake_error(self, err: str) -> CommandGenerator[None]:
        """Counts it by what the client said."""
        reason = turned_away(last_alert(self.tls), closed=err.startswith("connection closed"))
        if reason == "pinned":
            self._seat.pin(self._name, time.monotonic())
        _, port = self._seat.leads_to
        yield OpaqueConnectionHook(Opaque(reason, peer_of(self.context), self._name, port, over=True))
        yield from super().on_handshake_error(err)


def turned_away(alert: int | None, *, closed: bool) -> str:
    """The gap for a handshake that has come to nothing, by the client's alert, if it sent one; ``closed``: it left."""
    if alert == _ECH_REQUIRED:
        return "ech"
    return "pinned" if alert in _DISTRUST or (alert is None and closed) else "tls-handshake"
