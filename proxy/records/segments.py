"""The files of one audit chain: the one that is written to, and beside it the closed ones, a day's records each.

``var/audit.jsonl`` of the fifth becomes ``var/audit-2026-11-05.jsonl``. A file that something else has renamed, as
logrotate does (``audit.jsonl.1``, ``audit.jsonl-20261105``), belongs to the chain as well.
"""

from __future__ import annotations

import errno
import re
from pathlib import Path


def closed(path: Path) -> list[Path]:
    """The closed files of the chain that is written to ``path``, in no order. Copies and packed ones are not in it."""
    own = rf"{re.escape(path.stem)}-\d{{4}}-\d\d-\d\d(?:\.\d+)?{re.escape(path.suffix)}"
    renamed = rf"{re.escape(path.name)}[.-]\d[\d-]*"
    name = re.compile(f"{own}|{renamed}")
    return [file for file in path.parent.iterdir() if name.fullmatch(file.name) and file.is_file()]


def name_for(path: Path, day: str) -> Path:
    """What the file is to be called once its day, the last one that it holds records of, is over."""
    number, found = 1, path.with_name(f"{path.stem}-{day}{path.suffix}")
    while found.exists():  # the clock went back, or it was started anew
        number += 1
        found = path.with_name(f"{path.stem}-{day}.{number}{path.suffix}")
    return found


def audit_file(path: Path) -> Path:
    """``path``, or the only audit file in the directory ``path``. Raises ``FileNotFoundError`` if there is no such."""
    if not path.is_dir():
        return path
    heads = sorted(path.glob("*.head"))
    if len(heads) != 1:
        raise FileNotFoundError(errno.ENOENT, f"holds {len(heads) or 'no'} audit files, name one", str(path))
    return heads[0].with_suffix("")
