"""Addresses to listen on, and why one cannot be."""

from __future__ import annotations

import errno
import os


def why_not_bound(error: Exception | None) -> str:
    """The system's own words for why an address cannot be listened on. Python 3.13 swallows those for an address that
    is none of this machine's, and gives no number."""
    if not isinstance(error, OSError):
        return str(error) if error is not None else "unknown"
    if error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return os.strerror(errno.EADDRNOTAVAIL) if "could not bind" in str(error) else str(error)
