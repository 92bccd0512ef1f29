"""Where records go: one JSON line each, chained (``chain``), on the disk before anyone acts on it.

When a day (UTC) is over its file is closed (``segments``), and the next begins with an anchor. Files whose last record
is older than records are kept are removed, each after a record that says so.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import stat
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from proxy.records.audit_end import End, end_of, end_of_file, torn
from proxy.records.audit_verify import Verification, verify
from proxy.records.chain import (
    ANCHOR,
    EXPIRY,
    GENESIS,
    REPAIR,
    chain_key,
    head_path,
    seal,
    seal_head,
    unseal_head,
)
from proxy.records.outage import AuditError, Outage, need_room, why
from proxy.records.recent import Recent
from proxy.records.segments import closed, name_for

__all__ = ["AuditError", "AuditSink", "JsonLinesAudit", "Verification", "verify"]

MOVE_AWAY = "run `sekisho audit verify` on it, and move both files away, as evidence, to start a new one"

logger = logging.getLogger(__name__)


class AuditSink(Protocol):
    """Takes records. May be called from several threads."""

    def append(self, event: Mapping[str, Any]) -> str:
        """Writes ``event`` and gives its id. When it returns, the record is kept; else it raises ``AuditError``."""


def utc_now() -> datetime:
    return datetime.now(UTC)


class JsonLinesAudit:
    """The audit file at ``path``, chained with the deployment's key: continued if it is there, made (mode 0600) if not.

    Raises ``AuditError``: the file cannot be opened, another process writes it, or its end is not what was written
    last. A file like that is evidence: move it and its head away, and start anew.
    """

    def __init__(
        self, path: Path, secret: bytes, *, keep_days: int | None = None, now: Callable[[], datetime] = utc_now
    ) -> None:
        """``keep_days``: how long records are kept; without it they never expire."""
        self.path = path
        self.keep_days = keep_days
        self.recent = Recent()
        """What was written last by this process."""
        self.outage = Outage(path)
        self._key = chain_key(secret)
        self._now = now
        self._lock = threading.Lock()
        self._seq, self._last, self._ts, self._size = 0, GENESIS, "", 0
        self._file = self._head = -1
        try:
            self._open()
            self._resume()
            self._mend()
            self._expire()
        except OSError as error:
            self.close()
            raise AuditError(f"audit file {path}: {why(error)}") from error
        except AuditError:
            self.close()
            raise

    def append(self, event: Mapping[str, Any]) -> str:
        """See ``AuditSink``. ``event`` must not hold ``id``, ``ts``, ``seq``, ``prev`` or ``hash``."""
        with self._lock:
            try:
                with self.outage.known():
                    self._mend()
                    self._turn()
                    return self._add(event)
            except AuditError:
                self.outage.lose(stamp(self._now()))
                raise

    def look(self) -> str:
        """Why a record could not be kept now; empty if it could. Where records were lost it tries to write one that
        tells of them."""
        with self._lock, contextlib.suppress(AuditError), self.outage.known():
            self._mend()
            if self.outage.lost:
                self._turn()
                self._add(self.outage.event())
                self.outage.told()
            else:
                need_room(self._file)
        return self.outage.why

    def close(self) -> None:
        """Lets go of the file; ``append`` raises from now on."""
        for handle in (self._file, self._head):
            if handle >= 0:
                os.close(handle)
        self._file = self._head = -1

    def _open(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        head = head_path(self.path)
        if head.exists():
            self._lock_head(head)
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600)
        status = os.fstat(self._file)
        if not stat.S_ISREG(status.st_mode):
            raise AuditError(f"audit file {self.path}: is not a regular file: name another in audit.path")
        if self._head < 0 and status.st_size:
            raise AuditError(f"audit file {self.path}: {head.name} is gone, so its end cannot be trusted: {MOVE_AWAY}")
        if self._head < 0:
            self._lock_head(head)
        self._sync_folder()  # or a power cut could take the new file with it

    def _lock_head(self, head: Path) -> None:
        """The head is the same file as long as there is a chain: whoever has locked it is the one who writes."""
        self._head = os.open(head, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._head, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AuditError(f"audit file {self.path}: another process writes it; each needs its own") from error

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _resume(self) -> None:
        """Finds the last line, and makes sure that it is the last one that was written."""
        head = os.pread(self._head, 4096, 0)
        end = end_of(self._file, self._key)
        if not end.size and not head:
            os.pwrite(self._head, seal_head(0, GENESIS, self._key), 0)
            return
        if end.size:
            self._go_on_after(end, head)
            self._size = end.good
            if end.good > end.size:
                os.write(self._file, b"\n")  # the crash came just before the line's end
            return
        # The day's file had been closed, by us or by somebody else, and the next was not begun.
        former = max(closed(self.path), key=lambda file: end_of_file(file, self._key).seq, default=self.path)
        end = end_of_file(former, self._key)
        self._go_on_after(end, head)
        if end.good > end.size:
            with former.open("ab") as file:
                file.write(b"\n")
        self._begin([torn(end.good, end.left, self._key)] if end.left else [])

    def _go_on_after(self, end: End, head: bytes) -> None:
        if end.line is not None:
            self._seq, self._last, self._ts = end.line.seq, end.line.hash, end.line.ts
        sealed = unseal_head(head, self._key)
        if sealed is None or sealed[0] > self._seq or (sealed[0] == self._seq and sealed[1] != self._last):
            altered = "its end was altered or removed, or it was written with another key"
            raise AuditError(f"audit file {self.path}: {altered}: {MOVE_AWAY}")

    def _turn(self) -> None:
        """Goes on in a new file, if the day is over or somebody has renamed the present one."""
        if not self._is_in_place():
            self._begin()
        elif self._ts and f"{self._now().date()}" > self._ts[:10]:
            try:
                self.path.rename(name_for(self.path, self._ts[:10]))
            except OSError as error:  # an append-only file, say: better a long file than none
                logger.error("audit file %s: cannot be closed for the day: %s", self.path, error.strerror)
                self._ts = f"{self._now().date()}"
                return
            self._begin()
            self._expire()

    def _is_in_place(self) -> bool:
        try:
            found, ours = self.path.stat(), os.fstat(self._file)
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)

    def _begin(self, gaps: Sequence[Mapping[str, Any]] = ()) -> None:
        """Goes on in a new file, which is in its place only when its anchor is on the disk."""
        if self.path.exists() and self.path.stat().st_size:
            raise AuditError(f"audit file {self.path}: was replaced while in use: {MOVE_AWAY}")
        new = self.path.with_name(self.path.name + ".new")
        file = os.open(new, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC, 0o600)
        former = (self._file, self._size)
        self._file, self._size = file, 0
        anchor = {"seq": self._seq, "hash": self._last, "ts": self._ts}

        def place() -> None:
            new.rename(self.path)
            self._sync_folder()

        try:
            self._add({"kind": ANCHOR, "gaps": list(gaps), "anchor": anchor}, place=place)
        except (OSError, AuditError):
            os.close(file)
            self._file, self._size = former
            raise
        os.close(former[0])

    def _expire(self) -> None:
        """Removes the files whose last record has been kept long enough, the oldest first."""
        if self.keep_days is None:
            return
        until = self._now() - timedelta(days=self.keep_days)
        old = [file for file in closed(self.path) if file.stat().st_mtime < until.timestamp()]
        ends = sorted(((end_of_file(file, self._key), file) for file in old), key=lambda row: row[0].seq)
        for end, file in ends:
            if end.line is None or end.line.ts >= stamp(until):
                continue
            anchor = {"file": file.name, "seq": end.seq, "hash": end.line.hash, "ts": end.line.ts}
            self._add({"kind": EXPIRY, "anchor": anchor})
            try:
                file.unlink()
            except OSError as error:
                logger.error("audit file %s: has expired and cannot be removed: %s", file, error.strerror)

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
        gap = torn(self._size, left, self._key)
        self._add({"kind": REPAIR, "gaps": [gap]}, after=len(left), prefix=b"" if left.endswith(b"\n") else b"\n")

    def _add(
        self,
        event: Mapping[str, Any],
        *,
        after: int = 0,
        prefix: bytes = b"",
        place: Callable[[], object] | None = None,
    ) -> str:
        """Writes one line behind the last one and ``after`` other bytes; on the disk when it returns.

        ``place`` is called when it is there, before the head tells of it; if that raises, nothing has been written.
        """
        record, ts = str(uuid.uuid4()), stamp(self._now())
        whole = {"id": record, "ts": ts, "seq": self._seq + 1, "prev": self._last, "kind": "", "gaps": [], **event}
        line, link = seal(whole, self._key)
        data = prefix + line
        written = os.write(self._file, data)
        if written != len(data):
            self._undo(self._size + after)
            raise AuditError(f"audit file {self.path}: only {written} of {len(data)} bytes could be written")
        if place is not None:
            os.fdatasync(self._file)
            place()
        self._seq, self._last, self._size = self._seq + 1, link, self._size + after + len(data)
        self._ts = max(ts, self._ts)
        if place is None:
            os.fdatasync(self._file)
        os.pwrite(self._head, seal_head(self._seq, self._last, self._key), 0)
        self.recent.add(self._seq, record, line)
        return record

    def _undo(self, size: int) -> None:
        """Takes back our own half-written line. Where that fails (an append-only file), the next record mends it."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, size)


def stamp(moment: datetime) -> str:
    """A moment (UTC) as records have it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
