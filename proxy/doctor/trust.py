"""Whether the runtimes installed here trust the authority that signs for what clients CONNECT to.

Each runtime is really run, with the environment as it is, against a TLS server on the loopback interface that shows a
certificate as the lane would make it. Where the authority may sign for certain hosts only, it is for one of them, and
the client is told to find that host there.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory

from OpenSSL import SSL

from proxy.authority import some_host
from proxy.doctor.rows import Row, Subject
from proxy.doctor.wire import Wire
from proxy.http.tls import Interception

HOST = "127.0.0.1"
RUN_SECONDS = 30.0
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

_NOT_FROM_HERE = """
import sys
sys.path[:] = filter(None, sys.path)
"""
"""Nobody's ``ssl.py`` in the working directory is run: doctor may be root."""
_PYTHON = (
    _NOT_FROM_HERE
    + """
import socket, ssl
try:
    plain = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10)
    ssl.create_default_context().wrap_socket(plain, server_hostname=sys.argv[2]).close()
    print("trusted")
except ssl.SSLCertVerificationError as error:
    print("untrusted", error.verify_message)
"""
)
_REQUESTS = (
    _NOT_FROM_HERE
    + """
import socket
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda _host, *rest, **more: resolve("127.0.0.1", *rest, **more)
try:
    import requests
except ImportError:
    print("absent")
    sys.exit()
try:
    requests.get(f"https://{sys.argv[2]}:{sys.argv[1]}/", timeout=10)
    print("trusted")
except requests.exceptions.SSLError:
    print("untrusted")
except OSError as error:
    print("unusable", type(error).__name__)
"""
)
_NODE = """
const tls = require("node:tls");
const [port, name] = process.argv.slice(2);
const is = (_, shown) => tls.checkServerIdentity(name, shown);
const at = {host: "127.0.0.1", port: Number(port), checkServerIdentity: is};
const open = tls.connect(at, () => {
  console.log(open.authorized ? "trusted" : "unchecked " + open.authorizationError);
  open.end();
});
open.on("error", (error) => console.log("untrusted", error.code));
"""
_JAVA = """
import javax.net.ssl.*;
public class Doctor {
    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[0]);
        try (SSLSocket open = (SSLSocket) SSLSocketFactory.getDefault().createSocket("127.0.0.1", port)) {
            open.startHandshake();
            System.out.println("trusted");
        } catch (SSLException error) {
            System.out.println("untrusted");
        }
    }
}
"""


@dataclass(frozen=True, slots=True)
class Runtime:
    """One kind of client, how it is asked, and how it learns of an authority."""

    name: str
    command: tuple[str, ...]
    """``{port}`` is the server's, ``{host}`` what its certificate is for."""
    program: str
    """On standard input, or in a file whose name is ``{program}``."""
    fix: str
    """``{ca}`` is the authority's certificate."""
    exits: Mapping[int, str] = field(default_factory=dict)
    """What exit codes mean, where nothing is printed."""
    by_hand: str = "call an https address through the lane from it"
    """How to find out where it cannot be asked."""


RUNTIMES = (
    Runtime("python", ("python3", "-", "{port}", "{host}"), _PYTHON, "export SSL_CERT_FILE={ca}"),
    Runtime("requests", ("python3", "-", "{port}", "{host}"), _REQUESTS, "export REQUESTS_CA_BUNDLE={ca}"),
    Runtime("node", ("node", "-", "{port}", "{host}"), _NODE, "export NODE_EXTRA_CA_CERTS={ca}"),
    Runtime(
        "java",
        ("java", "{program}", "{port}"),
        _JAVA,
        "keytool -importcert -noprompt -cacerts -storepass changeit -alias sekisho -file {ca}",
        by_hand="without a compiler (JDK) here, look: keytool -list -cacerts -storepass changeit -alias sekisho",
    ),
    Runtime(
        "curl",
        (
            *("curl", "--silent", "--show-error", "--http1.1", "--max-time", "10"),
            *("--connect-to", "::127.0.0.1:{port}", "https://{host}:{port}/"),
        ),
        "",
        "export CURL_CA_BUNDLE={ca}",
        {0: "trusted", 60: "untrusted", 77: "untrusted its CA file cannot be read"},
    ),
)
CLIENTS = tuple(runtime.name for runtime in RUNTIMES)


