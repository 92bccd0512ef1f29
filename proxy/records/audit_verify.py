"""Whether the files of an audit chain are as they were written: every line, in order, none missing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from proxy.records.chain import ANCHOR, EXPIRY, GENESIS, Line, accounts_for, chain_key, head_path, unseal, unseal_head
from proxy.records.segments import closed


@dataclass(frozen=True, slots=True)
class Verification:
    """What ``verify`` found. ``ok`` means: every line is as it was written, and none is missing but what expired."""

    ok: bool
    lines: int
    """Lines that are in order, counted from the first."""
    line: int = 0
    """Number of the first bad line in ``file``, from 1; one past the last where the end is missing; 0: all is well."""
    why: str = ""
    repairs: int = 0
    """Torn lines that a later record accounts for (a crash or a full disk while writing)."""
    last_seq: int = 0
    last_hash: str = GENESIS
    file: str = ""
    """Name of the file with the first bad line; empty if all is well."""
    files: int = 0
    first_seq: int = 0
    since: str = ""
    """Time of the first line; before it is what has expired, where ``first_seq`` is not 1."""


def verify(path: Path, secret: bytes) -> Verification:
    """Reads the chain that is written to ``path``, and its head, against the deployment's key. Safe while it is being
    written to.

    Raises ``OSError`` if a file of it cannot be read.
    """
    key = chain_key(secret)
    try:
        head = head_path(path).read_bytes()
    except FileNotFoundError:
        head = None
    # The head is read first: lines that are added meanwhile make the chain longer than the head says, never shorter.
    sealed = unseal_head(head, key) if head is not None else None
    with ExitStack() as stack:
        walk = _Walk(files_of(path, key, stack), key, sealed[0] if sealed else -1)
        found = walk.run()
    if not found.ok:
        return found
    name = head_path(path).name
    if head is None:
        why = f"lines may be missing at the end: {name} is gone"
    elif sealed is None:
        why = f"lines may be missing at the end: {name} was altered, or written with another key"
    elif sealed[0] > found.last_seq:
        why = f"lines removed at the end: seq {found.last_seq + 1} to {sealed[0]} are gone"
    elif walk.at_mark != sealed[1]:
        why = f"lines may be missing at the end: {name} belongs to another file"
    else:
        return found
    return replace(found, ok=False, line=walk.number + 1, why=why, file=walk.name)


def files_of(path: Path, key: bytes, stack: ExitStack) -> list[tuple[str, BinaryIO]]:
    """The files of the chain by name, open, in the order in which they were written. Raises ``OSError``."""
    opened: list[tuple[str, BinaryIO]] = []
    missing = None
    try:  # first: what is closed meanwhile is still read through this handle
        opened.append((path.name, stack.enter_context(path.open("rb"))))
    except FileNotFoundError as error:
        missing = error
    known = {_identity(file) for _, file in opened}
    for other in closed(path) if path.parent.is_dir() else ():
        file = stack.enter_context(other.open("rb"))
        if _identity(file) not in known:
            opened.append((other.name, file))
    if missing is not None and not opened:
        raise missing
    placed = [(_first_seq(file, key), name != path.name, index) for index, (name, file) in enumerate(opened)]
    # One without a good line cannot be placed: if it is the one that is written to, it is the last; else it is none.
    kept = [(seq or float("inf"), index) for seq, other, index in placed if seq or not other or len(opened) == 1]
    return [opened[index] for _, index in sorted(kept)]


def _identity(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino


def _first_seq(file: BinaryIO, key: bytes) -> int:
    """Of the first good line; 0 if there is none."""
    found = next((line.seq for raw in file if (line := unseal(raw.rstrip(b"\n"), key)) is not None), 0)
    file.seek(0)
    return found


@dataclass(slots=True)
class _Walk:
    """Goes through the lines up to the first bad one."""

    files: Sequence[tuple[str, BinaryIO]]
    key: bytes
    mark: int
    at_mark: str = ""
    """Hash of the line with seq ``mark``."""
    name: str = ""
    number: int = 0
    """Where it is."""
    _seq: int = 0
    _last: str = GENESIS
    _first: Line | None = None
    _torn: bytearray = field(default_factory=bytearray)
    _repairs: int = 0
    _expired: set[tuple[object, object]] = field(default_factory=set)

    def run(self) -> Verification:
        before = 0
        self.at_mark = GENESIS if self.mark == 0 else ""
        bad: tuple[BinaryIO, str, int, int] | None = None
        for name, file in self.files:
            self.name, self.number, stopped = name, 0, False
            for self.number, raw in enumerate(file, 1):
                line = unseal(raw[:-1], self.key) if raw.endswith(b"\n") else None
                if line is None:  # acceptable if the next good line accounts for it
                    bad = bad or (file, name, self.number, before)
                    self._torn += raw
                elif self._follows(line):
                    bad = None
                else:
                    bad, stopped = bad or (file, name, self.number, before), True
                    break
            if stopped:
                break
            if self._torn and not self._torn.endswith(b"\n"):
                self._torn += b"\n"
            before += self.number
        if bad is not None:
            file, name, number, before = bad
            why = _diagnose(file, self.key, number, self._seq, self._last)
            found = self._verification(before + number - 1)
            return replace(found, ok=False, line=number, why=why, file=name)
        found = self._verification(before)
        first = self._first
        if first is None or first.seq == 1 or (first.seq - 1, first.prev) in self._expired:
            return found
        why = f"lines removed at the beginning: seq 1 to {first.seq - 1} are gone, and did not expire"
        return replace(found, ok=False, line=1, why=why, file=self.files[0][0])

    def _follows(self, line: Line) -> bool:
        if self._first is None:
            self._first = line
            if line.kind == ANCHOR and not self._torn:
                self._seq, self._last = line.seq - 1, line.prev
        if (line.seq, line.prev) != (self._seq + 1, self._last):
            return False
        if self._torn and not accounts_for(line, bytes(self._torn[:-1]), self.key):
            return False
        self._repairs += bool(self._torn)
        self._torn.clear()
        self._seq, self._last = line.seq, line.hash
        if line.kind == EXPIRY:
            self._expired.add((line.anchor.get("seq"), line.anchor.get("hash")))
        if line.seq == self.mark:
            self.at_mark = line.hash
        return True

    def _verification(self, lines: int) -> Verification:
        first, since = (self._first.seq, self._first.ts) if self._first else (0, "")
        about = {"files": len(self.files), "first_seq": first, "since": since}
        return Verification(True, lines, 0, "", self._repairs, self._seq, self._last, **about)  # type: ignore[arg-type]


def _diagnose(file: BinaryIO, key: bytes, bad: int, seq: int, last: str) -> str:
    """What happened to line ``bad``, which should have followed the line ``seq`` with hash ``last``."""
    first: dict[int, int] = {}
    culprit = after = None
    cut = False
    file.seek(0)
    for number, raw in enumerate(file, 1):
        line = unseal(raw.rstrip(b"\n"), key)
        if number == bad:
            culprit, cut = line, not raw.endswith(b"\n")
        if line is not None:
            first.setdefault(line.seq, number)
            after = line if after is None and number > bad else after
    if not first:
        return "not written with this key: is it the right key file?"
    if cut:
        return "cut short: the line has no end"
    if culprit is None:
        goes_on = after is not None and (after.seq, after.prev) == (seq + 1, last)
        return "inserted: it was not written with this key" if goes_on else "altered: its hash does not match"
    return _misplaced(culprit, bad, seq, first)


def _misplaced(culprit: Line, bad: int, seq: int, first: Mapping[int, int]) -> str:
    """Why a line that is good in itself stands in the wrong place. ``first``: seq → number of its first line."""
    if first[culprit.seq] < bad:
        return f"duplicated: line {first[culprit.seq]} has the same seq {culprit.seq}"
    if culprit.seq <= seq + 1:
        return "of another chain: it does not follow the line before it"
    if seq + 1 in first:
        return f"out of order: seq {culprit.seq} stands where seq {seq + 1} belongs"
    return f"lines removed before it: seq {seq + 1} to {culprit.seq - 1} are gone"
