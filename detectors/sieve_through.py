"""Regular expressions for card data as it looks through hex and base32, and for one encoding inside another.

Escapes (percent, references, backslashes) leave what they wrap readable enough for the rows of ``detectors.patterns``.
Base64, base32 and hex do not, so for each of them there is a row for each thing it can hold: a number plain, escaped,
or once more in one of the three; the name of a card field. All of them are spelled-out letters or nearly so, which
costs the scan little; "any base64 that holds text" would be one row, and make prose three times as slow.
Limits: three layers of base64, two of any others; base32 is not looked for behind escapes.
Source: RFC 4648, sections 4, 6 and 8.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from detectors.sieve_classes import KEYS, Class, expression, through_base64

_BASE32 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_DIGIT: Class = frozenset(b"0123456789")
_NUL: Class = frozenset(b"\0")
_EVERYTHING: Class = frozenset(range(256))

Text = list[Class]
"""The classes of one byte after the other."""

_HEX_SEPS = (b" ", b":", b"-", b" 0x", b",0x", b", 0x", b"_")
"""What stands between pairs of hex digits where something does. Each has rows of its own: a choice would cost more."""


def _word(text: bytes) -> Text:
    return [frozenset((byte,)) for byte in text]


def _any_of(choice: Class) -> bytes:
    return b"[" + b"".join(b"\\x%02x" % byte for byte in sorted(choice)) + b"]"


def through_hex(classes: Sequence[Class]) -> Text:
    """The digits (lower case) of hexadecimal for bytes of ``classes``."""
    out: Text = []
    for choice in classes:
        out += (_hex(byte >> 4 for byte in choice), _hex(byte & 15 for byte in choice))
    return out


def _hex(values: Iterable[int]) -> Class:
    return frozenset(b"0123456789abcdef"[value] for value in values)


def through_base32(classes: Sequence[Class], before: int) -> Text:
    """The letters (upper case) of base32 for bytes of ``classes`` behind ``before`` unknown bytes of the same group.

    Letters that tell nothing are left out at both ends.
    """
    padded = [*[_EVERYTHING] * before, *classes, *[_EVERYTHING] * (-(before + len(classes)) % 5)]
    out = [_letter(padded, bit) for bit in range(0, 8 * len(padded), 5)]
    while len(out[-1]) == len(_BASE32):
        out.pop()
    return out[before * 8 // 5 :]


def _letter(padded: Sequence[Class], bit: int) -> Class:
    """The class of the letter for the five bits from ``bit`` on; they may lie in two bytes."""
    byte, offset = divmod(bit, 8)
    if offset <= 3:
        return frozenset(_BASE32[(value >> (3 - offset)) & 31] for value in padded[byte])
    rest = offset - 3
    lows = frozenset((first << rest) & 31 for first in padded[byte])
    highs = frozenset(second >> (8 - rest) for second in padded[byte + 1])
    return frozenset(_BASE32[low | high] for low in lows for high in highs)


_EITHER_B, _EITHER_C, _EITHER_E, _EITHER_F = (frozenset(letters) for letters in (b"bB", b"cC", b"eE", b"fF"))

_ESCAPED: tuple[Text, ...] = (
    [*_word(b"%3"), _DIGIT] * 3,
    [*_word(b"=3"), _DIGIT] * 3,
    [*_word(b"\\u003"), _DIGIT] * 2,
    [*_word(b"\\x3"), _DIGIT] * 3,
    [*_word(b"&#"), frozenset(b"45"), _DIGIT, *_word(b";")] * 2,
    [*_word(b"&#x3"), _DIGIT, *_word(b";")] * 2,
    [*_word(b"\xef\xbc"), frozenset(range(0x90, 0x9A))] * 3,
    [_DIGIT, _NUL] * 6,
    [_NUL, _DIGIT] * 6,
    [_DIGIT, _NUL, _NUL, _NUL] * 3,
    [_NUL, _NUL, _NUL, _DIGIT] * 3,
)
"""A number as it looks in the other encodings."""

_PCT = _word(b"%")
_FULL_WIDTH: tuple[Text, ...] = (
    [*_PCT, _EITHER_E, _EITHER_F, *_PCT, _EITHER_B, _EITHER_C, *_PCT, *_word(b"9"), _DIGIT],
    [*_word(b"\\u"), _EITHER_F, _EITHER_F, *_word(b"1"), _DIGIT] * 2,
    [*_word(b"\x82"), frozenset(range(0x4F, 0x59))] * 4,
    [*_word(b"\xa3"), frozenset(range(0xB0, 0xBA))] * 4,
    [*_word(b"\x1b$"), frozenset(b"@B"), *_word(b"#"), _DIGIT, *_word(b"#"), _DIGIT],
    [*_word(b"&#65"), frozenset(b"23"), frozenset(b"09"), _DIGIT, *_word(b";")] * 2,
)
"""Full-width digits in other spellings than UTF-8."""

_LETTER: Class = frozenset(range(0x41, 0x7B))
_JSON = [*_word(b'{"'), _LETTER, _LETTER, _LETTER]
_NUMBER = [_DIGIT] * 60
_IN_BASE64 = through_base64(_NUMBER, 0)
_TWICE = through_base64(_IN_BASE64, 0)
_WINDOW = 12


def _windows(text: Text, period: int, length: int = _WINDOW) -> list[Text]:
    return [text[at : at + length] for at in range(period)]


_IN_HEX_OR_BASE64 = (through_hex(_NUMBER[:8]), *_windows(_IN_BASE64, 4))
_INSIDE: tuple[Text, ...] = (
    *_ESCAPED,
    *_IN_HEX_OR_BASE64,
    *(through_base32(_NUMBER[:9], before) for before in range(5)),
)
"""What base64 or hex may hold besides a plain number, which has rows of its own."""


def base64_stacks() -> list[bytes]:
    """Expressions for another encoding inside base64, and for two and three layers of it."""
    once = [through_base64(shape, before) for shape in (*_INSIDE, *_FULL_WIDTH) for before in range(3)]
    twice = [through_base64(key, before) for key in (*_ESCAPED, *KEYS) for before in range(3)]
    deep = [*twice, *_windows(_TWICE, 16)]
    return sorted({expression(text) for text in (*once, *(through_base64(t, b) for t in deep for b in range(3)))})


def base32_patterns() -> list[bytes]:
    """Expressions for numbers, card fields and other encodings in base32; compression by magic.

    In capitals, as the RFC has it, and numbers without separators: rows for either case, or with separators, halve the
    speed of the whole sieve, for an encoding that hardly anybody uses.
    """
    shapes = [[_DIGIT] * 11, *KEYS, *_IN_HEX_OR_BASE64]
    rows = {_in_a_row(through_base32(shape, before)) for shape in shapes for before in range(5)}
    return [*sorted(rows), b"(?:^|[^A-Za-z0-9+/_-])D6FQ[A-Z2-7]{12}"]


def hex_patterns() -> list[bytes]:
    """Expressions (for caseless rows) for numbers, card fields and other encodings in hexadecimal, in one run or in
    separate pairs; JSON and compression by their first bytes."""
    return [
        rb"(?:3[0-9]|2[0bde]|5f){13}",
        *(rb"(?:3[0-9]" + between + rb"){6}3[0-9]" for between in _HEX_SEPS),  # a dump breaks after eight bytes
        rb"(?:3[0-9]3[0-9] ){3}|(?:(?:3[0-9]){4} ){2}",
        rb"7b22(?:[2-7][0-9a-f]){5}",
        rb"(?:^|[^0-9a-f])(?:1f8b08[0-9a-f]{20}|28b52ffd[0-9a-f]{12}|504b0304[0-9a-f]{20}|425a683[1-9]3141|fd377a585a00|78(?:01|5e|9c|da)[0-9a-f]{24})",
        *(_in_a_row(through_hex(shape)) for shape in (*_INSIDE, *KEYS)),
        *(_pairs(through_hex(shape), between) for shape in (_JSON, *KEYS) for between in _HEX_SEPS),
    ]


def _pairs(digits: Text, between: bytes) -> bytes:
    return between.join(_any_of(high) + _any_of(low) for high, low in zip(digits[::2], digits[1::2], strict=True))


def _in_a_row(classes: Sequence[Class]) -> bytes:
    return b"".join(map(_any_of, classes))
