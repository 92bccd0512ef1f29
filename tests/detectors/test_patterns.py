from __future__ import annotations

import hyperscan
import pytest

from detectors import walk
from detectors.patterns import PATTERNS, RECOGNIZE
from detectors.sieve_classes import base64_patterns
from tests.detectors.test_sieve import ENCODED, ORDINARY

GENERATED = set(base64_patterns())
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
    known = {RECOGNIZE, *(kind for kind, _ in walk.TRANSFORMS), *walk.CHARSETS}
    assert {row.kind for row in PATTERNS} == known


@pytest.mark.parametrize("row", range(len(WRITTEN)))
def test_every_row_earns_its_place(row):
    """Something that the sieve must point at is seen by this row, and nothing ordinary is."""
    matches = matcher(WRITTEN[row])
    samples = [*(data for data, _ in ENCODED.values()), b"card 100000000000008"]
    assert any(map(matches, samples))
    assert not any(map(matches, ORDINARY))
