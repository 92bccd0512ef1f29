r"""Names and values on lines of their own: YAML, properties, mails: ``card:\n  number: 4111…\n  code: 123``.

Evasion: a value whose name says nothing without its parent's, or without the card number on the next line. Two lines
or more of that kind, one below the other, are a block; a single ``name: value`` is text. Deeper lines are inside of the
one above them; a dash begins an item.
Limits: output ≤ input; blocks of 64 lines around what was asked for. Values over several lines are not joined.
Paths: ``card.number``, ``fields[1].value``.
Source: YAML 1.2.2 §8.2 (block collections); RFC 5322 §2.2 for the look of header fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from detectors.decoders.naming import name_of, segment
from detectors.decoders.offsets import side_by_side
from detectors.decoders.pairing import NAMING, SAYS_NOTHING, is_card_field
from detectors.decoders.weaver import near
from detectors.model import Ask, Gap, Peel

_LINE = re.compile(
    rb"([ \t>|*]*+)((?:-[ \t]++)*+)"  # 1 indentation, 2 dashes
    rb"[\"':]?((?:[A-Za-z_]|[\x80-\xff]{2,})(?:[\w\x80-\xff./\[\]()-]|[ \t](?=[^ \t])){0,48}?)[\"']?"  # 3 name
    rb"[ \t]*+(?::(?=[ \t\r\n]|\Z)|=>?|\xef\xbc\x9a)[ \t]*+"
    rb"(?:[\"']([^\"'\r\n]*+)[\"'][ \t]*+|([^\r\n]*+))\r?(?:\n|\Z)"  # 4 quoted value, 5 value
)
_ANY_LINE = re.compile(rb"[^\n]++")
_AROUND = 64
_LONGEST = 1024
_LINE_END = 0x0A


def _start(data: bytes, at: int) -> int:
    return data.rfind(b"\n", 0, at) + 1


def _line(data: bytes, at: int) -> re.Match[bytes] | None:
    """The named line at ``at``; not of longer ones."""
    line = _LINE.match(data, at, at + _LONGEST)
    return line if line is not None and (line.end() == len(data) or data[line.end() - 1] == _LINE_END) else None


def _block(data: bytes, hit: int, least: int) -> list[re.Match[bytes]]:
    """The lines around the one that ``hit`` is in, from offset ``least`` on."""
    at = _start(data, max(0, hit - 1))
    middle = _line(data, at)
    if middle is None:
        return []
    lines, first = [middle], at
    while first > least and len(lines) < _AROUND:
        before = _start(data, first - 1)
        line = _line(data, before) if before >= least else None
        if line is None or line.end() != first:
            break
        lines.insert(0, line)
        first = before
    end = middle.end()
    while end < len(data) and len(lines) < 2 * _AROUND:
        line = _line(data, end)
        if line is None:
            break
        lines.append(line)
        end = line.end()
    return lines


def _places(lines: list[re.Match[bytes]]) -> Iterator[tuple[str, str, re.Match[bytes]]]:
    """Path, name and line of each."""
    open_: list[tuple[int, str]] = []
    items: dict[str, int] = {}
    for line in lines:
        depth = len(line[1])
        while open_ and open_[-1][0] >= depth + (2 if line[2] else 0):
            open_.pop()
        if line[2]:
            while open_ and open_[-1][0] > depth:
                open_.pop()
            parent = ".".join(step for _, step in open_)
            items[parent] = items.get(parent, -1) + 1
            open_.append((depth + 1, f"[{items[parent]}]"))
            depth += len(line[2])
        name = name_of(line[3].strip())
        path = ".".join([*(step for _, step in open_), segment(name)]).replace(".[", "[")
        yield path, name, line
        if not (line[4] or line[5]):
            open_.append((depth, segment(name)))


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The values of each block that were asked for: near a hit, or by their names in the block around one."""
    if b"\n" not in data:
        return
    done = 0
    for hit in ask.hits or (m.end() for m in _ANY_LINE.finditer(data)):
        ask.budget.check_time()
        if hit <= done:
            continue
        lines = _block(data, hit, done)
        done = lines[-1].end() if lines else (data.find(b"\n", hit - 1) + 1 or len(data))
        if len(lines) < 2:
            continue
        for n, (path, name, line) in enumerate(_places(lines)):
            start, end = line.span(4 if line[4] is not None else 5)
            end = start + len(data[start:end].rstrip())
            wanted = ask.named(name) if ask.named is not None else near(line.start(), end, ask.hits)
            if start < end and wanted:
                key = _told(lines[max(0, n - 1) : n + 2]) if name.lower().encode() in SAYS_NOTHING else ""
                yield Peel("", data[start:end], side_by_side(start, end), path, key or name)


def _told(lines: list[re.Match[bytes]]) -> str:
    """The name that one of ``lines`` gives to a value beside it: ``name: cvv``."""
    values = (name_of(line[4] or line[5] or b"") for line in lines if line[3].lower() in NAMING)
    return next((value.strip() for value in values if is_card_field(value.strip())), "")
