"""What a refused client reads (RFC 9457): which field, what is in it, and what to send instead. Never digits.

The type URIs are stable: ``urn:sekisho:problem:card-data`` (403), ``…:uninspectable`` (422), ``…:failure`` (503).
``instance`` is the id of the audit record, where one could be written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from detectors import model
from proxy import advice
from proxy.advice import Case, Fact
from proxy.message import Action, Message
from proxy.metrics.series import gap_reason
from proxy.records.record import where
from proxy.scrub import safe_mask
from proxy.texts import say

if TYPE_CHECKING:
    from proxy.judge import Verdict
    from proxy.scrub import Quiet

CARD_DATA = "urn:sekisho:problem:card-data"
UNINSPECTABLE = "urn:sekisho:problem:uninspectable"
FAILURE = "urn:sekisho:problem:failure"

STATUS: Mapping[str, int] = MappingProxyType({CARD_DATA: 403, UNINSPECTABLE: 422, FAILURE: 503})

MOST = 20
"""Findings, and gaps, that one answer lists."""

NAMED = 3
"""Fields that ``detail`` names; the rest are in ``findings``."""

WORDS: Mapping[str, str] = MappingProxyType(
    {
        model.PAN: "a card number",
        model.SECURITY_CODE: "a security code",
        model.TRACK_1: "a card's magnetic stripe (track 1)",
        model.TRACK_2: "a card's magnetic stripe (track 2)",
        model.PIN_BLOCK: "a PIN",
        model.EXPIRY: "a card's expiry date",
        model.CARDHOLDER_NAME: "a cardholder's name",
        "TOKEN": "a one-time card token",
    }
)


def card_data(message: Message, verdict: Verdict, record: str, quiet: Quiet) -> bytes:
    """The answer to a message that was refused for what was found in it."""
    places = [(row, where(row.part, row.finding.path, row.finding.trail, quiet)) for row in verdict.violations[:MOST]]
    named = [f"{place} holds {WORDS.get(row.finding.entity, row.finding.entity)}" for row, place in places[:NAMED]]
    more = len(verdict.violations) - len(named)
    found = "; ".join(named) + (f"; and {more} more" if more else "")
    findings = [
        {
            "entity": row.finding.entity,
            "brand": row.finding.brand,
            "where": place,
            "masked": safe_mask(row.finding.entity, row.finding.masked),
        }
        for row, place in places
    ]
    detail = f"{found}. {' '.join(_advice(message, verdict))}"
    title = f"Card data blocked on lane {message.route.lane}"
    return _document(CARD_DATA, title, detail, record, findings=findings, gaps=_gaps(verdict, quiet))


def uninspectable(message: Message, verdict: Verdict, record: str, quiet: Quiet) -> bytes:
    """The answer to a message that was refused because not all of it could be inspected."""
    gaps = _gaps(verdict, quiet)
    named = "; ".join(f"{gap['where']} ({gap['reason']})" for gap in gaps[:NAMED])
    more = len(verdict.gaps) - min(len(gaps), NAMED)
    found = named + (f"; and {more} more" if more else "")
    hints = [say(name) for name in advice.for_gaps(gap["reason"] for gap in gaps)]
    title = f"Uninspectable content blocked on lane {message.route.lane}"
    detail = f"What could not be inspected is not forwarded: {found}. {' '.join(hints)}"
    return _document(UNINSPECTABLE, title, detail, record, findings=[], gaps=gaps)


def failure(lane: str, record: str) -> bytes:
    """The answer to a message that Sekisho failed to judge, or failed to record. The client's message may be fine."""
    title = f"Inspection failed on lane {lane}"
    return _document(FAILURE, title, say("fix.failure"), record, findings=[], gaps=[])


def _advice(message: Message, verdict: Verdict) -> list[str]:
    """What to do about it, most important first."""
    route = message.route
    facts = [Fact(row.finding.entity, row.finding.test, row.finding.why) for row in verdict.violations]
    unmended = route.on_violation == "redact" and verdict.action in (Action.REDACT, Action.BLOCK)
    case = Case(route.role, message.direction, message.host, message.path, facts, unmended)
    return [say(name) for name in advice.for_card_data(case)]


def _gaps(verdict: Verdict, quiet: Quiet) -> list[dict[str, str]]:
    return [
        {"where": where(part, "", (), quiet), "reason": gap_reason(gap.reason)} for part, gap in verdict.gaps[:MOST]
    ]


def _document(
    kind: str, title: str, detail: str, record: str, *, findings: list[dict[str, str]], gaps: list[dict[str, str]]
) -> bytes:
    document: dict[str, Any] = {"type": kind, "title": title, "status": STATUS[kind], "detail": detail}
    if record:
        document["instance"] = f"urn:uuid:{record}"
    document["findings"] = findings
    if gaps:
        document["gaps"] = gaps
    # "replace": a JSON key may hold half a surrogate pair, and a refusal must not fail on it.
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
