"""Addresses to listen on, and why one cannot be."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence

from proxy.policy.values import Address

_WHAT_TO_DO = {
    errno.EADDRINUSE: "stop what listens there, or choose another address",
    errno.EADDRNOTAVAIL: "choose an address of this machine",
    errno.EACCES: "choose a port from 1024 on, or give CAP_NET_BIND_SERVICE",
}


def why_not_bound(error: Exception | None) -> str:
    """The system's own words for why an address cannot be listened on, and what to do about it."""
    if not isinstance(error, OSError):
        return str(error) if error is not None else "unknown"
    number = _number(error)
    if number < 0:  # getaddrinfo's, all of them
        return "the host name does not resolve: choose an address of this machine"
    if number == 0:
        return str(error)
    hint = _WHAT_TO_DO.get(number)
    return f"{os.strerror(number)}: {hint}" if hint else os.strerror(number)


def has_no_such_family(error: OSError) -> bool:
    """Whether an address cannot be listened on because the machine has none of its family: it speaks no IPv6."""
    return _number(error) in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def _number(error: OSError) -> int:
    """Python 3.13 gives none for an address that is none of this machine's."""
    return errno.EADDRNOTAVAIL if not error.errno and "could not bind" in str(error) else error.errno or 0


def try_bind(host: str, port: int) -> None:
    """Raises ``OSError`` if somebody listens on ``host:port`` already, also if it is one who would share it."""
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            trial.bind(address)


def try_bind_all(addresses: Sequence[Address]) -> None:
    """As ``try_bind`` for each; all but the first only where the machine has their family."""
    for number, address in enumerate(addresses):
        try:
            try_bind(address.host, address.port)
        except OSError as error:
            if not number or not has_no_such_family(error):
                raise
