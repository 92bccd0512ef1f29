"""What is written about a message or about Sekisho itself: one flat event, whatever it was, and no digits in it.

Every record has every field of ``FIELDS``; those that do not apply are empty. The sink adds the last five.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from proxy import scrub
from proxy.message import Action, Message

if TYPE_CHECKING:
    from proxy.judge import Verdict, Violation
    from proxy.policy import Policy
    from proxy.scrub import Quiet

MOST = 100
"""Findings, and gaps, that one record lists. A batch full of card data must not make a record as large as itself."""

NOT_LISTED = "not-listed"
"""Gap reason of the entry that says how many more there were."""

FIELDS: Mapping[str, str] = {
    "kind": "passthrough, retention or stored (card data); gap, failure; start, stop, policy; coverage; probe; bypass; "
    "repair and outage (of this file).",
    "policy_id": "The policy in force, as it names itself.",
    "policy_sha256": "SHA-256 of the policy file.",
    "lane": "The lane.",
    "role": "What the destination is: logging, storage, payment-gateway, shop or external.",
    "direction": "request or response.",
    "protocol": "The protocol of the lane.",
    "peer": "The client, host:port.",
    "destination": "Where the message was going, host:port.",
    "method": "The request's method.",
    "path": "The request's path, without the query; segments that held a finding or eight digits are hidden.",
    "status": "The response's status code; 0 for a request.",
    "findings": "What was found: entity, brand, confidence, test, masked (last four digits at the most), fingerprint "
    "(keyed), part and path (where), trail (decoders), start and end (bytes of the part), why (what speaks for it "
    "and against), verdict.",
    "gaps": "What could not be inspected: part, reason, start and end (bytes of the part).",
    "verdict": "What was done: allow, redact, block or report.",
    "would": "Of what was forwarded: redact or block, if an enforced lane would have done that (mode monitor, "
    "on_violation: report, the share that percent leaves).",
    "coverage": "Of a coverage record: what was counted since the last one, by lane.",
    "outcome": "Of a probe record: passed, or what went wrong with the lane's self-probe, from now on. Of a "
    "bypass record: direct, egress, quic or silent.",
    "uid": "Of a bypass record: the user id of the process behind the connection.",
    "traceparent": "The request's W3C trace context.",
    "request_id": "The request's X-Request-Id.",
    "id": "UUID of this record; the refused client has it too.",
    "ts": "Time of the record, UTC.",
    "seq": "Number of the record in this file, from 1.",
    "prev": "hash of the record before.",
    "hash": "HMAC-SHA-256 over all bytes of the line before this field.",
}
"""The fields of an audit record, and what they mean to a reader."""


def of_message(message: Message, verdict: Verdict, action: Action, policy: Policy, quiet: Quiet) -> dict[str, Any]:
    """The record of a message with findings or gaps, on which ``action`` was carried out."""
    noted = [*((row, action) for row in verdict.violations), *((row, Action.REPORT) for row in verdict.reported)]
    kind = noted[0][0].kind if noted else "gap"
    findings = [_finding(row, done, quiet) for row, done in noted[:MOST]]
    gaps = [
        {"part": scrub.scrub(part, quiet), "reason": gap.reason, "start": gap.start, "end": gap.end}
        for part, gap in verdict.gaps[:MOST]
    ]
    more = (len(noted) - MOST, len(verdict.gaps) - MOST)
    gaps += [{"part": "", "reason": NOT_LISTED, "start": 0, "end": 0, "count": count} for count in more if count > 0]
    spans = [(row.finding.start, row.finding.end) for row, _ in noted if row.part == "path"]
    would = verdict.would.value if verdict.would is not None and action is not Action.BLOCK else ""
    about = _about(message, kind, action, policy, quiet, spans=spans)
    return {**about, "would": would, "findings": findings, "gaps": gaps}


def of_failure(message: Message, where: str, action: Action, policy: Policy, quiet: Quiet) -> dict[str, Any]:
    """The record of a message that could not be judged because Sekisho itself failed at ``where``."""
    # Nobody knows what is in the path: whatever is not plainly harmless is hidden.
    about = _about(message, "failure", action, policy, quiet)
    would = "" if action is Action.BLOCK else Action.BLOCK.value
    return {**about, "would": would, "findings": [], "gaps": [{"part": "", "reason": where, "start": 0, "end": 0}]}


def of_sidecar(kind: str, policy: Policy, **own: Any) -> dict[str, Any]:
    """The record of a start, a stop, a policy change, coverage, a probe or a bypass; ``own``: fields of that kind."""
    empty: dict[str, Any] = {name: "" for name in FIELDS if name not in ("id", "ts", "seq", "prev", "hash")}
    about = {"kind": kind, "policy_id": policy.policy_id, "policy_sha256": policy.sha256, "status": 0}
    return {**empty, **about, "findings": [], "gaps": [], "coverage": {}, **own}


def _about(
    message: Message,
    kind: str,
    action: Action,
    policy: Policy,
    quiet: Quiet,
    *,
    spans: Sequence[tuple[int, int]] = (),
) -> dict[str, Any]:
    """Everything about a message but what was found in it."""
    host = scrub.scrub(message.host, quiet)
    return {
        "kind": kind,
        "policy_id": policy.policy_id,
        "policy_sha256": policy.sha256,
        "lane": message.route.lane,
        "role": message.route.role,
        "direction": message.direction,
        "protocol": message.protocol,
        "peer": message.peer,
        "destination": f"{host}:{message.port}" if message.port else host,
        "method": scrub.scrub(message.method, quiet),
        "path": scrub.scrub_path(message.path, spans, quiet),
        "status": message.status,
        "verdict": action.value,
        "would": "",
        "coverage": {},
        "outcome": "",
        "uid": "",
        "traceparent": scrub.scrub_traceparent(message.traceparent, quiet),
        "request_id": scrub.scrub_id(message.request_id, quiet),
    }


def _finding(violation: Violation, action: Action, quiet: Quiet) -> dict[str, Any]:
    found = violation.finding
    return {
        "entity": found.entity,
        "brand": found.brand,
        "confidence": found.confidence,
        "test": found.test,
        "masked": scrub.last_four(scrub.safe_mask(found.entity, found.masked)),
        "fingerprint": found.fingerprint,
        "part": scrub.scrub(violation.part, quiet),
        "path": scrub.scrub(found.path, quiet),
        "trail": list(found.trail),
        "start": found.start,
        "end": found.end,
        "why": list(found.why),
        "verdict": action.value,
    }


def where(part: str, path: str, trail: Iterable[str], quiet: Quiet) -> str:
    """A place as a developer reads it: ``body $.card.number``, ``query note (inside base64)``."""
    names = [scrub.scrub(part, quiet)]
    if path and path != part:
        names.append(scrub.scrub(path, quiet))
    inside = ", ".join(trail)
    return f"{' '.join(names)} (inside {inside})" if inside else " ".join(names)
