"""The guard's bookkeeping: what is counted and recorded about a decision. None of it can change one.

The one exception is by design: a record that cannot be written gives ``None``, and enforce mode then refuses.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from proxy.faults import place
from proxy.message import Action, Message
from proxy.records import record
from proxy.records.audit import AuditError

if TYPE_CHECKING:
    from proxy.judge import Verdict
    from proxy.metrics.meter import Meter
    from proxy.policy import Policy
    from proxy.records.audit import AuditSink
    from proxy.scrub import Quiet

log = logging.getLogger(__name__)


class Notes(Protocol):
    """Where whoever looks after the sidecar keeps records of it: the guard."""

    @property
    def policy(self) -> Policy:
        """The policy in force."""

    def note(self, kind: str, **own: Any) -> None:
        """Keeps a record of that kind with these fields, or raises."""


class Ledger:
    """Writes to an audit sink and tells a meter."""

    def __init__(self, meter: Meter, audit: AuditSink, quiet: Quiet, clean: Quiet | None = None) -> None:
        """``clean`` tells better than ``quiet`` what a record may say, and takes longer; it is asked only about a
        message whose inspection came to an end."""
        self._meter = meter
        self._audit = audit
        self._quiet = quiet
        self._clean = clean or quiet
        self._meter_failures = 0

    def passed(self, message: Message, size: int, seconds: float) -> None:
        """Counts a message of ``size`` bytes that was plainly clean."""
        if message.probe is not None:
            return
        self._tell(self._meter.message, message, "allow", size, seconds)

    def findings(self, message: Message, verdict: Verdict, action: Action, policy: Policy) -> str | None:
        """Records a judged message if there is anything to say about it. The record's id, empty if there was nothing
        to record; ``None`` if it could not be recorded."""
        if message.probe is not None:
            message.probe(bool(verdict.violations))
            return ""
        if not (verdict.violations or verdict.reported or verdict.gaps):
            return ""
        return self._write(lambda: record.of_message(message, verdict, action, policy, self._clean))

    def failure(self, message: Message, where: str, action: Action, policy: Policy) -> str | None:
        """Records and counts a message that could not be judged."""
        if getattr(message, "probe", None) is not None:
            return ""
        written = self._write(lambda: record.of_failure(message, where, action, policy, self._quiet))
        self._tell(self._meter.internal_error, where)
        self._tell(self._count_failure, message, action, written or "")
        return written

    def count(self, message: Message, verdict: Verdict, action: Action, written: str, seconds: float) -> None:
        """Counts a judged message on which ``action`` was carried out; ``written`` is the id of its record."""
        if message.probe is not None:
            return
        done = action.value
        forwarded = done if action is Action.BLOCK else Action.REPORT.value
        for row in verdict.violations:
            self._tell(self._meter.violation, message, row.kind, row.finding, done, written)
        for row in verdict.reported:
            self._tell(self._meter.violation, message, row.kind, row.finding, Action.REPORT.value, written)
        for row in verdict.suppressed:
            self._tell(self._meter.suppressed, message, row.finding)
        unseen = 0
        for part, gap in verdict.gaps:
            # A gap of the whole message (the plane's, the flow's) has no span: all of the body was in it.
            stretch = gap.end - gap.start or _size(message, part)
            unseen += stretch
            self._tell(self._meter.gap, message, gap.reason, stretch, forwarded, written)
        if verdict.would is not None and action is not Action.BLOCK:
            self._tell(self._meter.unenforced, message, verdict.would.value)
        self._tell(self._meter.message, message, done, max(0, _size(message) - unseen), seconds)

    def policy(self, policy: Policy, *, reloaded: bool = False) -> None:
        """Counts that ``policy`` is in force."""
        self._tell(self._meter.policy, policy)
        if reloaded:
            self._tell(self._meter.policy_reload, "ok")

    def note(self, kind: str, policy: Policy, **own: Any) -> None:
        """Records what ``record.of_sidecar`` says. Raises ``AuditError``."""
        try:
            self._audit.append(record.of_sidecar(kind, policy, **own))
        except Exception:
            self._tell(self._meter.audit_error)
            raise

    def _write(self, event: Callable[[], Mapping[str, Any]]) -> str | None:
        try:
            return self._audit.append(event())
        except Exception as error:  # noqa: BLE001 - whatever it was, there is no record
            complain("audit", error)
            self._tell(self._meter.audit_error)
            return None

    def _count_failure(self, message: Message, action: Action, written: str) -> None:
        verdict = Action.BLOCK if action is Action.BLOCK else Action.REPORT
        self._meter.gap(message, "internal-error", _size(message), verdict.value, written)
        if action is not Action.BLOCK:
            self._meter.unenforced(message, Action.BLOCK.value)
        self._meter.message(message, action.value, 0, 0.0)

    def _tell(self, tell: Callable[..., None], *what: Any) -> None:
        """Tells the meter. One that fails loses a count, and never changes what is done with a message."""
        try:
            tell(*what)
        except Exception as error:  # noqa: BLE001 - see above
            self._meter_failures += 1
            if self._meter_failures in (1, 10, 100) or self._meter_failures % 1000 == 0:
                complain("meter", error)
            with contextlib.suppress(Exception):  # it may fail as a whole; that has been complained about
                self._meter.internal_error("meter")


def monitors(message: Message) -> bool:
    """Whether the message's route says, without doubt, that nothing is to be refused."""
    return getattr(getattr(message, "route", None), "mode", "enforce") == "monitor"


def complain(where: str, error: Exception) -> None:
    """Logs where Sekisho failed: the kind of error and the line of code. Its text may hold what was being read, but
    for ``AuditError``'s, which names the file and what to do."""
    told = f": {error}" if isinstance(error, AuditError) else ""
    log.error("%s failed: %s%s", where, place(error), told)


def _size(message: Message, name: str = "") -> int:
    return sum(len(part.data) - part.held for part in message.parts if not name or part.name == name)
