"""One pass of Hyperscan over a view: where could card data be, and which decoders could find some.

The ten digits map to a *regular* set in most text encodings, so the pass recognises a number through percent
encoding, backslash and HTML references, full-width forms, UTF-16 and base64 at each of its three alignments
(``detectors.patterns``). What it does not point at is not looked at again.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import hyperscan

from detectors.compiled import CASELESS, MAX_HITS, Compiled
from detectors.first_look import Row, first_look
from detectors.patterns import PATTERNS, RECOGNIZE, Pattern

BETWEEN = b"\n|"
"""Stands between texts that are read in one pass: wherever a row asks for the beginning or the end of a text, its last
or its first byte will do as well."""
_WORTH = 4096
"""Bytes from which on a first look pays: first at so many of them, for what ends a pass early does not keep it from
searching all of the data for words."""


@dataclass(frozen=True, slots=True)
class Hits:
    """What one pass pointed at. Offsets are bytes of the scanned data: where a pattern ended."""

    by_kind: dict[str, list[int]]
    bare: frozenset[int] = frozenset()
    """Those at which nothing was seen but digits in one piece or with the usual separators."""
    groups: frozenset[int] = frozenset()
    """Those at which nothing was seen but digits in the groups of a card."""
    complete: bool = True
    """False: the pass was cut short at ``MAX_HITS``."""

    def behind(self, label: int) -> dict[str, list[int]]:
        """The hits as offsets behind a label of so many bytes. A name that the recognizers should see counts as a hit
        at the value's first byte; how the name is encoded is no business of its value."""
        if not label:
            return self.by_kind
        moved = {
            kind: sorted({max(end - label, 1) for end in ends if end > label or kind == RECOGNIZE})
            for kind, ends in self.by_kind.items()
        }
        return {kind: ends for kind, ends in moved.items() if ends}

    def digits(self, label: int) -> list[int]:
        """The ``bare`` ones and the ``groups`` as sorted offsets behind a label of so many bytes."""
        return sorted(end - label for end in self.bare | self.groups if end > label)

    def grouped(self, label: int) -> frozenset[int]:
        """The ``groups`` as offsets behind a label of so many bytes."""
        return frozenset(end - label for end in self.groups)

    @property
    def only_digits(self) -> bool:
        """Whether nothing was seen but digits."""
        seen = self.bare | self.groups
        return self.complete and all(seen.issuperset(ends) for ends in self.by_kind.values())


def escaped_too(free: dict[str, list[int]], data: bytes) -> None:
    """Letters of base64 or hex in a view with escapes may be cut by escapes, or begin right behind one whose own last
    characters look like letters of theirs (``%22NDEx``): the decoders of escapes are asked, too."""
    runs = [end for kind in ("base64", "base32", "hex") for end in free.get(kind, ())]
    for mark, kind in ((b"%", "percent"), (b"\\", "escape"), (b"&", "html"), (b"=3D", "quoted-printable")):
        if runs and mark in data:
            free.setdefault(kind, []).extend(runs)


class Sieve:
    """The compiled patterns. Safe to use from several threads: each gets scratch space of its own."""

    def __init__(self, rows: Sequence[Pattern] = PATTERNS) -> None:
        self._kinds = tuple(row.kind for row in rows)
        self._bare = frozenset(n for n, row in enumerate(rows) if row.digits)
        self._groups = frozenset(n for n, row in enumerate(rows) if row.digits == "groups")
        expressions = tuple((row.expression, CASELESS if row.caseless else 0) for row in rows)
        self._patterns, self._first_look = _compiled(expressions)

    def quiet(self, data: bytes) -> bool:
        """Whether the pass points at nothing. Stops at the first hit."""
        return not self._patterns.any(data)

    def scan(self, data: bytes) -> Hits | None:
        """What the pass points at, or ``None``: nothing."""
        if len(data) >= _WORTH and not self._first_look.any(data[:_WORTH]) and not self._first_look.any(data):
            return None
        found = self._patterns.run(data)
        if not found:
            return None
        by_kind: dict[str, list[int]] = {}
        for pattern, end in found:
            by_kind.setdefault(self._kinds[pattern], []).append(end)
        bare = frozenset(end for pattern, end in found if pattern in self._bare)
        bare -= {end for pattern, end in found if pattern not in self._bare}
        groups = bare.intersection(end for pattern, end in found if pattern in self._groups)
        complete = len(found) < MAX_HITS
        return Hits({kind: sorted(set(ends)) for kind, ends in by_kind.items()}, bare - groups, groups, complete)

    def pointed(self, texts: Sequence[bytes]) -> Container[int]:
        """Which of ``texts`` the pass points at, or might: one pass over all of them."""
        ends = list(accumulate(len(text) + len(BETWEEN) for text in texts))
        found = self._patterns.run(BETWEEN + BETWEEN.join(texts) + BETWEEN)
        if len(found) >= MAX_HITS:
            return range(len(texts))
        return {bisect_left(ends, end - len(BETWEEN)) for _, end in found}


@lru_cache(maxsize=2)
def _compiled(rows: tuple[Row, ...]) -> tuple[Compiled, Compiled]:
    """The rows and the first look before them. Compiling takes seconds: all that ask for the same rows share it."""
    return Compiled(rows), Compiled(first_look(rows))


class Prefilter:
    """The patterns of the team's own recognizers, so that none of them can be hidden by the sieve.

    Hyperscan's PREFILTER flag makes of each the nearest expression that matches at least as much. One that it cannot
    take even so (and any on bytes that are not UTF-8) counts as hit everywhere: slower, never silent.
    """

    def __init__(self, patterns: Sequence[tuple[str, int]]) -> None:
        """``patterns``: expressions in Python's dialect with their ``re`` flags."""
        self._always = False
        ready: list[tuple[bytes, int]] = []
        for expression, flags in patterns:
            row = (expression.encode(), _UTF8 | sum(hs for py, hs in _FLAGS if flags & py))
            try:
                Compiled([row])
            except hyperscan.HyperscanError:
                self._always = True
            else:
                ready.append(row)
        self._patterns = Compiled(ready) if ready else None
        self._empty = not patterns

    def hits(self, data: bytes) -> list[int] | None:
        """Where patterns ended, as byte offsets; empty for "anywhere"; ``None``: nowhere."""
        if self._empty:
            return None
        if self._always or self._patterns is None or not _is_utf8(data):
            return []
        return sorted({end for _, end in self._patterns.run(data)}) or None


_UTF8 = hyperscan.HS_FLAG_UTF8 | hyperscan.HS_FLAG_UCP | hyperscan.HS_FLAG_PREFILTER | hyperscan.HS_FLAG_ALLOWEMPTY
_FLAGS = (
    (re.IGNORECASE, hyperscan.HS_FLAG_CASELESS),
    (re.DOTALL, hyperscan.HS_FLAG_DOTALL),
    (re.MULTILINE, hyperscan.HS_FLAG_MULTILINE),
)


def _is_utf8(data: bytes) -> bool:
    """Hyperscan's behaviour on anything else is undefined in its UTF-8 mode."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
