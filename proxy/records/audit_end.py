"""Where an audit file ends: its last good line, and what a crash or a full disk has left behind it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.records.chain import TORN, Line, digest, unseal

TAIL = 1024 * 1024
"""Bytes read from the end of an existing file to find its last line. A line is far shorter (``record`` bounds it)."""


@dataclass(frozen=True, slots=True)
class End:
    """Where a file ends."""

    line: Line | None
    """The last good line, if there is one."""
    good: int
    """Where it ends, its line end included, also if that is missing."""
    size: int
    left: bytes
    """What stands after it."""

    @property
    def seq(self) -> int:
        return self.line.seq if self.line is not None else 0


def end_of(file: int, key: bytes) -> End:
    """Of an open file."""
    size = os.fstat(file).st_size
    at = max(0, size - TAIL)
    tail = os.pread(file, TAIL, at)
    for start, end in _lines_backwards(tail):
        line = unseal(tail[start:end], key)
        if line is not None:
            return End(line, at + end + 1, size, tail[end + 1 :])
    return End(None, 0, size, b"")


def end_of_file(path: Path, key: bytes) -> End:
    """Of the file ``path``."""
    with path.open("rb") as file:
        return end_of(file.fileno(), key)


def torn(start: int, left: bytes, key: bytes) -> dict[str, Any]:
    """What a record says of ``left``, bytes at ``start`` that are no line."""
    lost = left.removesuffix(b"\n")
    return {"reason": TORN, "start": start, "end": start + len(lost), "digest": digest(lost, key)}


def _lines_backwards(data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each line in ``data``, the last one first; line ends are not included."""
    end = len(data) - data.endswith(b"\n")
    while end >= 0:
        start = data.rfind(b"\n", 0, end) + 1
        yield start, end
        end = start - 1
