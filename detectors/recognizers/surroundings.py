"""What stands around a number: the name before it, card words near it, and the larger thing that it is a piece of."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from detectors.keys import CARD_WORDS, card_key, fold, other_key

_BEFORE, _AFTER = 48, 16
"""Characters in which a context word counts."""
_FEW = 32
"""Candidates whose surroundings are searched one by one."""
_REACH = 80
"""Characters before a value in which its name is looked for."""
_NAME = re.compile(r"[\w.\-\[\]@]+")
BETWEEN = (
    r"[ \t\"'`\\:=>：＝#＃|(\[{,;→は「『（【]|%(?:25)*(?:2[0278-9cCfF]|3[aAbBdDeE]|5[bBdD]|7[bBdD])"
    r"|&(?:quot|apos|lt|gt|amp|#3[49]|#x2[27]|#58|#61);|\\u00(?:2[0267]|3[aAcCdDeE])|<!\[CDATA\["
)
"""What may stand between a name and its value, as it is or in percent, references and JSON escapes."""
_BETWEEN = re.compile(rf"(?:{BETWEEN}|\b(?:is|was)(?= ))+\Z")
_ESCAPED = re.compile(r"%(?:25)*[0-9A-Fa-f]{2}|\\+(?:u00[0-9A-Fa-f]{2}|x[0-9A-Fa-f]{2}|[nrt])")
"""What ends a word before a name: ``%3Fcvv``, ``\\u0026cvv``, ``\\ncvv``."""
_PREFIX = re.compile(r"^x[-_]", re.IGNORECASE)
_SAYS_KEY = re.compile(r"[:=：＝#＃]")
_LABEL = re.compile(r"[a-z]+(?:\.[a-z]+)?: ")
"""A name as ``detectors.views.label_of`` spells most of them: the only text of messages that is remembered."""
_SEGMENT = re.compile(r"([A-Za-z][A-Za-z_\-]{1,30})/\Z")


@dataclass(frozen=True, slots=True)
class Name:
    """What a value is called: folded names, nearest first, which of them says card, and which something else."""

    names: tuple[str, ...] = ()
    card: str = ""
    other: str = ""
    other_if_long: str = ""
    """As ``other``, of a value of seventeen digits or more."""


def name_of(text: str, at: int) -> Name:
    """The name of the value at ``at``."""
    return _of_label(text[:at]) if at <= _REACH and _LABEL.fullmatch(text, 0, at) else _name_of(text, at)


@lru_cache(1024)
def _of_label(label: str) -> Name:
    return _name_of(label, len(label))


def _name_of(text: str, at: int) -> Name:
    segment = _SEGMENT.search(text, max(0, at - _REACH), at) if text[at - 1 : at] == "/" else None
    if segment is not None:  # /orders/123: the collection names its members
        singular = fold(segment[1].removesuffix("s")) + "id"
        other = f"{fold(segment[1])}/" if other_key((singular,)) else ""
        return Name((singular,), "", other, other)
    names, certain = _names(text, at)
    other = other_key(names, certain=certain)
    return Name(names, card_key(names), other, other or other_key(names, certain=certain, long=True))


def names_before(text: str, at: int) -> tuple[str, ...]:
    """The folded names that may stand for the value at ``at``: the last word before it, and that word with one or
    two more in front (``card number``). Only quotes, blanks, brackets and the like of ``: = >`` may stand between."""
    return _names(text, at)[0]


def _names(text: str, at: int) -> tuple[tuple[str, ...], bool]:
    before = text[max(0, at - _REACH) : at]
    before = before[before.rfind("\n") + 1 :]
    between = _BETWEEN.search(before)
    stripped = _ESCAPED.sub(" ", before[: between.start()] if between is not None else before)
    words = [m.group() for m in _NAME.finditer(stripped)]
    if not words or not stripped.endswith(words[-1]):
        return (), False
    last = _PREFIX.sub("", words[-1])
    own = [step for step in re.split(r"[.\[\]@]+", last) if step and not step.isdigit()]
    tails = ["".join(own[-n:]) for n in (1, 2, 3) if len(own) >= n]
    tails += ["".join(words[-n:]) for n in (2, 3) if len(words) >= n]
    names = tuple(dict.fromkeys(folded for tail in tails if (folded := fold(tail))))
    return names, between is not None and _SAYS_KEY.search(between.group()) is not None


def _word_pattern() -> re.Pattern[str]:
    """Card words as whole words, also as parts of ``creditCard`` and ``card_no``. Japanese has no blanks."""
    ascii_words = [re.escape(word) for word in sorted(CARD_WORDS, key=len, reverse=True) if word.isascii()]
    capital = [word.capitalize() for word in ascii_words]
    others = [re.escape(word) for word in CARD_WORDS if not word.isascii()]
    return re.compile(
        rf"(?<![A-Za-z])(?i:{'|'.join(ascii_words)})(?![a-z])|(?<=[a-z])(?:{'|'.join(capital)})(?![a-z])|{'|'.join(others)}"
    )


_WORD = _word_pattern()


class Words:
    """The card words of a text. For the first candidates they are looked for where those stand; where there are many,
    all at once, so that the work stays linear."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._asked = 0
        self._found: list[tuple[int, int]] = []
        self._starts: list[int] = []

    def near(self, start: int, end: int) -> str:
        """The card word that stands near ``text[start:end]`` on its line; ``""``: none."""
        low = max(0, start - _BEFORE)
        low = max(low, self._text.rfind("\n", low, start) + 1)
        newline = self._text.find("\n", end, end + _AFTER)
        high = newline if newline >= 0 else end + _AFTER
        self._asked += 1
        if self._asked <= _FEW:
            found = _WORD.search(self._text, low, start) or _WORD.search(self._text, end, high)
            return found.group().casefold() if found is not None else ""
        if self._asked == _FEW + 1:
            self._found = [match.span() for match in _WORD.finditer(self._text)]
            self._starts = [first for first, _ in self._found]
        for first, last in self._found[bisect_left(self._starts, low) : bisect_left(self._starts, high)]:
            if last <= start or (first >= end and last <= high):
                return self._text[first:last].casefold()
        return ""


