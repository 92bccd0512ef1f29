from __future__ import annotations

import pytest
from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.exceptions import FrameTooLargeError
from h2.settings import SettingCodes

from proxy.http.two_engine import (
    CONNECTION_WINDOW,
    FRAME_BYTES,
    SLICE_BYTES,
    STREAMS,
    TABLE_BYTES,
    WINDOW,
    BoundedH2,
    Ration,
    Turns,
)


def pair(header=65536):
    """A client and a server that have greeted each other."""
    ends = [BoundedH2(H2Configuration(client_side=side, header_encoding=False), header) for side in (True, False)]
    for end in ends:
        end.initiate_connection()
    for _ in range(3):
        sent = [end.data_to_send() for end in ends]
        for end, data in zip(reversed(ends), sent, strict=True):
            end.receive_data(data)
    return ends


def test_what_a_peer_is_told():
    client, server = pair()
    told = client.remote_settings
    assert (told.initial_window_size, told.max_concurrent_streams, told.max_header_list_size) == (
        WINDOW,
        STREAMS,
        65536,
    )
    assert told.max_frame_size == FRAME_BYTES
    assert client.outbound_flow_control_window == CONNECTION_WINDOW
    assert server.remote_settings.enable_push == 0


HEAD = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")]


def test_a_window_opens_when_it_is_told_to_and_the_connections_by_itself():
    client, server = pair()
    client.send_headers(1, HEAD)
    client.send_data(1, b"x" * (WINDOW + 10))
    server.receive_data(client.data_to_send())
    assert (client.queued(1), client.waiting()) == (10, 10)
    server.taken(WINDOW)
    client.receive_data(server.data_to_send())
    assert client.queued(1) == 10
    server.credit(1, WINDOW)
    client.receive_data(server.data_to_send())
    assert client.queued(1) == 0


def test_a_frame_that_is_too_long_is_refused_by_its_head():
    _, server = pair()
    with pytest.raises(FrameTooLargeError):
        server.receive_data((FRAME_BYTES + 1).to_bytes(3, "big") + b"\0\0\0\0\0\1")


def test_streams_that_have_begun_outlive_a_goaway():
    client, server = pair()
    client.send_headers(1, HEAD)
    server.receive_data(client.data_to_send())
    server.leave()
    server.send_headers(1, [(b":status", b"200")], end_stream=True)
    names = [type(event).__name__ for event in client.receive_data(server.data_to_send())]
    assert names == ["ConnectionTerminated", "ResponseReceived", "StreamEnded"]


def test_a_peer_cannot_grow_the_compression_table():
    client, server = pair()
    client.update_settings({SettingCodes.HEADER_TABLE_SIZE: 2**31})
    server.receive_data(client.data_to_send())
    for number in range(200):
        client.send_headers(2 * number + 1, HEAD, end_stream=True)
        server.receive_data(client.data_to_send())
        server.send_headers(2 * number + 1, [(b":status", b"200"), (b"x-id", b"%0100d" % number)], end_stream=True)
        client.receive_data(server.data_to_send())
    assert server.encoder.header_table.maxsize == TABLE_BYTES
    assert len(server.encoder.header_table.dynamic_entries) < TABLE_BYTES // 100


def test_what_waits_is_forgotten_with_its_stream():
    client, _ = pair()
    client.send_headers(1, HEAD)
    client.send_data(1, b"x" * (WINDOW + 10))
    client.send_trailers(1, [(b"x", b"1")])
    client.reset_stream(1, ErrorCodes.CANCEL)
    assert (client.waiting(), client.stream_trailers) == (0, {})


def test_a_ration_is_a_burst_and_then_a_rate(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("proxy.http.two_engine.time.monotonic", lambda: now[0])
    ration = Ration(3, 1)
    assert [ration.spent() for _ in range(4)] == [False, False, False, True]
    now[0] = 2.5
    assert [ration.spent() for _ in range(2)] == [False, True]


def frame(kind, size=0):
    return size.to_bytes(3, "big") + bytes([kind, 0, 0, 0, 0, 1]) + bytes(size)


@pytest.mark.parametrize(
    ("data", "sizes"),
    [
        (b"P" * 24 + frame(6, 8) * 130, [24 + 64 * 17, 64 * 17, 2 * 17]),
        (b"P" * 24 + frame(1, 4) * 20, [24 + 8 * 13, 8 * 13, 4 * 13]),
        (b"P" * 24 + frame(0, 9000) + frame(1, 9000), [4096, 4096, 4096, 4096, 1658]),
        (b"P" * 10, [10]),
        (b"", []),
    ],
    ids=["small frames", "requests", "long frames", "a piece of a preface", "nothing"],
)
@pytest.mark.parametrize("at", [0, 1, 30, 5000])
def test_turns(data, sizes, at):
    assert [len(piece) for piece in Turns(24).cut(data)] == sizes
    turns = Turns(24)
    pieces = [*turns.cut(data[:at]), *turns.cut(data[at:])]
    assert b"".join(pieces) == data
    assert all(len(piece) <= SLICE_BYTES for piece in pieces)
    assert len(pieces) <= len(sizes) + 2
