"""zip, and all that is built on it: docx, xlsx, pptx, odt, jar, apk.

Evasion: entries that the directory does not name, sizes that lie, data before, between and behind the entries, zip64
and data descriptors, a file name that is a number. Entries are read from the directory *and* wherever else a local
header stands; what belongs to no entry is yielded as it stands; where directory, header and data disagree there is a
Gap ``corrupt-zip`` beside what was read. Encrypted entries are a Gap ``encrypted``, unknown methods ``archive``.
Limits: ``MOST`` entries; each entry's output within the room of its compressed bytes, whatever size it claims.
Cannot be put back: names, sizes and checksums stand in several places, and many such files are signed.
Paths: the entry's name. All names and comments together are a child of their own, ``names``; so are the sheets of a
workbook that have names of card fields above their columns, ``cells``.
Source: PKWARE APPNOTE 6.3.10, §4.3, §4.5.3 (zip64).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

from detectors.decoders.inflate import Inflated, zlibbed
from detectors.decoders.naming import name_of, segment
from detectors.decoders.office import PART
from detectors.decoders.offsets import Whole, side_by_side
from detectors.decoders.spreadsheet import Book
from detectors.decoders.xz_bzip2 import bzipped
from detectors.model import Ask, Gap, Peel

MOST = 10_000
"""Entries that are read. A book of a thousand sheets has some four thousand."""

_LOCAL, _ENTRY, _END, _END_WITHIN = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", 65_557
_STARTS = (_LOCAL, _END, b"PK\x07\x08")
_LOCAL_HEAD = Struct("<4xHHH4xLLLHH")  # version, flags, method, crc, compressed, plain, name, extra
_ENTRY_HEAD = Struct("<6xHHH4xLLLHHH8xL")  # version, flags, method, crc, compressed, plain, name, extra, comment, at
_END_TAIL = Struct("<12xLL")  # size and offset of the directory
_LOST = 0xFFFFFFFF
"""The value of a field that zip64 moved elsewhere."""
_STORED, _DEFLATED, _BZIP2 = 0, 8, 12
_DESCRIPTOR = 24


def is_zip(data: bytes) -> bool:
    """By its first bytes, or by its directory at the end: readers accept anything before it."""
    within = max(0, len(data) - _END_WITHIN)
    # One byte is found twenty times as fast as four.
    return data.startswith(_STARTS) or (data.rfind(b"\x05", within) >= 0 and data.rfind(_END, within) >= 0)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry as its headers tell it; ``size`` is -1 where they do not."""

    at: int
    start: int
    flags: int
    method: int
    crc: int
    size: int
    plain: int
    name: bytes

    @property
    def streamed(self) -> bool:
        """Whether checksum and sizes follow the data instead of standing in the header."""
        return bool(self.flags & 8)


def _wide(extra: bytes, fields: tuple[int, ...]) -> tuple[int, ...]:
    """The fields with those that zip64 moved to the extra field put in."""
    at, wide = 0, b""
    while at + 4 <= len(extra):
        size = int.from_bytes(extra[at + 2 : at + 4], "little")
        if extra[at : at + 2] == b"\1\0":
            wide = extra[at + 4 : at + 4 + size]
            break
        at += 4 + size
    out = list(fields)
    for n, value in enumerate(fields):
        if value == _LOST and len(wide) >= 8:
            out[n], wide = int.from_bytes(wide[:8], "little"), wide[8:]
    return tuple(out)


def _local(data: bytes, at: int) -> _Entry | None:
    """The entry whose local header stands at ``at``."""
    if at < 0 or not data.startswith(_LOCAL, at) or at + 30 > len(data):
        return None
    _, flags, method, crc, size, plain, name, extra = _LOCAL_HEAD.unpack_from(data, at)
    start = at + 30 + name + extra
    plain, size = _wide(data[at + 30 + name : start], (plain, size))
    told = -1 if flags & 8 and not size else size
    return _Entry(at, min(start, len(data)), flags, method, crc, told, plain, data[at + 30 : at + 30 + name])


