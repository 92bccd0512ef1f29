"""What a command prints and how it ends: answers on standard output, complaints on standard error, an exit code.

Exit codes: 0 all is well; 1 a promise is broken: a card number in a sink of the demo, an audit chain, a set-up that
``doctor`` finds broken, card data or unreadable bytes in what ``explain`` reads; 2 bad usage or input (policy, key
file); 3 could not start (a port is taken); 70 a fault in Sekisho itself; 130 ended by Ctrl-C.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

OK, BROKEN, BAD_INPUT, NO_START, FAULT, INTERRUPTED = 0, 1, 2, 3, 70, 130

POLICY_HELP = "The policy file."
ConfigOption = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", readable=False, help=POLICY_HELP)]
PolicyArgument = Annotated[Path, typer.Argument(metavar="FILE", readable=False, help=POLICY_HELP)]
"""Not looked at beforehand: that a policy cannot be read is said in the same words as all that is wrong with one."""
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]


def print_json(value: object) -> None:
    say(json.dumps(value, indent=2, ensure_ascii=False))


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def fail(text: str, code: int) -> NoReturn:
    tell(text)
    raise typer.Exit(code)


def leave(command: Callable[[], int]) -> NoReturn:
    """Runs a command that has its own exit codes, and ends with that."""
    try:
        code = command()
    except KeyboardInterrupt:
        code = INTERRUPTED
    raise typer.Exit(code)
