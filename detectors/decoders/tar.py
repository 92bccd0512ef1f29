"""tar archives, ustar, pax and GNU; compressed ones come here out of their compression.

Evasion: a file name or a pax attribute that is a number; data behind the end marker; a size that lies.
Limits: one header for each 512 bytes; output ≤ input.
Put back where an edit keeps its length: a header has a checksum, the data of an entry has none.
Paths: the entry's name. All names together are a child of their own, ``names``.
Source: POSIX.1-2017 pax, «ustar Interchange Format» and «pax Header Block»; GNU tar manual (``L``, ``K``, base-256).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from detectors.decoders.naming import name_of, segment
from detectors.decoders.offsets import Framed, Whole, side_by_side
from detectors.model import Ask, Gap, Peel

_BLOCK = 512
_CHECKSUM = re.compile(rb"[ 0]*([0-7]{1,6})[ \0]")
_OCTAL = re.compile(rb"[ \0]*([0-7]+)[ \0]*")
_NAMES_FOLLOW = b"xgLK"
"""Types of entries whose data is the name or the attributes of the next."""
_WITHOUT_DATA = b"123456"


def _is_header(data: bytes, at: int) -> bool:
    told = _CHECKSUM.match(data, at + 148, at + 156)
    if told is None or at + _BLOCK > len(data):
        return False
    block = data[at : at + _BLOCK]
    return int(told[1], 8) == sum(block[:148]) + 8 * 0x20 + sum(block[156:])


def is_tar(data: bytes) -> bool:
    """Whether the first block is a header with the right checksum."""
    return _is_header(data, 0)


def _number(field: bytes) -> int:
    if field[:1] >= b"\x80":
        return int.from_bytes(field, "big") & ((1 << 8 * len(field) - 1) - 1)
    match = _OCTAL.match(field)
    return int(match[1], 8) if match else 0


def _fixed(size: int) -> None:
    """No other length than the header's."""


def _entry(data: bytes, start: int, end: int, path: str) -> Peel:
    return Peel("tar", data[start:end], Framed(start, start, data[start:end], _fixed), path, framed=True)


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The data of each entry, all names, and what stands where no entry is."""
    at, names, path = 0, list[bytes](), ""
    while _is_header(data, at):
        ask.budget.check_time()
        block = data[at : at + _BLOCK]
        names += (block[345:500].rstrip(b"\0"), block[:100].rstrip(b"\0"), block[157:257].rstrip(b"\0"), block[265:329])
        kind, size = block[156:157], _number(block[124:136])
        start, end = at + _BLOCK, at + _BLOCK + (0 if kind in _WITHOUT_DATA and kind else size)
        told = path or segment(name_of(block[:100].partition(b"\0")[0]))
        path = ""
        if end > len(data):
            yield Gap("truncated-tar", at, len(data))
            end = len(data)
        if kind in _NAMES_FOLLOW and kind:
            names.append(data[start:end])
            path = segment(name_of(data[start:end].partition(b"\0")[0])) if kind == b"L" else ""
        elif end > start:
            yield _entry(data, start, end, told)
        at = end + -(end - start) % _BLOCK
    if not at:
        return
    together = b"\n".join(name for name in names if name.strip(b"\0"))
    yield Peel("tar", together, Whole(0, min(at, len(data)), together, None), "names")
    if data[at:].strip(b"\0"):
        yield Peel("", data[at:], side_by_side(at, len(data)))
        if data[at : at + _BLOCK].strip(b"\0"):
            yield Gap("corrupt-tar", at, len(data))
