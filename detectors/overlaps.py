"""Which of several findings on the same bytes stands.

The order is total: tracks first, then what is more certain, then what counts by itself, then the longer, then the
earlier. A track swallows the card number inside it, a holder's name does not; a number seen both plain and through a
decoder is one finding.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

from detectors.model import CARDHOLDER_NAME, EXPIRY, TRACK_1, TRACK_2, Finding, View

_WHOLE_FIRST = frozenset({TRACK_1, TRACK_2})
_BESIDE = frozenset({EXPIRY, CARDHOLDER_NAME})
"""They go where the number goes that they stand beside. One in the very value must not go there with them."""


Span = tuple[int, int]
_Read = tuple[int, int, int]
"""A span of a view, and the view inside of it that it was read in: 0 for itself."""


def settle(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings that stand, in the order of the message."""
    kept: list[Finding] = []
    taken: dict[int, list[Span]] = {}
    alike: dict[tuple[str, str], _Alike] = {}
    for finding in sorted(findings, key=_precedence):
        view, start, end = _anchor(finding)
        same = alike.setdefault((finding.entity, finding.fingerprint), _Alike())
        if not _free(taken.setdefault(id(view), []), start, end) or same.has(finding):
            continue
        insort(taken[id(view)], (start, end))
        same.add(finding)
        kept.append(finding)
    return tuple(sorted(kept, key=lambda f: (f.start, f.end, f.path, f.leaf_start)))


class _Alike:
    """Findings of one number, read through different decoders."""

    def __init__(self) -> None:
        self._spans: dict[int, list[_Read]] = {}
        self._longest: dict[int, int] = {}

    def add(self, finding: Finding) -> None:
        """``finding`` stands."""
        inner = 0
        for view, (start, end) in _chain(finding):
            spans = self._spans.setdefault(view, [])
            at = bisect_left(spans, (start, end, inner))
            if at == len(spans) or spans[at] != (start, end, inner):
                spans.insert(at, (start, end, inner))
            self._longest[view] = max(self._longest.get(view, 0), end - start)
            inner = view

    def has(self, finding: Finding) -> bool:
        """Whether one that stands is of the same bytes as ``finding``: in the innermost view that both hang in. (Base64
        whose padding is percent-encoded reads as base64 with and without that.)"""
        inner = -1
        for view, (start, end) in _chain(finding):
            near = _near(self._spans.get(view, []), start - self._longest.get(view, 0), end)
            if any(high > start and through != inner for _, high, through in near):
                return True
            inner = view
        return False


def _near(spans: list[_Read], first: int, end: int) -> list[_Read]:
    """Those of ``spans``, which are sorted, that begin in ``[first, end)``."""
    return spans[bisect_left(spans, (first, 0, 0)) : bisect_left(spans, (end, 0, 0))]


def _free(spans: list[Span], start: int, end: int) -> bool:
    """Whether ``[start, end)`` touches none of ``spans``, which are sorted and do not overlap."""
    at = bisect_left(spans, (start, end))
    return not (at < len(spans) and spans[at][0] < end) and not (at and spans[at - 1][1] > start)


def _chain(finding: Finding) -> Iterator[tuple[int, Span]]:
    """The finding's span in its view and in every view around it, by the views' identity."""
    view, start, end = finding.leaf, finding.leaf_start, finding.leaf_end
    while view is not None:
        yield id(view), (start, end)
        if view.peel is not None:
            start, end = view.peel.hook.locate(start, end)
        view = view.parent


def _precedence(finding: Finding) -> tuple[bool, bool, bool, int, int, int]:
    length = finding.leaf_end - finding.leaf_start
    plain = len(finding.trail)
    doubtful, beside = finding.confidence == "low", finding.entity in _BESIDE
    return finding.entity not in _WHOLE_FIRST, doubtful, beside, -length, plain, finding.start


def _anchor(finding: Finding) -> tuple[View | None, int, int]:
    """The outermost view that still shows the finding byte by byte, and the span there. Inside something compressed
    all findings share one span of the message, so the message itself cannot tell them apart; a number that is stored as
    bits has its bytes for itself."""
    view, start, end = finding.leaf, finding.leaf_start, finding.leaf_end
    while view is not None and view.peel is not None:
        hook, size = view.peel.hook, len(view.data)
        if size and not view.peel.number and hook.locate(0, 0) == hook.locate(size, size):
            break
        start, end = hook.locate(start, end)
        view = view.parent
    return view, start, end
