"""Addresses to listen on, and why one cannot be."""

from __future__ import annotations

import errno
import os
import socket


def why_not_bound(error: Exception | None) -> str:
    """The system's own words for why an address cannot be listened on. Python 3.13 swallows those for an address that
    is none of this machine's, and gives no number."""
    if not isinstance(error, OSError):
        return str(error) if error is not None else "unknown"
    if error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return os.strerror(errno.EADDRNOTAVAIL) if "could not bind" in str(error) else str(error)


def try_bind(host: str, port: int) -> None:
    """Raises ``OSError`` if somebody listens on ``host:port`` already, also if it is one who would share it."""
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            trial.bind(address)
