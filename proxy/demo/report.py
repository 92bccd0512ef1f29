"""The demo's words: addresses, the table, and the last line. Shows no number that is not masked."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from proxy.demo.stage import Stage
from proxy.demo.story import Ending, Row

WIDTH = 120
_STYLE: Mapping[str, str] = {"passed": "green", "reported": "yellow", "redacted": "cyan", "blocked": "red"}


def console() -> Console:
    """Standard output. Where it is no terminal, lines are as wide as the table needs, and plain."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Unicode shows marks, not a traceback
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=WIDTH)


def show(out: Console, ending: Ending, mode: str) -> None:
    """Both tables, then the line the whole demo is for."""
    out.print(_story(ending.rows))
    out.print(_sinks(ending))
    broken = ending.broken(mode)
    if broken:
        out.print(Text(f"the promise is broken: {broken}" if mode == "enforce" else broken, style="bold red"))
    out.print(f"security codes in all sinks: {ending.codes}")
    out.print(f"card numbers in all sinks: {ending.numbers}")


def addresses(out: Console, stage: Stage) -> None:
    """Where everything listens, for ``--serve``. Never folded: these lines are for copying."""
    rows = {f"lane {name}": url for name, url in stage.lanes.items()}
    rows |= {"token server (browsers only)": stage.token_server}
    rows |= {
        "inspector page": f"{stage.admin}/",
        "metrics": f"{stage.admin}/metrics",
        "ready": f"{stage.admin}/readyz",
        "audit": str(stage.audit),
    }
    out.print("listening until Ctrl-C:", style="bold")
    for what, where in rows.items():
        out.print(f"  {what:<30}{where}", markup=False, soft_wrap=True)


def _story(rows: tuple[Row, ...]) -> Table:
    table = Table(title="what was sent, and what became of it", title_justify="left")
    for heading in ("what was sent", "lane", "verdict", "where", "what arrived"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        style = _STYLE.get(row.verdict.split()[0], "bold red")
        cells = (row.scenario.title, row.scenario.lane, row.verdict, row.where, row.arrived)
        table.add_row(*(Text(cell, style=style if cell is row.verdict else "") for cell in cells))
    return table


def _sinks(ending: Ending) -> Table:
    table = Table(title="what each sink holds, searched without Sekisho's detectors", title_justify="left")
    table.add_column("sink")
    for heading in ("requests", "bytes", "card numbers", "security codes"):
        table.add_column(heading, justify="right")
    for sink in ending.held:
        counts = (sink.records, sink.size, sink.numbers, sink.codes)
        table.add_row(Text(_BEHIND.get(sink.name, sink.name)), *(Text(str(count)) for count in counts))
    return table


_BEHIND: Mapping[str, str] = {
    "app-logs": "log store (app-logs)",
    "search": "search store (search)",
    "sessions": "session store (sessions)",
    "gmo": "GMO API, called by the backend (gmo)",
    "front": "shop backend, called by browsers (front)",
}
