import gzip
import random
import zlib

import brotli
import pytest
import zstandard

from detectors.decoders.inflate import brotlied, gzipped, zlibbed, zstandarded
from detectors.model import OutOfTime
from tests.detectors.decoders.peeling import Plenty, ask

NOISE = random.Random(7).randbytes(300_000)
STREAMS = {
    "gzip": (gzipped, gzip.compress(NOISE, mtime=0)),
    "zlib": (lambda data, room, asked: zlibbed(data, 0, 15, room, asked), zlib.compress(NOISE)),
    "br": (brotlied, brotli.compress(NOISE, quality=1)),
    "zstd": (zstandarded, zstandard.compress(NOISE)),
}
ROOM = 1 << 30


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_of_many_slices(name):
    read, data = STREAMS[name]
    got = read(data, ROOM, ask())
    assert (got.data == NOISE, got.used, got.fault) == (True, len(data), "")


@pytest.mark.parametrize("name", STREAMS)
def test_the_offset_behind_the_stream(name):
    read, data = STREAMS[name]
    for tail in (b"x", b"tail" * 50_000):
        got = read(data + tail, ROOM, ask())
        assert (got.data == NOISE, got.used, got.fault) == (True, len(data), "")


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("cut", [1, 2, 3, 20, 70_000, 200_000])
def test_every_truncation_says_so(name, cut):
    read, data = STREAMS[name]
    got = read(data[:cut], ROOM, ask())
    assert got.fault in ("truncated", "corrupt")
    assert NOISE.startswith(got.data)
    if cut > 150_000:
        assert len(got.data) > 60_000


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("room", [0, 1, 1000, 299_999])
def test_no_more_than_there_is_room_for(name, room):
    read, data = STREAMS[name]
    got = read(data, room, ask())
    assert (got.data == NOISE[:room], got.fault) == (True, "room")


@pytest.mark.parametrize("name", STREAMS)
def test_what_stood_before_an_error_is_kept(name):
    """In slices that the library throws away when it fails half-way."""
    read, _ = STREAMS[name]
    encode = {"gzip": gzip.compress, "zlib": zlib.compress, "br": brotli.compress, "zstd": zstandard.compress}[name]
    data = bytearray(encode(NOISE))
    data[-2 if name != "br" else -1] ^= 0xFF
    if name in ("br", "zstd"):
        data[len(data) // 2 : len(data) // 2 + 400] = b"\xff" * 400
    got = read(bytes(data), ROOM, ask())
    if not got.fault:
        assert len(got.data) == len(NOISE)  # the spoilt bytes stood in an uncompressed block
        return
    assert got.fault in ("corrupt", "truncated")
    assert NOISE[: len(NOISE) // 3] == got.data[: len(NOISE) // 3]


@pytest.mark.parametrize("name", STREAMS)
def test_the_clock_is_watched(name):
    read, data = STREAMS[name]
    with pytest.raises(OutOfTime):
        read(data, ROOM, ask(budget=Plenty(checks=2)))


@pytest.mark.parametrize("name", STREAMS)
def test_seeded_garbage_raises_nothing(name):
    read, data = STREAMS[name]
    chance = random.Random(11)
    for _ in range(150):
        garbage = bytearray(data[: chance.randrange(2000)])
        for _ in range(chance.randrange(1, 6)):
            if garbage:
                garbage[chance.randrange(len(garbage))] = chance.randrange(256)
        got = read(bytes(garbage), 1 << 20, ask())
        assert got.fault in ("", "truncated", "corrupt", "room")
        assert 0 <= got.used <= len(garbage)
