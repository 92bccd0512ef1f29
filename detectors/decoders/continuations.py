"""Parameters of a header in pieces: ``filename*0*=UTF-8''4111; filename*1="1111.pdf"``.

Evasion: a file name that no piece shows whole; pieces out of order, percent-encoded or not.
Limits: output ≤ input. Pieces that do not stand in their order cannot be put back.
Source: RFC 2231 §3, §4.1; RFC 5987 (``filename*=`` in one piece is percent encoding, and read as that).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from detectors.decoders import percent
from detectors.decoders.offsets import Whole
from detectors.decoders.weaver import Weaver
from detectors.model import Ask, Gap, Peel

_PIECE = re.compile(rb"([A-Za-z0-9_.-]{1,64}+)\*([0-9]{1,3})(\*?)[ \t]*=[ \t]*(?:\"([^\"\r\n]*+)\"?|([^;\s\"]*+))")
_BETWEEN = re.compile(rb"[;\s]*+\Z")
_CHARSET = re.compile(rb"[A-Za-z0-9_.:-]{0,40}'[A-Za-z0-9-]{0,40}'")
_ESCAPES = re.compile(rb"((?:%[0-9A-Fa-f]{2})++)")


def _runs(data: bytes, ask: Ask) -> Iterator[list[re.Match[bytes]]]:
    """Pieces of one name with nothing but semicolons and blanks between them."""
    run: list[re.Match[bytes]] = []
    for n, piece in enumerate(_PIECE.finditer(data)):
        if not n & 63:
            ask.budget.check_time()
        if run and (run[-1][1] != piece[1] or not _BETWEEN.match(data, run[-1].end(), piece.start())):
            yield run
            run = []
        run.append(piece)
    if run:
        yield run


def _joined(data: bytes, run: list[re.Match[bytes]], ask: Ask) -> Peel:
    weaver = Weaver(data, run[0].start())
    for piece in run:
        start, end = piece.span(4 if piece[4] is not None else 5)
        charset = _CHARSET.match(data, start, end) if piece[3] and int(piece[2]) == 0 else None
        weaver.drop(charset.end() if charset else start)
        if piece[3]:
            weaver.run(_ESCAPES, percent.unescape, end, ask)
        else:
            weaver.plain(end)
    text, marks = weaver.done(percent.escape)
    return Peel("continuation", text, marks)


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """Each parameter that stands in two pieces or more, put together."""
    for run in _runs(data, ask):
        if len(run) < 2:
            continue
        ordered = sorted(run, key=lambda piece: int(piece[2]))
        if ordered == run:
            yield _joined(data, run, ask)
            continue
        pieces = (piece[4] if piece[4] is not None else piece[5] for piece in ordered)
        text = _ESCAPES.sub(lambda match: percent.unescape(match)[0], b"".join(pieces))  # type: ignore[index]
        yield Peel("continuation", text, Whole(run[0].start(), run[-1].end(), text, None))
