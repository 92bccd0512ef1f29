"""Where a client wants to go: before iptables redirected it, and whether that is this machine itself, however spelled.

A lane that passes unlisted hosts must not be the way to what listens on this machine for nobody else (its own
admin server, a database, a cloud's metadata service): ``127.1``, ``0x7f000001``, ``2130706433``, ``[::ffff:127.0.0.1]``
and any name whose owner points it there are ``127.0.0.1`` to a resolver. So addresses are judged, not spellings, before
a connection is opened, and again once it is, for a name may resolve to another one by then (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address

_SO_ORIGINAL_DST = 80
"""For both families (linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h)."""
_NAT64 = int(IPv6Address("64:ff9b::")) >> 32


def original_destination(connection: socket.socket) -> tuple[str, int] | None:
    """Where an accepted connection was going before iptables redirected it (REDIRECT); ``None``: nobody has."""
    try:
        if connection.family == socket.AF_INET6:
            raw = connection.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, 28)
            port, packed = struct.unpack_from("!2xH4x16s", raw)
            scope = int.from_bytes(raw[24:28], sys.byteorder)
        else:
            raw = connection.getsockopt(socket.IPPROTO_IP, _SO_ORIGINAL_DST, 16)
            (port, packed), scope = struct.unpack_from("!2xH4s", raw), 0
    except OSError:
        return None
    address = str(ip_address(packed)) + (f"%{scope}" if scope else "")
    return None if (address, port) == connection.getsockname()[:2] else (address, port)


async def addresses_of(host: str, port: int) -> tuple[str, ...]:
    """What ``host`` resolves to now; nothing where it does not, which connecting will say as well."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(row[4][0]) for row in found))


def is_here(address: str, port: int, own_ports: Collection[int] = ()) -> bool:
    """Whether ``address`` is loopback, link-local, unspecified or multicast; or one of this machine's at which, on
    ``own_ports``, Sekisho itself listens. What is no address counts as such."""
    try:
        seen = {ip_address(address.partition("%")[0])}
    except ValueError:
        return True
    seen |= {inner for found in seen if isinstance(found, IPv6Address) for inner in _embedded(found)}
    if any(ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast for ip in seen):
        return True
    return port in own_ports and any(_is_ours(ip) for ip in seen)


def _embedded(address: IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses that a gateway or the kernel would go to: mapped, 6to4, NAT64 (RFC 4291, 3056, 6052)."""
    found = [address.ipv4_mapped, address.sixtofour]
    if int(address) >> 32 in (0, _NAT64) and int(address) > 1:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [inner for inner in found if inner is not None]


def _is_ours(address: IPv4Address | IPv6Address) -> bool:
    """Whether the kernel would talk to ``address`` from that same address: then it is this machine's. Sends nothing."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return ip_address(str(probe.getsockname()[0]).partition("%")[0]) == address
    except OSError:
        return False
