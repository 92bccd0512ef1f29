"""Names of values: decoded for the recognizers, and made safe for paths, which people and log files read."""

from __future__ import annotations

import re
from collections import Counter

LONGEST = 1024
"""Bytes of a name that are looked at: a megabyte of key over a million values must not multiply."""

_SHOWN = 64
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_DIGITS = re.compile(r"\d(?:[\W_]{0,3}\d){7,}")
_DIGIT = re.compile(r"\d")


def name_of(raw: bytes) -> str:
    """The name as text, up to ``LONGEST`` bytes of it."""
    return raw[:LONGEST].decode("utf-8", "replace")


def segment(name: str) -> str:
    """A name as one step of a path: at most 64 characters, printable, and with a run of eight or more digits starred.

    A card number used as a key would otherwise stand in every record of where things were found.
    """
    text = _DIGITS.sub(lambda run: _DIGIT.sub("*", run[0]), _UNPRINTABLE.sub("?", name[: 2 * _SHOWN]))
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


class Repeats:
    """Tells values of one name apart: ``k``, ``k[1]``, ``k[2]``."""

    def __init__(self) -> None:
        self._seen: Counter[bytes] = Counter()

    def index(self, raw: bytes) -> str:
        """``""`` for the first value of the name, ``[n]`` for the next ones."""
        n = self._seen[raw]
        self._seen[raw] = n + 1
        return f"[{n}]" if n else ""
