"""Policy × findings × gaps → verdict. Pure: no clock, no file, no counter.

What is found is sorted into three heaps: violations, which the lane acts on; reported ones, which are only counted and
recorded (doubtful, or a published test number where the lane allows those); suppressed ones, which the team has
declared false alarms. Nothing is dropped without being in one of them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import islice, takewhile
from types import MappingProxyType
from typing import Literal

from detectors.model import CARDHOLDER_NAME, EXPIRY, PAN, TRACK_1, TRACK_2, Finding, Gap, Inspection
from proxy.message import Action, Direction, Message
from proxy.policy.model import Suppression
from proxy.policy.routes import OnViolation, Role, Route

Kind = Literal["passthrough", "retention", "stored"]
"""通過: card data passes the shop's systems. 保持: it goes where it would be kept. Stored: it was kept already."""

KINDS: Mapping[tuple[Role, Direction], Kind] = MappingProxyType(
    {
        ("shop", "request"): "passthrough",
        ("shop", "response"): "passthrough",
        ("payment-gateway", "request"): "passthrough",
        ("payment-gateway", "response"): "passthrough",
        ("logging", "request"): "retention",
        ("logging", "response"): "stored",
        ("storage", "request"): "retention",
        ("storage", "response"): "stored",
        ("external", "request"): "retention",
        ("external", "response"): "stored",
    }
)
"""What card data on a lane of that role, going that way, is. There is no pair on which it is nothing."""

_BESIDE = frozenset({EXPIRY, CARDHOLDER_NAME})
_NUMBERS = frozenset({PAN, TRACK_1, TRACK_2})
_NEIGHBOURS = 8
"""Numbers looked at on either side of an expiry date or name. Bounds the work on a batch full of both."""
_SAME_PLACE = 64

Heap = Literal["act", "report", "suppress"]


@dataclass(frozen=True, slots=True)
class Violation:
    """A finding that the lane's policy does not permit where it was, and why not."""

    kind: Kind
    part: str
    """Name of the message part it is in."""
    finding: Finding


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done with a message, and everything that was counted on the way there."""

    action: Action
    violations: tuple[Violation, ...] = ()
    reported: tuple[Violation, ...] = ()
    """Doubtful findings and allowed test numbers: counted and recorded, not acted on."""
    suppressed: tuple[Violation, ...] = ()
    """Declared false alarms: counted, not acted on."""
    gaps: tuple[tuple[str, Gap], ...] = ()
    """Part name and what could not be inspected in it."""
    redact: Mapping[int, tuple[Finding, ...]] = field(default_factory=dict)
    """For REDACT: index in ``Message.parts`` and what is to be replaced there, in order of offset."""
    would: Action | None = None
    """For REPORT: REDACT or BLOCK, if an enforced lane would have done that; BLOCK, if the lane itself only reports."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A finding, the part it is in, and whether the meaning of its field alone made it one."""

    index: int
    finding: Finding
    by_field: bool = False


def judge(
    message: Message,
    inspections: Sequence[Inspection],
    extra: Sequence[tuple[int, Finding]],
    suppress: Sequence[Suppression],
    today: date,
    *,
    extra_gaps: Sequence[str] = (),
    allow_card_data: bool = False,
) -> Verdict:
    """The verdict on ``message``.

    ``inspections[i]`` belongs to ``message.parts[i]``. ``extra`` (part index, finding) and ``extra_gaps`` are what the
    tokenized flow's own rules found. ``allow_card_data`` says that the request goes to the one place card data may go
    to; it counts only for a browser's request. Raises ``ValueError`` if a part has no inspection, or a finding no
    part: what nobody judged must not pass.
    """
    route = message.route
    if len(inspections) != len(message.parts):
        raise ValueError(f"{len(message.parts)} parts, {len(inspections)} inspections")
    if not all(0 <= index < len(message.parts) for index, _ in extra):
        raise ValueError(f"a finding in none of {len(message.parts)} parts")
    if allow_card_data and route.source == "browser" and message.direction == "request":
        return Verdict(Action.ALLOW)
    kind = KINDS[route.role, message.direction]
    heaps: dict[Heap, list[Violation]] = {"act": [], "report": [], "suppress": []}
    redact: dict[int, list[Finding]] = {}
    live = [row for row in suppress if row.lane == route.lane and today <= row.until]
    for index, found in _by_part(inspections, extra):
        part = message.parts[index].name
        for heap, finding in _sorted_out(found, part, route, live, today):
            heaps[heap].append(Violation(kind, part, finding))
            if heap == "act":
                redact.setdefault(index, []).append(finding)
    gaps = _gaps(message, inspections, extra_gaps)
    action = _action(message, redact, gaps, anything=bool(heaps["act"] or heaps["report"] or gaps))
    return Verdict(
        action=action,
        violations=tuple(heaps["act"]),
        reported=tuple(heaps["report"]),
        suppressed=tuple(heaps["suppress"]),
        gaps=gaps,
        redact={index: tuple(rows) for index, rows in redact.items()} if action is Action.REDACT else {},
        would=_would(message, redact, gaps) if action is Action.REPORT else None,
    )


def _action(
    message: Message, acted_on: Mapping[int, Sequence[Finding]], gaps: Sequence[tuple[str, Gap]], *, anything: bool
) -> Action:
    if not anything:
        return Action.ALLOW
    if message.route.mode == "monitor":
        return Action.REPORT
    return _enforced(message, acted_on, gaps, message.route.on_violation)


