"""``sekisho audit`` and ``sekisho report``: what can be told, and proven, from the records alone."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from proxy.keyfile import read_key
from proxy.policy.errors import PolicyError
from proxy.terminal import BAD_INPUT, BROKEN, OK, ConfigOption, JsonOption, fail, print_json, say, tell

audit_app = typer.Typer(no_args_is_help=True, help="Work with the audit file.")
KeyOption = Annotated[Path | None, typer.Option("--key", metavar="FILE", help="Its key file; else the policy's.")]


@audit_app.command()
def verify(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="The audit file or its directory; without it, the policy's."),
    ] = None,
    key: KeyOption = None,
    config: ConfigOption = Path("sekisho.yaml"),
    as_json: JsonOption = False,
) -> None:
    """Check that no line of an audit file, and of the closed files beside it, was removed, altered or moved.

    Needs the key that the lines were written with. Exits with 1 and the first bad line if the chain is broken.
    """
    from proxy.records.audit_verify import verify as walk  # noqa: PLC0415 - the other commands start without it
    from proxy.records.segments import audit_file  # noqa: PLC0415

    (file,), key = _named([file] if file else [], key, config)
    try:
        file = audit_file(file)
        found = walk(file, read_key(key))
    except OSError as error:
        fail(f"{file}: cannot be read: {error.strerror or type(error).__name__}", BAD_INPUT)
    if as_json:
        print_json({"file": str(file), **dataclasses.asdict(found)})
    elif found.ok:
        torn = f", {found.repairs} torn while writing and accounted for" if found.repairs else ""
        several = f" in {found.files} files" if found.files > 1 else ""
        since = f", from {found.since} on: what is older has expired" if found.first_seq > 1 else ""
        say(f"{file}: {found.lines} lines{several}, none removed, altered or moved{since}{torn}")
    else:
        tell(f"{file.with_name(found.file or file.name)}:{found.line}: {found.why}")
    raise typer.Exit(OK if found.ok else BROKEN)


def report(
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day (UTC).")],
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="The last day (UTC).")],
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Audit files; without any, the policy's.")
    ] = None,
    key: KeyOption = None,
    config: ConfigOption = Path("sekisho.yaml"),
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The page to write; its figures go beside it, as .json.")
    ] = Path("sekisho-report.html"),
    as_json: JsonOption = False,
) -> None:
    """Write the evidence of a period from its records: a page and its JSON twin. Exits with 1 if a chain is broken."""
    from proxy.records.report import main as write  # noqa: PLC0415 - only here

    if last < first:
        fail("--to is before --from", BAD_INPUT)
    if out.suffix == ".json" and not as_json:
        fail(f"--out: {out} is where the figures go: name the page, like {out.with_suffix('.html')}", BAD_INPUT)
    files, key = _named(files or [], key, config)
    try:
        whole = write(files, read_key(key), first.date(), last.date(), None if as_json else out)
    except OSError as error:
        fail(f"{error.filename or out}: {error.strerror or type(error).__name__}", BAD_INPUT)
    raise typer.Exit(OK if whole else BROKEN)


def _named(files: list[Path], key: Path | None, config: Path) -> tuple[list[Path], Path]:
    """Audit files and key file; what is not given is the policy's."""
    if files and key is not None:
        return files, key
    from proxy.policy import load  # noqa: PLC0415 - only without both names

    try:
        audit = load(config).audit
    except PolicyError:
        if files:
            tell(f"without --key the key of {files[0]} is the policy's, and that is {config}:")
        raise
    return files or [audit.path], key or audit.fingerprint_key_file
