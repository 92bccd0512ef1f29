"""``python prepared.py DIRECTORY run …`` is ``python -m proxy run …``, but for the one thing that takes most of a start:
what Hyperscan has compiled is read from the directory, where the first process of a test run has left it."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

import hyperscan

from detectors.compiled import Compiled

compiles = Compiled.__init__


def keeping(directory: Path):
    """``Compiled.__init__``, with a file for each set of rows. Processes may write the same one at once."""

    def init(self, rows):
        file = directory / hashlib.sha256(repr(rows).encode()).hexdigest()
        try:
            self._database = hyperscan.loadb(file.read_bytes(), hyperscan.HS_MODE_BLOCK)
        except (OSError, hyperscan.HyperscanError):
            compiles(self, rows)
            with suppress(OSError):
                own = file.with_suffix(f".{os.getpid()}")
                own.write_bytes(hyperscan.dumpb(self._database))
                own.replace(file)
        else:
            self._local = threading.local()

    return init


if __name__ == "__main__":
    Compiled.__init__ = keeping(Path(sys.argv.pop(1)))
    from proxy.cli import main

    main()
