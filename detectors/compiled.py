"""Hyperscan databases: many expressions, one pass over the bytes."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from typing import Any

import hyperscan

MAX_HITS = 100_000
"""Matches of one pass before it is given up: text made only of digits must not buy unbounded work."""

CASELESS = hyperscan.HS_FLAG_CASELESS
ONCE = hyperscan.HS_FLAG_SINGLEMATCH
"""The first match of a row is all that is wanted of it."""


class Compiled:
    """A Hyperscan database in block mode, with scratch space for each thread."""

    def __init__(self, rows: Sequence[tuple[bytes, int]]) -> None:
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(
            expressions=[expression for expression, _ in rows],
            ids=list(range(len(rows))),
            elements=len(rows),
            flags=[flags for _, flags in rows],
        )
        _give_back()
        self._local = threading.local()

    def any(self, data: bytes) -> bool:
        """Whether anything matches. Stops at the first match."""
        tools = self._tools()
        return not self._scan(data, _stop, tools)

    def run(self, data: bytes) -> list[tuple[int, int]]:
        """Row and end offset of each match, up to ``MAX_HITS`` of them."""
        found: list[tuple[int, int]] = []

        def note(pattern: int, start: int, end: int, flags: int, context: object) -> bool | None:
            found.append((pattern, end))
            return len(found) >= MAX_HITS or None

        self._scan(data, note, self._tools())
        return found

    def _tools(self) -> _Tools:
        tools: _Tools | None = getattr(self._local, "tools", None)
        if tools is None:
            tools = self._local.tools = _Tools(self._database)
        return tools

    def _scan(self, data: bytes, handler: Any, tools: _Tools) -> bool:
        """Whether the pass came to its end."""
        try:
            self._database.scan(data, match_event_handler=handler, scratch=tools.scratch)
        except hyperscan.ScanTerminated:
            return False
        return True


def _give_back() -> None:
    """Compiling takes ten times the memory of what comes of it. glibc keeps what is freed, unless told; other C
    libraries do as they do."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class _Tools:
    """What one thread scans with."""

    def __init__(self, database: Any) -> None:
        self.scratch = hyperscan.Scratch(database)


def _stop(*_match: object) -> bool:
    """A match handler that ends the pass."""
    return True
