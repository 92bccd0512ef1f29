"""``sekisho deploy``: what a cluster needs around Sekisho, written from the policy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from proxy.terminal import BAD_INPUT, ConfigOption, fail, say, tell

deploy_app = typer.Typer(no_args_is_help=True, help="Write what belongs around Sekisho, from the policy.")

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_KEY = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")


@deploy_app.callback()
def _deploy() -> None:
    """Keeps ``networkpolicy`` a command of its own while it is the only one."""


@deploy_app.command()
def networkpolicy(
    pod_selector: Annotated[
        str, typer.Option(metavar="KEY=VALUE,…", help="The labels of the pods that Sekisho stands in.")
    ],
    config: ConfigOption = Path("sekisho.yaml"),
    name: Annotated[str, typer.Option(metavar="NAME", help="Its name in the cluster.")] = "sekisho",
    namespace: Annotated[
        str, typer.Option(metavar="NAME", help="The pods' namespace; without it, that of whoever applies it.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="The file to write; else standard output.")
    ] = None,
) -> None:
    """Write the Kubernetes NetworkPolicy that leaves a pod no way out but to what the lanes lead to.

    Names outside of the cluster are resolved. What has to be completed or compared is told on standard error with its
    line; until then that way is closed.
    """
    from proxy.bypass.watch import resolve  # noqa: PLC0415 - the other commands start without these
    from proxy.networkpolicy import write  # noqa: PLC0415
    from proxy.policy import load  # noqa: PLC0415

    for option, value in (("--name", name), ("--namespace", namespace)):
        if not _NAME.fullmatch(value) and (value or option == "--name"):
            fail(
                f"{option}: not a name that Kubernetes takes: small letters, digits and hyphens, 63 at most", BAD_INPUT
            )
    selector = dict(pair.partition("=")[::2] for pair in pod_selector.split(","))
    if not all("=" in pair for pair in pod_selector.split(",")) or not all(
        _KEY.fullmatch(key) and _VALUE.fullmatch(value) for key, value in selector.items()
    ):
        fail("--pod-selector: not labels: write them like app=shop,tier=backend", BAD_INPUT)
    written = write(load(config), name=name, namespace=namespace, selector=selector, resolve=resolve)
    if out is None:
        say(written.text.removesuffix("\n"))
    else:
        try:
            out.write_text(written.text)
        except OSError as error:
            fail(f"{out}: cannot be written: {error.strerror or type(error).__name__}", BAD_INPUT)
    for line, what in written.todo.items():
        tell(f"{out or 'line '}{':' if out else ''}{line}: {what}")
