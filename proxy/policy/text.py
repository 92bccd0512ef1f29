"""A YAML file as plain values and the place of each: the part of YAML a policy needs, and nothing that can surprise.

One document of mappings, lists and scalars (YAML 1.2 core schema plus dates). Tags, anchors, aliases and merge keys
are refused: a tag can construct objects, an alias can expand a small file to gigabytes ("billion laughs"), and a value
that is written once and used twice has no one place to point at. So are duplicate keys, of which YAML readers
silently keep one, and keys without a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from proxy.policy.errors import START, Mark, Problem, show

MAX_BYTES = 256 * 1024
"""A policy of a thousand lanes is a tenth of this."""
MAX_DEPTH = 12

Loc = tuple[str | int, ...]
"""The way to a value: mapping keys and list indexes from the root."""

_NOTHING = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,18}|[0-9]{1,18}(?:\.[0-9]{0,18})?)(?:[eE][-+]?[0-9]{1,3})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

_PLAIN: tuple[tuple[re.Pattern[str], Callable[[str], object]], ...] = (
    (_NOTHING, lambda _: None),
    (_TRUE, lambda _: True),
    (_FALSE, lambda _: False),
    (_INTEGER, int),
    (_FLOAT, float),
    (_DATE, date.fromisoformat),
)


@dataclass(slots=True)
class Document:
    """A read file. ``value`` holds dicts, tuples and scalars; sequences are tuples, so that it cannot change later."""

    value: object = None
    places: dict[Loc, Mark] = field(default_factory=dict)
    """Where each value begins."""
    keys: dict[Loc, Mark] = field(default_factory=dict)
    """Where the key of a mapping's value is written, under the value's own way."""
    problems: list[Problem] = field(default_factory=list)
    faulty: set[Loc] = field(default_factory=set)
    """Values that a problem was already reported for."""

    def place(self, *loc: str | int) -> Mark:
        """Where ``loc`` is written, or the nearest thing around it that is."""
        for length in range(len(loc), -1, -1):
            if (mark := self.places.get(loc[:length])) is not None:
                return mark
        return START

    def key(self, *loc: str | int) -> Mark:
        """Where the key of ``loc`` is written; where it has none, the value."""
        return self.keys.get(loc) or self.place(*loc)


def read(data: bytes) -> Document:
    """The values of a policy file, with every problem of its form. Never raises for bad bytes."""
    if len(data) > MAX_BYTES:
        return _failed(START, f"the file has more than {MAX_BYTES} bytes", "a policy is a tenth of that")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        return _failed(Mark(line, column), "not UTF-8 text", "save the file as UTF-8")
    document = Document()
    fault: Problem | None = None
    try:
        _Builder(document, _events(text)).document()
    except _FormError as error:
        fault = error.problem
    except ReaderError as error:
        before = text[: error.position]
        mark = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
        fault = Problem(mark, "a control character, which YAML does not allow", "remove it")
    except MarkedYAMLError as error:
        fault = _syntax(error)
    except (YAMLError, RecursionError, ValueError):
        fault = Problem(START, "not YAML", "see the example policy")
    if fault is not None:
        document.problems.append(fault)
        document.value = None
    return document


def _failed(mark: Mark, why: str, hint: str) -> Document:
    return Document(problems=[Problem(mark, why, hint)])


def _events(text: str) -> Iterator[Event]:
    events: Iterator[Event] = YAML(typ="safe", pure=True).parse(text)
    return events


def _mark(event: Event) -> Mark:
    mark: Any = event.start_mark
    return Mark(mark.line + 1, mark.column + 1)


def _plain(event: Event) -> Mark:
    """Where a node begins. Refuses one with a tag or an anchor, and an alias."""
    mark = _mark(event)
    if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
        raise _FormError(mark, "anchors and aliases are not allowed", "write the value out")
    if getattr(event, "tag", None) not in (None, "!"):
        raise _FormError(mark, "tags are not allowed", "write a plain value; quote text that begins with !")
    return mark


def _syntax(error: MarkedYAMLError) -> Problem:
    """The parser's complaint without the line it quotes: that line may hold anything."""
    mark: Any = error.problem_mark or error.context_mark
    place = Mark(mark.line + 1, mark.column + 1) if mark is not None else START
    context = f", {error.context}" if error.context else ""
    hint = "check indentation, quotes, and the space after each colon"
    return Problem(place, f"not YAML: {error.problem or 'cannot be read'}{context}", hint)


