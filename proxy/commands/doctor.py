"""``sekisho doctor``: what is well, what is not, and what to type."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.terminal import BAD_INPUT, BROKEN, OK, ConfigOption, JsonOption, print_json, say

if TYPE_CHECKING:
    from proxy.doctor.examine import Examination

COLOURS = {"ok": "green", "warning": "yellow", "broken": "bold red", "skipped": "dim"}


class Client(StrEnum):
    """Runtimes that can be asked whether they trust an authority: those of ``proxy.doctor.trust``."""

    PYTHON = "python"
    REQUESTS = "requests"
    NODE = "node"
    JAVA = "java"
    CURL = "curl"


def doctor(
    config: ConfigOption = Path("sekisho.yaml"),
    clients: Annotated[
        list[Client] | None,
        typer.Option("--client", help="A runtime of your application: broken, not only a warning, if it lacks trust."),
    ] = None,
    card: Annotated[
        bool,
        typer.Option("--card", help="Send a published test number through each blocking lane; it rings its alarm."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a running set-up as its user would: each row says what was seen and, if it is not well, what to type.

    Run it where the sidecar runs, as its user. It changes nothing. Exits with 1 if something is broken, with 2 if the
    policy cannot be used; warnings are listed only.
    """
    from proxy.doctor.examine import Wishes, examine  # noqa: PLC0415 - loads the host

    with _progress() as told:
        found = examine(config, os.environ, Wishes(frozenset(clients or ()), card), told)
    code = BAD_INPUT if found.policy is None else BROKEN if found.count("broken") else OK
    if as_json:
        counts = {state: found.count(state) for state in COLOURS}
        head = {"ok": code == OK, "file": str(config), "counts": counts}
        print_json({**head, "rows": [dataclasses.asdict(row) for row in found.rows]})
    elif sys.stdout.isatty():
        _table(found)
    else:
        for line in _lines(found):
            say(line)
    raise typer.Exit(code)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """How far it is, for people who wait."""
    if not sys.stderr.isatty():
        yield lambda _ended, _all: None
        return
    from rich.console import Console  # noqa: PLC0415 - only for people

    with Console(stderr=True).status("looking around …") as status:
        yield lambda ended, whole: status.update(f"looking around … {ended} of {whole}")


def _lines(found: Examination) -> Iterator[str]:
    width = max(len(row.name) for row in found.rows)
    for row in found.rows:
        yield f"{row.state:8} {row.name:{width}}  {row.seen}"
        if row.fix:
            yield f"{'':8} {'':{width}}  fix: {row.fix}"
    yield _sum(found)


def _sum(found: Examination) -> str:
    if found.policy is None:
        return "the policy cannot be used: nothing else was looked at"
    told = [f"{count} {state}" for state in COLOURS if (count := found.count(state))]
    return ", ".join(told)


def _table(found: Examination) -> None:
    from rich.console import Console  # noqa: PLC0415 - only for people
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False, markup=False, emoji=False)
    table = Table(show_lines=False)
    for title in ("", "what", "what was seen, and what to type"):
        table.add_column(title, overflow="fold")
    for row in found.rows:
        seen = Text(row.seen)
        if row.fix:
            seen.append(f"\n{row.fix}", style="bold")
        table.add_row(Text(row.state, style=COLOURS[row.state]), Text(row.name), seen)
    console.print(table)
    console.print(_sum(found))
