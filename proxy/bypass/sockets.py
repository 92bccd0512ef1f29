"""The sockets of this network namespace, as the kernel lists them in procfs: who is connected to what, by user id.

The containers of a pod share one network namespace, so a sidecar sees its application's connections, and needs no
privilege for it (proc_pid_net(5)). The libraries that read these tables leave the user id out, and find a socket's
process by looking into all of them, which a sidecar may not; the tables themselves are lines of hexadecimal.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Literal, NamedTuple

PROC_NET = Path("/proc/self/net")
MOST_BYTES = 8 * 1024 * 1024
"""Read of one table: about fifty thousand sockets."""

_ANY = ("0.0.0.0", "::")
_STATES = {b"01": "connected", b"02": "connecting", b"08": "closing", b"0A": "listening"}
"""Those that have an owner (include/net/tcp_states.h). ``closing``: the other side has closed, this one has not. Of
sockets that their process has closed the kernel does not tell whose they were: it says user 0, inode 0."""
_ROW = re.compile(
    rb"^ *[0-9]+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) (01|02|08|0A) "
    rb"[0-9A-F]+:[0-9A-F]+ [0-9A-F]+:[0-9A-F]+ [0-9A-F]+ +([0-9]{1,10}) +[0-9]+ ([0-9]{1,20})[ \n]",
    re.MULTILINE,
)


class Endpoint(NamedTuple):
    """An address in its shortest form, IPv4 inside IPv6 as IPv4, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Connection(NamedTuple):
    """One socket with a peer. On the loopback interface both ends are listed, each as a connection of its own."""

    protocol: Literal["tcp", "udp"]
    local: Endpoint
    remote: Endpoint
    state: str
    uid: int
    inode: int
    """0 for one that has come in and that no process has accepted yet: its ``uid`` says nothing."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """The tables at one moment, or nearly: the kernel does not hold still while they are read."""

    connections: tuple[Connection, ...] = ()
    """TCP that is open or being opened, and UDP that is bound to one peer (connect(2))."""
    listeners: Mapping[Endpoint, Collection[int]] = field(default_factory=dict)
    """Where TCP connections are accepted, and by which user ids. The host may be any address: ``0.0.0.0`` or ``::``."""
    whole: bool = True
    """False if a table was longer than what is read of one."""

    def incoming(self, uid: int | None = None) -> Iterator[Connection]:
        """The connections whose local end is where somebody here, or this user id, accepts connections."""
        ends = {end for end, owners in self.listeners.items() if uid is None or uid in owners}
        ports = {end.port for end in ends if end.host in _ANY}
        for row in self.connections:
            if row.protocol == "tcp" and (row.local.port in ports or row.local in ends):
                yield row


def read(place: Path = PROC_NET) -> Sockets:
    """The sockets now. What is no row of a table is passed over. Raises ``OSError`` where there are no tables."""
    connections: list[Connection] = []
    listeners: dict[Endpoint, set[int]] = {}
    whole = True
    for name in ("tcp", "tcp6", "udp", "udp6"):
        try:
            with (place / name).open("rb") as file:
                table = file.read(MOST_BYTES)
                whole = whole and len(table) < MOST_BYTES  # after its end there may be more meanwhile
        except FileNotFoundError:
            if name.endswith("6"):  # a kernel without IPv6
                continue
            raise
        for row in _rows(table, "udp" if name.startswith("udp") else "tcp"):
            if row.state == "listening":
                listeners.setdefault(row.local, set()).add(row.uid)
            elif row.protocol == "tcp" or row.state == "connected":
                connections.append(row)
    return Sockets(tuple(connections), listeners, whole)


def _rows(table: bytes, protocol: Literal["tcp", "udp"]) -> Iterator[Connection]:
    for local, local_port, remote, remote_port, state, uid, inode in _ROW.findall(table):
        ends = Endpoint(_address(local), int(local_port, 16)), Endpoint(_address(remote), int(remote_port, 16))
        yield Connection(protocol, *ends, _STATES[state], int(uid), int(inode))


@lru_cache(maxsize=4096)
def _address(digits: bytes) -> str:
    """The address in words of 32 bits, each in this machine's order of bytes."""
    raw = bytes.fromhex(digits.decode())
    if sys.byteorder == "little":
        raw = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    if len(raw) == 4:
        return str(IPv4Address(raw))
    address = IPv6Address(raw)
    return str(address.ipv4_mapped or address)
