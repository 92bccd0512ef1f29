from __future__ import annotations

import bz2
import gzip
import lzma
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.http.codings import coding_of, container_of
from proxy.http.codings_zlib import CodingError


def raw_deflate(data):
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(data) + engine.flush()


ENCODERS = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "x-gzip": lambda data: gzip.compress(data[:9], mtime=0) + b"\0\0" + gzip.compress(data[9:], mtime=0),
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
    "br": brotli.compress,
    "zstd": lambda data: zstandard.compress(data[:5]) + zstandard.compress(data[5:]),
    "gzip, br": lambda data: brotli.compress(gzip.compress(data, mtime=0)),
    "identity, zstd": zstandard.compress,
}
FILES = {
    "gzip": ENCODERS["gzip"],
    "zstd": ENCODERS["zstd"],
    "bzip2": lambda data: bz2.compress(data[:7]) + bz2.compress(data[7:]),
    "xz": lambda data: lzma.compress(data) + b"\0\0\0\0" + lzma.compress(data),
}


def decoded(coding, wire, size, most=1000):
    out = b""
    for at in range(0, len(wire), size):
        coding.feed(wire[at : at + size])
        while text := coding.read(most):
            out += text
    coding.end()
    return out


@pytest.mark.parametrize("label", ENCODERS)
@settings(max_examples=30)
@given(data=st.binary(max_size=5000), times=st.integers(1, 30), size=st.integers(1, 700))
def test_comes_out_as_it_went_in(label, data, times, size):
    assert decoded(coding_of(label), ENCODERS[label](data * times), size) == data * times


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=20)
@given(data=st.binary(min_size=20, max_size=3000), size=st.integers(1, 700))
def test_files_by_their_magic(name, data, size):
    wire = FILES[name](data)
    assert decoded(container_of(wire), wire, size) == data * (2 if name == "xz" else 1)


@pytest.mark.parametrize("name", ["gzip", "deflate", "br"])
def test_no_more_at_a_time_than_asked_for(name):
    coding = coding_of(name)
    coding.feed(ENCODERS[name](b"a" * 5_000_000))
    sizes = []
    while text := coding.read(10_000):
        sizes.append(len(text))
    assert sum(sizes) == 5_000_000
    assert max(sizes) <= 65_536


@pytest.mark.parametrize("label", ["gzip", "deflate", "Deflate", "br", "zstd", "gzip, br"])
@pytest.mark.parametrize("fault", ["cut", "corrupt", "behind"])
def test_faults(label, fault):
    wire = ENCODERS[label](bytes(range(256)) * 40)
    wire = {"cut": wire[:-6], "corrupt": b"\x07" + wire[1:20] + b"\xff" * 400, "behind": wire + b"4111" * 9}[fault]
    with pytest.raises(CodingError):
        decoded(coding_of(label), wire, 50)


@pytest.mark.parametrize("label", ["compress", "aws-chunked", "gzip, gzip, gzip", "rot13", "utf-8"])
def test_unknown_labels(label):
    with pytest.raises(CodingError, match="unknown-content-encoding"):
        coding_of(label)


@pytest.mark.parametrize("label", ["", "identity", " , "])
def test_no_coding(label):
    assert coding_of(label) is None


def test_a_dictionary_of_gigabytes():
    wire = lzma.compress(b"text", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}])
    with pytest.raises(CodingError, match="corrupt-xz"):
        decoded(container_of(wire), wire, 50)


@pytest.mark.parametrize("start", [b"", b"\x1f", b"text", b"PK\x03\x04"])
def test_no_container(start):
    assert container_of(start) is None


SAID = b"name of the file"
BESIDE = {
    "a name": ("gzip", b"\x1f\x8b\x08\x08" + bytes(6) + SAID + b"\0" + ENCODERS["gzip"](b"text")[10:], SAID + b"\0\n"),
    "a comment": ("gzip", b"\x1f\x8b\x08\x10" + bytes(6) + SAID + b"\0" + ENCODERS["gzip"](b"text")[10:],
                  SAID + b"\0\n"),
    "an extra field": ("gzip", b"\x1f\x8b\x08\x04" + bytes(6) + b"\x10\0" + SAID + ENCODERS["gzip"](b"text")[10:],
                       b"\x10\0" + SAID + b"\n"),
    "a second member": ("gzip", ENCODERS["gzip"](b"text") + b"\x1f\x8b\x08\x08" + bytes(6) + SAID
                        + b"\0" + ENCODERS["gzip"](b"")[10:], SAID + b"\0\n"),
    "a frame to skip": ("zstd", b"\x5e\x2a\x4d\x18\x10\0\0\0" + SAID + ENCODERS["zstd"](b"text"), SAID + b"\n"),
    "one at the end": ("zstd", ENCODERS["zstd"](b"text") + b"\x50\x2a\x4d\x18\x10\0\0\0" + SAID, SAID + b"\n"),
    "inside": ("zstd, gzip", gzip.compress(b"\x50\x2a\x4d\x18\x10\0\0\0" + SAID + ENCODERS["zstd"](b"text"), mtime=0),
               SAID + b"\n"),
}  # fmt: skip


@pytest.mark.parametrize("place", BESIDE)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_what_decoders_skip_is_kept_for_a_look(place, size):
    label, wire, beside = BESIDE[place]
    coding = coding_of(label)
    assert decoded(coding, wire, size) == b"text"
    assert coding.beside == beside


wide = zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters(window_log=24)).compressobj()


@pytest.mark.parametrize(
    ("label", "wire"),
    [
        ("zstd", b"\x50\x2a\x4d\x18\x10\0\0\0abc"),
        ("zstd", b"\x50\x2a\x4d"),
        ("gzip", b"\x1f\x8b\x08\x08" + b"n" * 200_000),
        ("gzip", b"\x1f\x8b\x08\x08" + bytes(6) + b"name"),
        ("zstd", wide.compress(b"text") + wide.flush()),
    ],
    ids=["cut frame", "cut magic", "endless name", "cut name", "a window of 16 MiB"],
)
def test_headers_that_are_none(label, wire):
    with pytest.raises(CodingError):
        decoded(coding_of(label), wire, 50)
