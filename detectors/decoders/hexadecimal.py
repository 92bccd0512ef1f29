r"""Hexadecimal digits that spell text: ``34313131``, ``34 31 31``, ``34:31``, ``0x34, 0x31``, and hex dumps.

Evasion: a payload logged as hex, a ``bytea`` or ``BLOB`` literal, a wire log; a number that goes on in the next row of
a dump; hex digits of something else before it, which shift the pairs: a run is read from its second digit, too.
Limits: output ≤ ½ of the input. Runs that decode to neither text, digits nor a magic are ids and hashes.
Source: RFC 4648 §8; the dumps of ``hexdump -C``, ``xxd`` and Netty's ``ByteBufUtil``.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from collections.abc import Iterator, Sequence
from itertools import groupby

from detectors.decoders.offsets import Encode, OffsetMap
from detectors.decoders.plausible import DIGITS, says_something
from detectors.decoders.weaver import Weaver, near
from detectors.model import Ask, Gap, Peel

_SHORTEST = 7
"""Bytes: ``cvv=123``."""

_HH = rb"[0-9A-Fa-f]{2}"
_RUN = re.compile(rb"(?<![0-9A-Fa-f])[0-9A-Fa-f]{14,}+")
_BETWEEN = rb"(?:,?[ \t]{1,2}|[,:;_.-]|[ \t]{0,8},?[ \t]{0,8}\r?\n[ \t]{0,32})"
_UNIT = rb"(?:0[xX]|\\{1,4}x)?" + rb"(?:" + _HH + rb"){1,8}+(?![0-9A-Fa-f])"
_LIST = re.compile(rb"(?<![0-9A-Za-z])" + _UNIT + rb"(?:" + _BETWEEN + _UNIT + rb")++")
_PAIR = re.compile(rb"(0[xX]|\\{1,4}x)?(" + _HH + rb")")
_ROW = re.compile(
    rb"^[^\n]{0,60}?(?<![0-9A-Za-z])[0-9A-Fa-f]{4,16}+(?::|[ \t]?\|)?[ \t|]{1,3}"  # offset
    rb"((?:" + _HH + rb"){1,4}(?:[ \t-]{1,2}(?:" + _HH + rb"){1,4})*+)(?=[ \t|\r\n]|\Z)",
    re.MULTILINE,
)
_LONGEST_LINE = 4096


def _spelled(raw: bytes, between: bytes, prefix: bytes) -> Encode:
    """How to spell edited bytes as ``raw`` is spelled."""
    upper = re.search(rb"[A-F]", raw) is not None

    def encode(text: bytes) -> bytes:
        pairs = (b"%02X" % byte if upper else b"%02x" % byte for byte in text)
        return between.join(prefix + pair for pair in pairs)

    return encode


def _plain(data: bytes, start: int, end: int) -> Iterator[Peel]:
    """A run without separators, from its first digit if that says something; from its second where digits come out."""
    for shift in range(2):
        stop = end - (end - start - shift) % 2
        child = unhexlify(data[start + shift : stop])
        if DIGITS.search(child) if shift else says_something(child):
            encode = _spelled(data[start:end], b"", b"")
            yield Peel("hex", child, OffsetMap((0,), (start + shift,), len(child), stop, encode, ((1, 2),)))


def _woven(data: bytes, spans: Sequence[tuple[int, int]], ask: Ask) -> Iterator[Peel]:
    """All pairs of ``spans`` as one child; whatever stands between them is left out."""
    weaver = Weaver(data, spans[0][0])
    between, last, prefix = b"", None, b""
    for start, end in spans:
        for n, pair in enumerate(_PAIR.finditer(data, start, end)):
            if not n & 1023:
                ask.budget.check_time()
            if last is not None and not between and pair.start() - last <= 3:
                between = data[last : pair.start()]
            prefix, last = pair[1] or b"", pair.end()
            weaver.drop(pair.start())
            weaver.piece(unhexlify(pair[2]), pair.end(), (1, pair.end() - pair.start()))
    child, marks = weaver.done(_spelled(data[spans[0][0] : spans[-1][1]], between, prefix))
    if len(child) >= _SHORTEST and says_something(child):
        yield Peel("hex", child, marks)


def _dumps(data: bytes, ask: Ask) -> Iterator[Peel]:
    """The rows of each dump as one child, wherever one has two rows or more."""
    rows = [row.span(1) for row in _ROW.finditer(data)]
    next_to = 0
    numbered: list[tuple[int, tuple[int, int]]] = []
    for (_, before), (start, end) in zip([(0, -1), *rows], rows, strict=False):
        ask.budget.check_time()
        adjacent = before >= 0 and data.count(b"\n", before, min(start, before + _LONGEST_LINE)) == 1
        next_to += not (adjacent and start - before < _LONGEST_LINE)
        numbered.append((next_to, (start, end)))
    for _, group in groupby(numbered, lambda item: item[0]):
        spans = [span for _, span in group]
        if len(spans) > 1 and near(spans[0][0], spans[-1][1], ask.hits):
            yield from _woven(data, spans, ask)


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """Each run, list and dump that was asked for, decoded."""
    for run in _RUN.finditer(data):
        ask.budget.check_time()
        if near(*run.span(), ask.hits):
            yield from _plain(data, *run.span())
    for found in _LIST.finditer(data):
        ask.budget.check_time()
        if near(*found.span(), ask.hits):
            yield from _woven(data, [found.span()], ask)
    if b"\n" in data:
        yield from _dumps(data, ask)
