"""PDF: a look into its deflated streams. What a page shows need not be there as text, so a PDF stays a Gap.

Evasion: none that this could close: fonts may number their letters as they like, and text may be a picture.
Limits: streams with one FlateDecode filter; the room of each stream.
Cannot be put back: offsets of objects stand in a table at the end.
Source: ISO 32000-1 §7.3.8, §7.4.4.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from detectors.decoders.inflate import zlibbed
from detectors.decoders.offsets import Whole, side_by_side
from detectors.model import Ask, Gap, Peel

_WITHIN = 1024
_MAGIC = b"%PDF-"
_STREAM = re.compile(rb">>\s*stream\r?\n(?=[\x48\x58\x68\x78])")
"""A stream that begins like zlib's."""


def is_pdf(data: bytes) -> bool:
    """Whether this is a PDF whose streams are filtered; an unfiltered one is ordinary text."""
    return _MAGIC in data[:_WITHIN] and b"/Filter" in data


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The deflated streams, the file as it stands, and a Gap ``archive`` over the whole."""
    if not is_pdf(data):
        return
    for stream in _STREAM.finditer(data):
        ask.budget.check_time()
        start = stream.end()
        end = data.find(b"endstream", start)
        end = len(data) if end < 0 else end
        got = zlibbed(data[start:end], 0, zlib.MAX_WBITS, ask.budget.room(end - start), ask)
        if got.data:
            yield Peel("pdf", got.data, Whole(start, end, got.data, None))
    behind = data.index(_MAGIC) + len(_MAGIC)
    yield Peel("", data[behind:], side_by_side(behind, len(data)))
    yield Gap("archive", 0, len(data))
