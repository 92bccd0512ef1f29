"""Which decoders give a view's values their names, and the card numbers that stand in pieces among those values."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence

from detectors import split
from detectors.decoders import (
    binds,
    columns,
    form,
    json_text,
    lines,
    markup_table,
    multipart,
    php,
    sql,
    table,
    xml_text,
)
from detectors.model import Ask, Decoder, Peel, View
from detectors.views import child_of

Place = tuple[View, int, int]
"""A view and the span of a piece in it."""

_LARGE = 256 * 1024
"""Bytes of a view that is read whole for pieces; of longer ones, what stands near the hits."""
_AROUND = 256
_APART = 96
"""Bytes between two pieces of a number in text: further apart they are of two numbers."""
_LONGEST_PIECE = 32


def structure_of(view: View) -> Decoder | None:
    """The structural decoder for a view: as declared where the bytes agree, else as the bytes look."""
    declared = view.content_type.split(";")[0].strip()
    start = view.data[:64].lstrip(b" \t\r\n\xef\xbb\xbf")[:1]
    if start in (b"{", b"[") or ("json" in declared and start == b'"'):
        return json_text.peel
    if declared in table.DECLARED:
        return table.peel
    if start == b"<":
        return xml_text.peel
    if declared == "application/x-www-form-urlencoded" or form.looks_like(view.data):
        return form.peel
    if declared == "application/x-cookie":
        return form.peel_cookies
    return json_text.peel if "json" in declared else None


def structures_of(view: View, kinds: Container[str]) -> Iterator[Decoder]:
    """The decoders that give names to a view's values: that of the whole, and those of serialized data, statements and
    tables that the sieve saw in it; of text, its blocks of named lines."""
    whole = structure_of(view)
    if "columns" in kinds or "pair" in kinds:
        yield columns.peel
    if "cells" in kinds:
        yield markup_table.peel
    if whole is not None:
        yield whole
    if "php" in kinds:
        yield php.peel
    if "table" in kinds and whole is not table.peel:
        yield sql.peel
        yield binds.peel
        yield table.peel
    if whole is None:
        yield lines.peel


def in_pieces(
    view: View, structures: Sequence[Decoder], hits: Sequence[int], ask: Callable[[View, Sequence[int]], Ask]
) -> Iterator[tuple[split.Number, list[Place]]]:
    """Card numbers that stand in several values of the view, or in several places of its text; and where."""
    decoders = [multipart.peel] if view.content_type.startswith("multipart/") else structures
    asked = ask(view, () if len(view.data) <= _LARGE else hits)
    values: list[split.Value] = []
    places: list[Place] = []
    for item in (item for decoder in decoders for item in decoder(view.data, asked)):
        if isinstance(item, Peel) and (item.key or item.path.endswith("]")) and len(item.data) <= _LONGEST_PIECE:
            text = item.data.decode("utf-8", "replace")
            span = split.digits_of(text)
            if span is not None:
                child = child_of(view, item)
                values.append(split.Value(child.path, child.key, text[slice(*span)], item.number, len(places)))
                places.append((child, *span))
    numbers = list(split.join(values))
    if hits and not numbers and (not values or lines.peel in decoders):
        for name, digits, start, end in _in_text(view, hits):
            values.append(split.Value(name, name.partition(".")[2], digits, place=len(places)))
            places.append((view, start, end))
        numbers = list(split.join(values))
    for number in numbers:
        yield number, [places[piece.place] for piece in number.pieces]


def _in_text(view: View, hits: Sequence[int]) -> Iterator[tuple[str, str, int, int]]:
    """Short numbers around ``hits`` in the text itself, each with its name behind the number of its group."""
    low, high = max(0, hits[0] - _AROUND), min(len(view.data), hits[-1] + _AROUND, hits[0] + _LARGE)
    text = view.data[low:high].decode("latin-1")  # one character a byte
    group = behind = 0
    for name, start, end in split.in_text(text):
        group += start - behind > _APART
        behind = end
        yield f"{group}.{name}", text[start:end], low + start, low + end
