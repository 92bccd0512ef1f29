"""Where records go: one JSON line each, chained (``chain``), on the disk before anyone acts on it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from proxy.chain import (
    GENESIS,
    REPAIR,
    TORN,
    Verification,
    chain_key,
    digest,
    head_path,
    seal,
    seal_head,
    unseal,
    unseal_head,
    verify,
)
from proxy.recent import Recent

__all__ = ["AuditError", "AuditSink", "JsonLinesAudit", "RecordingAudit", "Verification", "verify"]

TAIL = 1024 * 1024
"""Bytes read from the end of an existing file to find its last line. A line is far shorter (``record`` bounds it)."""

MOVE_AWAY = "run `sekisho audit verify` on it, and move both files away, as evidence, to start a new one"


class AuditError(Exception):
    """A record could not be written, or the file cannot be continued. The message names the file, never a record."""


class AuditSink(Protocol):
    """Takes records. May be called from several threads."""

    def append(self, event: Mapping[str, Any]) -> str:
        """Writes ``event`` and gives its id. When it returns, the record is kept; else it raises ``AuditError``."""


class RecordingAudit:
    """A sink for tests: keeps the events, and fails on demand."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.error: Exception | None = None
        """Raised by every ``append`` while it is set."""

    def append(self, event: Mapping[str, Any]) -> str:
        if self.error is not None:
            raise self.error
        record = str(uuid.uuid4())
        self.events.append({"id": record, **event})
        return record


def utc_now() -> datetime:
    return datetime.now(UTC)


class JsonLinesAudit:
    """The audit file at ``path``, chained with the deployment's key: continued if it is there, made (mode 0600) if not.

    Raises ``AuditError``: the file cannot be opened, another process writes it, or its end is not what was written
    last. A file like that is evidence: move it and its head away, and start anew.
    """

    def __init__(self, path: Path, secret: bytes, *, now: Callable[[], datetime] = utc_now) -> None:
        self.path = path
        self.recent = Recent()
        """What was written last by this process."""
        self._key = chain_key(secret)
        self._now = now
        self._lock = threading.Lock()
        self._seq, self._last, self._size = 0, GENESIS, 0
        self._file = self._head = -1
        try:
            self._open()
            self._resume()
            self._mend()
        except OSError as error:
            self.close()
            raise AuditError(f"audit file {path}: {error.strerror}") from error
        except AuditError:
            self.close()
            raise

    def append(self, event: Mapping[str, Any]) -> str:
        """See ``AuditSink``. ``event`` must not hold ``id``, ``ts``, ``seq``, ``prev`` or ``hash``."""
        with self._lock:
            try:
                self._mend()
                return self._add(event)
            except OSError as error:
                raise AuditError(f"audit file {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Lets go of the file; ``append`` raises from now on."""
        for handle in (self._file, self._head):
            if handle >= 0:
                os.close(handle)
        self._file = self._head = -1

    def _open(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600)
        status = os.fstat(self._file)
        if not stat.S_ISREG(status.st_mode):
            raise AuditError(f"audit file {self.path}: is not a regular file")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AuditError(f"audit file {self.path}: another process writes it; each needs its own") from error
        head = head_path(self.path)
        if status.st_size and not head.exists():
            raise AuditError(f"audit file {self.path}: {head.name} is gone, so its end cannot be trusted: {MOVE_AWAY}")
        self._head = os.open(head, os.O_RDWR | os.O_CREAT, 0o600)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # or a power cut could take the new file with it
        finally:
            os.close(folder)

    def _resume(self) -> None:
        """Finds the last line, and makes sure that it is the last one that was written."""
        size = os.fstat(self._file).st_size
        head = os.pread(self._head, 4096, 0)
        if not size and not head:
            os.pwrite(self._head, seal_head(0, GENESIS, self._key), 0)
            return
        at = max(0, size - TAIL)
        tail = os.pread(self._file, TAIL, at)
        for start, end in _lines_backwards(tail):
            line = unseal(tail[start:end], self._key)
            if line is not None:
                self._seq, self._last, self._size = line.seq, line.hash, at + end + 1
                break
        sealed = unseal_head(head, self._key)
        if sealed is None or sealed[0] > self._seq or (sealed[0] == self._seq and sealed[1] != self._last):
            why = "its end was altered or removed, or it was written with another key"
            raise AuditError(f"audit file {self.path}: {why}: {MOVE_AWAY}")
        if self._size > size:
            os.write(self._file, b"\n")  # the crash came just before the line's end

    def _mend(self) -> None:
        """Accounts for bytes after the last line: what a crash or a full disk left of a record nobody was told of.

        They stay as they are, they may be evidence; a repair record says what they were.
        """
        status = os.fstat(self._file)
        if not status.st_nlink:
            raise AuditError(f"audit file {self.path}: was deleted while in use")
        if status.st_size < self._size:
            gone = self._size - status.st_size
            raise AuditError(f"audit file {self.path}: was cut while in use, {gone} bytes are gone")
        if status.st_size == self._size:
            return
        left = os.pread(self._file, status.st_size - self._size, self._size)
        torn = left.removesuffix(b"\n")
        gap = {"reason": TORN, "start": self._size, "end": self._size + len(torn), "digest": digest(torn, self._key)}
        self._add({"kind": REPAIR, "gaps": [gap]}, after=len(left), prefix=b"" if left.endswith(b"\n") else b"\n")

    def _add(self, event: Mapping[str, Any], *, after: int = 0, prefix: bytes = b"") -> str:
        """Writes one line behind the last one and ``after`` other bytes; on the disk when it returns."""
        record = str(uuid.uuid4())
        ts = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        whole = {"id": record, "ts": ts, "seq": self._seq + 1, "prev": self._last, "kind": "", "gaps": [], **event}
        line, link = seal(whole, self._key)
        data = prefix + line
        written = os.write(self._file, data)
        if written != len(data):
            self._undo(self._size + after)
            raise AuditError(f"audit file {self.path}: only {written} of {len(data)} bytes could be written")
        self._seq, self._last, self._size = self._seq + 1, link, self._size + after + len(data)
        os.fdatasync(self._file)
        os.pwrite(self._head, seal_head(self._seq, self._last, self._key), 0)
        self.recent.add(self._seq, record, line)
        return record

    def _undo(self, size: int) -> None:
        """Takes back our own half-written line. Where that fails (an append-only file), the next record mends it."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, size)


def _lines_backwards(data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each line in ``data``, the last one first; line ends are not included."""
    end = len(data) - data.endswith(b"\n")
    while end >= 0:
        start = data.rfind(b"\n", 0, end) + 1
        yield start, end
        end = start - 1