_HEX = re.compile(r"[0-9a-fA-F]{24,}")
_TOKEN = re.compile(r"[0-9A-Za-z+/_\-]{26,}")
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}")
_JOINS = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+/_-")
_IBAN_HEAD = re.compile(r"[A-Z]{2}[0-9]{2} ")
_IBAN = re.compile(r"(?<![0-9A-Za-z])[A-Z]{2}[0-9]{2}(?: ?[0-9A-Z]){11,30}")
_LETTERS = 6
_TURNS = 8


def larger_thing(text: str, start: int, end: int) -> str:
    """What ``text[start:end]`` is an inseparable piece of: ``UUID``, ``hash``, ``token``, ``IBAN``; ``""``: nothing."""
    alone = _JOINS.isdisjoint(text[max(0, start - 1) : start] + text[end : end + 1])
    if alone and not _IBAN_HEAD.search(text, max(0, start - 40), start):
        return ""
    low = max(0, start - 64)
    near = text[low : end + 64]
    for kind, pattern, holds in _THINGS:
        for match in pattern.finditer(near):
            before, after = start - low - match.start(), match.end() - (end - low)
            if before >= 0 and after >= 0 and holds(match.group(), before, after):
                return kind
    return ""


def _is_uuid(whole: str, before: int, after: int) -> bool:
    return True


def _is_hash(whole: str, before: int, after: int) -> bool:
    return sum(letter.isalpha() for letter in whole) >= _LETTERS


def _is_token(whole: str, before: int, after: int) -> bool:
    """Random letters and digits change class all the time; words and numbers put side by side do not."""
    rest = whole[:before] + " " + whole[len(whole) - after :]
    kinds = [(c.isdigit(), c.isupper()) for c in rest if c.isalnum()]
    return sum(a != b for a, b in pairwise(kinds)) >= max(_TURNS, len(kinds) // 3)


def _is_iban(whole: str, before: int, after: int) -> bool:
    """ISO 13616-1: moved to the end and read as a number, the first four characters leave 1 modulo 97. Words that
    follow may have matched, too, so each end at a blank is tried."""
    ends = [at for at, letter in enumerate(whole) if letter == " " and at >= len(whole) - after] + [len(whole)]
    plain = (whole[:end].replace(" ", "") for end in ends)
    return any(int("".join(str(int(c, 36)) for c in text[4:] + text[:4])) % 97 == 1 for text in plain)


_THINGS = (("UUID", _UUID, _is_uuid), ("hash", _HEX, _is_hash), ("token", _TOKEN, _is_token), ("IBAN", _IBAN, _is_iban))
