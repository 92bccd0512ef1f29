from __future__ import annotations

import json

import pytest

from proxy.demo.cards import VISA
from proxy.demo.scenarios import SCENARIOS, Scenario
from proxy.demo.shop import Answer
from proxy.demo.sinks import Record, Sink
from proxy.demo.stage import Stage
from proxy.demo.story import Ending, Held, Row, hold, play, play_one

CLEAN = next(row for row in SCENARIOS if row.expect == "passes")
LEAK = next(row for row in SCENARIOS if row.expect == "stopped")
PROBLEM = {
    "type": "urn:sekisho:problem:card-data",
    "status": 403,
    "instance": "urn:uuid:6d9f2c40-0000-4000-8000-000000000000",
    "findings": [{"entity": "PAN", "where": "body $.card.number"}, {"entity": "SECURITY_CODE", "where": "body $.cvc"}],
}


def ending(numbers: int = 0, codes: int = 0, *rows: Row) -> Ending:
    return Ending(rows, (Held("app-logs", 3, 100, numbers, codes), Held("search", 1, 10, 0, 0)))


def row(scenario: Scenario, verdict: str) -> Row:
    return Row(scenario, verdict, "", "")


@pytest.mark.parametrize(
    ("mode", "end", "broken"),
    [
        ("enforce", ending(0, 0, row(CLEAN, "passed"), row(LEAK, "blocked 403")), ""),
        ("enforce", ending(0, 0, row(LEAK, "redacted")), ""),
        ("enforce", ending(1), "card data reached a sink"),
        ("enforce", ending(0, 1), "card data reached a sink"),
        ("enforce", ending(0, 0, row(CLEAN, "blocked 403")), f"not as it should be: {CLEAN.title}"),
        ("enforce", ending(0, 0, row(LEAK, "passed")), f"not as it should be: {LEAK.title}"),
        ("enforce", ending(0, 0, row(LEAK, "failed 502")), f"not as it should be: {LEAK.title}"),
        ("monitor", ending(4, 1, row(CLEAN, "passed"), row(LEAK, "reported")), ""),
        ("monitor", ending(0), "no card number reached any sink unhindered: the demo proves nothing"),
        ("monitor", ending(4, 1, row(LEAK, "blocked 403")), f"monitor mode altered or refused something: {LEAK.title}"),
    ],
)
def test_when_the_promise_is_broken(mode: str, end: Ending, broken: str):
    assert end.broken(mode) == broken


async def test_without_a_sidecar_cards_are_everywhere(bare: Stage):
    told: list[str] = []
    end = await play(bare, told.append)
    assert [one.verdict for one in end.rows if one.scenario.expect == "passes"] == ["passed"] * 5
    assert end.numbers >= 8
    assert end.codes >= 3
    assert {sink.name for sink in end.held if sink.numbers} == {"app-logs", "search", "sessions", "gmo", "front"}
    assert end.broken("enforce") == "card data reached a sink"
    assert len(told) == len(SCENARIOS)
    assert VISA.number not in repr(end)


def scripted(answer: Answer, lines: list[dict[str, object]], stage: Stage, *, expect: str = "stopped") -> Scenario:
    async def act(_stage: Stage) -> Answer:
        with stage.audit.open("a") as audit:
            audit.writelines(json.dumps(line) + "\n" for line in lines)
        return answer

    return Scenario("scripted", "search", expect, act)  # type: ignore[arg-type]


FOUND = {"entity": "PAN", "part": "body", "path": "$.card", "confidence": "high"}
OK = Answer(204, b"")
STEPS = {
    "a refusal": (Answer(403, json.dumps(PROBLEM).encode(), "application/problem+json"), [], "blocked 403", "PAN in body $.card.number (+1)"),
    "a sidecar that failed": (
        Answer(503, json.dumps(PROBLEM | {"findings": []}).encode(), "application/problem+json"), [], "failed 503", ""
    ),
    "redacted": (OK, [{"verdict": "redact", "findings": [FOUND]}], "redacted", "PAN in body $.card"),
    "reported": (OK, [{"verdict": "report", "findings": [FOUND]}], "reported", "PAN in body $.card"),
    "doubtful only": (OK, [{"verdict": "report", "findings": [FOUND | {"confidence": "low"}]}], "passed", ""),
    "a gap": (OK, [{"verdict": "redact", "findings": [], "gaps": [{"reason": "depth"}]}], "redacted", "depth"),
    "nothing audited": (OK, [], "passed", ""),
    "an error of the sink's own": (Answer(500, b""), [], "failed 500", ""),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "lines", "verdict", "where"), STEPS.values(), ids=STEPS.keys())
async def test_what_the_sender_saw(bare: Stage, answer, lines, verdict, where):
    bare.audit.write_text(json.dumps({"verdict": "redact", "findings": [FOUND]}) + "\n")  # from an earlier step
    seen = await play_one(bare, scripted(answer, lines, bare))
    assert (seen.verdict, seen.where) == (verdict, where)


async def test_a_step_that_breaks_is_a_failed_row(bare: Stage):
    async def act(_stage: Stage) -> Answer:
        raise ValueError(f"unexpected {VISA.number}")

    seen = await play_one(bare, Scenario("broken", "gmo", "passes", act))
    assert seen.verdict == "failed"
    assert "ValueError" in seen.where
    assert VISA.number not in seen.where


async def test_what_arrived_is_the_request_with_the_card_masked(bare: Stage):
    seen = await play_one(bare, LEAK)
    assert "411111******1111" in seen.arrived
    assert VISA.number not in seen.arrived


def test_a_sink_is_searched_in_head_and_body():
    sink = Sink(
        "logs", [Record(f"GET /?c={VISA.number}".encode(), b""), Record(b"", b'{"cvv":"837"}'), Record(b"", b"ok")]
    )
    assert hold(sink) == Held("logs", 3, sum(len(record.data) for record in sink.records), 1, 1)
