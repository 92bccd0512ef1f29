"""UTF-16 and UTF-32: whole views, and ASCII text spelled in UTF-16 in the middle of something else.

Evasion: no byte order mark, a wrong one, UTF-16 behind an odd number of other bytes: a reader that only tries even
offsets loses a digit at the edge, so runs of ASCII between NULs are read whatever their alignment.
Limits: output ≤ 1.5 × input. Half surrogates and left-over bytes become U+FFFD.
Source: RFC 2781, Unicode 15.0 §3.10, RFC 4627 §3 (NULs tell the encoding of text that begins in ASCII).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from detectors.decoders.offsets import Encode, OffsetMap
from detectors.decoders.text import came_out_well
from detectors.decoders.weaver import REPLACEMENT, Weaver, near
from detectors.model import Ask, Peel

CODECS = {"utf-16": 2, "utf-16-le": 2, "utf-16-be": 2, "utf-32": 4, "utf-32-le": 4, "utf-32-be": 4}
"""Python's names of the wide codecs -> bytes of a code unit."""

_MARKS = (
    ("utf-32-le", b"\xff\xfe\0\0"),
    ("utf-32-be", b"\0\0\xfe\xff"),
    ("utf-16-le", b"\xff\xfe"),
    ("utf-16-be", b"\xfe\xff"),
)
_LIKE_WIDTH = re.compile("([\x00-\x7f]+)|([\x80-\u07ff]+)|([\u0800-\uffff]+)|[\U00010000-\U0010ffff]+")
_FULL_WIDTH = (
    (re.compile(rb"(?:[\x10-\x19]\xff){8}"), "utf-16-le"),
    (re.compile(rb"(?:\xff[\x10-\x19]){8}"), "utf-16-be"),
)
"""Full-width digits, in text that hardly has a NUL. Other pairs of bytes are not taken for UTF-16 without a mark."""
_SURROGATES = re.compile("[\ud800-\udfff]")
_RUN = re.compile(rb"[\t\n\r -~](?:\0[\t\n\r -~]){7,}+")


def encoder(codec: str) -> Encode:
    """Spells UTF-8 replacement text in a charset; ``None`` for what it has no character for."""

    def encode(text: bytes) -> bytes | None:
        try:
            return text.decode().encode(codec)
        except UnicodeError:
            return None

    return encode


def weave_text(weaver: Weaver, text: str, at: int, width: int, ask: Ask) -> None:
    """``text``, whose every character took ``width`` bytes of the parent from ``at`` on (astral UTF-16: twice that)."""
    for n, run in enumerate(_LIKE_WIDTH.finditer(_SURROGATES.sub("\ufffd", text))):
        if not n & 1023:
            ask.budget.check_time()
        size = run.lastindex or 4
        unit = width * 2 if size == 4 and width == 2 else width
        at += unit * len(run[0])
        weaver.piece(run[0].encode(), at, (size, unit))


def _is_utf32(data: bytes, *, little: bool) -> bool:
    """Whether every four bytes are a code point below 0x110000."""
    top, next_to_top = (data[3::4], data[2::4]) if little else (data[::4], data[1::4])
    return len(data) > 3 and top.count(0) == len(top) and max(next_to_top) <= 0x10


def _aligned(digits: re.Pattern[bytes], data: bytes) -> bool:
    return any(found.start() % 2 == 0 for found in digits.finditer(data))


def sniff(data: bytes) -> str:
    """The wide codec that the bytes are in, by mark or by where their NULs stand; "" for none."""
    for codec, mark in _MARKS:
        if data.startswith(mark) and ("32" not in codec or _is_utf32(data[4:], little=codec.endswith("le"))):
            return codec
    nuls = data.count(0)
    if len(data) < 4 or nuls == len(data):
        return ""
    if nuls * 5 < len(data):
        if b"\xff" not in data:
            return ""
        return next((codec for digits, codec in _FULL_WIDTH if _aligned(digits, data)), "")
    if nuls <= 3 and data.endswith(bytes(nuls)) and data.isascii():
        return ""  # a text with its terminator
    if _is_utf32(data, little=True):
        return "utf-32-le"
    if _is_utf32(data, little=False):
        return "utf-32-be"
    even, odd = data[::2].count(0), data[1::2].count(0)
    if even * 8 <= odd:
        return "utf-16-le"
    return "utf-16-be" if odd * 8 <= even else ""


def _order(data: bytes, codec: str) -> tuple[str, int]:
    """The codec with its byte order, and the length of the byte order mark. Without a mark, the order with more NULs
    in the high bytes; big-endian, as the standard says, where that tells nothing."""
    for name, mark in _MARKS:
        if name.startswith(codec) and data.startswith(mark):
            return name, len(mark)
    if codec not in ("utf-16", "utf-32"):
        return codec, 0
    width = CODECS[codec]
    little = data[width - 1 :: width].count(0) > data[::width].count(0)
    return f"{codec}-{'le' if little else 'be'}", 0


def peel(data: bytes, codec: str, ask: Ask) -> Peel:
    """The whole view, in one of ``CODECS``, as UTF-8."""
    width = CODECS[codec]
    codec, mark = _order(data, codec)
    end = len(data) - (len(data) - mark) % width
    weaver = Weaver(data)
    weaver.drop(mark)
    text = data[mark:end].decode(codec, "surrogatepass" if width == 2 else "replace")
    weave_text(weaver, text, mark, width, ask)
    if end < len(data):
        weaver.piece(REPLACEMENT, len(data), (3, len(data) - end))
    child, hook = weaver.done(encoder(codec))
    return Peel(codec[:6], child, hook, framed=came_out_well(child))


def peel_runs(data: bytes, ask: Ask, codec: str = "") -> Iterator[Peel]:
    """Each run of eight or more ASCII characters with NULs between them, at any offset and in either byte order; but
    not those that stand as ``codec``, in which the whole view has been read, expects them."""
    for n, run in enumerate(_RUN.finditer(data)):
        if not n & 1023:
            ask.budget.check_time()
        start, end = run.span()
        before, after = data[start - 1 : start] == b"\0", data[end : end + 1] == b"\0"
        covered = (codec == "utf-16-le" and start % 2 == 0 and after) or (
            codec == "utf-16-be" and start % 2 == 1 and before
        )
        if covered or not near(start, end, ask.hits):
            continue
        text = run[0][::2]
        big = before and (not after or start % 2 == 1)
        marks = OffsetMap((0,), (start - 1,), len(text), end, encoder("utf-16-be"), ((1, 2),))
        if not big:
            marks = OffsetMap((0,), (start,), len(text), end + 1, encoder("utf-16-le") if after else _no, ((1, 2),))
        yield Peel("utf-16", text, marks)


def _no(text: bytes) -> None:
    """A run without a NUL at either edge has no byte order to spell replacement text in."""
