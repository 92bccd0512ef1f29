"""Card numbers as people and programs mangle them: ``4,012,888,888,881,881``, ``4O12 8888 8888 188l``, and numbers that
a line's end cuts between two of the groups that are printed on the card.

Evasion: thousands separators that a formatter puts in, letters that a scanner or a tired reader takes for digits, a
mail program that wraps. Only what passes issuer, length and check digit is read, and only beside a card's name:
separators behind a card key; letters behind a card key, or behind a card word with low confidence; a line's end behind
either.
Limits: output ≤ input; four letters, one line's end.
Source: ISO/IEC 7812-1; the groups of ISO/IEC 7811-1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from detectors.decoders.dumps import windows
from detectors.decoders.weaver import DROPPED, weave
from detectors.iin import issuer
from detectors.luhn import luhn
from detectors.model import Ask, Gap, Peel

LETTERS = "letters in the place of digits"

_BREAK = rb"[ -]?\r?\n[ \t>|]{0,8}"
_WRAPPED = rb"|".join(
    (
        rb"[0-9]{4}" + _BREAK + rb"[0-9]{4}([ -])[0-9]{4}\4[0-9]{4}",
        rb"[0-9]{4}([ -])[0-9]{4}" + _BREAK + rb"[0-9]{4}\5[0-9]{4}",
        rb"[0-9]{4}([ -])[0-9]{4}\6[0-9]{4}" + _BREAK + rb"[0-9]{4}",
        rb"[0-9]{4}" + _BREAK + rb"[0-9]{6}[ -][0-9]{5}",
        rb"[0-9]{4}[ -][0-9]{6}" + _BREAK + rb"[0-9]{5}",
    )
)
"""References count the groups of ``_NUMBER``."""
_NUMBER = re.compile(
    rb"(?<![0-9A-Za-z.,'-])(?:"
    rb"([0-9]{1,3}(?:(?:,[0-9]{3}){4,6}|(?:'[0-9]{3}){4,6}))"  # 1: thousands
    rb"|([2-6](?=[0-9 -]{0,24}[OoIl])[0-9OoIl]{3}(?:[ -]?[0-9OoIl]){9,15})"  # 2: letters
    rb"|(" + _WRAPPED + rb"))"  # 3
    rb"(?![0-9A-Za-z]|[.,'-][0-9]|[ ][0-9]{4}(?![0-9/])|[ \t]{0,8}\r?\n[ \t>|]{0,8}[0-9])"
)
_THOUSANDS, _LETTERS, _WRAP = 1, 2, 3
_OTHER = re.compile(rb"[^0-9OoIl]+|[OoIl]")
_DIGITS = bytes.maketrans(b"OoIl", b"0011")
_MOST_LETTERS = 4
_KEY = re.compile(
    rb"(?:(?<![a-z])(?:credit|debit|payment|my)?[ _.-]?(?:card|cc)[ _.-]{0,2}(?:no|num|number|nr|pan)\.?"
    rb"|(?<![a-z])[fd]?pan|credit[ _-]?card|"
    + "(?:カード|クレカ)番号".encode()
    + rb")(?:[^0-9A-Za-z\x80-\xff]|\xef\xbc\x9a|\xe3\x81\xaf){1,8}\Z",
    re.IGNORECASE,
)
_WORD = re.compile(
    rb"(?<![a-z])(?:cards?|credit|debit|visa|mastercard|jcb|amex|american express|diners|pan|card_?num(?:ber)?"
    rb"|card_?no)(?![a-z])|" + "カード|クレカ".encode(),
    re.IGNORECASE,
)
_BEFORE = 64
"""Bytes before a number in which its name stands."""


def _doubt(data: bytes, number: re.Match[bytes], ask: Ask) -> str | None:
    """What is doubtful about the number; ``None``: it is none."""
    digits = number[0].translate(_DIGITS, b" -,'\r\n\t>|")
    if issuer(digits) is None or not luhn(digits):
        return None
    before = data[max(0, number.start() - _BEFORE) : number.start()]
    if number.start() <= _BEFORE and ask.key:
        before = ask.key.encode() + b": " + before
    if before.rstrip()[-1:].isdigit():
        return None
    if _KEY.search(before):
        return ""
    if number[_THOUSANDS] or not _WORD.search(before):
        return None
    return LETTERS if number[_LETTERS] else ""


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The digits of each such number."""
    for start, end in windows(len(data), ask.hits):
        ask.budget.check_time()
        for number in _NUMBER.finditer(data, start, end):
            letters = len(number[_LETTERS].translate(None, b"0123456789 -")) if number[_LETTERS] else 0
            if letters > _MOST_LETTERS:
                continue
            doubt = _doubt(data, number, ask)
            if doubt is None:
                continue
            woven = weave(
                data, _OTHER, lambda m: (m[0].translate(_DIGITS), (1, 1)) if m[0].isalpha() else DROPPED,
                lambda text: text, ask, number.span(),
            )  # fmt: skip
            if woven:
                yield Peel("retyped", *woven, doubt=doubt)
