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

from proxy.codings import CodingError, coding_of, container_of


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


@pytest.mark.parametrize("start", [b"", b"\x1f", b"text", b"PK\x03\x04"])
def test_no_container(start):
    assert container_of(start) is None
