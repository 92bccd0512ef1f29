"""The values of an inspection. All are frozen, and none can print what it read.

A finding says *where* and *what kind*, never *which digits*: what cannot hold a card number cannot leak one.
Views do hold the bytes they were decoded from, so their ``repr`` is lengths only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

Confidence = Literal["high", "low"]

PAN = "PAN"
SECURITY_CODE = "SECURITY_CODE"
TRACK_1 = "TRACK_1"
TRACK_2 = "TRACK_2"
PIN_BLOCK = "PIN_BLOCK"
EXPIRY = "EXPIRY"
CARDHOLDER_NAME = "CARDHOLDER_NAME"

SENSITIVE_AUTHENTICATION_DATA = frozenset({SECURITY_CODE, TRACK_1, TRACK_2, PIN_BLOCK})
"""Never stored, not even masked: redaction removes them whole (PCI DSS 4.0.1, 3.3.1)."""


@dataclass(frozen=True, slots=True, repr=False)
class Edit:
    """Replace ``data[start:end]`` of one view by ``text``. Offsets are bytes of that view."""

    start: int
    end: int
    text: bytes

    def __repr__(self) -> str:
        return f"Edit({self.start}:{self.end} -> {len(self.text)} bytes)"


def apply_edits(data: bytes, edits: Sequence[Edit]) -> bytes:
    """``data`` with every edit carried out; all other bytes as they were. Edits must not overlap."""
    out: list[bytes] = []
    at = 0
    for edit in sorted(edits, key=lambda e: (e.start, e.end)):
        if edit.start < at:
            raise ValueError("edits overlap")
        out += (data[at : edit.start], edit.text)
        at = edit.end
    out.append(data[at:])
    return b"".join(out)


class Wrap(Protocol):
    """How a decoded child view hangs in its parent."""

    def locate(self, start: int, end: int) -> tuple[int, int]:
        """The span of the parent's bytes that ``child[start:end]`` was decoded from."""

    def wrap(self, edits: Sequence[Edit]) -> Sequence[Edit] | None:
        """Edits of the child as edits of the parent, or ``None`` where the child cannot be put back."""


@dataclass(frozen=True, slots=True, repr=False)
class Peel:
    """One decoded child of a view."""

    codec: str
    """Name of the decoder, one word: it goes into the finding's trail. Structural fields use "" (no trail entry)."""
    data: bytes
    """The child's bytes, decoded."""
    hook: Wrap
    """Maps child spans and edits back to the parent."""
    path: str = ""
    """Added to the parent's path: ``$.card.number``, ``cardNo``, ``part[1]``."""
    key: str = ""
    """The name this value goes by, decoded (JSON key, form key, XML tag, header name). Arrays pass their own key on."""
    content_type: str = ""
    """Declared type of the child, if the parent says one (multipart parts)."""
    number: bool = False
    """The child is a bare number (JSON, msgpack, protobuf …): an edit must keep the document valid."""
    doubt: str = ""
    """Why the bytes may read like this by chance: what is found in them has low confidence, and says so."""
    framed: bool = False
    """The hook mends all that holds the child in place (lengths, a checksum, the charset). Where the parent is binary,
    only such a child may change its length."""

    def __repr__(self) -> str:
        return f"Peel({self.codec or 'field'}, {len(self.data)} bytes)"


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes that could not be inspected. Offsets are bytes of the original message."""

    reason: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a view's bytes, end exclusive."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class View:
    """Bytes under inspection and the way back to the message they came from."""

    data: bytes
    parent: View | None = None
    peel: Peel | None = None
    content_type: str = ""
    path: str = ""
    key: str = ""
    depth: int = 0

    def __repr__(self) -> str:
        return f"View({'/'.join(self.trail) or 'root'}, {len(self.data)} bytes)"

    @property
    def trail(self) -> tuple[str, ...]:
        """Decoders peeled so far, outermost first."""
        names: list[str] = []
        view: View | None = self
        while view is not None and view.peel is not None:
            if view.peel.codec:
                names.append(view.peel.codec)
            view = view.parent
        return tuple(reversed(names))

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why these bytes may be a chance reading of others, innermost first."""
        found: list[str] = []
        view: View | None = self
        while view is not None and view.peel is not None:
            if view.peel.doubt:
                found.append(view.peel.doubt)
            view = view.parent
        return tuple(found)

    def to_root(self, start: int, end: int) -> tuple[int, int]:
        """The span of the original message that ``self.data[start:end]`` came from."""
        view = self
        while view.parent is not None and view.peel is not None:
            start, end = view.peel.hook.locate(start, end)
            view = view.parent
        return start, end


