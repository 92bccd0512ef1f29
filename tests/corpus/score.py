"""``make score``: recall and false alarms by group, ours beside Presidio's card recognizer and a plain regex with Luhn.

Ours counts as right only where entity, brand, confidence and span are; the two others wherever they report anything in a
row that holds a card number. Prints counts and names of rows, never what is in them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from rich.console import Console
from rich.table import Table

from detectors import Inspector
from tests.corpus.judging import Outcome, PlainLuhn, Presidio, as_text, holds_number, ours
from tests.corpus.ordinary import lines
from tests.corpus.rows import Row, load

LINES = 4000


@dataclass(slots=True)
class Score:
    """One line of the table."""

    rows: int = 0
    positive: int = 0
    right: int = 0
    numbers: int = 0
    presidio: int = 0
    plain: int = 0
    negative: int = 0
    high: int = 0
    low: int = 0
    presidio_false: int = 0
    plain_false: int = 0

    def __iadd__(self, other: Score) -> Self:
        for name in Score.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self


def score_of(outcome: Outcome, presidio: int, plain: int) -> Score:
    """What one row adds: the counts are what the two others reported in it."""
    row = outcome.row
    if row.positive:
        holds = holds_number(row)
        return Score(
            rows=1,
            positive=1,
            right=not outcome.wrong,
            numbers=holds,
            presidio=holds and presidio > 0,
            plain=holds and plain > 0,
        )
    return Score(
        rows=1,
        negative=1,
        high=outcome.alarms > 0,
        low=outcome.doubtful > 0,
        presidio_false=presidio > 0,
        plain_false=plain > 0,
    )


def scores(inspector: Inspector, rows: Sequence[Row]) -> tuple[dict[str, Score], list[Outcome]]:
    """The scores by group, and what our inspector said of each row."""
    presidio, plain = Presidio(), PlainLuhn()
    by_group: dict[str, Score] = {}
    outcomes: list[Outcome] = []
    for row in rows:
        outcome = ours(inspector, row)
        text = as_text(row)
        outcomes.append(outcome)
        by_group.setdefault(row.group, Score())
        by_group[row.group] += score_of(outcome, presidio.count(text), plain.count(text))
    return by_group, outcomes


def table(by_group: dict[str, Score]) -> Table:
    """The table, positive groups first."""
    shown = Table(title="recall on card data, false alarms on what is none (rows)", show_footer=True)
    total = Score()
    for score in by_group.values():
        total += score
    columns = _cells("total", total)
    heads = ("group", "rows", "ours", "Presidio", "regex+Luhn", "ours high", "ours low", "Presidio", "regex+Luhn")
    for head, cell in zip(heads, columns, strict=True):
        shown.add_column(head, cell, justify="left" if head == "group" else "right")
    ordered = sorted(by_group.items(), key=lambda item: item[1].positive == 0)
    for group, score in ordered:
        shown.add_row(*_cells(group, score))
    return shown


def _cells(name: str, score: Score) -> tuple[str, ...]:
    recall = (
        _share(score.right, score.positive),
        _share(score.presidio, score.numbers),
        _share(score.plain, score.numbers),
    )
    alarms = (score.high, score.low, score.presidio_false, score.plain_false)
    return name, str(score.rows), *recall, *(_count(n, score.negative) for n in alarms)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""


def _count(part: int, whole: int) -> str:
    return str(part) if whole else ""


def on_ordinary_lines(inspector: Inspector, count: int = LINES) -> tuple[int, int, int, int]:
    """Findings on ordinary log lines: ours of high and of low confidence, Presidio's, those of the plain regex."""
    presidio, plain = Presidio(), PlainLuhn()
    high = low = theirs = simple = 0
    for line in lines(count):
        found = inspector.inspect(line.encode()).findings
        sure = sum(item.confidence == "high" for item in found)
        high, low = high + sure, low + len(found) - sure
        theirs, simple = theirs + presidio.count(line), simple + plain.count(line)
    return high, low, theirs, simple


def main() -> int:
    """Prints the table; 1 if a row is not as it should be."""
    console = Console()
    inspector = Inspector(fingerprint_key=bytes(32))
    by_group, outcomes = scores(inspector, load())
    console.print(table(by_group))
    high, low, theirs, simple = on_ordinary_lines(inspector)
    console.print(
        f"{LINES} ordinary log lines without a card: ours {high} (and {low} doubtful), Presidio {theirs}, regex+Luhn {simple}"
    )
    wrong = [outcome for outcome in outcomes if outcome.wrong]
    for outcome in wrong:
        console.print(f"{outcome.row.file}: {outcome.row.id}: {outcome.wrong}", markup=False)
    console.print("every row is as it should be" if not wrong else f"{len(wrong)} rows are not as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
