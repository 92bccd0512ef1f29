"""The ``sekisho`` command. Each command imports what it needs: ``check`` and ``schema`` never load the proxy's host.

Exit codes: ``proxy.terminal``.
"""

from __future__ import annotations

import dataclasses
import io
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proxy.commands import ca, deploy, doctor, records
from proxy.faults import place
from proxy.keyfile import KeyFileError
from proxy.policy.errors import PolicyError, Problem, has_long_number, scrub
from proxy.terminal import (
    BAD_INPUT,
    FAULT,
    OK,
    ConfigOption,
    JsonOption,
    PolicyArgument,
    fail,
    leave,
    print_json,
    say,
    tell,
)

if TYPE_CHECKING:
    from proxy.policy import Policy

app = typer.Typer(
    name="sekisho",
    help="Sekisho stands between a shop's backend and everything it talks to, and lets no payment-card data cross.\n\n"
    "Start with [bold]sekisho demo[/]; then write a policy, [bold]sekisho check[/] it and [bold]sekisho run[/] it.",
    epilog="Exit codes: 0 all is well, 1 a promise, the audit chain or the set-up is broken, or card data was found, "
    "2 bad usage, policy or key file, 3 could not start, 70 a fault in Sekisho itself.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    # A traceback with local variables would print the bytes that were under inspection.
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(records.audit_app, name="audit")
app.add_typer(ca.ca_app, name="ca")
app.add_typer(deploy.deploy_app, name="deploy")


class DemoMode(StrEnum):
    """The two modes of a policy."""

    ENFORCE = "enforce"
    MONITOR = "monitor"


def _version(wanted: bool) -> None:
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - only here

    try:
        say(f"sekisho {version('sekisho')}")
    except PackageNotFoundError:
        say("sekisho (not installed: run from its source)")
    raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    config: ConfigOption = Path("sekisho.yaml"),
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that serve the lanes together.")] = 1,
    grace: Annotated[
        float,
        typer.Option(min=0, max=86_400, metavar="SECONDS", help="What is under way at SIGTERM may take so long."),
    ] = 10,
) -> None:
    """Run the sidecar: open every lane of the policy and let no card data cross.

    It is ready (/readyz of the admin server) once every lane listens and the inspector has found a synthetic card
    number. SIGTERM finishes what is under way and ends, a second one at once; SIGHUP reads the policy again.
    """
    # Until it listens there is nothing to finish. As a container's first process it would not hear SIGTERM otherwise.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(OK))
    try:
        from proxy.run import main as start  # noqa: PLC0415 - loads the host

        leave(lambda: start(config, workers, grace))
    finally:
        signal.signal(signal.SIGTERM, before)


@app.command()
def demo(
    mode: Annotated[DemoMode, typer.Option(help="monitor shows what happens without enforcement.")] = DemoMode.ENFORCE,
    serve: Annotated[bool, typer.Option("--serve", help="Stay up afterwards, to try it by hand.")] = False,
) -> None:
    """Show the whole story on this machine, with a shop, its log and store, a payment gateway and the sidecar.

    Sends clean, leaking and tokenized traffic, prints what each sink received, and counts the card numbers in all of
    them. Exits with 1 if there is one in mode enforce.
    """
    from proxy.demo import main as show  # noqa: PLC0415 - loads the host

    leave(lambda: show(mode.value, serve))


@app.command()
def check(
    file: PolicyArgument = Path("sekisho.yaml"),
    as_json: JsonOption = False,
) -> None:
    """Validate a policy: every error at its line, or the rules in effect and what deserves a second look.

    Reads the policy, the key file, certificates and recognizers it names. Opens no port and changes nothing.
    """
    from proxy.check import check_recognizers  # noqa: PLC0415 - the other commands start without it
    from proxy.policy import load  # noqa: PLC0415

    try:
        policy = load(file)
        check_recognizers(policy, file)
    except PolicyError as error:
        if as_json:
            print_json({"ok": False, "file": str(file), "errors": _as_json(error.problems)})
            raise typer.Exit(BAD_INPUT) from None
        raise
    _report(policy, file, as_json=as_json)


