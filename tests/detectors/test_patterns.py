from __future__ import annotations

import json
from urllib.parse import quote

import hyperscan
import pytest

from detectors import patterns_text
from detectors.patterns import JAPANESE_KEYS, PATTERNS, RECOGNIZE, japanese_patterns
from detectors.sieve import Sieve
from detectors.sieve_classes import base64_patterns
from detectors.transforms import CHARSETS, STRUCTURES, TRANSFORMS
from tests.detectors.test_sieve import ENCODED, ORDINARY

GENERATED = {
    *base64_patterns(),
    *japanese_patterns(),
    *(row[1] for row in (*patterns_text.encodings(), *patterns_text.apart())),
}
WRITTEN = [row for row in PATTERNS if row.expression not in GENERATED]


def matcher(row):
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = hyperscan.HS_FLAG_CASELESS if row.caseless else 0
    database.compile(expressions=[row.expression], ids=[0], elements=1, flags=[flags])

    def matches(data: bytes) -> bool:
        seen: list[int] = []
        database.scan(data, match_event_handler=lambda *match: seen.append(match[2]))
        return bool(seen)

    return matches


def test_every_kind_has_somebody_who_looks():
    known = {RECOGNIZE, *(kind for kind, _ in TRANSFORMS), *CHARSETS, *STRUCTURES}
    assert {row.kind for row in PATTERNS} == known


@pytest.mark.parametrize("row", range(len(WRITTEN)))
def test_every_row_earns_its_place(row):
    """Something that the sieve must point at is seen by this row, and nothing ordinary is."""
    matches = matcher(WRITTEN[row])
    samples = [*(data for data, _ in ENCODED.values()), b"card 100000000000008"]
    assert any(map(matches, samples))
    assert not any(map(matches, ORDINARY))


@pytest.mark.parametrize("name", JAPANESE_KEYS)
def test_japanese_names_are_seen_in_every_spelling(name):
    sieve = Sieve()
    for charset in ("utf-8", "cp932", "euc-jp"):
        assert not sieve.quiet(name.encode(charset) + b" 123")
        assert not sieve.quiet(quote(name, encoding=charset).encode() + b"=123")
        assert not sieve.quiet(quote(quote(name, encoding=charset)).encode().lower() + b"=123")
    assert not sieve.quiet(json.dumps({name: "123"}).encode())
    assert not sieve.quiet(json.dumps(json.dumps({name: "123"})).encode())
    assert not sieve.quiet(name.encode("ascii", "xmlcharrefreplace") + b": 123")
