"""What is made to be expensive ends, within the memory that the limits allow, in a finding or a gap."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import tracemalloc
import zipfile
import zlib

import brotli
import pytest
import zstandard

from detectors.model import Limits

N = b"4111111111111111"
MB = 1024 * 1024
LIMITS = Limits(body=4 * MB, expanded=16 * MB, ratio=200, seconds=2)
ROOM = 6 * LIMITS.expanded
"""Bytes at the most: what is decoded, in two charsets, beside what it came from."""


def raw(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def zipped(data, entries):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(entries):
            archive.writestr(zipfile.ZipInfo(f"f{n}"), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def nested(pack, data, times):
    for _ in range(times):
        data = pack(data)
    return data


LETTERS = b"a" * (24 * MB)
PACKERS = {
    "gzip": lambda data: gzip.compress(data, 9, mtime=0),
    "deflate": zlib.compress,
    "br": lambda data: brotli.compress(data, quality=5),
    "zstd": zstandard.ZstdCompressor(level=1).compress,
    "xz": lambda data: lzma.compress(data, preset=0),
    "bzip2": bz2.compress,
}
BOMBS = {name: pack(LETTERS) for name, pack in PACKERS.items()}
PART = b'--x\r\nContent-Disposition: form-data; name="n"\r\n\r\n1\r\n'

ATTACKS = {
    **{f"{name}, declared": (bomb, "", name) for name, bomb in BOMBS.items()},
    **{f"{name}, not declared": (bomb, "", "") for name, bomb in BOMBS.items()},
    "raw deflate": (raw(LETTERS), "", ""),
    "inside other bytes": (b"\0\1\2\xff" + b"".join(b"\xc8" + zlib.compress(LETTERS[: 4 * MB]) for _ in range(20)), "", ""),
    "in base64 in JSON": (b'{"a":"' + base64.b64encode(BOMBS["gzip"]) + b'"}', "application/json", ""),
    "gzip of gzip": (nested(PACKERS["gzip"], BOMBS["gzip"], 2), "", "gzip"),
    "thirty times gzip": (nested(PACKERS["gzip"], N, 30), "", "gzip"),
    "zip of zips": (nested(lambda data: zipped(data, 8), LETTERS[:MB], 4), "application/zip", ""),
    "zip of one bomb many times": (zipped(LETTERS[: 4 * MB], 40), "application/zip", ""),
    "a zip of many": (zipped(b"", 11_000), "application/zip", ""),
    "a bomb in multipart": (b"--x\r\nContent-Encoding: gzip\r\n\r\n" + BOMBS["gzip"] + b"\r\n--x--", "multipart/form-data; boundary=x", ""),
    "parts in parts": (
        nested(lambda d: b"--x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n" + d, PART, 40), "multipart/mixed; boundary=x", "",
    ),
    "names of a part": (PART.replace(b'name="n"', b"; ".join(b"name=n%d" % n for n in range(90_000))) + N + b"\r\n--x--", "multipart/form-data; boundary=x", ""),
    "entities of entities": (
        b"<!DOCTYPE l [<!ENTITY a '4111'>" + b"".join(b"<!ENTITY %c '%b'>" % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(8)) + b"]><l>&i;</l>",
        "application/xml", "",
    ),
    "one entity many times": (b"<!DOCTYPE a [<!ENTITY x '" + b"4" * 90_000 + b"'>]><a>" + b"&x;" * 90_000 + b"</a>", "application/xml", ""),
    "gzip in gRPC": (b"\1" + len(BOMBS["gzip"]).to_bytes(4, "big") + BOMBS["gzip"], "application/grpc; grpc-encoding=gzip", ""),
    "JSON, deep": (b'{"a":' * 200_000 + b'"' + N + b'"', "application/json", ""),
    "XML, deep": (b"<a>" * 300_000 + N, "application/xml", ""),
    "numbers": ((N + b" ") * 200_000, "", ""),
    "longer than a body may be": (b" " * (4 * MB) + N, "text/plain", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_it_ends_in_a_finding_or_a_gap(inspector, name):
    body, kind, coding = ATTACKS[name]
    tracemalloc.start()
    try:
        result = inspector.inspect(body, kind, coding, limits=LIMITS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result.findings or result.gaps
    assert "inspector-error" not in [gap.reason for gap in result.gaps]
    assert peak < ROOM
    assert coding or not inspector.quiet(body, kind)


FLOODS = {
    "zlib": b"\0" + b"x\x9c" * 300_000,
    "stored zlib": b"\0" + b"x\x01\x00\xff\xff\x00\x00" * 80_000,
    "gzip": b"\0" + b"\x1f\x8b\x08\0" * 150_000,
    "zstd": b"\0" + b"\x28\xb5\x2f\xfd\0\0" * 50_000,
    "comments": b'{"cvv":' + b"/*x*/" * 150_000 + b'"123"}',
    "comment lines": b"[" + b"1,//\n" * 100_000 + N + b"]",
    "XML comments": b"<cvv>" + b"<!-- x -->" * 80_000 + b"123</cvv>",
    "attributes": b"<a " + b"b='1' " * 120_000 + b"cvv='123'/>",
    "entities": b"<!ENTITY " * 80_000,
    "parts": PART * 12_000 + b"--x--",
    "one header field": PART.replace(b"\r\n\r\n", b"\r\n" + b"".join(b"X: %d\r\n" % n for n in range(60_000)) + b"\r\n")
    + b"--x--",
    "escape sequences": "あ".encode() + b"4\x1b(B" * 150_000 + b" ",
    "frames": b"\0\0\0\0\0" * 150_000,
    "percent signs": b"%34%31" * 100_000,
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods_of_beginnings_end(inspector, name):
    """Whatever is found: each is read to its end or is a gap, in little more memory than it takes itself."""
    body = FLOODS[name]
    kinds = {
        "one header field": "multipart/form-data; boundary=x",
        "parts": "multipart/form-data; boundary=x",
        "frames": "application/grpc",
    }
    tracemalloc.start()
    try:
        result = inspector.inspect(body + N, kinds.get(name, ""), limits=LIMITS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result.findings or result.gaps
    assert "inspector-error" not in [gap.reason for gap in result.gaps]
    assert peak < ROOM
