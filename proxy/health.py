"""``python -m proxy.health``: what a container's health check runs. Loads nothing of Sekisho, so it may run often.

Asks /readyz of the admin server at ``SEKISHO_ADMIN`` (``host:port``, by default 127.0.0.1:9464) and prints what it
says. Exit codes: 0 traffic may be sent here; 1 not, or nobody answers.
"""

from __future__ import annotations

import os
import socket
import sys

DEFAULT = "127.0.0.1:9464"
SECONDS = 3.0
"""How long the answer may take."""
READY, NOT_READY = 0, 1


def ask(address: str) -> tuple[int, str]:
    """The exit code, and what was said. ``address``: ``host:port``, an IPv6 host in brackets."""
    host, _, port = address.rpartition(":")
    request = f"GET /readyz HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS) as connection:
            connection.sendall(request.encode("ascii"))
            with connection.makefile("rb") as answer:
                head, _, body = answer.read().partition(b"\r\n\r\n")
    except (ValueError, OverflowError):
        return NOT_READY, f"{address}: not host:port (set SEKISHO_ADMIN to admin.listen of the policy)"
    except OSError as error:
        return NOT_READY, f"{address}: {type(error).__name__}"
    status = head.split(b" ", 2)[1:2]
    return READY if status == [b"200"] else NOT_READY, body.decode("utf-8", "replace")


def main() -> int:
    """Asks, prints, and gives the exit code."""
    code, said = ask(os.environ.get("SEKISHO_ADMIN", DEFAULT))
    sys.stdout.write(f"{said}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