def _would(
    message: Message, acted_on: Mapping[int, Sequence[Finding]], gaps: Sequence[tuple[str, Gap]]
) -> Action | None:
    says = message.route.on_violation
    action = _enforced(message, acted_on, gaps, "block" if says == "report" else says)
    return None if action is Action.REPORT else action


def _enforced(
    message: Message,
    acted_on: Mapping[int, Sequence[Finding]],
    gaps: Sequence[tuple[str, Gap]],
    on_violation: OnViolation,
) -> Action:
    if gaps and message.route.on_gap == "block":
        return Action.BLOCK
    if not acted_on or on_violation == "report":
        return Action.REPORT
    if on_violation == "redact" and all(_redactable(message, index, rows) for index, rows in acted_on.items()):
        return Action.REDACT
    return Action.BLOCK


def _redactable(message: Message, index: int, findings: Sequence[Finding]) -> bool:
    """Whether there is a view to edit. A method has no masked form that would still be the same request."""
    return message.parts[index].name != "method" and all(finding.leaf is not None for finding in findings)


def _gaps(message: Message, inspections: Sequence[Inspection], extra: Sequence[str]) -> tuple[tuple[str, Gap], ...]:
    whole = [reason for reason in (message.gap, *extra) if reason]
    return (
        *((part.name, gap) for part, seen in zip(message.parts, inspections, strict=True) for gap in seen.gaps),
        *(("body", Gap(reason, 0, 0)) for reason in whole),
    )


def _by_part(
    inspections: Sequence[Inspection], extra: Sequence[tuple[int, Finding]]
) -> Iterable[tuple[int, list[_Found]]]:
    """The findings of each part in order of offset, each thing once."""
    further: dict[int, list[Finding]] = {}
    for index, finding in extra:
        further.setdefault(index, []).append(finding)
    for index, inspection in enumerate(inspections):
        found = _merged(index, inspection.findings, further.get(index, ()))
        yield index, sorted(found, key=lambda row: (row.finding.start, row.finding.end))


def _merged(index: int, inspected: Sequence[Finding], extra: Sequence[Finding]) -> list[_Found]:
    """``inspected`` and ``extra`` together. What both found stays one finding, that of the inspector, which knows the
    brand and the mask; that its field is a card field makes it certain.

    Both must agree on the path as well as on the bytes: inside something compressed all spans are the same.
    """
    if not extra:
        return [_Found(index, finding) for finding in inspected]
    places: dict[str, list[int]] = {}
    found = [_Found(index, finding) for finding in inspected]
    for number, row in sorted(enumerate(found), key=lambda item: (item[1].finding.start, item[1].finding.end)):
        places.setdefault(row.finding.path, []).append(number)
    for finding in extra:
        here = places.get(finding.path, [])
        first = bisect_right(here, finding.start, key=lambda number: inspected[number].end)
        last = bisect_left(here, finding.end, key=lambda number: inspected[number].start)
        same = list(islice(here, first, min(last, first + _SAME_PLACE)))
        for number in same:
            known = found[number].finding
            sure = replace(known, confidence="high", why=tuple(dict.fromkeys((*known.why, *finding.why))))
            found[number] = _Found(index, sure, by_field=True)
        if not same:
            found.append(_Found(index, finding, by_field=True))
    return found


def _sorted_out(
    found: Sequence[_Found], part: str, route: Route, live: Sequence[Suppression], today: date
) -> list[tuple[Heap, Finding]]:
    """Each finding of one part with the heap it goes on. An expiry date or a name goes where its number goes."""
    own = [_heap(row.finding, part, route, live, today) for row in found]
    numbers = [at for at, row in enumerate(found) if row.finding.entity in _NUMBERS]
    out: list[tuple[Heap, Finding]] = []
    for at, row in enumerate(found):
        heap = own[at]
        if row.finding.entity in _BESIDE and (beside := _number_beside(at, numbers, found)) is not None:
            # A doubtful number next to a field that is a card field by its name does not make that field doubtful.
            certain = found[beside].finding.confidence == "high"
            heap = own[beside] if certain or not row.by_field else heap
        out.append((heap, row.finding))
    return out


def _heap(finding: Finding, part: str, route: Route, live: Sequence[Suppression], today: date) -> Heap:
    places = (finding.path, f"{part} {finding.path}".rstrip())
    if any(row.covers(route.lane, finding.entity, places, today) for row in live):
        return "suppress"
    if finding.test and route.allow_test_numbers:
        return "report"
    if finding.confidence == "low" and route.act_on == "high":
        return "report"
    return "act"


def _number_beside(at: int, numbers: Sequence[int], found: Sequence[_Found]) -> int | None:
    """The number that ``found[at]`` belongs to: the one that shares most of its path, then the nearest."""
    here = found[at].finding
    middle = bisect_left(numbers, at)
    near = numbers[max(0, middle - _NEIGHBOURS) : middle + _NEIGHBOURS]

    def distance(number: int) -> tuple[int, int, int]:
        there = found[number].finding
        apart = max(there.start - here.end, here.start - there.end, 0)
        return -_shared(here.path, there.path), apart, abs(number - at)

    return min(near, key=distance, default=None)


def _shared(one: str, other: str) -> int:
    """How many characters both begin with, up to 512: ``$.orders[1].card.`` of ``….number`` and ``….expiry``."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one[:512], other[:512], strict=False)))
