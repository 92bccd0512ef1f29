"""Putting a message back without the card data in it: edits at the leaves, re-encoded outwards, splice by splice.

Every byte that no edit touches stays as it was. What cannot be put back (a signed payload, an archive) gives ``None``,
and the caller blocks; so does an edit that would make binary bytes longer or shorter where no decoder knows what counts
them. Deterministic, and idempotent: what redaction leaves is no finding.
Source: PCI DSS 4.0.1, 3.3.1 (sensitive authentication data is removed whole), 3.4.1 (first six and last four at most).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from detectors.decoders.text import is_rigid
from detectors.model import PAN, Edit, Finding, View, apply_edits
from detectors.views import ancestors

Style = Literal["mask", "last4", "remove", "fingerprint"]
Numbers = Literal["string", "zero"]

REMOVED = b"***"
_BLANKS = re.compile(rb"/\*[^*]*+\*/|//[^\n]*+(?:\n|\Z)|\s++")
"""What stands between the marks of JSON, comments included."""


def redact(body: bytes, findings: Sequence[Finding], style: Style, numbers: Numbers = "string") -> bytes | None:
    """``body`` without the found data, or ``None`` where it cannot be put back.

    ``findings`` must come from inspections of exactly these bytes. ``numbers`` says what becomes of a JSON number:
    a string that shows the mask, or ``0`` for receivers with a strict schema.
    """
    edits = _Edits()
    for finding in findings:
        if finding.leaf is None:
            return None
        for view, edit in _edits(finding, finding.leaf, style, numbers):
            if not edits.fits(view, [edit]):
                return None
            edits.add(view, [edit])
    try:
        return _carry_out(body, edits, numbers)
    except ValueError:  # edits that overlap after all
        return None


class _Edits:
    """Edits by the view that they are to be carried out in."""

    def __init__(self) -> None:
        self._levels: dict[int, dict[int, tuple[View, list[Edit]]]] = {}
        self._rigid: dict[int, bool] = {}

    def add(self, view: View, edits: Sequence[Edit]) -> None:
        """More edits of ``view``."""
        level = self._levels.setdefault(ancestors(view), {})
        level.setdefault(id(view), (view, []))[1].extend(edits)

    def fits(self, view: View, edits: Sequence[Edit]) -> bool:
        """Whether the edits may be carried out in the view's bytes as they stand."""
        if all(len(edit.text) == edit.end - edit.start for edit in edits):
            return True
        if id(view) not in self._rigid:  # of one view there may be thousands
            self._rigid[id(view)] = is_rigid(view.data, view.content_type)
        return not self._rigid[id(view)]

    def deepest(self) -> Iterator[tuple[View, list[Edit]]]:
        """Every view and its edits, without exact repetitions: those within others first. More may be added to the
        views around them meanwhile."""
        while self._levels:
            for view, edits in self._levels.pop(max(self._levels)).values():
                yield view, list({(edit.start, edit.end, edit.text): edit for edit in edits}.values())


def _carry_out(body: bytes, edits: _Edits, numbers: Numbers) -> bytes | None:
    of_body: list[Edit] = []
    for view, own in edits.deepest():
        if view.parent is None or view.peel is None:
            if view.data != body:
                return None
            of_body += own
            continue
        lifted = view.peel.hook.wrap(own)
        if lifted is None or not (view.peel.framed or edits.fits(view.parent, lifted)):
            return None
        edits.add(view.parent, _of_number(view.parent, lifted, numbers))
    return apply_edits(body, list(dict.fromkeys(of_body)))


def _of_number(view: View, edits: Sequence[Edit], numbers: Numbers) -> Sequence[Edit]:
    """Edits from below as edits of ``view``: a bare number may turn out to be hex of text."""
    if not _is_number(view):
        return edits
    text = b"0" if numbers == "zero" else b'"' + apply_edits(view.data, edits) + b'"'
    return (Edit(0, len(view.data), text),)


def _is_number(view: View) -> bool:
    """Whether the view is a value of a document in which a mask must be quoted. A number in text that only begins like
    JSON (``[info] 4111…``) stands between other things than JSON's own marks."""
    if view.peel is None or view.parent is None or not view.peel.number:
        return False
    if view.peel.codec or view.peel.framed:
        return True
    start, end = view.peel.hook.locate(0, len(view.data))
    before = _BLANKS.sub(b"", view.parent.data[max(0, start - 64) : start])[-1:]
    after = _BLANKS.sub(b"", view.parent.data[end : end + 64])[:1]
    return before in (b"", b":", b",", b"[") and after in (b"", b",", b"]", b"}") and bool(before) == bool(after)


def _edits(finding: Finding, leaf: View, style: Style, numbers: Numbers) -> Iterator[tuple[View, Edit]]:
    """The edits of a finding; of a number in pieces each piece gets its part of the mask, or the first all and the
    others nothing."""
    pieces = ((leaf, finding.leaf_start, finding.leaf_end), *finding.more)
    raw = [view.data[start:end] for view, start, end in pieces]
    text = _text(finding, b"".join(raw), style)
    parted = len(pieces) > 1 and len(text) == sum(map(len, raw))
    at = 0
    for n, (view, start, end) in enumerate(pieces):
        own = text[at : at + end - start] if parted else text if n == 0 else b""
        at += end - start
        if _is_number(view):
            yield view, Edit(0, len(view.data), b"0" if numbers == "zero" else b'"' + own + b'"')
        else:
            yield view, Edit(start, end, own)


def _text(finding: Finding, number: bytes, style: Style) -> bytes:
    if finding.entity != PAN:
        return REMOVED
    if style == "remove":
        return b""
    if style == "fingerprint":
        return b"pan-" + finding.fingerprint.encode()
    return masked(number, 0 if style == "last4" else 6)


def masked(number: bytes, first: int) -> bytes:
    """``number`` with all but its ``first`` and last four digits starred; separators stay. Fewer than fourteen digits
    keep only the last four: of them, first six and last four would be nearly all."""
    if number.isdigit():
        first = first if len(number) >= 14 else 0
        return number[:first] + b"*" * (len(number) - first - 4) + number[-4:]
    total = sum(48 <= byte <= 57 for byte in number)
    if total < 14:
        first = 0
    out = bytearray()
    seen = 0
    for byte in number:
        if 48 <= byte <= 57:
            seen += 1
            out.append(byte if seen <= first or seen > total - 4 else 0x2A)
        else:
            out.append(byte)
    return bytes(out)
