"""Each kind of hit has one meaning."""

from __future__ import annotations

from detectors.patterns import PATTERNS
from detectors.transforms import CHARSETS, STRUCTURES, TRANSFORMS


def test_every_decoder_is_called_for_by_a_row_and_no_kind_has_two_meanings():
    kinds = [kind for kind, _ in TRANSFORMS] + list(CHARSETS) + list(STRUCTURES)
    assert len(kinds) == len(set(kinds))
    assert set(kinds) <= {row.kind for row in PATTERNS}
