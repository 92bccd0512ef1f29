"""What becomes of the process's memory: large blocks go back to the system, and a crash writes none of it anywhere."""

from __future__ import annotations

import ctypes
import resource
from contextlib import suppress

MIB = 1024 * 1024
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""glibc's malloc.h."""
NO_CORE = 1
"""Bytes: too few for a core file, and the one limit at which Linux gives none to a program either (fs/coredump.c)."""


def return_large_blocks() -> None:
    """Makes glibc hand a freed block of 1 MiB or more back to the system at once, for the rest of the process.

    By default it begins to keep them, per thread, with the first that is freed (mallopt(3), M_MMAP_THRESHOLD).
    """
    with suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, MIB)
        mallopt(M_TRIM_THRESHOLD, 4 * MIB)


def leave_no_core() -> None:
    """A crash writes no core dump, for the rest of the process and its children: what was under inspection is in it."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    most = hard if hard in (0, NO_CORE) else NO_CORE
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))
