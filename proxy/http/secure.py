"""TLS with the clients of a lane, or inside their tunnels: a handshake that fails is the end, and is counted."""

from __future__ import annotations

import re

from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import CommandGenerator, Layer
from mitmproxy.proxy.layers.tls import ClientTLSLayer
from mitmproxy.proxy.tunnel import TunnelState

from proxy.http.one import StopTimer
from proxy.http.opening import has_hello
from proxy.http.request import Seat
from proxy.refusals import answer

HANDSHAKE_SECONDS = 10.0
"""How long a client may take from its connection to the end of the handshake."""
HELLO_BYTES = 64 * 1024
"""Longest first message of a client: with post-quantum key shares they are about 2 KiB."""
_HANDSHAKE = b"\x16"
"""First byte of a TLS connection (RFC 8446 5.1)."""
_REQUEST = re.compile(rb"[A-Z]{3,16} [^ ]")
_CERTIFICATE = ("Certificate verify failed", "did not return a certificate")


class SecureLayer(ClientTLSLayer):
    """Nothing of what is inside is read before the handshake has ended well, the client's certificate with it."""

    def __init__(self, context: Context, seat: Seat) -> None:
        super().__init__(context)
        self.seat = seat
        self._timer = commands.RequestWakeup(HANDSHAKE_SECONDS)
        self._is_over = False

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if self._is_over:
            return
        if isinstance(event, events.Wakeup) and event.command is self._timer:
            if self.tunnel_state is TunnelState.ESTABLISHING:
                yield from self._refuse("slow-handshake")
            return
        if isinstance(event, events.Start):
            yield self._timer
        yield from super()._handle_event(event)

    def receive_handshake_data(self, data: bytes) -> CommandGenerator[tuple[bool, str | None]]:
        """As the host does it, for what begins like TLS."""
        if not self.client_hello_parsed:
            if not (self.recv_buffer or data).startswith(_HANDSHAKE):
                if _REQUEST.match(data):
                    yield commands.SendData(self.conn, answer("cleartext-on-tls"))
                yield from self._refuse("cleartext-on-tls")
                return False, None
            if len(self.recv_buffer) + len(data) > HELLO_BYTES:
                yield from self._refuse("tls-handshake")
                return False, None
            try:
                whole = has_hello(self.recv_buffer + data)
            except ValueError:
                yield from self._refuse("tls-handshake")
                return False, None
            if not whole:
                self.recv_buffer += data
                return False, None
        done, error = yield from super().receive_handshake_data(data)
        if done:
            yield StopTimer(self._timer)
        return done, error

    def on_handshake_error(self, err: str) -> CommandGenerator[None]:
        """Tells the client by TLS's own alert why, and counts it. One that went without a word was no client."""
        yield StopTimer(self._timer)
        self._is_over = True
        if self.tls is not None:  # the host begins without one
            yield from self.tls_interact()
        if self.client_hello_parsed or self.recv_buffer:
            certificate = any(sign in err for sign in _CERTIFICATE)
            self.seat.refused("client-certificate" if certificate else "tls-handshake")
        yield from super().on_handshake_error(err)

    def _refuse(self, word: str) -> CommandGenerator[None]:
        yield StopTimer(self._timer)
        self._is_over = True
        self.seat.refused(word)
        yield commands.CloseConnection(self.conn)


def secured(inner: Layer, seat: Seat) -> SecureLayer:
    """``inner`` in TLS. (The host's layer looks at the one that was made before it, so there must be one.)"""
    outer = SecureLayer(inner.context, seat)
    outer.child_layer = inner
    return outer
