import base64
import bz2
import gzip
import json
import lzma
import random
import struct
import urllib.parse
import zlib

import brotli
import pytest
import zstandard

from detectors.decoders.embedded import is_headless, may_be, peel
from detectors.model import PAN, Gap, OutOfTime
from detectors.redaction import redact
from tests.detectors.decoders.peeling import NUMBER, Plenty, ask, gaps, peels

TEXT = b'{"card":"' + NUMBER.encode() + b'","note":"paid"}'
BEFORE, BEHIND = b"\0\1data" + bytes(range(128, 200)), bytes(range(200, 250))


def raw(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


STREAMS = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}
HEADLESS = {"deflate": raw, "br": brotli.compress}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_inside_other_data(inspector, name):
    packed = STREAMS[name](TEXT)
    body = BEFORE + packed + BEHIND + packed
    assert may_be(body)
    first, second = peels(peel(body, ask()))
    assert (first.codec, first.data, second.data) == (name, TEXT, TEXT)
    assert first.hook.locate(0, 9) == (len(BEFORE), len(BEFORE + packed))
    found = inspector.inspect(body, "application/octet-stream").findings
    assert [(f.entity, f.path, f.trail) for f in found] == [(PAN, "$.card", (name,))] * 2
    assert not inspector.quiet(body, "application/octet-stream")
    assert redact(body, found, "mask") is None


@pytest.mark.parametrize("level", range(10))
def test_every_level_of_zlib(inspector, level):
    packed = zlib.compress(TEXT * 3, level)
    for body in (BEFORE + packed, json.dumps({"d": base64.b64encode(packed).decode()}).encode()):
        assert {f.entity for f in inspector.inspect(body).findings} == {PAN}


@pytest.mark.parametrize("name", HEADLESS)
def test_a_body_without_a_magic(inspector, name):
    body = HEADLESS[name](TEXT * 20)
    (child,) = peels(peel(body, ask()))
    assert (child.codec, child.data) == (name, TEXT * 20)
    assert {(f.entity, f.trail) for f in inspector.inspect(body).findings} == {(PAN, (name,))}
    assert not inspector.quiet(body)


def test_saml_in_a_redirect(inspector):
    """SAML bindings, 3.4.4.1: raw deflate in base64 in a query."""
    request = f'<samlp:AuthnRequest ID="x"><a card="{NUMBER}"/></samlp:AuthnRequest>'.encode()
    form = urllib.parse.urlencode({"SAMLRequest": base64.b64encode(raw(request)), "RelayState": "x"}).encode()
    (finding,) = inspector.inspect(form, "application/x-www-form-urlencoded").findings
    assert (finding.path, finding.trail[-2:]) == ("SAMLRequest//samlp:AuthnRequest/a/@card", ("base64", "deflate"))
    assert not inspector.quiet(form, "application/x-www-form-urlencoded")


def png(*chunks):
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", 16, 1, 8, 0, 0, 0, 0), *chunks, b"IEND")
    framed = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


COMMENTS = {
    "plain": b"tEXtComment\0" + TEXT,
    "deflated": b"zTXtComment\0\0" + zlib.compress(TEXT),
    "international": b"iTXtComment\0\1\0\0\0" + zlib.compress(TEXT),
}


@pytest.mark.parametrize("name", COMMENTS)
def test_comments_of_a_picture(inspector, name):
    result = inspector.inspect(png(COMMENTS[name]), "image/png")
    assert ([f.entity for f in result.findings], result.gaps) == ([PAN], ())


def test_a_picture_is_no_finding_and_no_gap(inspector):
    pixels = random.Random(4).randbytes(90_000)
    result = inspector.inspect(png(b"IDAT" + zlib.compress(pixels)), "image/png")
    assert (result.findings, result.gaps) == ((), ())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (BEFORE + gzip.compress(TEXT * 9, mtime=0)[:-9], "truncated-gzip"),
        (BEFORE + zlib.compress(TEXT * 9)[:-1] + b"\x99", "corrupt-deflate"),
        (BEFORE + zlib.compress(TEXT, 0)[:-9], "truncated-deflate"),
    ],
)
def test_a_stream_that_breaks_is_a_gap_and_is_read(data, reason):
    items = list(peel(data, ask()))
    assert gaps(items) == [Gap(reason, len(BEFORE), len(data))]
    assert NUMBER.encode() in items[0].data


@pytest.mark.parametrize("pack", [raw, brotli.compress, lambda text: BEFORE + zlib.compress(text)])
def test_bombs_end_in_a_gap(pack):
    data = pack(b"a" * 5_000_000)
    items = list(peel(data, ask(budget=Plenty(limit=100_000))))
    assert [gap.reason for gap in gaps(items)] == ["expanded"]
    assert len(items[0].data) <= 200_000


@pytest.mark.parametrize("pack", [raw, *(lambda text, name=name: BEFORE + STREAMS[name](text) for name in STREAMS)])
def test_without_any_room_a_stream_is_a_gap(pack):
    items = list(peel(pack(TEXT * 99), ask(budget=Plenty(limit=0))))
    assert [gap.reason for gap in gaps(items)] == ["expanded"]


NOTHING = {
    "text": b"x\x9c".decode("latin-1").encode() + TEXT,
    "short": raw(b"4111"),
    "random": random.Random(2).randbytes(50_000),
    "magic only": BEFORE + b"\x1f\x8b\x08" + BEHIND + b"x\x9c" * 50 + b"\x28\xb5\x2f\xfd" + BEHIND,
    "raw deflate of bytes": raw(bytes(range(256))),
    "bytes behind": raw(TEXT) + b"\xff" * 20,
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_is_none_is_left_alone(name):
    assert list(peel(NOTHING[name], ask())) == []
    assert not is_headless(NOTHING[name], ask())


def test_many_starts_take_linear_time():
    data = bytes(20) + b"x\x9c\x4b" * 60_000
    assert list(peel(data, ask())) == []
    with pytest.raises(OutOfTime):
        list(peel(data, ask(budget=Plenty(checks=100))))
