"""Bytes written as a list of decimal numbers: ``[52, 49, 49, 49]``, ``[52 49 49 49]``.

Evasion: a buffer in a log: Node's ``{"type":"Buffer","data":[52,49,…]}``, Go's ``%v`` of ``[]byte``, Java's
``Arrays.toString(bytes)``, Python's ``list(data)``. Negative numbers are Java's bytes from 128 on.
Limits: output ≤ ½ of the input. A list that reads as nothing but digits may be a list of small numbers: what is found
in it is doubtful, unless it is called a buffer.
Source: the ``toJSON`` of Node's Buffer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from detectors.decoders.offsets import Encode
from detectors.decoders.plausible import says_something
from detectors.decoders.weaver import Weaver, near
from detectors.model import Ask, Gap, Peel

_SHORTEST = 7
_NUMBER = rb"-?[0-9]{1,3}"
_LIST = re.compile(rb"[\[({<][ \t\r\n]{0,32}+(" + _NUMBER + rb"(?:,?[ \t\r\n]{0,32}+(?<![0-9])" + _NUMBER + rb")++)")
_ITEM = re.compile(_NUMBER)
_BUFFER = re.compile(
    rb"Buffer\\*[\"'][\s,]{0,32}\\*[\"']?data\\*[\"']?\s{0,8}[:=]\s{0,8}\Z|byte\w*[^\n\[]{0,16}\Z|Uint8Array[^\n\[]{0,16}\Z",
    re.IGNORECASE,
)
_FEW = b"0123456789 -._"
_DOUBT = "a list of small numbers"


def _spelled(between: bytes) -> Encode:
    return lambda text: between.join(b"%d" % byte for byte in text)


def _list(data: bytes, start: int, end: int, ask: Ask) -> Peel | None:
    weaver = Weaver(data, start)
    between, last = b"", None
    for n, item in enumerate(_ITEM.finditer(data, start, end)):
        if not n & 1023:
            ask.budget.check_time()
        value = int(item[0])
        if not -128 <= value <= 255:
            return None
        if last is not None and not between:
            between = data[last : item.start()]
        last = item.end()
        weaver.drop(item.start())
        weaver.piece(bytes((value & 255,)), last, (1, len(item[0])))
    child, marks = weaver.done(_spelled(between))
    if len(child) < _SHORTEST or not says_something(child):
        return None
    sure = child.translate(None, _FEW) or _BUFFER.search(data, max(0, start - 64), start - 1)
    return Peel("bytes", child, marks, doubt="" if sure else _DOUBT)


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """Each list that was asked for and whose numbers are all bytes."""
    for found in _LIST.finditer(data):
        ask.budget.check_time()
        if near(found.start(), found.end(), ask.hits):
            item = _list(data, *found.span(1), ask)
            if item is not None:
                yield item
