"""One inspection under way: from the message's bytes down through every decoder the sieve points at.

A view is sieved once. Where it has structure (JSON, form, XML, multipart) the values that hold a hit become views of
their own and are asked again; hits outside any value are recognised where they stand, so broken or mislabelled
structure hides nothing. Encodings of a whole view (percent, references, full-width …) give one more view each. What the
sieve cannot see into (compression, archives, binary messages) is opened first.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain

from detectors.budget import Purse
from detectors.crowds import weigh
from detectors.decoders import (
    archive,
    binary,
    charset,
    compressed,
    embedded,
    envelope,
    grpc,
    lines,
    multipart,
    office,
    protobuf,
)
from detectors.decoders.offsets import Cover, Whole
from detectors.decoders.survey import Survey
from detectors.decoders.text import is_text
from detectors.hopeless import NONE, Prospects, prospects
from detectors.keys import may_stand_beside
from detectors.model import Ask, Decoder, Finding, Gap, Limits, OutOfTime, Peel, View
from detectors.patterns import RECOGNIZE
from detectors.recognition import Neighbourhood, Recognition
from detectors.sieve import Hits, Prefilter, Sieve, escaped_too
from detectors.sifting import Together
from detectors.structures import in_pieces, structures_of
from detectors.transforms import TRANSFORMS
from detectors.views import ancestors, child_of, grown, is_plain, label_of, path_in, span_in, within

_NESTED = 48
"""Views within views, structural ones included: deeper is a gap, not a stack overflow."""

_MARK = 4
"""Bytes of the longest byte order mark, or of a character cut off at the end."""

OPENERS: tuple[Decoder, ...] = (grpc.peel, compressed.peel, archive.peel, envelope.peel)
"""Decoders of views that show the sieve nothing, or whose parts say how long they are. The first that has anything to
say has the view for itself."""

_SMALL = 16 * 1024
"""Bytes of a view that is read once more for numbers in pieces, wherever a card field stands in it."""


class Walk:
    """The state of one inspection. Made, run once, read."""

    def __init__(self, sieve: Sieve, team: Prefilter, recognition: Recognition, limits: Limits) -> None:
        self._sieve = sieve
        self._team = team
        self._recognition = recognition
        self._limits = limits
        self._known: tuple[Hits, Prospects] | None = None
        self._text: Callable[[], bool] | None = None
        self.findings: list[Finding] = []
        self.gaps: list[Gap] = []

    def run(
        self,
        body: bytes,
        content_type: str,
        content_encoding: str,
        key: str = "",
        known: tuple[Hits, Prospects] | None = None,
        text: Callable[[], bool] | None = None,
    ) -> None:
        """Fills ``findings`` and ``gaps``. Raises nothing but what a defect would raise. ``known``: what the sieve has
        pointed at there already, and what may come of it. ``text``: tells whether ``body`` is text, at no more cost."""
        self._known, self._text = known, text
        self._purse = Purse(self._limits, len(body))
        root = View(body[: self._limits.body], content_type=content_type, key=key)
        try:
            if len(body) > self._limits.body:
                self.gaps.append(Gap("too-large", self._limits.body, len(body)))
            if content_encoding.strip().lower() in ("", "identity"):
                self._visit(root)
                return
            outer = View(body[: self._limits.body])
            peels = compressed.unwrap(outer.data, content_encoding, self._ask(outer, ()))
            if not list(self._children(outer, peels, content_type)):
                self._visit(root)
        except OutOfTime:
            self.gaps.append(Gap("timeout", 0, len(body)))

    def _ask(self, view: View, hits: Sequence[int]) -> Ask:
        return Ask(view.content_type, tuple(hits), self._purse, view.key)

    def _gap(self, view: View, gap: Gap) -> None:
        self.gaps.append(Gap(gap.reason, *view.to_root(gap.start, gap.end)))

    def _children(self, view: View, items: Iterable[Peel | Gap], content_type: str = "") -> Iterator[tuple[int, int]]:
        """Visits each child; gives the span of ``view`` that each came from."""
        for item in items:
            if isinstance(item, Gap):
                self._gap(view, item)
                continue
            span = item.hook.locate(0, len(item.data))
            if item.codec and not self._purse.spend(len(item.data)):
                self._gap(view, Gap("expanded", *span))
                continue
            if item.codec and view.depth >= self._limits.depth:
                self._gap(view, Gap("too-deep", *span))
                continue
            self._visit(child_of(view, item, content_type))
            yield span

    def _visit(self, view: View) -> None:
        self._purse.check_time()
        if not view.data.strip(b"\0"):  # nothing, or what most bombs are made of
            return
        if ancestors(view) > _NESTED:
            self._gap(view, Gap("too-deep", 0, len(view.data)))
            return
        if view.depth and not self._purse.look(len(view.data), grown(view)):
            self.gaps.append(Gap("too-many-readings", 0, self._purse.body))
            return
        if is_plain(view):
            self._look(view, label_of(view), [])
            return
        ask = self._ask(view, ())
        told = binary.declared_form(view.content_type) if view.content_type else None
        found = told.survey(view.data, ask, declared=True) if told else None
        if told and found and found.substantial:
            self._message(view, told, found)
            return
        parted = view.content_type.startswith("multipart/")  # its last part may be a zip: the whole is none
        opaque = not parted and (binary.may_be_opaque(view.data) or view.content_type.startswith(grpc.PREFIXES))
        if (opaque or (not parted and envelope.may_be(view.data, view.content_type))) and self._opened(view, ask):
            return
        guessed = binary.guess(view.data, ask) if opaque else None
        if told and found and not guessed and not is_text(view.data):
            guessed = (told, found)
        if guessed:
            self._message(view, *guessed)
            return
        claimed: list[tuple[int, int]] = []
        if parted:
            known = len(self.findings)
            claimed += self._children(view, multipart.peel(view.data, ask))
            self._beside(view, multipart.peel, known)
        elif view.content_type == office.PART:
            list(self._children(view, office.peel(view.data, ask)))
        elif told and not is_text(view.data):
            list(self._children(view, told.peel(view.data, ask)))
        elif opaque and not self._is_text(view):
            list(self._children(view, embedded.peel(view.data, ask)))
        if self._recharset(view):
            return
        self._look(view, label_of(view), claimed)

    def _is_text(self, view: View) -> bool:
        return self._text() if view.parent is None and self._text is not None else is_text(view.data)

    def _opened(self, view: View, ask: Ask) -> bool:
        """Whether the view was compressed, an archive or a stream of frames, and what it holds has been visited."""
        for decoder in OPENERS:
            items = decoder(view.data, ask)
            first = next(items, None)
            if first is not None:
                inherited = view.content_type if decoder is compressed.peel else ""
                list(self._children(view, chain((first,), items), inherited))
                return True
        return False

    def _message(self, view: View, form: binary.Form, found: Survey) -> None:
        """Reads all values of a binary message in one pass, and visits those that the sieve points at. What stands
        between values is looked at as it is: bytes may be a message by accident."""
        if compressed.may_be_snappy(view.data) and self._snappy_too(view):
            return
        wanted = set(binary.closed(view.data, found, self._ask(view, ())))
        for texts in (found.text, found.other):
            text = texts.text()
            hits = self._sieve.scan(text)
            if hits is not None:
                wanted.update(texts.at(end for ends in hits.by_kind.values() for end in ends))
                if not hits.complete:
                    self._gap(view, Gap("too-many-candidates", 0, len(view.data)))
            if (team := self._team.hits(text)) is not None:
                wanted.update(texts.at(team) if team else (start for start, _ in texts.spans()))
        known = len(self.findings)
        self._fields(view, form, sorted(wanted))
        if form.name != "protobuf":
            self._beside(view, form.peel, known, found.beside)
        for gap in found.gaps:
            self._gap(view, gap)
        known = len(self.findings)
        solid = found.solid
        self._look(view, label_of(view), list(solid), structured=is_text(view.data))
        values = Cover(solid)
        self.findings[known:] = [f for f in self.findings[known:] if span_in(f, view)[1] not in values]

    def _snappy_too(self, view: View) -> bool:
        """Whether a message also is a block of snappy with something in it. Nobody knows which it is meant to be, so
        nothing is put back."""
        known = len(self.findings)
        for item in compressed.peel(view.data, self._ask(view, ())):
            rigid = replace(item, hook=Whole(0, len(view.data), item.data, None)) if isinstance(item, Peel) else item
            list(self._children(view, (rigid,), view.content_type))
        return len(self.findings) > known

    def _fields(self, view: View, form: binary.Form, wanted: Sequence[int]) -> None:
        """The values of a message at the offsets ``wanted``; messages within it are views of their own, so that their
        lengths are mended when a value changes its own."""
        if not wanted:
            return
        known = len(self.findings)
        for item in form.peel(view.data, self._ask(view, wanted)):
            if isinstance(item, Gap) or item.content_type != protobuf.NESTED:
                list(self._children(view, (item,)))
                continue
            start, end = item.hook.locate(0, len(item.data))
            if ancestors(view) > _NESTED or (item.codec and view.depth >= self._limits.depth):
                self._gap(view, Gap("too-deep", start, end))
                continue
            inner = wanted[bisect_left(wanted, start) : bisect_left(wanted, end)]
            self._fields(child_of(view, item), form, [at - start for at in inner])
        if form.name == "protobuf":
            self._beside(view, form.peel, known)

    def _recharset(self, view: View) -> bool:
        """Whether all of the view was in another charset and has been visited as UTF-8 instead."""
        declared = charset.charset_of(view.content_type)
        plain = view.data.isascii() and b"\x00" not in view.data and b"\x1b" not in view.data
        if not declared and plain and b"encoding" not in view.data[:256]:
            return False
        sound = view.parent is None and self._text is not None and self._text()
        items = charset.peel_charset(view.data, declared, self._ask(view, ()), sound=sound)
        kind = "" if binary.declared_form(view.content_type) else view.content_type.split(";")[0]
        spans = list(self._children(view, items, f"{kind}; charset=utf-8"))
        return any(start <= _MARK and end >= len(view.data) - _MARK for start, end in spans)

    def _look(self, view: View, label: bytes, claimed: list[tuple[int, int]], *, structured: bool = True) -> None:
        known = self._known if view.parent is None else None
        hits = known[0] if known else self._sieve.scan(label + view.data if label else view.data)
        team = self._team.hits(view.data)
        if hits is None and team is None:
            return
        if hits is not None and not hits.complete:
            self._gap(view, Gap("too-many-candidates", 0, len(view.data)))
        by_kind = hits.behind(len(label)) if hits is not None else {}
        told = NONE
        if hits is not None and team is None:
            told = known[1] if known else prospects(view.data, label, hits, self._purse)
        unasked = "markup" if view.data[:64].lstrip().startswith(b"<") else ""  # tags between digits are no values
        wanted = sorted({end for kind, ends in by_kind.items() if kind != unasked for end in ends} | set(team or ()))
        together = Together(view, self._sieve, self._team, self._purse)
        ask = Ask(
            view.content_type,
            tuple(wanted),
            self._purse,
            view.key,
            told.digits,
            tuple(sorted(told.hopeless)),
            nameless=told.nameless,
            sift=together if ancestors(view) < _NESTED else None,
        )
        before = len(self.findings)
        structures = list(structures_of(view, by_kind)) if structured and (wanted or team is not None) else []
        if "split" in by_kind or (RECOGNIZE in by_kind and len(view.data) <= _SMALL):
            for number, places in in_pieces(view, structures, by_kind.get("split", ()), self._ask):
                self.findings.append(self._recognition.joined(number, places))
        for structure in structures:
            spans = list(self._children(view, structure(view.data, ask)))
            claimed += spans if structure is not lines.peel else ()  # text still, and read as such with what is around
            self._beside(view, structure, before, wanted if structure is lines.peel else None)
        taken = Cover(chain(claimed, together.passed))
        references = "html" in by_kind and b"&#" in view.data
        across = {"markup", "html"} if references else {"markup"}  # what a structure takes for its own marks
        free = {kind: [end for end in ends if kind in across or end not in taken] for kind, ends in by_kind.items()}
        free[RECOGNIZE] = [end for end in free.get(RECOGNIZE, ()) if end not in told.hopeless]
        escaped_too(free, view.data)
        parts: list[tuple[int, int]] = []
        for kind, decoder in TRANSFORMS:
            if kind not in free:
                continue
            decoded = Cover(parts)
            if asked := [end for end in free[kind] if end not in decoded]:
                for start, end in self._children(view, decoder(view.data, self._ask(view, asked))):
                    self._purse.check_time()
                    parts += [(start, end)] if end - start < len(view.data) else []
        if free.get(RECOGNIZE):
            self.findings += self._recognition.look(view, label, free[RECOGNIZE], self._purse)
        if team is not None and (not team or any(end not in taken for end in team)):
            self.findings += self._recognition.team(view)
        self.findings[before:] = weigh(view, self.findings[before:])

    def _beside(self, view: View, structure: Decoder, known: int, hits: Sequence[int] | None = None) -> None:
        """Expiry, holder name and bare codes among the siblings of a card number just found in ``view``: behind the
        ``known`` findings. ``hits``: where such values stand, if that is known."""
        numbers = [f for f in self.findings[known:] if f.confidence == "high" and f.leaf and within(f.leaf, view)]
        if not numbers or hits == []:
            return
        around = Neighbourhood(numbers, path_in(view, ""))
        ask = replace(self._ask(view, sorted(hits or ())), named=lru_cache(may_stand_beside), beside=around)
        for item in structure(view.data, ask):
            self._purse.check_time()
            if isinstance(item, Peel) and (item.key or structure is protobuf.peel):
                self.findings += self._recognition.beside(child_of(view, item), around)
