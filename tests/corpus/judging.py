"""The detectors under comparison, and what each makes of a row: ours, Presidio's own card recognizer, and what one
writes first, a regular expression with Luhn."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import brotli
import zstandard
from presidio_analyzer.predefined_recognizers import CreditCardRecognizer

from detectors import Inspector
from detectors.model import PAN
from tests.corpus.rows import Expected, Row

_SURE = 0.5
_WRITTEN = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")
_UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "deflate": lambda data: zlib.decompress(data, 15 if data[:1] == b"\x78" else -15),
    "br": brotli.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompress(data),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What our inspector said of a row, next to what it should have said."""

    row: Row
    found: tuple[Expected, ...]
    gaps: tuple[str, ...]

    @property
    def alarms(self) -> int:
        """Findings of high confidence."""
        return sum(item.confidence == "high" for item in self.found)

    @property
    def doubtful(self) -> int:
        """Findings of low confidence."""
        return len(self.found) - self.alarms

    @property
    def wrong(self) -> str:
        """What is wrong with it, in words without digits of the body; ``""``: nothing."""
        if self.gaps != self.row.gaps:
            return f"gaps {self.gaps} instead of {self.row.gaps}"
        if self.row.expect:
            return "" if self.found == self.row.expect else f"found {self.found} instead of {self.row.expect}"
        if self.alarms or (self.found and not self.row.low):
            return f"a false alarm: {self.found}"
        return "told nothing, although the row says low" if self.row.low and not self.found else ""


def ours(inspector: Inspector, row: Row) -> Outcome:
    """What the inspector makes of the row."""
    result = inspector.inspect(row.body, row.content_type, row.content_encoding, key=row.key)
    found = tuple(Expected(f.entity, f.brand, f.confidence, f.start, f.end) for f in result.findings)
    return Outcome(row, found, tuple(sorted({gap.reason for gap in result.gaps})))


def as_text(row: Row) -> str:
    """The row's body as an addon of the usual kind sees it: content encoding and declared charset undone."""
    data = row.body
    for coding in reversed([name.strip() for name in row.content_encoding.split(",") if name.strip()]):
        data = _UNPACK[coding](data)
    declared = re.search(r"charset=([\w-]+)", row.content_type)
    charset = declared[1].lower() if declared else "utf-8"
    return data.decode("cp932" if charset == "windows-31j" else charset, "replace")


class Presidio:
    """``CreditCardRecognizer`` alone, at the score from which Presidio's users act."""

    def __init__(self) -> None:
        self._recognizer = CreditCardRecognizer()

    def count(self, text: str) -> int:
        """Card numbers that it reports."""
        found = self._recognizer.analyze(text, ["CREDIT_CARD"], None)
        return sum(result.score >= _SURE for result in found)


class PlainLuhn:
    """Thirteen to nineteen digits with blanks or dashes, and Luhn."""

    def count(self, text: str) -> int:
        """Card numbers that it reports."""
        return sum(_passes(re.sub(r"\D", "", match.group())) for match in _WRITTEN.finditer(text))


def _passes(digits: str) -> bool:
    doubled = (int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits)))
    return sum(d - 9 * (d > 9) for d in doubled) % 10 == 0


def holds_number(row: Row) -> bool:
    """Whether the row expects a card number: the two others look for nothing else."""
    return any(item.entity == PAN or item.entity.startswith("TRACK") for item in row.expect)