def rows(runtime: Runtime, file: Path, environment: Mapping[str, str], *, needed: bool) -> Iterator[Row]:
    """Whether ``runtime`` trusts the authority in ``file``. If it is ``needed``, it is broken when it does not."""
    at = Subject("trust", runtime.name)
    program = shutil.which(runtime.command[0], path=environment.get("PATH"))
    if program is None:
        absent = f"{runtime.command[0]} is not installed here"
        yield at.broken(absent, f"install {runtime.command[0]}, or ask where it is") if needed else at.skipped(absent)
        return
    with serving(file) as (port, host):
        word, detail = _run(runtime, program, {"port": str(port), "host": host}, environment)
    told = f": {detail}" if detail else ""
    public = f"{file.stem}.crt"
    export = f"sekisho ca export {quote(str(file))} --out {quote(public)}"
    fix = f"{export}; {runtime.fix.format(ca=f'$PWD/{quote(public)}')}"
    if word == "trusted":
        yield at.ok(f"{program} trusts {file.name}")
    elif word == "unchecked":
        yield at.warning(f"{program} verifies nothing", "unset NODE_TLS_REJECT_UNAUTHORIZED")
    elif word == "untrusted":
        seen = f"{program} does not trust {file.name}{told}"
        yield at.broken(seen, fix) if needed else at.warning(seen, fix)
    elif word == "absent":
        yield at.skipped(f"{program} has no {runtime.name}")
    else:
        seen = f"{program} could not be asked ({detail})"
        yield at.broken(seen, runtime.by_hand) if needed else at.skipped(f"{seen}; {runtime.by_hand}")


def _run(runtime: Runtime, program: str, at: Mapping[str, str], environment: Mapping[str, str]) -> tuple[str, str]:
    """What the runtime says: a word, and perhaps why."""
    direct = {"NO_PROXY": at["host"], "no_proxy": at["host"]}
    try:
        with TemporaryDirectory(prefix="sekisho-doctor-") as place:
            file = Path(place) / "Doctor.java"
            file.write_text(runtime.program)
            ended = subprocess.run(  # noqa: S603 - a runtime from the user's own PATH
                [program, *(part.format(**at, program=file) for part in runtime.command[1:])],
                input=runtime.program,
                env={**environment, **direct},
                capture_output=True,
                text=True,
                errors="replace",
                timeout=RUN_SECONDS,
                check=False,
            )
    except subprocess.TimeoutExpired:
        return "unusable", f"it did not end in {RUN_SECONDS:.0f} s"
    printed = ended.stdout.strip().splitlines()
    said = runtime.exits.get(ended.returncode, "") if runtime.exits else printed[-1] if printed else ""
    word, _, detail = said.partition(" ")
    if not word:
        lines = ended.stderr.strip().splitlines()
        return "unusable", lines[-1][:120] if lines else f"exit code {ended.returncode}"
    return word, detail


@contextmanager
def serving(file: Path) -> Iterator[tuple[int, str]]:
    """A TLS server on the loopback interface with a certificate by the authority in ``file``: its port, and the host
    that the certificate is for."""
    made = Interception(file)
    host = some_host(made.authority)
    with socket.create_server((HOST, 0)) as listener:
        threading.Thread(target=_serve, args=(listener, made, host), daemon=True).start()
        yield listener.getsockname()[1], host
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _serve(listener: socket.socket, made: Interception, host: str) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with suppress(OSError, SSL.Error), Wire(client, made.to_client(host)) as wire:
            wire.shake()
            if wire.receive(until=b"\r\n\r\n"):
                wire.send(_ANSWER)
