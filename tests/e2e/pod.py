"""A pod and the world outside of it, as two network namespaces: an application, the sidecar beside it as a user of its
own without any capability, the rules that redirect the application, and servers that keep what reaches them."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.authority import authority, server_context
from tests.e2e.origin import whole
from tests.netns import Namespace, connect, namespace, need
from tests.sidecar import ROOT, Sidecar, launch, policy_document, prepared

SCRIPT = ROOT / "deploy" / "iptables" / "sekisho-iptables.sh"
SIDECAR, APP = 1500, 1001
LANE_PORT = 15001
POD4, POD6 = "10.77.0.1", "fd77::1"
LOGS4, LOGS6, EVIL4, EVIL6 = "10.77.0.2", "fd77::2", "10.77.0.66", "fd77::66"
HOSTS = {"logs.example": LOGS4, "six.example": LOGS6, "evil.example": EVIL4}
DESTINATIONS = [{"hosts": ["logs.example", "six.example", "pinned.example"], "role": "logging"}]


@dataclass
class Seen:
    """A connection that has reached the world."""

    at: tuple[str, int]
    peer: str
    data: bytes = b""


@dataclass
class World:
    """Servers on addresses outside of the pod."""

    here: Namespace
    base: Path
    seen: list[Seen] = field(default_factory=list)
    _sockets: list[socket.socket] = field(default_factory=list)

    def serve(self, address: str, port: int, speak: Callable[[socket.socket, Seen], None]) -> None:
        """Listens there, and has each connection spoken to in a thread of its own."""

        def listen() -> socket.socket:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            return socket.create_server((address, port), family=family)

        listener = self.here.enter(listen)
        self._sockets.append(listener)

        def accept() -> None:
            while True:
                try:
                    connection, peer = listener.accept()
                except OSError:
                    return
                seen = Seen((address, port), peer[0])
                self.seen.append(seen)
                threading.Thread(target=self._one, args=(connection, seen, speak), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()

    def _one(self, connection: socket.socket, seen: Seen, speak: Callable[[socket.socket, Seen], None]) -> None:
        connection.settimeout(20)
        with suppress(OSError), connection:
            speak(connection, seen)

    def tls(self, name: str, issuer: str = "test authority") -> Callable[[socket.socket, Seen], None]:
        """HTTP inside of TLS with a certificate for ``name``."""
        context = server_context(self.base, name, issuer)

        def speak(connection: socket.socket, seen: Seen) -> None:
            with context.wrap_socket(connection, server_side=True) as inner:
                http(inner, seen)

        return speak

    def reached(self) -> bytes:
        """All that has been sent there."""
        return b"".join(seen.data for seen in self.seen)

    def close(self) -> None:
        for listener in self._sockets:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()


def http(connection: socket.socket | ssl.SSLSocket, seen: Seen) -> None:
    """Answers requests with ``ok``."""
    buffer = b""
    while data := connection.recv(65536):
        seen.data += data
        buffer += data
        while (end := whole(buffer)) is not None:
            buffer = buffer[end:]
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


def greets(connection: socket.socket, seen: Seen) -> None:
    """A server that speaks first, and then says again what it is told."""
    connection.sendall(b"220 ready\r\n")
    while data := connection.recv(65536):
        seen.data += data
        connection.sendall(data)


@dataclass
class Pod:
    """What the tests use."""

    here: Namespace
    world: World
    base: Path
    """Of the sidecar."""
    authority: Path
    """The certificate of the authority that the application trusts."""
    sidecar: Sidecar

    def admin(self, path: str) -> str:
        """A page of the admin server."""
        url = f"http://{self.sidecar.policy['admin']['listen']}{path}"

        def get() -> str:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return str(answer.read().decode())

        return self.here.enter(get)

    def counted(self, series: str, **labels: str) -> float:
        """The value of a series, all that has these labels added up."""
        total = 0.0
        for line in self.admin("/metrics").splitlines():
            name, _, rest = line.partition("{")
            if name == series and all(f'{label}="{value}"' in rest for label, value in labels.items()):
                total += float(rest.rpartition(" ")[2])
        return total

    def gaps(self) -> list[tuple[str, str, str]]:
        """Reason, verdict and destination of each gap in the audit file."""
        return [
            (gap["reason"], line["verdict"], line["destination"])
            for line in self.sidecar.audit_lines()
            for gap in line["gaps"]
        ]

    def curl(self, *arguments: str, uid: int = APP) -> str:
        """What curl prints as the application: the body, and then the status."""
        command = ("curl", "-sS", "--max-time", "15", "-w", "\n%{http_code}", *arguments)
        return self.here.run(*command, uid=uid, check=False)

    def say(self, address: str, port: int, data: bytes, *, tls: ssl.SSLContext | None = None, name: str = "") -> bytes:
        """What a client of the pod is answered up to the end, over TLS with a name if one is given."""

        def ask() -> bytes:
            connection: socket.socket = socket.create_connection((address, port), timeout=60)
            if tls is not None:
                connection = tls.wrap_socket(connection, server_hostname=name)
            with connection:
                if data:
                    connection.sendall(data)
                got = b""
                try:
                    while more := connection.recv(65536):
                        got += more
                except ConnectionResetError:
                    pass
                return got

        return self.here.enter(ask)


def request(host: str, body: bytes = b"", path: str = "/") -> bytes:
    """A request that ends its connection."""
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


@contextmanager
def pod(
    *, arguments: tuple[str, ...] = (), rules: tuple[str, ...] = (), lane: dict[str, Any] | None = None, **top: Any
) -> Iterator[Pod]:
    """A running one. ``arguments`` are the sidecar's, ``rules`` the script's, ``lane`` the transparent lane's options;
    an option that is ``None`` is left out."""
    need("ip", "iptables", "ip6tables", "setpriv")
    base = Path(tempfile.mkdtemp(prefix="sekisho-pod-"))
    try:
        public, private = authority(base, "deployment")
        trusted, _ = authority(base)
        row: dict[str, Any] = {
            "name": "out",
            "listen": f"127.0.0.1:{LANE_PORT}",
            "upstream": "transparent",
            "destinations": DESTINATIONS,
            "tls": {"ca_file": trusted.name, "intercept_ca_file": private.name},
            **(lane or {}),
        }
        row = {name: value for name, value in row.items() if value is not None}
        document = policy_document(base, [row], **top)
        with namespace(HOSTS) as here, namespace() as outside:
            connect(here, outside, [f"{POD4}/24", f"{POD6}/64"], [])
            for address in (LOGS4, EVIL4):
                outside.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
            for address in (LOGS6, EVIL6):
                outside.run("ip", "address", "add", f"{address}/64", "dev", "eth0", "nodad")
            here.run(str(SCRIPT), "--uid", str(SIDECAR), "--port", str(LANE_PORT), *rules)
            for place in (base, *base.rglob("*")):
                os.chown(place, SIDECAR, SIDECAR)
            public.chmod(0o644)
            base.chmod(0o755)
            world = World(outside, base)
            with running(here, world, base, public, document, arguments) as made:
                yield made
    finally:
        shutil.rmtree(base)


@contextmanager
def running(
    here: Namespace, world: World, base: Path, public: Path, document: dict[str, Any], arguments: tuple[str, ...]
) -> Iterator[Pod]:
    """The sidecar, once it is ready."""
    sidecar = launch(
        base,
        document,
        ready=False,
        program=prepared(),
        arguments=arguments,
        inside=lambda command: here.command(*command, uid=SIDECAR),
    )
    made = Pod(here, world, base, public, sidecar)
    try:
        here.enter(sidecar.wait_ready)
        yield made
    finally:
        code = sidecar.stop()
        world.close()
    assert code == 0, sidecar.output().decode()
