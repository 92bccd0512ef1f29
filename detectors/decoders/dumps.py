r"""Values of printed objects that stand in a wrapping of their type: ``'cvv': b'123'``, ``cvv: Some("123")``,
``["cvv"]=> string(3) "123"``, ``CVV:{String:123 Valid:true}``, ``cvv: (*string)(0xc000012345)((len=3) "123")``.

Evasion: between the name of a card field and its digits stands another word, so that the word just before the digits
says nothing. Dumps without wrappings (``Card{number=…, cvv=123}``, Ruby hashes, logfmt, YAML) need no decoder.
Limits: output ≤ input. Lengths that a dump prints beside a string are for people and stay.
Source: the output of Python's repr, Rust's Debug, PHP's var_dump, Go's %+v and spew, Swift's and Scala's Option.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from detectors.decoders.naming import name_of, segment
from detectors.decoders.offsets import side_by_side
from detectors.decoders.pairing import is_card_field
from detectors.model import Ask, Gap, Peel
from detectors.patterns_text import TYPE

_BEFORE, _AFTER = 256, 64
"""Bytes around a hit in which a name and its value stand."""
_WIDEST = 16 * 1024
"""Bytes that are searched without a look at the clock."""

_WRAPPING = (
    rb"(?:[bBuUrR]{1,2}(?=\\*[\"'])|string\([0-9]{1,10}\)|:protected\]|:\"[^\"\s]{1,64}\":private\]"
    rb"|\(\*?[a-z.]{1,20}\)|\(0x[0-9a-f]{4,16}\)|\(len=[0-9]{1,6}\)|[A-Za-z_.]{1,24}\s?[(\[{:=]|:\s?[0-9]{1,6}:)"
)
_VALUE = re.compile(
    rb"(?<![A-Za-z0-9])([A-Za-z_\x80-\xff][A-Za-z0-9_.\x80-\xff-]{1,40}+)"  # 1 name
    rb"[^0-9A-Za-z\x80-\xff]{1,24}?(?:" + _WRAPPING + rb"[\s(&*=>]{0,8}\\*[\"']?[\s(]{0,4}){1,4}?"
    rb"([0-9](?:[ -]?[0-9]){2,22})(?![0-9A-Za-z])"  # 2
)

_PAIR = re.compile(
    rb"(?<![A-Za-z])(?i:name|key|k|field|label|title|id|param(?:eter)?|attr(?:ibute)?|tag|prop(?:erty)?|header|column|t[hd]|dt)"
    rb"\\*[\"']?\s{0,4}(?:=>|[:=>]|(?=[\"']))[\s\"'\\:]{0,8}([A-Za-z_\x80-\xff][A-Za-z0-9_.\x80-\xff-]{1,40}+)"
    rb"(?:[^0-9A-Za-z\x80-\xff]{1,24}(?i:" + TYPE + rb")(?![A-Za-z])){1,3}"
    rb"[^0-9A-Za-z\x80-\xff]{1,12}([0-9](?:[ -]?[0-9]){2,22})(?![0-9A-Za-z])"
)
"""The halves of a pair: ``- name: cvv\\n  value: 123``, ``{'key' => 'cvv', 'value' => '123'}``."""


def windows(size: int, hits: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The stretches around the hits; without hits, everything."""
    start = end = 0
    for hit in hits or (0, size):
        low, high = (max(0, hit - _BEFORE), min(size, hit + _AFTER)) if hits else (0, size)
        if low > end or end - start > _WIDEST:
            yield start, end
            start = low
        end = max(end, high)
    if end > start:
        yield start, end


def _values(data: bytes, shape: re.Pattern[bytes], ask: Ask) -> Iterator[Peel]:
    for start, end in windows(len(data), ask.hits):
        at = start
        ask.budget.check_time()
        while (value := shape.search(data, at, end)) is not None:
            name = name_of(value[1])
            if is_card_field(name):
                span = value.span(2)
                yield Peel("", value[2], side_by_side(*span), f".{segment(name)}", name)
                at = value.end()
            else:  # the wrapping itself may be a name: Card { cvv: Some("123") }
                at = value.end(1)


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The digits that stand wrapped under the name of a card field, where they were asked for."""
    yield from _values(data, _VALUE, ask)


def peel_pairs(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The digits in the other half of a pair whose one half is the name of a card field, where they were asked for."""
    yield from _values(data, _PAIR, ask)
