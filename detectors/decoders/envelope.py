"""Sentry envelopes: a header line, and items that each begin with a header line which says how long the item is.

Evasion: none by itself, all of it is text; but an item that a redaction makes longer or shorter without its header
saying so is lost to the receiver with all behind it. Items may be anything: attachments, minidumps, recordings.
Limits: header lines of ``LONGEST_HEADER`` bytes. Undeclared bytes (browsers send envelopes as text) have to be one to
the end.
Put back: an item at any length; its header's number follows.
Paths: ``item[0]`` is the first item, ``item[0].header`` what stands before it.
Source: develop.sentry.dev «Envelopes».
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from detectors.decoders.offsets import side_by_side
from detectors.model import Ask, Edit, Gap, Peel, apply_edits

LONGEST_HEADER = 64 * 1024
"""Bytes. Attachments have names, and traces have baggage; no SDK writes a tenth of it."""

_DECLARED = "application/x-sentry-envelope"
_LENGTH = re.compile(rb'"length"\s*:\s*(\d{1,12})')


@dataclass(frozen=True, slots=True)
class _Item:
    """Where an item stands in the envelope."""

    header: int
    start: int
    end: int
    length: tuple[int, int] | None
    """Where its header says how long it is; ``None`` where it says so in no way that could be followed."""
    counted: bool
    """It says so."""


@dataclass(frozen=True, slots=True, repr=False)
class _Hook:
    """An item's place: byte by byte behind a header that holds its length."""

    item: _Item
    data: bytes

    def locate(self, start: int, end: int) -> tuple[int, int]:
        return self.item.start + start, self.item.start + end

    def wrap(self, edits: Sequence[Edit]) -> Sequence[Edit] | None:
        out = [Edit(self.item.start + edit.start, self.item.start + edit.end, edit.text) for edit in edits]
        text = apply_edits(self.data, edits)
        if not self.item.counted:
            return None if b"\n" in text else out
        if len(text) == len(self.data):
            return out
        if self.item.length is None:
            return None
        return [Edit(*self.item.length, str(len(text)).encode()), *out]


def _object(data: bytes, start: int, end: int) -> dict[str, object] | None:
    try:
        found = json.loads(data[start:end])
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _line_end(data: bytes, start: int) -> int:
    """Where the header line that begins at ``start`` ends; -1 where there is none."""
    if data[start : start + 1] != b"{":
        return -1
    return data.find(b"\n", start, start + LONGEST_HEADER)


def _item(data: bytes, at: int) -> _Item | None:
    """The item whose header begins at ``at``."""
    stop = _line_end(data, at)
    if stop < 0 or b'"type"' not in data[at:stop]:
        return None
    header = _object(data, at, stop)
    if header is None or not isinstance(header.get("type"), str):
        return None
    start, length = stop + 1, header.get("length")
    if length is None:
        end = data.find(b"\n", start)
        return _Item(at, start, len(data) if end < 0 else end, None, counted=False)
    if not isinstance(length, int) or isinstance(length, bool) or length < 0:
        return None
    end = start + length
    if data[end : end + 1] not in (b"", b"\n") or end > len(data):
        return None
    # The number has to be found in the header's text, too; where something else is called so, it cannot be told which.
    places = list(_LENGTH.finditer(data, at, stop))
    span = places[0].span(1) if len(places) == 1 and int(places[0][1]) == length else None
    return _Item(at, start, end, span, counted=True)


def _items(data: bytes, at: int, ask: Ask) -> tuple[list[_Item], int]:
    """All items from ``at`` on, and the offset behind the last that is one."""
    found: list[_Item] = []
    while at < len(data):
        ask.budget.check_time()
        item = _item(data, at)
        if item is None:
            break
        found.append(item)
        at = item.end + 1
        while data[at : at + 1] == b"\n":
            at += 1
    return found, min(at, len(data))


def may_be(data: bytes, content_type: str = "") -> bool:
    """Whether the bytes may be an envelope, at little cost."""
    if content_type.startswith(_DECLARED):
        return True
    first = _line_end(data, 0)
    if first < 0:
        return False
    second = _line_end(data, first + 1)
    return second > 0 and b'"type"' in data[first:second]


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The header, and each item with its header; in an envelope that breaks off, also the rest as it stands."""
    if not may_be(data, ask.content_type):
        return
    first = _line_end(data, 0)
    if first < 0 or _object(data, 0, first) is None:
        return
    items, end = _items(data, first + 1, ask)
    if not items or (end < len(data) and not ask.content_type.startswith(_DECLARED)):
        return
    yield Peel("", data[:first], side_by_side(0, first), "header", content_type="application/json")
    for count, item in enumerate(items):
        head, body = data[item.header : item.start - 1], data[item.start : item.end]
        place = f"item[{count}]"
        yield Peel("", head, side_by_side(item.header, item.start - 1), f"{place}.header", "", "application/json")
        yield Peel("", body, _Hook(item, body), place, framed=True)
    if end < len(data):
        yield Peel("", data[end:], side_by_side(end, len(data)), "rest")
