"""When the policy is to be read again: its file, or one that it names, is another one than before.

Looked at by name, every second, through whatever links lead there. So it does not matter how a file is replaced:
written over, renamed over, or, as Kubernetes does with a ConfigMap, by turning the link that all its names go through.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

WATCH_SECONDS = 1.0
"""How often the files are looked at."""
SETTLE_SECONDS = 0.25
"""So long they must have stayed the same, after a change, to be read: half of a file is not taken for all of it."""
SETTLE_MOST = 20
"""Looks after which they are read although they still change."""

Stamp = tuple[int, ...]


async def due(files: Callable[[], Iterable[Path]], asked: asyncio.Event) -> AsyncIterator[None]:
    """Yields whenever the policy is to be read: once for each change of the ``files`` there are then, and when somebody
    sets ``asked``, at once."""
    last = stamps(files())
    while True:
        try:
            async with asyncio.timeout(WATCH_SECONDS):
                await asked.wait()
        except TimeoutError:
            now = stamps(files())
            if now == last:
                continue
            last = await _settled(files, now)
        else:
            last = stamps(files())
        asked.clear()
        yield
        now = stamps(files())  # the policy may name others now
        last = {path: last.get(path, stamp) for path, stamp in now.items()}


async def _settled(files: Callable[[], Iterable[Path]], now: dict[Path, Stamp]) -> dict[Path, Stamp]:
    for _ in range(SETTLE_MOST):
        await asyncio.sleep(SETTLE_SECONDS)
        before, now = now, stamps(files())
        if now == before:
            break
    return now


def stamps(files: Iterable[Path]) -> dict[Path, Stamp]:
    """What tells each file from what it was before; of one that is not there, nothing. Permissions count."""
    return {path: _stamp(path) for path in files}


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
