from __future__ import annotations

import io

from rich.console import Console

from proxy.demo.report import WIDTH, addresses, console, show
from proxy.demo.scenarios import SCENARIOS
from proxy.demo.stage import Stage
from proxy.demo.story import Ending, Held, Row

CLEAN, LEAK = SCENARIOS[0], next(row for row in SCENARIOS if row.expect == "stopped")


def shown(ending: Ending, mode: str) -> list[str]:
    out = Console(file=io.StringIO(), width=WIDTH)
    show(out, ending, mode)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue().splitlines()


def test_the_last_line_is_the_count():
    rows = (
        Row(CLEAN, "passed", "", "1 to gmo"),
        Row(LEAK, "redacted", "PAN in body [0].x", '{"a":"411111******1111"}'),
    )
    lines = shown(Ending(rows, (Held("app-logs", 2, 90, 0, 0),)), "enforce")
    assert lines[-1] == "card numbers in all sinks: 0"
    assert lines[-2] == "security codes in all sinks: 0"
    text = "\n".join(lines)
    assert "PAN in body [0].x" in text  # not taken for markup
    assert "log store (app-logs)" in text
    assert "broken" not in text


def test_a_broken_promise_is_said_aloud():
    lines = shown(Ending((), (Held("gmo", 1, 1, 2, 0),)), "enforce")
    assert "the promise is broken: card data reached a sink" in lines
    assert lines[-1] == "card numbers in all sinks: 2"


def test_a_monitor_run_that_shows_nothing_is_said_aloud():
    lines = shown(Ending((), (Held("gmo", 1, 1, 0, 0),)), "monitor")
    assert "no card number reached any sink unhindered: the demo proves nothing" in lines


def test_without_a_terminal_lines_are_wide_and_plain():
    assert console().width == WIDTH
    assert not console().is_terminal


async def test_addresses(bare: Stage):
    out = Console(file=io.StringIO(), width=WIDTH)
    addresses(out, bare)
    assert isinstance(out.file, io.StringIO)
    text = out.file.getvalue()
    assert all(url in text for url in (*bare.lanes.values(), bare.token_server))
