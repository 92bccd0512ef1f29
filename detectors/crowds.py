"""Numbers among others of their kind. Of a thousand random identifiers of nineteen digits some pass every check of a
card number, and of ten JAN codes one passes Luhn: what stands around them tells.

A card word, a card key or a published test number outweighs the company. Left unsaid are a JAN code among JAN codes, as
under the key ``jan``, and a decimal fraction in a list of such: an embedding has a hundred that pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from detectors.iin import issuer
from detectors.luhn import ean13
from detectors.model import PAN, Finding, View
from detectors.views import span_in

AMONG_IDS = "among other numbers of its length"
FRACTION = "decimal fraction"

_AROUND = 1024
"""Bytes to each side in which others are counted."""
_LONG = re.compile(rb"(?<![0-9.])[0-9]{17,20}(?![0-9.])")
_THIRTEEN = re.compile(rb"(?<![0-9.])[0-9]{13}(?![0-9.])")
_ROW = re.compile(rb"(?<![0-9])[0-9]{4}(?:[ \t-][0-9]{4}){3}(?![0-9])")
_FRACTION = re.compile(rb"(?<![0-9])[0-9]{1,4}\.[0-9]{12,}")
_JAPANESE = (b"45", b"49")
_OTHER_IDS, _OTHER_CODES, _OTHER_FRACTIONS = 2, 3, 8
_OUTWEIGHS = frozenset({"card word", "card key", "published test number"})


def weigh(view: View, findings: Iterable[Finding]) -> Iterator[Finding]:
    """``findings`` of ``view`` and of what is in it: identifiers with low confidence, JAN codes left out."""
    for finding in findings:
        if finding.entity != PAN or finding.leaf is None or finding.more or not _OUTWEIGHS.isdisjoint(finding.why):
            yield finding
            continue
        digits = finding.leaf.data[finding.leaf_start : finding.leaf_end]
        shape = next((shape for shape in (_LONG, _ROW) if shape.fullmatch(digits)), None)
        if shape is not None and finding.confidence == "high":
            among = sum(not _is_card(other) for other in _around(view, finding, shape)) >= _OTHER_IDS
            yield replace(finding, confidence="low", why=(*finding.why, AMONG_IDS)) if among else finding
        elif not _is_one_of_many(view, finding, digits):
            yield finding


def _is_one_of_many(view: View, finding: Finding, digits: bytes) -> bool:
    if FRACTION in finding.why:
        return len(_around(view, finding, _FRACTION)) > _OTHER_FRACTIONS
    return is_jan(digits) and sum(map(is_jan, _around(view, finding, _THIRTEEN))) > _OTHER_CODES


def _is_card(number: bytes) -> bool:
    digits = bytes(byte for byte in number if byte in b"0123456789")
    return issuer(digits) is not None


def is_jan(digits: bytes) -> bool:
    """Whether these are thirteen digits that begin and end as a Japanese article number does."""
    return _THIRTEEN.fullmatch(digits) is not None and digits.startswith(_JAPANESE) and ean13(digits)


def _around(view: View, finding: Finding, shape: re.Pattern[bytes]) -> set[bytes]:
    start, end = span_in(finding, view)
    return set(shape.findall(view.data, max(0, start - _AROUND), end + _AROUND))
