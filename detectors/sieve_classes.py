"""Regular expressions for text as it looks *through* base64.

Three bytes become four characters, so a run of bytes of known classes becomes a run of characters of known classes,
once for each of the three positions it can begin at. Computed here rather than written out: the classes of a number
inside base64 inside base64 are beyond what a reader could check by eye. Source: RFC 4648, sections 4 and 5.
"""

from __future__ import annotations

from collections.abc import Sequence

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_URL_SAFE = {ord("+"): b"+-", ord("/"): b"/_"}

Class = frozenset[int]
"""A set of byte values."""

_DIGIT_OR_SEP: Class = frozenset(b"0123456789 -._+")
_ANY: Class = frozenset(range(256))
_TELLS_NOTHING = 60
_BREAK = rb"(?:\r?\n[ \t]?|\\+r\\+n|\\+n)?"
"""Line breaks of MIME bodies, and of their JSON-escaped copies, fall between groups of four."""


def _sextets(first: Class, second: Class, third: Class) -> tuple[Class, Class, Class, Class]:
    return (
        _parts(first, 2),
        _joined(first, 3, second, 4, 4),
        _joined(second, 15, third, 6, 2),
        frozenset(c & 63 for c in third),
    )


def _parts(choice: Class, down: int) -> Class:
    return frozenset(byte >> down for byte in choice)


def _joined(left: Class, low: int, right: Class, down: int, up: int) -> Class:
    """The low bits of one byte before the high bits of the next: few of each, so that any two bytes cost little."""
    lows, highs = frozenset(byte & low for byte in left), _parts(right, down)
    return frozenset(a << up | b for a in lows for b in highs)


def through_base64(classes: Sequence[Class], before: int) -> list[Class]:
    """The characters of base64 for bytes of ``classes`` that follow ``before`` unknown bytes of the same group.

    Whole groups are given, so that line breaks fall between fours; characters at the end that tell nothing are left
    out, for there may be padding in their place.
    """
    padded = [*[_ANY] * before, *classes, *[_ANY] * (-(before + len(classes)) % 3)]
    out: list[Class] = []
    for at in range(0, len(padded), 3):
        sextets = _sextets(padded[at], padded[at + 1], padded[at + 2])
        out += (frozenset(byte for index in sextet for byte in _letters(index)) for sextet in sextets)
    while out and len(out[-1]) > _TELLS_NOTHING:
        out.pop()
    return out


def _letters(sextet: int) -> bytes:
    letter = _ALPHABET[sextet]
    return _URL_SAFE.get(letter, bytes((letter,)))


def expression(classes: Sequence[Class], between_groups: bytes = b"") -> bytes:
    """The classes as an expression, with what may stand between each four of them."""
    letters = [b"[" + b"".join(b"\\x%02x" % letter for letter in sorted(choice)) + b"]" for choice in classes]
    return between_groups.join(b"".join(letters[at : at + 4]) for at in range(0, len(letters), 4))


def _either_case(word: str) -> list[Class]:
    return [frozenset((letter.lower() + letter.upper()).encode()) for letter in word]


_AFTER: Class = frozenset(b"\"':=>\\ ")
KEYS: tuple[list[Class], ...] = (
    [*_either_case("cv"), frozenset(b"vVcC"), _AFTER],
    [*_either_case("cv"), frozenset(b"vVcC"), frozenset(b"2"), _AFTER],
    _either_case("ritycode"),
    [*_either_case("rity"), frozenset(b"_- "), *_either_case("code")],
    _either_case("cardn"),
    [*_either_case("card"), frozenset(b"_- "), *_either_case("n")],
    _either_case("pinblock"),
)
"""Names of card fields, as classes of their letters; those that must stand by themselves with what follows them."""


def base64_patterns() -> list[bytes]:
    """Expressions that match wherever base64 text holds a number of thirteen digits, the name of a card field, or a
    number inside base64 once more. Case-sensitive, bytes."""
    out = [expression(through_base64([_DIGIT_OR_SEP] * 9, 0), _BREAK)]
    for key in KEYS:
        out += (expression(through_base64(key, before)) for before in range(3))
    once = through_base64([frozenset(b"0123456789")] * 27, 0)
    for phase in range(4):
        out += (expression(through_base64(once[phase : phase + 12], before)) for before in range(3))
    return sorted(set(out))
