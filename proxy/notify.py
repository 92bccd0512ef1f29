"""What the service manager that started this process wants to know of it (systemd's ``Type=notify``)."""

from __future__ import annotations

import logging
import os
import socket

READY, STOPPING = "READY=1", "STOPPING=1"

logger = logging.getLogger("sekisho")


def notify(state: str) -> None:
    """Tells ``state`` (sd_notify(3)), if somebody asked to be told by setting ``NOTIFY_SOCKET``."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as teller:
            teller.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            teller.sendall(state.encode("ascii"))
    except OSError as error:
        logger.warning("the service manager could not be told %s: %s", state, error.strerror)