class _FormError(Exception):
    """Reading cannot go on after this."""

    def __init__(self, mark: Mark, why: str, hint: str) -> None:
        super().__init__(why)
        self.problem = Problem(mark, why, hint)


class _Builder:
    """Reads one document's events into ``document``, keeping the place of every value."""

    def __init__(self, document: Document, events: Iterator[Event]) -> None:
        self.out = document
        self.events = events

    def document(self) -> None:
        """Fills ``value`` from the one document of the stream; an empty stream or a second document is a problem."""
        started = False
        for event in self.events:
            if isinstance(event, DocumentStartEvent):
                if started:
                    raise _FormError(_mark(event), "a second document", "a policy is one document: remove the ---")
                started = True
                self.out.value = self._value(next(self.events), ())
        if not started:
            raise _FormError(START, "the file is empty", 'start with "version: 1"')

    def _value(self, event: Event, loc: Loc) -> object:
        mark = _plain(event)
        self.out.places[loc] = mark
        if len(loc) > MAX_DEPTH:
            raise _FormError(mark, f"nested deeper than {MAX_DEPTH}", "a policy has four levels")
        if isinstance(event, MappingStartEvent):
            return self._mapping(loc)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(loc)
        if isinstance(event, ScalarEvent):
            return self._scalar(event, mark, loc)
        raise _FormError(mark, "not YAML", "see the example policy")

    def _mapping(self, loc: Loc) -> dict[str, object]:
        values: dict[str, object] = {}
        for event in self.events:
            if isinstance(event, MappingEndEvent):
                break
            mark = _plain(event)
            if not isinstance(event, ScalarEvent):
                raise _FormError(mark, "a key must be a word", 'write "key: value"')
            key = str(event.value)
            first = self.out.keys.get((*loc, key))
            self.out.keys.setdefault((*loc, key), mark)
            if first is None:
                values[key] = self._value(next(self.events), (*loc, key))
                continue
            self._value(next(self.events), (*loc, key, "duplicate"))
            self._report(mark, (*loc, key), f"{show(key)} is already set on line {first.line}", "keep one of the two")
        return values

    def _sequence(self, loc: Loc) -> tuple[object, ...]:
        values: list[object] = []
        for event in self.events:
            if isinstance(event, SequenceEndEvent):
                break
            values.append(self._value(event, (*loc, len(values))))
        return tuple(values)

    def _scalar(self, event: ScalarEvent, mark: Mark, loc: Loc) -> object:
        text = str(event.value)
        if not event.implicit[0]:
            return text
        try:
            value = next((make(text) for pattern, make in _PLAIN if pattern.fullmatch(text)), text)
        except ValueError:
            self._report(mark, loc, f"{show(text)} is not a day of the calendar", "write year-month-day: 2027-03-31")
            return None
        if value is None:
            name = show(loc[-1]) if loc and isinstance(loc[-1], str) else "this entry"
            self._report(self.out.key(*loc), loc, f"{name} has no value", "give it one, or remove it")
        return value

    def _report(self, mark: Mark, loc: Loc, why: str, hint: str) -> None:
        self.out.problems.append(Problem(mark, why, hint))
        self.out.faulty.add(loc)


def at(value: object, loc: Loc) -> object:
    """The value at ``loc``, or ``None`` where there is none."""
    for step in loc:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, tuple) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value
