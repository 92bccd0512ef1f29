"""What is wrong with a policy file, said so that it can be put right, and never showing a number pasted into it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic_core import PydanticCustomError

_LONG_NUMBER = re.compile(r"\d{8,}|(?:\d[\s.\-_/]?){12,}")
"""Eight digits in a row, or twelve written in groups. A date, a port and an IPv4 address stay readable."""

HIDDEN = "[digits not shown]"
_SHOWN = 60


def scrub(text: str) -> str:
    """``text`` with every long run of digits replaced: someone may have pasted a card number into the file."""
    return _LONG_NUMBER.sub(lambda match: match[0] if _is_ipv4(match[0]) else HIDDEN, text)


def has_long_number(text: str) -> bool:
    """Whether ``text`` holds a run of digits that ``scrub`` would hide."""
    return scrub(text) != text


def _is_ipv4(text: str) -> bool:
    octets = text.split(".")
    return len(octets) == 4 and all(o.isascii() and o.isdigit() and len(o) <= 3 and int(o) <= 255 for o in octets)


def show(value: object) -> str:
    """A value of the file as it may be printed: quoted, short, control characters escaped, no long number."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if has_long_number(text):
        return f"a value of {len(text)} characters {HIDDEN}"
    escaped = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    shown = escaped if len(escaped) <= _SHOWN else escaped[:_SHOWN] + "…"
    return f'"{shown}"' if isinstance(value, str) else shown


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean "x"? allowed: a, b, x`` with the nearest known word first; without one, only the list."""
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    listed = f"allowed: {', '.join(names)}"
    return f'did you mean "{near[0]}"? {listed}' if near else listed


def refusal(why: str, hint: str = "") -> PydanticCustomError:
    """The error a field's parser raises. Both texts arrive unchanged in the ``Problem``."""
    return PydanticCustomError("sekisho", "{why}", {"why": why, "hint": hint})


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a text file, both counted from 1, columns in characters."""

    line: int
    column: int


START = Mark(1, 1)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong at one place."""

    mark: Mark
    why: str
    hint: str = ""

    def text(self) -> str:
        """``why (hint)``, scrubbed."""
        return scrub(f"{self.why} ({self.hint})" if self.hint else self.why)


class PolicyError(Exception):
    """The policy file cannot be used. ``problems`` has everything that is wrong with it, in file order.

    ``line``, ``column``, ``why`` and ``hint`` are those of the first. ``str()`` is one line for each problem,
    ``file:line:column: why (hint)``. Nothing in it shows a run of eight or more digits of the file.
    """

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        ordered = sorted(set(problems), key=lambda p: (p.mark, p.why, p.hint))
        first = ordered[0]
        self.path = path
        self.problems: tuple[Problem, ...] = tuple(Problem(p.mark, scrub(p.why), scrub(p.hint)) for p in ordered)
        self.line = first.mark.line
        self.column = first.mark.column
        self.why = scrub(first.why)
        self.hint = scrub(first.hint)
        super().__init__("\n".join(self.lines()))

    def lines(self) -> tuple[str, ...]:
        """One ``file:line:column: why (hint)`` for each problem."""
        return tuple(f"{self.path}:{p.mark.line}:{p.mark.column}: {p.text()}" for p in self.problems)
