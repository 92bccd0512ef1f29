"""``sekisho ca``: the deployment's own authority for interception, made, rotated and handed to clients by hand.

Nothing else makes one: an authority that appears by itself is one that nobody has decided to trust.
"""

from __future__ import annotations

import shlex
import stat
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proxy.terminal import BAD_INPUT, JsonOption, fail, print_json, say, tell

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from proxy.authority import Authority

ca_app = typer.Typer(no_args_is_help=True, help="Work with the authority for interception: tls.intercept_ca_file.")
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The authority's file.")]
DaysOption = Annotated[int, typer.Option(min=1, max=3650, help="How long its certificate is good.")]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="It may sign for this name and those below it, or this network, only."),
]
DAYS = 730

PEM_STORES = {
    "Python (requests)": "REQUESTS_CA_BUNDLE",
    "Python (ssl, httpx), Ruby, Go": "SSL_CERT_FILE",
    "curl": "CURL_CA_BUNDLE",
    "Node.js": "NODE_EXTRA_CA_CERTS",
}
"""Which variable tells a runtime what to trust. Node's adds to what it trusts, the others replace it."""


class Step(StrEnum):
    """The steps of a rotation, in this order."""

    PREPARE = "prepare"
    SWITCH = "switch"
    FINISH = "finish"