class _Directory:
    """The entries that the directory names, and the bytes that it takes."""

    def __init__(self, data: bytes, ask: Ask) -> None:
        self.entries: list[_Entry] = []
        self.labels: list[bytes] = []
        self.sound = False
        self.span = (len(data), len(data))
        end = data.rfind(_END, max(0, len(data) - _END_WITHIN))
        if end < 0:
            return
        self.span = (end, len(data))
        if end + 22 > len(data):
            return
        size, offset = _END_TAIL.unpack_from(data, end)
        locator = data[end - 20 : end]
        if locator.startswith(b"PK\x06\x07") and _LOST in (size, offset):
            tail = int.from_bytes(locator[8:16], "little")
            size, offset = (int.from_bytes(data[tail + n : tail + n + 8], "little") for n in (40, 48))
        at = offset if data.startswith(_ENTRY, offset) else max(0, end - size)
        shift = 0 if at == offset else at - offset
        self.sound = data.startswith(_ENTRY, at) or not size
        self.span = (min(at, end), len(data))
        self._read(data, at, shift, ask)

    def _read(self, data: bytes, at: int, shift: int, ask: Ask) -> None:
        while data.startswith(_ENTRY, at) and at + 46 <= len(data) and len(self.entries) <= MOST:
            if not len(self.entries) & 255:
                ask.budget.check_time()
            _, flags, method, crc, size, plain, name, extra, comment, where = _ENTRY_HEAD.unpack_from(data, at)
            start = at + 46
            plain, size, where = _wide(data[start + name : start + name + extra], (plain, size, where))
            at = start + name + extra + comment
            self.labels.append(data[start:at])
            local = _local(data, where + shift)
            if local is None:
                self.sound = False
                continue
            if local.method != method or (not local.streamed and (local.size, local.crc) != (size, crc)):
                self.sound = False
            told, either = data[start : start + name], flags | local.flags
            extra_at = local.at + 30 + len(local.name)
            self.labels.append(data[extra_at - len(local.name) * (local.name != told) : local.start])
            self.entries.append(_Entry(local.at, local.start, either, local.method, crc, size, plain, told))


def _content(data: bytes, entry: _Entry, ask: Ask) -> Inflated | None:
    """What the entry holds, whatever size it claims; ``None``: by a method that is not read."""
    size = entry.size if 0 <= entry.size <= len(data) - entry.start else len(data) - entry.start
    room = ask.budget.room(size)
    if entry.method == _DEFLATED:
        return zlibbed(data, entry.start, -zlib.MAX_WBITS, room, ask)
    if entry.method == _STORED:
        end = entry.start + size
        if entry.size < 0:
            ends = [found for found in (data.find(mark, entry.start) for mark in (*_STARTS, _ENTRY)) if found >= 0]
            end = min(ends, default=end)
        return Inflated(data[entry.start : end], end, "truncated" if 0 <= size < entry.size else "")
    if entry.method == _BZIP2:
        got = bzipped(data[entry.start : entry.start + size], room, ask)
        return Inflated(got.data, entry.start + got.used, got.fault)
    return None


def _room(entry: _Entry, ask: Ask) -> str:
    """Which limit the entry's output met."""
    size = max(entry.size, 64)
    return "ratio" if ask.budget.room(2 * size) > ask.budget.room(size) else "expanded"


def _lies(entry: _Entry, got: Inflated) -> bool:
    """Whether the headers say something else than the data: readers that believe either see different things."""
    if entry.streamed and entry.size < 0:
        return False
    wrong = got.used != entry.start + entry.size or len(got.data) != entry.plain
    return wrong or zlib.crc32(got.data) != entry.crc


