"""ISO-2022-JP: seven-bit Japanese text that switches character sets by escape sequences.

Evasion: digits from JIS X 0208 (``ESC $ B # 4 # 1``), escape sequences between ASCII digits, a line that ends in the
middle of a character set.
Limits: output ≤ 3 × input. Unknown pairs become U+FFFD.
Source: RFC 1468, RFC 2237 (JIS X 0212), JIS X 0201 kana as Windows code page 50221 sends it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from detectors.decoders.offsets import Chain, OffsetMap, side_by_side
from detectors.decoders.weaver import REPLACEMENT, Weaver
from detectors.model import Ask, Edit, Gap, Peel

ESCAPE = re.compile(rb"\x1b(?:\([BJHI]|\$\(?[@A-DO-Q])")
"""Switches to a character set. Those of China, Korea and JIS X 0213 have their digits where JIS X 0208 has them."""

_SWITCH_OR_LINE_END = re.compile(ESCAPE.pattern + rb"|\n")
_OPEN_LINE = re.compile(rb"\x1b(?:\(I|\$\(?[@A-DO-Q])[^\x1b\n]*+\n")

_ISLAND = re.compile(rb"(?<![\x00-\x7f])[\x00-\x1a\x1c-\x7f]*+\x1b[\x00-\x7f]*+")
_ASCII = b"\x1b(B"
_SINGLE = frozenset({_ASCII, b"\x1b(J", b"\x1b(H"})
_KANA_MODE = b"\x1b(I"
_HIGH = bytes((byte | 0x80) if 0x21 <= byte <= 0x7E else byte for byte in range(256))
_RUNS = re.compile(rb"([\x00-\x20\x7f-\xff]++)|((?:[\x21-\x7e]{2})++)|[\x21-\x7e]")
_KANA = re.compile(rb"([\x21-\x5f]++)|[^\x21-\x5f]++")
_WIDTHS = re.compile(b"((?:[\xc2-\xdf][\x80-\xbf])++)|(?:[\xe0-\xef][\x80-\xbf]{2})++")


@dataclass(frozen=True, slots=True, repr=False)
class Moded:
    """An offset map whose parent is in one of several modes at each place: replacement text, which is ASCII, brings
    the escape sequences that it needs."""

    marks: OffsetMap
    switches: tuple[int, ...]
    """Offsets behind each escape sequence, beginning with 0."""
    modes: tuple[bytes, ...]
    """The sequences."""

    def locate(self, start: int, end: int) -> tuple[int, int]:
        return self.marks.locate(start, end)

    def wrap(self, edits: Sequence[Edit]) -> Sequence[Edit] | None:
        plain = self.marks.wrap(edits)
        if plain is None or not all(edit.text.isascii() for edit in plain):
            return None
        return [Edit(edit.start, edit.end, self._spell(edit)) for edit in plain]

    def _spell(self, edit: Edit) -> bytes:
        before = self._mode(edit.start)
        after = self._mode(edit.end)
        return (b"" if before in _SINGLE else _ASCII) + edit.text + (b"" if after in _SINGLE else after)

    def _mode(self, offset: int) -> bytes:
        return self.modes[bisect_right(self.switches, offset) - 1]


def escapes(data: bytes) -> bool:
    """Whether there is an escape sequence in the data."""
    return b"\x1b" in data and ESCAPE.search(data) is not None


def _double(weaver: Weaver, data: bytes, end: int, start: int, three: bytes) -> None:
    """Text in JIS X 0208 or 0212: pairs of seven-bit bytes, as EUC-JP without its high bits."""
    for run in _RUNS.finditer(data, start, end):
        if run.lastindex == 1:
            weaver.plain(run.end())
            continue
        if len(run[0]) == 1:
            weaver.piece(REPLACEMENT, run.end(), (3, 1))
            continue
        pairs = run[0].translate(_HIGH)
        units = [three + pairs[i : i + 2] for i in range(0, len(pairs), 2)]
        text = b"".join(units).decode("euc_jp", "replace")
        if len(text) != len(units):
            letters = [unit.decode("euc_jp", "replace") for unit in units]
            text = "".join(letter if len(letter) == 1 else "\ufffd" for letter in letters)
        at = run.start()
        for like in _WIDTHS.finditer(text.encode()):
            size = 2 if like.lastindex else 3
            at += 2 * (len(like[0]) // size)
            weaver.piece(like[0], at, (size, 2))


def _kana(weaver: Weaver, data: bytes, end: int, start: int) -> None:
    """Text in JIS X 0201 kana: one byte a letter."""
    for run in _KANA.finditer(data, start, end):
        if run.lastindex:
            weaver.piece("".join(chr(byte - 0x21 + 0xFF61) for byte in run[0]).encode(), run.end(), (3, 1))
        else:
            weaver.plain(run.end())


def _read(data: bytes, switch: re.Pattern[bytes], ask: Ask) -> Peel:
    """The whole view, where each match of ``switch`` begins a character set: its own, or ASCII at a line end."""
    weaver, mode, at = Weaver(data), _ASCII, 0
    switches, modes = [0], [_ASCII]
    for n, step in enumerate((*switch.finditer(data), None)):
        if not n & 1023:
            ask.budget.check_time()
        end = step.start() if step else len(data)
        if mode in _SINGLE:
            weaver.plain(end)
        elif mode == _KANA_MODE:
            _kana(weaver, data, end, at)
        else:
            _double(weaver, data, end, at, b"\x8f" if mode == b"\x1b$(D" else b"")
        if step and step[0] == b"\n":
            at, mode = step.start(), _ASCII
        elif step:
            at, mode = step.end(), step[0]
            weaver.drop(at)
        switches.append(at)
        modes.append(mode)
    text, marks = weaver.done(lambda text: text)
    return Peel("iso-2022-jp", text, Moded(marks, tuple(switches), tuple(modes)))


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The whole view as UTF-8, where it has an escape sequence. Where a line ends outside ASCII, readers differ: for
    browsers the character set stays, for others ASCII begins again. Then there are two children, one for each."""
    if escapes(data):
        yield _read(data, ESCAPE, ask)
    if _OPEN_LINE.search(data):
        yield _read(data, _SWITCH_OR_LINE_END, ask)


def peel_islands(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The seven-bit stretches with escape sequences, one child each, in bytes that are not seven-bit as a whole: text
    with a stray byte, or a picture in which three bytes look like an escape sequence."""
    for n, island in enumerate(_ISLAND.finditer(data)):
        if not n & 255:
            ask.budget.check_time()
        at, end = island.span()
        for item in peel(data[at:end], ask):
            if isinstance(item, Gap):
                yield Gap(item.reason, at + item.start, at + item.end)
            else:
                yield replace(item, hook=Chain(side_by_side(at, end), item.hook))
