"""The TLS layer by itself: what it does with what is no handshake. Over sockets: ``test_lane_tls``."""

from __future__ import annotations

import types

import pytest
from mitmproxy.connection import Client, ConnectionState
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer

from proxy.http.one import StopTimer
from proxy.http.secure import HELLO_BYTES, secured


class Inner(Layer):
    def __init__(self, context):
        super().__init__(context)
        self.seen = []

    def _handle_event(self, event):
        self.seen.append(event)
        yield from ()


@pytest.fixture
def parts():
    client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2), state=ConnectionState.OPEN)
    counted: list[str] = []
    inner = Inner(Context(client, types.SimpleNamespace(proxy_debug=False)))
    return secured(inner, types.SimpleNamespace(refused=counted.append)), client, inner, counted


def feed(layer, *given) -> list:
    return [type(command) for event in given for command in layer.handle_event(event)]


@pytest.mark.parametrize(
    ("data", "word", "answer"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "cleartext-on-tls", [commands.SendData]),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "cleartext-on-tls", [commands.SendData]),
        (b"SSH-2.0-client\r\n", "cleartext-on-tls", []),
        (b"\x00", "cleartext-on-tls", []),
        (b"\x16" + b"\x03" * HELLO_BYTES, "tls-handshake", []),
    ],
)
def test_what_is_no_handshake_is_the_end(parts, data, word, answer):
    layer, client, inner, counted = parts
    assert feed(layer, events.Start()) == [commands.RequestWakeup]
    assert feed(layer, events.DataReceived(client, data)) == [*answer, StopTimer, commands.CloseConnection]
    assert feed(layer, events.DataReceived(client, data), events.ConnectionClosed(client)) == []
    assert (counted, inner.seen) == ([word], [])


def test_no_tls_record_in_the_handshake(parts):
    layer, client, inner, counted = parts
    feed(layer, events.Start())
    *_, hook = layer.handle_event(events.DataReceived(client, b"\x16not a record"))
    assert feed(layer, events.HookCompleted(hook)) == [commands.CloseConnection]
    assert (counted, inner.seen) == (["tls-handshake"], [])


def test_a_client_hello_in_crumbs(parts):
    layer, client, inner, counted = parts
    feed(layer, events.Start())
    crumb = b"\x16\x03\x01\x00\x01"
    for byte in b"\x01\x00\x02\x00" + bytes(59):
        assert feed(layer, events.DataReceived(client, crumb + bytes([byte]))) == []
    assert feed(layer, events.DataReceived(client, crumb + b"\x00")) == [StopTimer, commands.CloseConnection]
    assert (counted, inner.seen) == (["tls-handshake"], [])


def test_the_time_is_over(parts):
    layer, client, inner, counted = parts
    (timer,) = layer.handle_event(events.Start())
    feed(layer, events.DataReceived(client, b"\x16\x03\x01"))
    assert feed(layer, events.Wakeup(timer)) == [StopTimer, commands.CloseConnection]
    assert (counted, inner.seen) == (["slow-handshake"], [])
