"""One file per kind of card data. A recognizer is a function from text to what it found there.

Each module shows what it must find and must not: ``MUST_FIND`` and ``MUST_NOT`` rows are run as tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from detectors.model import Confidence


@dataclass(frozen=True, slots=True, repr=False)
class Recognized:
    """One thing found in a text. Offsets are characters of that text, end exclusive."""

    entity: str
    start: int
    end: int
    confidence: Confidence = "high"
    brand: str = ""
    why: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Recognized({self.entity}, {self.start}:{self.end})"


Recognizer = Callable[[str], Iterator[Recognized]]
