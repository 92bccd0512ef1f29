"""The deployment's secret key, read only from a file that nobody else can read."""

from __future__ import annotations

import errno
import os
import shlex
import stat
from pathlib import Path

MIN_BYTES = 32
"""As long as the output of SHA-256 (RFC 2104 §3: a shorter key weakens the HMAC)."""
MAX_BYTES = 4096
CREDENTIALS = Path("/run/credentials")
"""Where systemd puts what a unit's ``LoadCredential=`` names, root's with an access list for the unit's user."""
_MAKE = "umask 077; head -c 48 /dev/urandom | base64"


class KeyFileError(Exception):
    """The key file cannot be used. ``why`` says what is wrong and ``hint`` what to run; neither holds key bytes."""

    def __init__(self, path: Path, why: str, hint: str) -> None:
        super().__init__(f"{path}: {why} ({hint})")
        self.path = path
        self.why = why
        self.hint = hint


def _make(path: Path) -> str:
    if path.is_relative_to(CREDENTIALS):
        return "systemd puts it there while the service runs, by LoadCredential= of the unit"
    folder = "" if path.parent.exists() else f"mkdir -p {shlex.quote(str(path.parent))}; "
    return f"make one: {folder}{_MAKE} > {shlex.quote(str(path))}"


def _close(path: Path) -> str:
    if path.is_relative_to(CREDENTIALS):
        return "run this as the user of the service that systemd lends it to"
    return f"run: chmod 600 {shlex.quote(str(path))}"


def read_key(path: Path) -> bytes:
    """The key: the file's bytes, of a text file without the white space around it.

    Card numbers are few enough to try them all, so a fingerprint is only as secret as this key (PCI DSS 4.0.1,
    3.5.1.1). Raises ``KeyFileError`` where the file is missing, not a file, readable by group or others, longer than
    4 KiB, or the key is shorter than 32 bytes.
    """
    data = read_private(path, "key", MAX_BYTES, _make(path))
    key = data.strip() if data.isascii() else data
    if len(key) < MIN_BYTES:
        raise KeyFileError(path, f"the key has {len(key)} bytes, {MIN_BYTES} are the least", _make(path))
    return key


def regular(path: str, flags: int) -> int:
    """An opener (see ``open``) for files that must not keep anybody waiting: a named pipe or a device in their place
    is an ``OSError``."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # of a directory ``open`` itself says so
        os.close(descriptor)
        raise OSError(errno.EINVAL, "Not a regular file")
    return descriptor


def others(owner: int, reader: int) -> int:
    """The permission bits that a secret's file must not have. Where root lends it to a service, it does so by group or
    access list: systemd's credentials and Kubernetes' secrets are root's, with mode 0440."""
    return 0o037 if owner == 0 != reader else 0o077


def read_private(path: Path, what: str, most: int, make: str) -> bytes:
    """The bytes of a file that holds a secret: at most ``most`` of them, and nobody but its owner may read it (see
    ``others``).

    ``what`` and ``make`` are for the message of ``KeyFileError``: the kind of file, and how to get one.
    """
    try:
        # Not blocking: a named pipe in its place must be an error, not a start that hangs.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise KeyFileError(path, f"the {what} file does not exist", make) from None
    except OSError as error:
        why, hint = f"the {what} file cannot be opened", os.strerror(error.errno or 0)
        if error.errno == errno.EACCES:
            hint += f": let it and its directories belong to who runs Sekisho, user {os.geteuid()}"
        raise KeyFileError(path, why, hint) from None
    try:
        status = os.fstat(descriptor)
        mode = status.st_mode
        if not stat.S_ISREG(mode):
            raise KeyFileError(path, f"the {what} file is not a regular file", "name a file that holds the key")
        if mode & others(status.st_uid, os.geteuid()):
            why = f"the {what} file can be read by others (mode {stat.S_IMODE(mode):04o})"
            raise KeyFileError(path, why, _close(path))
        data = os.read(descriptor, most + 1)
    finally:
        os.close(descriptor)
    if len(data) > most:
        raise KeyFileError(path, f"the {what} file has more than {most} bytes", "name a file that holds only the key")
    return data
