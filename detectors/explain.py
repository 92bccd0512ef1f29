"""Why is this a card number, and why is that none? Every candidate with all that was checked of it.

What was found is what an ``Inspector`` finds. The reasons are read from the same assessments; only the sieve is wider
here: it points at every run of ten digits, so that also those are told of which an inspection never looks at.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from detectors.crowds import AMONG_IDS, FRACTION, is_jan
from detectors.decoders.naming import segment
from detectors.inspector import Inspector
from detectors.model import PAN, Finding, Gap, Limits, View
from detectors.patterns import PATTERNS, RECOGNIZE, Pattern
from detectors.presidio import Presidio
from detectors.recognition import Recognition, span_of
from detectors.recognizers.pan import Assessment, assess
from detectors.redaction import masked
from detectors.sieve import Prefilter, Sieve
from detectors.views import span_in
from detectors.walk import Walk

_ANY_DIGITS = Pattern(RECOGNIZE, rb"[0-9](?:[ ._+-]*[0-9]){9}")
_UNSEEN = "the sieve does not point here"
_AMONG = "one of many of its kind"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One candidate and its verdict. Holds no digits but those of ``masked``."""

    entity: str
    brand: str
    verdict: Literal["high", "low", "none"]
    masked: str
    path: str
    trail: tuple[str, ...]
    start: int
    end: int
    """Bytes of the body, end exclusive."""
    passed: tuple[str, ...]
    failed: tuple[str, ...]
    """Why it is doubtful, or none."""
    key: str = ""
    """The name beside it that counted."""
    word: str = ""
    """The card word near it that counted."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What was found, what was considered and dropped, and what could not be read."""

    found: tuple[Candidate, ...]
    rejected: tuple[Candidate, ...]
    gaps: tuple[Gap, ...]


class Explainer:
    """Explains what an ``Inspector`` says. Build one and keep it: building takes seconds."""

    def __init__(self, *, recognizers: Sequence[Path] = (), limits: Limits | None = None) -> None:
        """Raises ``detectors.presidio.RecognizerError`` for a recognizer file that cannot be used."""
        self._limits = limits or Limits()
        self._inspector = Inspector(recognizers=recognizers, limits=self._limits)
        self._presidio = Presidio()
        self._sieve = Sieve((*PATTERNS, _ANY_DIGITS))

    def explain(self, body: bytes, content_type: str = "", content_encoding: str = "") -> Explanation:
        """Every candidate in ``body``, in its order. Never raises for bad bytes."""
        result = self._inspector.inspect(body, content_type, content_encoding)
        notes = _Notes(self._presidio)
        walk = Walk(self._sieve, Prefilter(()), notes, self._limits)
        try:
            walk.run(body, _lower(content_type), content_encoding)
        except Exception:  # noqa: BLE001 - the inspection has told its gaps; here only explanations are missing
            walk.gaps.clear()
        found = tuple(_told(finding, notes) for finding in result.findings)
        rejected = tuple(
            _dropped(view, item, start, end, result.findings)
            for view, item, start, end in notes.assessed
            if not any(_same(finding, view, start, end) for finding in result.findings)
        )
        return Explanation(found, tuple(dict.fromkeys(rejected)), result.gaps)


class _Notes(Recognition):
    """Writes down what the recognizers are given to read, assessed."""

    def __init__(self, presidio: Presidio) -> None:
        super().__init__(presidio, secrets.token_bytes(32))
        self.assessed: list[tuple[View, Assessment, int, int]] = []

    def read(self, view: View, text: str, shift: int) -> None:
        for item in assess(text):
            start, end = span_of(text, item.shape.start, item.shape.end, shift)
            if start >= 0:
                self.assessed.append((view, item, start, end))


def _lower(content_type: str) -> str:
    """Parameters keep their case: a boundary has one."""
    kind, separator, rest = content_type.strip().partition(";")
    return kind.strip().lower() + separator + rest


def _same(finding: Finding, view: View, start: int, end: int) -> bool:
    """Whether the finding is of these digits: in this view, or in a line of it read under its name."""
    if finding.entity != PAN or finding.trail != view.trail:
        return False
    here = finding.path == view.path and (finding.leaf_start, finding.leaf_end) == (start, end)
    return here or (not view.path and finding.leaf is not None and span_in(finding, view) == (start, end))


def _told(finding: Finding, notes: _Notes) -> Candidate:
    own = next((item for view, item, start, end in notes.assessed if _same(finding, view, start, end)), None)
    doubts = {AMONG_IDS, *(own.failed if own else ()), *(finding.leaf.doubts if finding.leaf is not None else ())}
    passed = tuple(word for word in finding.why if word not in doubts)
    outweighed = tuple(f"{word}, outweighed by the key" for word in ("issuer", "luhn") if word not in passed)
    return Candidate(
        finding.entity,
        finding.brand,
        finding.confidence,
        finding.masked,
        finding.path,
        finding.trail,
        finding.start,
        finding.end,
        passed,
        tuple(word for word in finding.why if word in doubts) + (outweighed if "card key" in passed else ()),
        segment(own.key) if own else "",
        own.word if own else "",
    )


def _dropped(view: View, item: Assessment, start: int, end: int, findings: Sequence[Finding]) -> Candidate:
    first, last = view.to_root(start, end)
    there = [finding for finding in findings if finding.start < last and finding.end > first]
    over = min(there, key=lambda finding: finding.path != view.path, default=None)
    reasons = item.failed
    if item.verdict != "none":
        unsaid = _AMONG if is_jan(item.shape.digits) or FRACTION in item.failed else _UNSEEN
        reasons = (f"part of the {over.entity} found there" if over is not None else unsaid, *reasons)
    return Candidate(
        PAN,
        item.brand,
        "none",
        masked(item.shape.digits, 6).decode(),
        view.path,
        view.trail,
        first,
        last,
        item.passed,
        reasons,
        segment(item.key),
        item.word,
    )