@dataclass(frozen=True, slots=True)
class Finding:
    """Something recognised, and where. Never the digits.

    ``start`` and ``end`` are byte offsets into the original message, end exclusive; where a number was found
    inside something compressed, they span the compressed stretch.
    """

    entity: str
    brand: str
    confidence: Confidence
    test: bool
    masked: str
    fingerprint: str
    path: str
    trail: tuple[str, ...]
    start: int
    end: int
    why: tuple[str, ...] = ()
    """The checks it rests on, as words: ``luhn``, ``card key``, ``clean boundaries``."""
    leaf: View | None = field(default=None, repr=False, compare=False)
    """The innermost view, for redaction. Its ``repr`` is lengths only."""
    leaf_start: int = field(default=0, repr=False, compare=False)
    leaf_end: int = field(default=0, repr=False, compare=False)
    more: tuple[tuple[View, int, int], ...] = field(default=(), repr=False, compare=False)
    """The further pieces of a number that stands in several values: view and span of each."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found and what could not be looked at. Empty both: the bytes are clean."""

    findings: tuple[Finding, ...] = ()
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one inspection may cost. Hitting any of them gives a Gap, never silence."""

    body: int = 32 * 1024 * 1024
    """Bytes of one message body."""
    depth: int = 6
    """Decoders on top of one another; structural fields do not count."""
    expanded: int = 256 * 1024 * 1024
    """Bytes all decoders of one inspection may produce together."""
    ratio: int = 1000
    """Expansion of one compressed stretch: output bytes for each input byte."""
    readings: int = 20
    """Bytes of all decoded views that are looked at, for each byte of the body and of what was decompressed."""
    seconds: float = 5.0
    """Wall-clock seconds."""


class Budget(Protocol):
    """What a decoder may ask while it works."""

    def room(self, compressed: int) -> int:
        """How many bytes a decoder may produce from ``compressed`` input bytes now (size and ratio limits)."""

    def check_time(self) -> None:
        """Raises ``OutOfTime`` when the inspection's time is over. Call it in every loop that grows with the input."""


class OutOfTime(Exception):
    """The inspection's time is over; the inspector turns it into a Gap."""


class Places(Protocol):
    """Some places in a structure, by their paths as in ``Peel.path``."""

    def inside(self, place: str) -> bool:
        """Whether one of them is in the object or array at ``place``."""

    def elements(self, place: str) -> frozenset[int]:
        """The elements of the array at ``place`` that one of them is in, unless all are."""


class Plain(NamedTuple):
    """A value that stands in its view byte by byte."""

    start: int
    end: int
    path: str
    """As in ``Peel``; likewise the others."""
    key: str
    number: bool = False


class Sift(Protocol):
    """Tells of many values of a view at once what would be told of each by a look of its own."""

    def worth(self, values: Sequence[Plain]) -> Sequence[bool]:
        """Whether there may be anything in each of them."""

    def knows(self, start: int, end: int) -> bool:
        """Whether the name that stands there is one of which ``worth`` has said no before."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What the inspector wants of a decoder."""

    content_type: str
    """Declared media type with parameters, lower-case type, may be empty."""
    hits: tuple[int, ...]
    """Sorted byte offsets in the view at which the sieve's patterns ended. A structural decoder yields only the
    values that hold, or begin within 64 bytes before, such an offset; empty means every value."""
    budget: Budget
    key: str = ""
    """The name the view goes by: formats that wrap a value hand it on."""
    digits: tuple[int, ...] = ()
    """Sorted, those of ``hits`` at which there is a number in plain digits: only the value that holds it is wanted."""
    hopeless: tuple[int, ...] = ()
    """Sorted, those of ``digits`` that count only in a value with a card's name. A decoder may look at neither."""
    nameless: bool = False
    """There is no card's name anywhere: nothing comes of the ``hopeless``."""
    named: Callable[[str], bool] | None = None
    """Whether a value by this name is wanted; ``None``: any is. A decoder that does not look gives more."""
    beside: Places | None = None
    """Where values are wanted, if ``named``; ``None``: anywhere. A decoder that does not look gives more."""
    sift: Sift | None = None
    """Who tells which values are worth a view of their own. A decoder that does not ask gives more."""


Decoder = Callable[[bytes, Ask], Iterator[Peel | Gap]]
"""One encoding: yields the children it finds in a view, or a Gap (offsets in that view) where it could not.
Raises nothing but ``OutOfTime``, whatever the bytes."""
