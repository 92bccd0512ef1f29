"""S3's own content-coding ``aws-chunked``: pieces behind their length, each perhaps signed, and lines of trailers.

Evasion: a number cut in two by a piece's end; one in an extension of a piece's length or in a trailer.
Limits: output < input; ``MOST_PIECES`` of them. What follows the grammar in any other way is ``corrupt``, and is looked
at as it stands.
Put back: as one piece. Signatures and trailers cannot be made again: with them nothing is put back.
Source: Amazon S3 API Reference, «Signature calculations: transferring a payload in multiple chunks», also «with
trailing headers».
"""

from __future__ import annotations

import re

from detectors.decoders.inflate import Inflated
from detectors.model import Ask

MOST_PIECES = 16_384
"""S3 takes none below 8 KiB but the last: more would be a body of 128 MiB."""

# Nine hexadecimal digits of length would be a body of 64 GiB, and thirteen room for a card number.
_LENGTH = re.compile(rb"([0-9A-Fa-f]{1,8})((?:;[!-~]{1,256})?)\r\n")
_TRAILERS = re.compile(rb"(?:[!-9;-~]{1,128}:[ -~]{0,1024}\r?\n){0,16}(?:\r\n)?")


def unchunked(data: bytes, room: int, ask: Ask) -> Inflated:
    """The pieces joined; their signatures and the trailers are beside it."""
    out: list[bytes] = []
    beside: list[tuple[int, int]] = []
    at = size = 0
    for _ in range(MOST_PIECES):
        ask.budget.check_time()
        length = _LENGTH.match(data, at)
        if length is None:
            break
        if length[2]:
            beside.append(length.span(2))
        start, piece = length.end(), int(length[1], 16)
        if not piece:
            end = _TRAILERS.match(data, start).end()  # type: ignore[union-attr]  # it matches nothing as well
            if data[start:end].strip():
                beside.append((start, end))
            fault = "" if end == len(data) else "corrupt"
            return Inflated(b"".join(out), end, fault, tuple(beside))
        end = start + piece
        if data[end : end + 2] != b"\r\n":
            break
        size += piece
        if size > room:
            return Inflated(b"".join(out), at, "room", tuple(beside))
        out.append(data[start:end])
        at = end + 2
    return Inflated(b"".join(out), at, "corrupt", tuple(beside))


def again(text: bytes) -> bytes:
    """The text as one piece."""
    piece = b"%x\r\n%s\r\n" % (len(text), text) if text else b""
    return piece + b"0\r\n\r\n"
