"""The last audit records, in memory, for the inspector page: as they stand in the file, and nothing more."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

MOST = 500
"""Records kept."""
MOST_BYTES = 1024 * 1024
"""Of their lines together: a record may list a hundred findings, and who looks at them has all lanes wait for it."""


@dataclass(frozen=True, slots=True, repr=False)
class _Kept:
    seq: int
    id: str
    line: bytes


class Recent:
    """Keeps the last ``most`` records. May be used from several threads."""

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: deque[_Kept] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []

    def add(self, seq: int, record: str, line: bytes) -> None:
        """Keeps a record that has been written, and tells all listeners. Never raises."""
        with self._lock:
            self._kept.append(_Kept(seq, record, line))
            self._bytes += len(line)
            while len(self._kept) > self._most or self._bytes > self._most_bytes:
                self._bytes -= len(self._kept.popleft().line)
            listeners = tuple(self._listeners)
        for tell in listeners:
            with contextlib.suppress(Exception):  # a page that has gone must not cost a record
                tell()

    def find(self, record: str) -> dict[str, Any] | None:
        """The record with that id, if it is still kept."""
        with self._lock:
            line = next((kept.line for kept in self._kept if kept.id == record), None)
        return None if line is None else json.loads(line)

    def after(self, seq: int = 0) -> list[dict[str, Any]]:
        """The records with a higher number than ``seq``, oldest first."""
        with self._lock:
            lines = [kept.line for kept in self._kept if kept.seq > seq]
        return [json.loads(line) for line in lines]

    @property
    def last(self) -> int:
        """The number of the last record; 0 before the first."""
        with self._lock:
            return self._kept[-1].seq if self._kept else 0

    @contextlib.contextmanager
    def listening(self, tell: Callable[[], None]) -> Iterator[None]:
        """Has ``tell`` called after each record, on whatever thread it was written. It must not block."""
        with self._lock:
            self._listeners.append(tell)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(tell)
