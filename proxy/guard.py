"""The one question: may this message pass? Everything that goes wrong while answering it is a refusal.

The planes ask ``quick`` on the event loop, then ``check`` on another thread, and ``failed`` when no answer came. Each
returns a ``Decision`` whose action was BLOCK until a finished inspection said otherwise.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from detectors.redaction import redact
from proxy import problem
from proxy.examination import Examination, GivenUp, Inspects
from proxy.gmo import calls as gmo
from proxy.judge import Verdict, judge
from proxy.message import Action, Decision, Message
from proxy.records.ledger import Ledger, complain, monitors

if TYPE_CHECKING:
    from detectors.model import Inspection
    from proxy.metrics.meter import Meter
    from proxy.policy import Policy
    from proxy.records.audit import AuditSink

_NO_TEXT = re.compile(rb"[^\n\t\x20-\x7e]")
_LIKE_ZLIB = re.compile(
    rb"\n(?:%b)"
    % b"|".join(
        re.escape(bytes((first, second)))
        for first in b"(8HXhx"
        for second in range(0x20, 0x7F)
        if (first << 8 | second) % 31 == 0
    )
)
"""A line that begins like zlib data (RFC 1950 2.2) in printable characters, "x^": deflated data can be text."""

PASSED = Decision(action=Action.ALLOW, status=200)
"""The answer to every message that is plainly clean."""


class _Step:
    """Where ``check`` is, so that a failure can be told by its place."""

    def __init__(self) -> None:
        self.name = "inspect"


class Guard:
    """Inspects, judges, counts and records messages by the policy in force.

    ``policy`` may be replaced at any time by ``adopt``: a message is judged by the route it came with, and recorded
    under the policy that is in force when it is recorded.
    """

    def __init__(
        self,
        *,
        policy: Policy,
        inspector: Inspects,
        meter: Meter,
        audit: AuditSink,
        clock: Callable[[], float] = time.perf_counter,
        today: Callable[[], date] = lambda: datetime.now(UTC).astimezone().date(),
    ) -> None:
        self.policy = policy
        self._inspector = inspector
        self._ledger = Ledger(meter, audit, self._quiet, self._clean)
        self._clock = clock
        self._today = today
        self._under_way: dict[int, Message] = {}
        self._is_gmo_host = lru_cache(maxsize=1024)(gmo.is_gmo_host)
        self._ledger.policy(policy)

    def quick(self, message: Message) -> Decision | None:
        """ALLOW for a message that one pass finds plainly clean; ``None`` for any other: ask ``check``. Never raises.

        Microseconds for small messages: fit to be called on the event loop.
        """
        try:
            started = self._clock()
            if not self._is_plain(message):
                return None
            quiet = self._inspector.quiet
            lines: list[bytes] = []
            size = 0
            for part in message.parts:
                size += len(part.data) - part.held
                if part.name != "body":
                    lines.append(part.data)
                elif not quiet(part.data, part.content_type):
                    return None
            rest = _joined(lines)
            if rest is None or not quiet(rest):
                return None
        except Exception as error:  # noqa: BLE001 - whatever it is, check() meets it again and answers for it
            complain("quick", error)
            return None
        self._ledger.passed(message, size, self._clock() - started)
        return PASSED

    def check(self, message: Message) -> Decision:
        """The decision on ``message``, counted and recorded, within the time the route's limits allow. Never raises."""
        step = _Step()
        self._under_way[id(message)] = message
        try:
            return self._decide(message, step)
        except GivenUp:
            return Decision()  # see failed()
        except Exception as error:  # noqa: BLE001 - the edge that fails closed
            complain(step.name, error)
            return self.failed(message, step.name) if id(message) in self._under_way else Decision()
        finally:
            self._under_way.pop(id(message), None)

    def failed(self, message: Message, where: str = "plane") -> Decision:
        """The decision on a message that nobody could judge: timed out, cancelled, crashed. Never raises.

        BLOCK with 503, or ALLOW in monitor mode; counted and recorded either way. A ``check`` of the same message
        that is still under way will then count and record nothing: what it decides is not what was done.
        """
        self._under_way.pop(id(message), None)
        action = Action.ALLOW if monitors(message) else Action.BLOCK
        written = self._ledger.failure(message, where, action, self.policy) or ""
        return _decision(action, written, lambda: problem.failure(message.route.lane, written), 503)

    def adopt(self, policy: Policy) -> None:
        """Puts ``policy`` in force: recorded first, then counted.

        Raises ``AuditError`` if it cannot be recorded; the former policy stays.
        """
        self._ledger.note("policy", policy)
        self.policy = policy
        self._ledger.policy(policy, reloaded=True)

    def note(self, kind: str, **own: Any) -> None:
        """Records a ``start`` or a ``stop``, ``coverage``, a ``probe`` or a ``bypass``; ``own``: its fields.

        Raises ``AuditError``: who cannot record must not start.
        """
        self._ledger.note(kind, self.policy, **own)

    def _is_plain(self, message: Message) -> bool:
        """Whether nothing but the bytes themselves needs a look: no GMO rules, no encoding, nothing missing."""
        route = message.route
        if message.gap or route.role == "payment-gateway" or self._is_gmo_host(message.host):
            return False
        if route.tokens == "deny" and message.direction == "request":
            return False
        most = route.limits.body
        for part in message.parts:
            if part.content_encoding or (len(part.data) > most and not message.moving):
                return False
        return True

    def _decide(self, message: Message, step: _Step) -> Decision:
        examination = Examination(self._inspector, message, self._clock, lambda: id(message) in self._under_way)
        inspections = examination.inspections(message.parts)
        verdict = self._judge(message, inspections, examination, step)
        action, parts = verdict.action, dict[int, bytes]()
        if action is Action.REDACT:
            step.name = "redact"
            redacted = self._redact(message, verdict)
            if redacted is None or not self._is_clean_now(message, inspections, redacted, examination, step):
                action, verdict = Action.BLOCK, replace(verdict, action=Action.BLOCK)
            else:
                parts = redacted
        step.name = "record"
        if id(message) not in self._under_way:
            raise GivenUp
        return self._conclude(message, verdict, action, parts, examination.seconds)

    def _judge(
        self, message: Message, inspections: Sequence[Inspection], examination: Examination, step: _Step
    ) -> Verdict:
        step.name = "review"
        flow = examination.review(message)
        step.name = "judge"
        return judge(
            message,
            inspections,
            flow.findings,
            self.policy.suppress,
            self._today(),
            extra_gaps=flow.gaps,
            allow_card_data=flow.allow_card_data,
        )

    def _redact(self, message: Message, verdict: Verdict) -> dict[int, bytes] | None:
        """The redacted parts, or ``None`` if one of them cannot be put back together."""
        route = message.route
        out: dict[int, bytes] = {}
        for index, findings in verdict.redact.items():
            data = redact(message.parts[index].data, findings, route.redaction, route.redaction_numbers)
            if data is None or (message.measured and len(data) != len(message.parts[index].data)):
                return None
            out[index] = data
        return out

    def _is_clean_now(
        self,
        message: Message,
        inspections: Sequence[Inspection],
        redacted: Mapping[int, bytes],
        examination: Examination,
        step: _Step,
    ) -> bool:
        """Whether the policy would let the redacted message pass: redaction is believed when it has been inspected."""
        step.name = "recheck"
        parts = [
            part._replace(data=redacted[index]) if index in redacted else part
            for index, part in enumerate(message.parts)
        ]
        after = replace(message, parts=tuple(parts))
        again = examination.inspections(parts, inspections, redacted)
        return self._judge(after, again, examination, step).action in (Action.ALLOW, Action.REPORT)

    def _conclude(
        self, message: Message, verdict: Verdict, action: Action, parts: Mapping[int, bytes], seconds: float
    ) -> Decision:
        """Records, then counts, then answers."""
        written = self._ledger.findings(message, verdict, action, self.policy)
        if written is None and not monitors(message):
            self._ledger.count(message, verdict, Action.BLOCK, "", seconds)
            return _decision(Action.BLOCK, "", lambda: problem.failure(message.route.lane, ""), 503)
        known = written or ""
        self._ledger.count(message, verdict, action, known, seconds)
        answer, status = (problem.card_data, 403) if verdict.violations else (problem.uninspectable, 422)
        return _decision(action, known, lambda: answer(message, verdict, known, self._clean), status, parts)

    def _quiet(self, data: bytes) -> bool:
        """``Inspector.quiet`` for our own records: what cannot be looked at is hidden."""
        try:
            return self._inspector.quiet(b"\n" + data) is True  # not at the start, where "H" could begin zlib data
        except Exception:  # noqa: BLE001 - the inspector may be what failed
            return False

    def _clean(self, data: bytes) -> bool:
        """As ``_quiet``; what the sieve has doubts about (a path like ``6['card.number'].2``) is inspected."""
        if self._quiet(data):
            return True
        try:
            read = self._inspector.inspect(b"\n" + data)
            return not read.findings and not read.gaps
        except Exception:  # noqa: BLE001 - likewise
            return False


def _joined(lines: Sequence[bytes]) -> bytes | None:
    """Fields, each on a line of its own, to be read in one pass instead of many; ``None`` if that could hide one.

    A pass over each would also look for compressed data at its start, which a line in the middle no longer has.
    """
    joined = b"\n".join((b"", *lines))
    return None if _NO_TEXT.search(joined) or _LIKE_ZLIB.search(joined) else joined


def _decision(
    action: Action,
    written: str,
    answer: Callable[[], bytes],
    status: int,
    parts: Mapping[int, bytes] | None = None,
) -> Decision:
    """The decision with its answer, which only a refusal has."""
    if action is not Action.BLOCK:
        return Decision(action=action, id=written, status=200, parts=parts or {})
    try:
        body = answer()
    except Exception as error:  # noqa: BLE001 - a refusal without its explanation is still a refusal
        complain("record", error)
        body = problem.failure("?", written)
    return Decision(action=action, id=written, status=status, problem=body)
