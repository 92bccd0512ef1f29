"""While records cannot be kept: why, since when, how many were lost, and the tries to go on.

The chain itself tells of it afterwards, in a record of kind ``outage`` (PCI DSS 10.7.3: how long a failure lasted).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

OUTAGE = "outage"
"""``kind`` of the record that tells of records that could not be kept."""
LOOK_SECONDS = 5.0
COUNTED = 12
"""Of so many looks in a row that find it failing the last is counted as an error, so that the alarm rings on."""

_NAME_ANOTHER = "name a file that can be written to in audit.path"
_WHAT_TO_DO = {
    errno.EACCES: "the sidecar's user must be able to write it and its directory",
    errno.EROFS: _NAME_ANOTHER,
    errno.EISDIR: _NAME_ANOTHER,
    errno.ENOTDIR: _NAME_ANOTHER,
    errno.ENOSPC: "make room on its disk",
    errno.EDQUOT: "make room on its disk",
}

logger = logging.getLogger("sekisho")


class AuditError(Exception):
    """A record could not be written, or the file cannot be continued. The message names the file, never a record."""


class Meter(Protocol):
    """The part of the meter that this uses."""

    def audit_error(self) -> None:
        """An audit record could not be written."""


class Outage:
    """What the audit file at ``path`` knows of its own failing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.why = ""
        """Why a record could not be kept now; empty if it could."""
        self.lost = 0
        """Records that could not be kept, and that no record tells of yet."""
        self._since = self._until = ""

    def lose(self, ts: str) -> None:
        """A record could not be kept at ``ts``."""
        self._since = self._since or ts
        self._until = ts
        self.lost += 1

    def event(self) -> dict[str, Any]:
        """The record that tells of it; ``told`` once that is kept."""
        return {"kind": OUTAGE, "outage": {"since": self._since, "until": self._until, "lost": self.lost}}

    def told(self) -> None:
        """See ``event``."""
        self._since, self._until, self.lost = "", "", 0

    @contextmanager
    def known(self) -> Iterator[None]:
        """Keeps in mind whether what is done inside went well. Raises ``AuditError`` for an ``OSError``."""
        try:
            yield
        except AuditError as error:
            self.why = str(error)
            raise
        except OSError as error:
            self.why = f"audit file {self.path}: {why(error)}"
            raise AuditError(self.why) from error
        self.why = ""


def why(error: OSError) -> str:
    """What went wrong, and what to do about it."""
    hint = _WHAT_TO_DO.get(error.errno or 0)
    return f"{error.strerror}: {hint}" if hint else f"{error.strerror}"


def need_room(file: int) -> None:
    """Raises ``OSError`` if nothing can be added to an open file: its disk is full, or has become read-only."""
    disk = os.fstatvfs(file)
    if disk.f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    if disk.f_blocks and not (disk.f_bavail if os.geteuid() else disk.f_bfree):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def watch(look: Callable[[], Awaitable[str]], meter: Meter) -> None:
    """Looks again and again whether a record could be kept, until it is cancelled. ``look`` says why not, or
    nothing."""
    failing, said = 0, ""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        found = await look()
        if found != said:
            logger.warning("%s", found or "audit records can be written again")
        failing, said = (failing + 1 if found else 0), found
        if failing and failing % COUNTED == 0:
            meter.audit_error()