@ca_app.command()
def init(
    file: FileArgument,
    name: Annotated[str, typer.Option(help="Who it says it is, to whoever looks at a certificate.")] = "Sekisho",
    days: DaysOption = DAYS,
    only: OnlyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an authority: a key and its certificate in one new file that only you can read.

    Never overwrites. --only may be given again and again: a stolen key is then good for those names only.
    """
    from proxy.authority import limits_to, make, write  # noqa: PLC0415 - the other commands start without it

    _look_at(file.parent)
    if not name.isprintable() or not 1 <= len(name) <= 50:
        fail("--name has 1 to 50 printable characters", BAD_INPUT)
    try:
        made = make(name, days, limits_to(only or ()))
        write(file, made, new=True)
    except FileExistsError:
        fail(f"{file}: is there already, and never overwritten (see: sekisho ca rotate -h)", BAD_INPUT)
    except ValueError as error:
        fail(f"--only: {error}", BAD_INPUT)
    except OSError as error:
        fail(f"{file}: cannot be written: {error.strerror or type(error).__name__}", BAD_INPUT)
    _tell_state(file, made, as_json)
    if not as_json:
        say(f"next: set tls.intercept_ca_file on the forward lane, and: sekisho ca export {_word(file)} --out ca.crt")


@ca_app.command()
def rotate(
    file: FileArgument, step: Step, days: DaysOption = DAYS, only: OnlyOption = None, as_json: JsonOption = False
) -> None:
    """Have a new key follow the present one, in three steps, with every client trusting whichever signs.

    prepare adds a new key and certificate, for the same names unless --only says which, and the old ones go on signing:
    now export, and roll that out to all clients. switch lets the new key sign (once more, and the old one does again).
    finish removes the other one.
    """
    from proxy import authority as ours  # noqa: PLC0415 - the other commands start without it

    _look_at(file.parent)
    now = _read(file)
    under_way = len(now.pairs) > 1
    if under_way == (step is Step.PREPARE):
        hint = "a rotation is under way: switch or finish it" if under_way else "prepare comes first"
        fail(f"{file}: {hint}", BAD_INPUT)
    if only and step is not Step.PREPARE:
        fail("--only is for the step prepare", BAD_INPUT)
    try:
        if step is Step.PREPARE:
            after = ours.prepared(now, ours.successor(now, days, ours.limits_to(only or ())))
        else:
            after = ours.switched(now) if step is Step.SWITCH else ours.finished(now)
        ours.write(file, after, new=False)
    except ValueError as error:
        fail(f"{file}: {error}", BAD_INPUT)
    except OSError as error:
        fail(f"{file}: cannot be written: {error.strerror or type(error).__name__}", BAD_INPUT)
    _tell_state(file, after, as_json)
    if not as_json:
        say(f"next: {_NEXT[step].format(file=_word(file))}")


_NEXT = {
    Step.PREPARE: "sekisho ca export {file} --out ca.crt, roll that out to every client, then: "
    "sekisho ca rotate {file} switch",
    Step.SWITCH: "bring the file to every sidecar; when all clients are well: sekisho ca rotate {file} finish",
    Step.FINISH: "bring the file to every sidecar, and roll out: sekisho ca export {file} --out ca.crt",
}


@ca_app.command()
def export(
    file: FileArgument,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to write; else standard output.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the certificates that clients are to trust, and how each runtime is told to. Never a key.

    While a rotation is under way these are both, the old and the new one; what has ended is left out.
    """
    from proxy.authority import pem, put  # noqa: PLC0415 - the other commands start without it

    authority = _read(file)
    text = pem(authority.trusted)
    if not text:
        fail(f"{file}: every certificate in it has ended: sekisho ca rotate {_word(file)} prepare", BAD_INPUT)
    if out is not None:
        try:
            if out.exists() and b"PRIVATE KEY" in out.read_bytes():
                fail(f"{out}: holds a private key, and is not overwritten", BAD_INPUT)
            put(out, text, new=False, mode=0o644)
        except OSError as error:
            fail(f"{out}: cannot be written: {error.strerror or type(error).__name__}", BAD_INPUT)
    if as_json:
        print_json({**_state(file, authority), "pem": text.decode()})
        return
    if out is None:
        say(text.decode().rstrip("\n"))
    say_it = say if out is not None else tell
    for line in (*_lines(authority), "", *how_to_trust(out or Path("ca.crt"))):
        say_it(line)


def how_to_trust(file: Path) -> list[str]:
    """What to set for each runtime that is to trust the certificates in ``file``, as lines of a shell."""
    shown = _word(file.absolute())
    lines = [f"export {variable}={shown}  # {runtime}" for runtime, variable in PEM_STORES.items()]
    store = _word(file.absolute().with_name("truststore.p12"))
    java = f"-keystore {store} -storetype PKCS12 -storepass changeit"
    take = f'keytool -importcert -noprompt -alias "$one" -file "$one" {java}'
    return [
        *lines,
        "# Java, whose keytool takes one certificate at a time:",
        f"csplit -sz -f ca- {shown} '/BEGIN/' '{{*}}' && for one in ca-*; do {take}; done",
        f"export JAVA_TOOL_OPTIONS='-Djavax.net.ssl.trustStore={store} -Djavax.net.ssl.trustStorePassword=changeit'",
        "# All but Node's replace what is trusted. For clients that go elsewhere, too, add the public ones:",
        f"#   cat /etc/ssl/certs/ca-certificates.crt >> {shown}",
    ]


def _look_at(directory: Path) -> None:
    """Ends the command where others could put another file in the place of the authority's."""
    try:
        mode = directory.stat().st_mode
    except OSError as error:
        hint = f"make it: install -d -m 700 {_word(directory)}"
        fail(f"{directory}: {error.strerror or type(error).__name__} ({hint})", BAD_INPUT)
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        fail(f"{directory}: anybody can put files there (run: chmod o-w {_word(directory)})", BAD_INPUT)


def _read(file: Path) -> Authority:
    from proxy.authority import read_authority  # noqa: PLC0415 - the other commands start without it
    from proxy.pem import TlsFileError  # noqa: PLC0415

    try:
        return read_authority(file)
    except TlsFileError as error:
        fail(str(error), BAD_INPUT)


def _tell_state(file: Path, authority: Authority, as_json: bool) -> None:
    if as_json:
        print_json(_state(file, authority))
        return
    say(f"{file}:")
    for line in _lines(authority):
        say(f"  {line}")


def _lines(authority: Authority) -> list[str]:
    return [
        f"{row['subject']} until {row['until']}, {row['role']}, SHA-256 {row['sha256']}" for row in _rows(authority)
    ]


def _state(file: Path, authority: Authority) -> dict[str, Any]:
    return {"file": str(file), "certificates": _rows(authority)}


def _rows(authority: Authority) -> list[dict[str, str]]:
    keys = [pair.chain[0] for pair in authority.pairs]
    roles = ["signs", *["stands by" for _ in keys[1:]], *["above" for _ in authority.others]]
    return [_row(one, role) for one, role in zip((*keys, *authority.others), roles, strict=True)]


def _row(certificate: Certificate, role: str) -> dict[str, str]:
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - only here

    until = certificate.not_valid_after_utc
    return {
        "subject": certificate.subject.rfc4514_string(),
        "role": role if until > datetime.now(UTC) else "has ended",
        "until": until.isoformat(timespec="seconds"),
        "sha256": certificate.fingerprint(SHA256()).hex(":").upper(),
    }


def _word(path: Path) -> str:
    return shlex.quote(str(path))
