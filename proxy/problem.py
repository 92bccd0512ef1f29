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
from proxy import gmo
from proxy.gmo_review import CALLS_TOKEN_ENDPOINT
from proxy.message import Action, Message
from proxy.record import where
from proxy.scrub import safe_mask
from proxy.series import gap_reason

if TYPE_CHECKING:
    from proxy.judge import Verdict, Violation
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

FIXES: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("shop", "request"): (
            "Card data must not reach the shop (通過). Let the page give the card to GMO's token script, and post only "
            "the token that it returns."
        ),
        ("shop", "response"): (
            "The shop's answer must not hold card data. To show a registered card, use the masked number that GMO's "
            "SearchCard returns."
        ),
        ("payment-gateway", "response"): (
            "The payment gateway answered with card data that is not masked. Do not store the answer; ask the gateway "
            "for the masked form, and treat this as an incident."
        ),
        ("logging", "request"): "Leave the field out of what is logged, or log its last four digits only.",
        ("logging", "response"): (
            "Card data is stored there already. Find out how it got there, and delete it (PCI DSS 12.10.7)."
        ),
        ("storage", "request"): (
            "Do not store it (保持). Keep GMO's MemberID and CardSeq instead, and the last four digits for display."
        ),
        ("storage", "response"): (
            "Card data is stored there already. Find out how it got there, and delete it (PCI DSS 12.10.7)."
        ),
        ("external", "request"): "Third parties must not get card data: leave the field out.",
        ("external", "response"): "A third party holds card data: find out how it got there, and have it deleted.",
    }
)
"""What to do instead, by role and direction. Requests to the payment gateway have their own text, see ``_gateway``."""

GAP_HELP: Mapping[str, str] = MappingProxyType(
    {
        "unlisted-gmo-path": "This path is none of the gateway's APIs that a backend may call.",
        "unreadable-gmo-call": "No parameter could be read from it: send it in the form that this API documents.",
    }
)
"""What to do about a gap, by reason. The other reasons say it themselves."""


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
    reasons = dict.fromkeys(gap["reason"] for gap in gaps)
    hints = [GAP_HELP[reason] for reason in reasons if reason in GAP_HELP]
    fallback = "Send it in an encoding that can be inspected and within the lane's limits, or have the policy changed."
    title = f"Uninspectable content blocked on lane {message.route.lane}"
    detail = f"What could not be inspected is not forwarded: {found}. {' '.join(hints) or fallback}"
    return _document(UNINSPECTABLE, title, detail, record, findings=[], gaps=gaps)


def failure(lane: str, record: str) -> bytes:
    """The answer to a message that Sekisho failed to judge, or failed to record. The client's message may be fine."""
    title = f"Inspection failed on lane {lane}"
    detail = (
        "Sekisho could not finish inspecting or recording this message, so it was not forwarded. It may be sent again; "
        "if it keeps failing, the operators find the cause under sekisho_internal_errors_total and in the log."
    )
    return _document(FAILURE, title, detail, record, findings=[], gaps=[])


def _advice(message: Message, verdict: Verdict) -> list[str]:
    """What to do about it, most important first."""
    route, rows = message.route, verdict.violations
    out: list[str] = []
    if any(row.finding.entity != "TOKEN" for row in rows):
        own = FIXES.get((route.role, message.direction))
        out.append(own if own is not None else _gateway(message, rows))
    else:
        out.append("A token can pay once for as long as it lives: leave it out here.")
    if route.on_violation == "redact" and verdict.action in (Action.REDACT, Action.BLOCK):
        out.append("This lane redacts, but here the data could not be replaced without breaking what is around it.")
    if all(row.finding.test for row in rows):
        out.append("Only published test numbers were found: `allow_test_numbers: true` on the lane lets those pass.")
    return out


def _gateway(message: Message, rows: tuple[Violation, ...]) -> str:
    """The fix of a call to GMO, in the words of the API that was called."""
    place = gmo.endpoint(message.host, message.path)
    is_token = place is not None and place.kind == "token"
    if is_token or any(CALLS_TOKEN_ENDPOINT in row.finding.why for row in rows):
        return "Only the browser may call GMO's token endpoint: load GMO's script in the page, and post the token."
    token = {"json": "`token`", "openapi": "`tokenizedCard.token`"}.get(place.dialect if place else "", "`Token`")
    if any("token made of digits" in row.finding.why for row in rows):
        return f"A token is not made of digits: send the one that GMO's script returned as {token}."
    if any("card number in the place of a reference" in row.finding.why for row in rows):
        return "A reference such as MemberID or ClientField1 holds a card number: send the shop's own id instead."
    raw = {"json": "`cardNo`, `expire` and `securityCode`", "openapi": "`card`"}
    instead = raw.get(place.dialect if place else "", "`CardNo`, `Expire` and `SecurityCode`")
    return (
        f"This is a call that passes card data through the shop (通過型): send {token} from GMO's script instead of "
        f"{instead}, which stay empty."
    )


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
