"""Plays the scenarios, watches what each sink received, and says whether the promise was kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from proxy.demo.scenarios import SCENARIOS, Scenario, ScenarioError
from proxy.demo.search import card_numbers, security_codes, showable
from proxy.demo.shop import Answer
from proxy.demo.sinks import Record, Sink
from proxy.demo.stage import Stage

REFUSED = (403, 422)
"""Refused for what was in it, or because it could not be inspected. Any other refusal is a failure of the demo."""


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one scenario. Holds no card number."""

    scenario: Scenario
    verdict: str
    """``passed``, ``blocked 403``, ``redacted``, ``reported``, or ``failed``."""
    where: str
    arrived: str
    """What the sinks received, masked."""

    @property
    def as_expected(self) -> bool:
        """Whether enforcement did what it is for: tokens and masks pass, cards do not."""
        stopped = self.verdict == "redacted" or self.verdict.startswith("blocked")
        return stopped if self.scenario.expect == "stopped" else self.verdict == "passed"


@dataclass(frozen=True, slots=True)
class Held:
    """What one sink holds in the end, by an independent search."""

    name: str
    records: int
    size: int
    """Bytes."""
    numbers: int
    """Card numbers, counted once for each record they stand in."""
    codes: int


@dataclass(frozen=True, slots=True)
class Ending:
    """The whole story's result."""

    rows: tuple[Row, ...]
    held: tuple[Held, ...]

    @property
    def numbers(self) -> int:
        """Card numbers in all sinks."""
        return sum(sink.numbers for sink in self.held)

    @property
    def codes(self) -> int:
        """Security codes in all sinks."""
        return sum(sink.codes for sink in self.held)

    def broken(self, mode: str) -> str:
        """Why the promise was not kept, or that this run could not have shown it; empty when all is well."""
        if mode == "monitor":
            refused = [row.scenario.title for row in self.rows if row.verdict not in ("passed", "reported")]
            if refused:
                return f"monitor mode altered or refused something: {refused[0]}"
            return "" if self.numbers else "no card number reached any sink unhindered: the demo proves nothing"
        if self.numbers or self.codes:
            return "card data reached a sink"
        wrong = [row.scenario.title for row in self.rows if not row.as_expected]
        return f"not as it should be: {wrong[0]}" if wrong else ""


async def play(stage: Stage, tell: Callable[[str], None]) -> Ending:
    """The ending of the story; ``tell`` hears one line for each step."""
    rows: list[Row] = []
    for number, scenario in enumerate(SCENARIOS, start=1):
        row = await play_one(stage, scenario)
        tell(f"[{number:2}/{len(SCENARIOS)}] {scenario.title} … {row.verdict}")
        rows.append(row)
    return Ending(tuple(rows), tuple(hold(sink) for sink in stage.sinks.values()))


async def play_one(stage: Stage, scenario: Scenario) -> Row:
    """One scenario, and what became of it."""
    audited = len(stage.audit_lines())
    before = {name: len(sink.records) for name, sink in stage.sinks.items()}
    try:
        answer = await scenario.play(stage)
    except (ScenarioError, aiohttp.ClientError, TimeoutError, ValueError, LookupError) as error:
        return Row(scenario, "failed", showable(f"{type(error).__name__}: {error}".encode()), "")
    audit = stage.audit_lines()[audited:]
    verdict, where = _seen(answer, audit)
    new = {name: sink.records[before[name] :] for name, sink in stage.sinks.items()}
    return Row(scenario, verdict, where, _arrived(scenario, verdict, new))


def hold(sink: Sink) -> Held:
    """What ``sink`` holds, read from the bytes it stored."""
    return Held(
        name=sink.name,
        records=len(sink.records),
        size=sum(len(record.data) for record in sink.records),
        numbers=sum(len(card_numbers(record.data)) for record in sink.records),
        codes=sum(len(security_codes(record.data)) for record in sink.records),
    )


def _seen(answer: Answer, audit: list[dict[str, Any]]) -> tuple[str, str]:
    """The verdict as the sender saw it, and where the card was: from the refusal, or else from the audit."""
    refusal = answer.refusal
    if refusal is not None:
        verdict = "blocked" if answer.status in REFUSED else "failed"
        return f"{verdict} {answer.status}", _places(refusal.get("findings", ()), refusal.get("gaps", ()))
    for line in audit:
        if line.get("verdict") == "redact":
            return "redacted", _places(line.get("findings", ()), line.get("gaps", ()))
    for line in audit:
        if line.get("verdict") == "report" and any(row.get("confidence") != "low" for row in line.get("findings", ())):
            return "reported", _places(line.get("findings", ()), line.get("gaps", ()))
    return ("passed", "") if answer.status < 400 else (f"failed {answer.status}", "")


def _places(findings: Any, gaps: Any) -> str:
    named = [f"{row.get('entity', '')} in {_place(row)}" for row in findings]
    named += [str(gap.get("reason", gap)) if isinstance(gap, Mapping) else str(gap) for gap in gaps]
    return named[0] + (f" (+{len(named) - 1})" if len(named) > 1 else "") if named else ""


def _place(finding: Mapping[str, Any]) -> str:
    if "where" in finding:
        return str(finding["where"])
    return " ".join(str(finding[name]) for name in ("part", "path") if finding.get(name))


def _arrived(scenario: Scenario, verdict: str, new: Mapping[str, list[Record]]) -> str:
    """What came through, masked: for an attempt to pass a card, the request that carries it."""
    if scenario.expect == "stopped":
        carrying = [record for records in new.values() for record in records if card_numbers(record.data)]
        if not carrying and verdict == "redacted":
            carrying = new[scenario.lane]
        return showable(carrying[-1].body) if carrying else "nothing"
    return ", ".join(f"{len(records)} to {name}" for name, records in new.items() if records)
