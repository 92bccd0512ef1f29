"""The ways a decoded view hangs in its parent: byte by byte, only as a whole, or one inside the other."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from detectors.model import Edit, Wrap, apply_edits

Encode = Callable[[bytes], bytes | None]
"""Replacement text in the parent's spelling; ``None``: this text cannot be spelled there."""


def _same(text: bytes) -> bytes:
    return text


@dataclass(frozen=True, slots=True, repr=False)
class OffsetMap:
    """A child whose bytes each came from a known stretch of the parent (percent, JSON escapes, charsets …).

    From each mark to the next, child and parent advance in equal steps: one byte to one byte where the text is plain,
    ``(1, 3)`` through a run of ``%34%31``. An edit touches only the parent bytes that the edited child bytes came
    from: an offset inside a step moves outwards, and what the decoder dropped beside the edit stays.
    """

    child: tuple[int, ...]
    """Child offsets of the marks, ascending, beginning with 0."""
    parent: tuple[int, ...]
    """Parent offsets of the same marks."""
    child_end: int
    parent_end: int
    encode: Encode = _same
    step: tuple[tuple[int, int], ...] = ()
    """Child and parent bytes of one step after each mark. Left out: (1, 1) where both sides are equally long to the
    next mark, one indivisible step otherwise."""

    def _step(self, i: int) -> tuple[int, int]:
        if self.step:
            return self.step[i]
        last = i + 1 == len(self.child)
        child = (self.child_end if last else self.child[i + 1]) - self.child[i]
        parent = (self.parent_end if last else self.parent[i + 1]) - self.parent[i]
        return (1, 1) if child == parent else (child, parent)

    def _start(self, offset: int) -> int:
        if offset >= self.child_end:
            return self.parent_end
        i = bisect_right(self.child, offset) - 1
        child_step, parent_step = self._step(i)
        return self.parent[i] + (offset - self.child[i]) // child_step * parent_step

    def _end(self, offset: int) -> int:
        i = bisect_left(self.child, offset)
        if i < len(self.child) and self.child[i] == offset:
            return self.parent[i]
        if offset >= self.child_end and self._step(i - 1)[0] == 0:
            return self.parent_end
        child_step, parent_step = self._step(i - 1)
        into = min(offset, self.child_end) - self.child[i - 1]
        return self.parent[i - 1] + -(-into // child_step) * parent_step

    def locate(self, start: int, end: int) -> tuple[int, int]:
        first = self._start(start)
        return first, max(first, self._end(end))

    def wrap(self, edits: Sequence[Edit]) -> Sequence[Edit] | None:
        return _lifted(self, edits, self.encode)


class Slice(NamedTuple):
    """A child that is ``parent[start:end]`` as it stands."""

    start: int
    end: int
    encode: Encode

    def locate(self, start: int, end: int) -> tuple[int, int]:
        first = min(self.start + start, self.end)
        return first, max(first, min(self.start + end, self.end))

    def wrap(self, edits: Sequence[Edit]) -> Sequence[Edit] | None:
        return _lifted(self, edits, self.encode)


def side_by_side(start: int, end: int, encode: Encode = _same) -> Slice:
    """A child that is ``parent[start:end]`` as it stands."""
    return Slice(start, end, encode)


def _lifted(hook: Wrap, edits: Sequence[Edit], encode: Encode) -> Sequence[Edit] | None:
    """Edits of a child in their parent's offsets and spelling."""
    out: list[Edit] = []
    for edit in sorted(edits, key=lambda e: (e.start, e.end)):
        text = encode(edit.text)
        start, end = hook.locate(edit.start, edit.end)
        if text is None or (out and start < out[-1].end):
            return None
        out.append(Edit(start, end, text))
    return out


@dataclass(frozen=True, slots=True, repr=False)
class Whole:
    """A child that can only be put back whole (compression, base64): edits re-encode all of it."""

    start: int
    end: int
    data: bytes
    encode: Encode | None
    """The child's edited bytes as parent bytes; ``None``: it cannot be put back (and the message is blocked)."""

    def locate(self, start: int, end: int) -> tuple[int, int]:
        return self.start, self.end

    def wrap(self, edits: Sequence[Edit]) -> Sequence[Edit] | None:
        if self.encode is None:
            return None
        text = self.encode(apply_edits(self.data, edits))
        return None if text is None else (Edit(self.start, self.end, text),)


@dataclass(frozen=True, slots=True, repr=False)
class Framed:
    """A child that stands in the parent byte by byte, behind a prefix that says how long it is."""

    prefix: int
    """Parent offset at which the prefix begins."""
    start: int
    """Parent offset of the child's first byte."""
    data: bytes
    """The child."""
    spell: Callable[[int], bytes | None]
    """The prefix for a child of so many bytes; ``None``: it cannot say that (and the message is blocked)."""

    def locate(self, start: int, end: int) -> tuple[int, int]:
        return self.start + start, self.start + end

    def wrap(self, edits: Sequence[Edit]) -> Sequence[Edit] | None:
        if all(len(edit.text) == edit.end - edit.start for edit in edits):
            return [Edit(self.start + edit.start, self.start + edit.end, edit.text) for edit in edits]
        text = apply_edits(self.data, edits)
        head = self.spell(len(text))
        return None if head is None else (Edit(self.prefix, self.start + len(self.data), head + text),)


@dataclass(frozen=True, slots=True, repr=False)
class Chain:
    """A child two decoders deep that is yielded as one: ``inner`` hangs in what ``outer`` hangs in the parent."""

    outer: Wrap
    inner: Wrap

    def locate(self, start: int, end: int) -> tuple[int, int]:
        return self.outer.locate(*self.inner.locate(start, end))

    def wrap(self, edits: Sequence[Edit]) -> Sequence[Edit] | None:
        between = self.inner.wrap(edits)
        return None if between is None else self.outer.wrap(between)


class Cover:
    """Stretches of a view, overlapping or not: an offset is in it if something that ends there ends in one of them."""

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        for start, stop in sorted(spans):
            if self._stops and start <= self._stops[-1]:
                self._stops[-1] = max(self._stops[-1], stop)
            else:
                self._starts.append(start)
                self._stops.append(stop)

    def __contains__(self, end: int) -> bool:
        i = bisect_left(self._starts, end) - 1
        return i >= 0 and end <= self._stops[i]
