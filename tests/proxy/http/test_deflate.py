from __future__ import annotations

import zlib

import pytest
from wsproto.frame_protocol import CloseReason, FrameProtocol, ParseFailed

from proxy.http.deflate import Deflate

TEXT = b"the same words, the same words, the same words"


def made(compression="permessage-deflate"):
    deflate = Deflate()
    deflate.finalize(compression)
    return deflate


def read(*frames, compression="permessage-deflate"):
    """What a client reads of ``frames``: kind and payload of each whole message and control frame."""
    protocol = FrameProtocol(True, [made(compression)])
    out, begun = [], b""
    for frame in frames:
        protocol.receive_bytes(frame)
        for found in protocol.received_frames():
            if found.opcode.iscontrol():
                out.append((found.opcode.name, bytes(found.payload)))
                continue
            begun += found.payload
            if found.message_finished:
                out.append((found.opcode.name, begun))
                begun = b""
    return out


def frame(first, payload):
    assert len(payload) < 126
    return bytes([first, len(payload)]) + payload


def deflated(data, end=zlib.Z_SYNC_FLUSH):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(data) + packer.flush(end)
    return packed[:-4] if end == zlib.Z_SYNC_FLUSH else packed


PACKED = deflated(TEXT)


def test_a_compressed_message_after_another():
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first, second = [(packer.compress(TEXT) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4] for _ in range(2)]
    assert len(second) < len(first)
    assert read(frame(0xC2, first), frame(0xC2, second)) == [("BINARY", TEXT)] * 2


def test_without_context_each_is_by_itself():
    compression = "permessage-deflate; server_no_context_takeover"
    assert read(frame(0xC2, PACKED), frame(0xC2, PACKED), compression=compression) == [("BINARY", TEXT)] * 2


def test_an_uncompressed_message_between():
    assert read(frame(0xC2, PACKED), frame(0x82, b"\x00plain"), frame(0xC2, deflated(TEXT))) == [
        ("BINARY", TEXT),
        ("BINARY", b"\x00plain"),
        ("BINARY", TEXT),
    ]


@pytest.mark.parametrize("cut", [0, 1, 7, len(PACKED)])
def test_control_frames_between_the_fragments(cut):
    frames = [frame(0x42, PACKED[:cut]), frame(0x89, b"here?"), frame(0x80, PACKED[cut:]), frame(0x8A, b"")]
    assert read(*frames) == [("PING", b"here?"), ("BINARY", TEXT), ("PONG", b"")]


def test_a_final_block_is_not_the_end():
    final = deflated(TEXT, zlib.Z_FINISH)
    frames = [frame(0xC2, final + b"\x00"), frame(0xC2, final + PACKED), frame(0xC2, PACKED)]
    assert read(*frames) == [("BINARY", TEXT), ("BINARY", TEXT * 2), ("BINARY", TEXT)]


@pytest.mark.parametrize("payload", [b"\xff\xff\xff", b"\x07"])
def test_what_is_no_deflate(payload):
    with pytest.raises(ParseFailed) as broken:
        read(frame(0xC2, payload))
    assert broken.value.code is CloseReason.INVALID_FRAME_PAYLOAD_DATA


def test_what_the_end_lacks_is_missed_with_the_next():
    """Deflate that stops in the middle of a block: the rest of it never comes."""
    with pytest.raises(ParseFailed):
        read(frame(0xC2, deflated(TEXT, zlib.Z_FINISH)[:-6]), frame(0xC2, PACKED))


@pytest.mark.parametrize("first", [0xC9, 0xA2, 0x92, 0x02 | 0x80 | 0x30])
def test_reserved_bits(first):
    with pytest.raises(ParseFailed) as broken:
        read(frame(first, b""))
    assert broken.value.code is CloseReason.PROTOCOL_ERROR


def test_a_continuation_cannot_begin_compression():
    with pytest.raises(ParseFailed):
        read(frame(0x02, b"a"), frame(0xC0, PACKED))


def test_windows():
    """Of 512 bytes, as both may say: what is sent can be read by who keeps no more."""
    compression = "permessage-deflate; client_max_window_bits=9; server_max_window_bits=9"
    client, server = FrameProtocol(True, [made(compression)]), FrameProtocol(False, [made(compression)])
    data = bytes(n * n >> 3 & 0xFF for n in range(3000)) * 2
    for sends, reads in ((client, server), (server, client)):
        reads.receive_bytes(sends.send_data(data))
        assert b"".join(found.payload for found in reads.received_frames()) == data
