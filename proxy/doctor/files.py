"""The files of a set-up: who may read and write them, and whether there is room for records."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from proxy.doctor.process import Owner
from proxy.doctor.rows import Row, Subject
from proxy.policy import Policy
from proxy.policy.files import files_of

GIB, MIB = 1024**3, 1024**2
LOW, NONE = GIB, 100 * MIB
"""Free bytes: a warning below the first; below the second the audit file soon cannot be written, and lanes block."""


@dataclass(frozen=True, slots=True)
class User:
    """Who the sidecar is, to the file system."""

    uid: int
    groups: Collection[int]
    whose: str
    """How to name it."""

    @classmethod
    def of(cls, owner: Owner) -> User:
        """The sidecar's user, or ours where it does not run."""
        if owner.uid is None:
            return cls(os.geteuid(), {os.getegid(), *os.getgroups()}, f"user {os.geteuid()} (the sidecar does not run)")
        groups = {group for one in owner.processes for group in one.groups} or _groups(owner.uid)
        return cls(owner.uid, groups, f"the sidecar's user {owner.uid}")

    def may(self, what: int, path: Path) -> bool:
        """``what`` is 4 to read, 2 to write, 1 to pass; by mode and owner alone. Raises ``OSError``."""
        status = path.stat()
        if self.uid == 0:
            return True
        if status.st_uid == self.uid:
            return status.st_mode >> 6 & what == what
        if status.st_gid in self.groups:
            return status.st_mode >> 3 & what == what
        return status.st_mode & what == what


def _groups(uid: int) -> set[int]:
    try:
        known = pwd.getpwuid(uid)
        return set(os.getgrouplist(known.pw_name, known.pw_gid))
    except (KeyError, OSError):
        return set()


def rows(policy: Policy, owner: Owner) -> Iterator[Row]:
    """What is wrong with each file, the directory of the audit file, and its disk."""
    user = User.of(owner)
    yield from _policy_file(policy.path)
    for path in files_of(policy):
        yield from _read(path, user)
    yield from _audit(policy.audit.path, user)


def _policy_file(path: Path) -> Iterator[Row]:
    at = Subject("file", path.name)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o022:
        seen = f"others can change the policy (mode {mode:04o})"
        yield at.warning(seen, f"chmod go-w {quote(str(path))}")
    else:
        yield at.ok(f"only its owner can change the policy (mode {mode:04o})")


def _read(path: Path, user: User) -> Iterator[Row]:
    at = Subject("file", path.name)
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    if not user.may(4, path):
        seen = f"{user.whose} cannot read it (owner {status.st_uid}, mode {mode:04o}): the next start or reload fails"
        yield at.broken(seen, f"chown {user.uid} {quote(str(path))}")
    elif mode & 0o022:
        yield at.warning(f"others can change it (mode {mode:04o})", f"chmod go-w {quote(str(path))}")
    else:
        yield at.ok(f"readable by {user.whose}, mode {mode:04o}")


def _audit(file: Path, user: User) -> Iterator[Row]:
    at = Subject("audit-file", file.name)
    place = next((place for place in file.parents if place.is_dir()), Path("/"))
    shown = quote(str(place))
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        yield at.broken(f"{place} is on a read-only file system", "mount it writable, or change audit.path")
    elif not user.may(3, place):
        yield at.broken(f"{user.whose} cannot write in {place}", f"chown {user.uid} {shown}")
    elif file.exists() and not user.may(2, file):
        yield at.broken(f"{user.whose} cannot write it", f"chown {user.uid} {quote(str(file))}")
    elif file.exists() and file.stat().st_mode & 0o007:
        seen = f"anybody here can open it (mode {stat.S_IMODE(file.stat().st_mode):04o})"
        yield at.warning(seen, f"chmod o= {quote(str(file))}")
    else:
        yield at.ok(f"{user.whose} can write in {place}")
    yield from _room(place)


def _room(place: Path) -> Iterator[Row]:
    at = Subject("disk", str(place))
    disk = os.statvfs(place)
    free = disk.f_bavail * disk.f_frsize
    fix = "make room: lanes in mode enforce block when a record cannot be written"
    seen = f"{free / GIB:.1f} GiB free" if free >= GIB else f"{free // MIB} MiB free"
    if disk.f_files and not disk.f_favail:
        yield at.broken(f"{seen}, but no file can be made (no inodes)", fix)
    elif free < NONE:
        yield at.broken(seen, fix)
    elif free < LOW:
        yield at.warning(seen, fix)
    else:
        yield at.ok(seen)