@app.command()
def explain(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file to look into; - for standard input.")],
    as_json: JsonOption = False,
    content_type: Annotated[str, typer.Option(metavar="TYPE", help="Its media type, as a message would say.")] = "",
    content_encoding: Annotated[str, typer.Option(metavar="CODING", help="Its content encoding, such as gzip.")] = "",
) -> None:
    """Tell of each number in a file why it is a card number, why it is doubtful, or why it is none.

    Exits with 1 if card data was found or bytes could not be read. Prints at most the first six and last four digits.
    """
    from proxy.explain import main as tell  # noqa: PLC0415 - loads the recognizer engine

    try:
        code = tell(file, as_json=as_json, content_type=content_type, content_encoding=content_encoding)
    except OSError as error:
        hint = " (a number to be explained goes to standard input: sekisho explain -)" if has_long_number(file) else ""
        fail(f"{scrub(file)}: cannot be read: {error.strerror or type(error).__name__}{hint}", BAD_INPUT)
    raise typer.Exit(code)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the policy file, for editors.

    Write it to a file and begin the policy with "# yaml-language-server: $schema=./that-file".
    """
    from proxy.policy import schema as make  # noqa: PLC0415 - the other commands start without it

    print_json(make())


app.command()(doctor.doctor)
app.command()(records.report)


def _report(policy: Policy, file: Path, *, as_json: bool) -> None:
    from proxy.check import summary, warnings  # noqa: PLC0415 - only here

    rows, found = summary(policy), warnings(policy, datetime.now(UTC).date())
    if as_json:
        lanes = [dataclasses.asdict(row) for row in rows]
        head = {"ok": True, "file": str(file), "sha256": policy.sha256, "policy_id": policy.policy_id}
        print_json({**head, "mode": policy.mode, "lanes": lanes, "warnings": _as_json(found)})
        return
    from rich.console import Console  # noqa: PLC0415 - only for people
    from rich.text import Text  # noqa: PLC0415

    # A line that a terminal would fold stays whole in a file or a pipe.
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=not sys.stdout.isatty())
    console.print(Text(f"{file}: good", style="green"))
    console.print(f"policy {policy.policy_id}, mode {policy.mode}, metrics on {policy.admin.listen}")
    width = max(len(row.hosts) for row in rows)
    shown = ""
    for row in rows:
        if row.lane != shown:
            console.print(Text.assemble("\n", (row.lane, "bold"), f"  {row.listen} → {row.upstream}"))
        shown = row.lane
        hosts = f"{row.hosts:{width}}  " if row.hosts else ""
        mode = f"{row.mode} {row.percent} %" if row.mode == "enforce" and row.percent < 100 else row.mode
        rules = f"{row.role:16} {mode}: {row.on_violation}; gaps: {row.on_gap}" if row.role else row.on_violation
        console.print(f"  {hosts}{rules}")
    console.print()
    for problem in found:
        place = f"{file}:{problem.mark.line}:{problem.mark.column}"
        console.print(Text(f"{place}: warning: {problem.text()}", style="yellow"))
    console.print("no warnings" if not found else f"{len(found)} warning{'s' if len(found) > 1 else ''}")


def _as_json(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    return [{"line": row.mark.line, "column": row.mark.column, "why": row.why, "hint": row.hint} for row in problems]


def main() -> None:
    """The entry point. Bad input is told in one line each; a fault in Sekisho names its place and none of its data."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name may hold what the terminal's charset has not
    try:
        typer.main.get_command(app).main(prog_name="sekisho")
    except PolicyError as error:
        for line in error.lines():
            tell(line)
        count = len(error.problems)
        tell(f"{count} error{'s' if count > 1 else ''}: the policy is not used")
        sys.exit(BAD_INPUT)
    except KeyFileError as error:
        tell(str(error))
        sys.exit(BAD_INPUT)
    except Exception as error:  # noqa: BLE001 - the last line of defence: a message may hold what was read
        tell(f"sekisho: a fault in Sekisho itself: {place(error)} (its message may hold data)")
        sys.exit(FAULT)
