"""Which of several findings on the same bytes stands.

The order is total: tracks and what the team named first, then what is more certain, then the longer, then the earlier.
A track swallows the card number inside it; a number seen both plain and through a decoder is one finding.
"""

from __future__ import annotations

from collections.abc import Iterable

from detectors.model import TRACK_1, TRACK_2, Finding, View

_WHOLE_FIRST = frozenset({TRACK_1, TRACK_2})


def settle(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings that stand, in the order of the message."""
    kept: list[Finding] = []
    taken: dict[int, list[tuple[int, int]]] = {}
    for finding in sorted(findings, key=_precedence):
        view, start, end = _anchor(finding)
        spans = taken.setdefault(id(view), [])
        if any(start < there_end and end > there for there, there_end in spans):
            continue
        spans.append((start, end))
        kept.append(finding)
    return tuple(sorted(kept, key=lambda f: (f.start, f.end, f.path, f.leaf_start)))


def _precedence(finding: Finding) -> tuple[bool, bool, int, int, int]:
    length = finding.leaf_end - finding.leaf_start
    plain = len(finding.trail)
    return finding.entity not in _WHOLE_FIRST, finding.confidence == "low", -length, plain, finding.start


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