def _read(data: bytes, entry: _Entry, ask: Ask) -> Iterator[Peel | Gap | int]:
    """What the entry holds; last the offset behind it."""
    told = min(entry.start + max(entry.size, 0), len(data))
    if entry.flags & 0x41:
        yield Gap("encrypted", entry.at, told)
        yield told
        return
    got = _content(data, entry, ask)
    if got is None:
        yield Gap("archive", entry.at, told)
        yield told
        return
    name = name_of(entry.name)
    kind = PART if name.lower().endswith((".xml", ".rels", ".vml")) else ""
    if got.data:
        hook = Whole(entry.start, max(got.used, entry.start), got.data, None)
        yield Peel("zip", got.data, hook, segment(name), "", kind)
    if got.fault == "room":
        yield Gap(_room(entry, ask), entry.at, max(got.used, told))
    elif got.fault or _lies(entry, got):
        yield Gap("truncated-zip" if got.fault == "truncated" else "corrupt-zip", entry.at, max(got.used, told))
    yield got.used if not got.fault else max(told, got.used)


def _entries(data: bytes, directory: _Directory, ask: Ask) -> Iterator[Peel | Gap | tuple[int, int]]:
    """Children and gaps of all entries, with the span of each; those of the directory, then those that it hides."""
    seen: set[int] = set()
    spans: list[tuple[int, int]] = [directory.span]
    for entry in sorted(directory.entries, key=lambda e: e.at):
        if entry.at in seen:
            continue
        seen.add(entry.at)
        for item in _read(data, entry, ask):
            if isinstance(item, int):
                spans.append((entry.at, item))
            else:
                yield item
    for start, end in _between(spans, len(data)):
        yield from _hidden(data, start, end, ask)


def _hidden(data: bytes, start: int, end: int, ask: Ask) -> Iterator[Peel | Gap]:
    """What stands where the directory sees nothing: local headers and their data, and the bytes around them."""
    at = start
    for _ in range(MOST):
        ask.budget.check_time()
        found = data.find(_LOCAL, at, end)
        entry = _local(data, found) if found >= 0 else None
        yield from _rest(data, at, found if entry else end)
        if entry is None:
            return
        head = data[found + 4 : entry.start]
        yield Peel("zip", head, Whole(found, entry.start, head, None), "names")
        at = entry.start
        for item in _read(data, entry, ask):
            if isinstance(item, int):
                at = min(max(at, item), end)
            else:
                yield item
    yield Gap("archive", at, end)


def _rest(data: bytes, start: int, end: int) -> Iterator[Peel]:
    """Bytes of no entry, unless they are a data descriptor or padding."""
    if (start, end) == (0, len(data)):
        start = 4  # without the magic: what is left is no zip
    descriptor = data.startswith(b"PK\x07\x08", start) and end - start <= _DESCRIPTOR
    if end - start > 16 and not descriptor and data[start:end].strip(b"\0"):
        yield Peel("", data[start:end], side_by_side(start, end))


def _between(spans: list[tuple[int, int]], end: int) -> list[tuple[int, int]]:
    """The stretches that no span covers."""
    out, at = list[tuple[int, int]](), 0
    for start, stop in sorted(spans):
        if start > at:
            out.append((at, start))
        at = max(at, stop)
    if at < end:
        out.append((at, end))
    return out


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The content of each entry, what lies between them, and all names and comments."""
    if not is_zip(data):
        return
    directory = _Directory(data, ask)
    start, end = directory.span
    if len(directory.entries) > MOST:
        yield Gap("archive", 0, len(data))
        return
    if not directory.sound:
        yield Gap("corrupt-zip" if start < end else "truncated-zip", 0, len(data))
    labels = b"\n".join([*directory.labels, data[data.rfind(_END, start) + 4 :] if start < end else b""])
    if labels.strip():
        yield Peel("zip", labels, Whole(start, end, labels, None), "names")
    book = Book()
    for item in _entries(data, directory, ask):
        if isinstance(item, Peel):
            book.add(item.path, item.data)
        if not isinstance(item, tuple):
            yield item
    if cells := book.text(ask):
        yield Peel("zip", cells, Whole(0, len(data), cells, None), "cells")
