"""Header blocks of gzip; what comes out of streams is in tests/proxy/http/test_codings.py."""

from __future__ import annotations

import gzip

import pytest

from proxy.http.codings_zlib import head_length

PLAIN = gzip.compress(b"text", mtime=0)
START = b"\x1f\x8b\x08"
HEADS = {
    "plain": (PLAIN[:10], 10),
    "name": (START + b"\x08" + bytes(6) + b"a.log\0", 16),
    "name and comment": (START + b"\x18" + bytes(6) + b"a\0bc\0", 15),
    "extra field": (START + b"\x04" + bytes(6) + b"\x02\0ab", 14),
    "all with a checksum": (START + b"\x1e" + bytes(6) + b"\x01\0xa\0b\0cc", 19),
}


@pytest.mark.parametrize("name", HEADS)
def test_lengths(name):
    head, length = HEADS[name]
    assert head_length(head + PLAIN) == length
    assert [head_length(head[:cut]) for cut in range(length)] == [None] * length


@pytest.mark.parametrize("data", [b"text", b"\x1f\x8c", PLAIN[1:]])
def test_what_is_no_member_has_no_head(data):
    assert head_length(data) == 0
