"""One of several processes on the same lanes: serves them, and does what its supervisor asks.

It was forked from the supervisor, whose memory it shares, and which keeps its records. When the supervisor is gone, it
ends at once: nobody would record what it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import signal
import socket
import sys
from dataclasses import asdict
from typing import Any

from proxy.bypass.watch import Watch
from proxy.faults import place
from proxy.guard import Guard
from proxy.host import Host, StartError
from proxy.http.tls import TlsFileError
from proxy.metrics.sum import counted
from proxy.policy import PolicyError, load
from proxy.processes.channel import RelayedAudit, answer
from proxy.records.audit import AuditError
from proxy.run import Sidecar, new_meter, readiness_of, self_check
from proxy.terminal import BAD_INPUT, FAULT, NO_START, OK

HURRY = signal.SIGUSR1
"""The supervisor's signal to cut what is under way. Not SIGTERM, which an init system may send to all processes."""
LAST_WORD = "last-word"
"""Kind of what a worker says at its end in place of a record: all that it has counted."""
LOST = 1
"""Exit code of a worker whose supervisor is gone."""

logger = logging.getLogger("sekisho")


def work(sidecar: Sidecar, control: socket.socket, records: socket.socket, *, watches: bool = False) -> int:
    """Serves until SIGTERM. Returns the exit code. ``sidecar`` is the supervisor's, as it was when it forked.

    ``watches``: looks for what goes around Sekisho, for all workers.
    """
    try:
        asyncio.run(_Worker(sidecar, records, watches=watches).serve(control))
    except TlsFileError as error:
        return _refuse(BAD_INPUT, str(error))
    except StartError as error:
        return _refuse(NO_START, str(error))
    except Exception as error:  # noqa: BLE001 - its message may hold data
        return _refuse(FAULT, f"a fault in a worker: {place(error)}")
    return OK


class _Worker:
    def __init__(self, sidecar: Sidecar, records: socket.socket, *, watches: bool = False) -> None:
        self._path = sidecar.path
        self._grace = sidecar.grace
        self._inspector = sidecar.inspector
        self._meter = new_meter(sidecar.inspector)
        audit = self._records = RelayedAudit(records)
        self._guard = Guard(policy=sidecar.guard.policy, inspector=sidecar.inspector, meter=self._meter, audit=audit)
        self._host = Host(self._guard, self._meter, shared=True)
        self._self_check = self_check(sidecar.inspector)
        self._watch = Watch(self._guard, self._meter) if watches else None

    async def serve(self, control: socket.socket) -> None:
        """Until SIGTERM, and then as long as requests under way may take, or until ``HURRY``."""
        stop, hurry = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(HURRY, hurry.set)
        await self._host.start()
        obeying = loop.create_task(self._obey(control))
        probing = loop.create_task(self._host.probe.run())
        if self._watch is not None:
            self._watch.start()
        await stop.wait()
        if self._watch is not None:
            self._watch.stop()
        probing.cancel()
        await self._host.drain(self._grace, hurry)
        with contextlib.suppress(Exception):  # it ends all the same, and its last second is not counted
            self._records.append({"kind": LAST_WORD, "counts": counted(self._meter.registry)})
        obeying.cancel()

    async def _obey(self, control: socket.socket) -> None:
        try:
            await answer(control, self._answer)
            why = "the supervisor is gone"
        except Exception as error:  # noqa: BLE001 - who cannot obey must not serve
            why = place(error)
        logger.error("a worker stops at once: %s", why)
        os._exit(LOST)

    async def _answer(self, question: Any) -> Any:
        """``metrics``, ``state``, or a policy file's bytes (Latin-1) to put in force: why not, or an empty answer."""
        if question == "metrics":
            return counted(self._meter.registry)
        if question == "state":
            return asdict(readiness_of(self._host, self._self_check))
        return await self._reload(question["policy"].encode("latin-1"))

    async def _reload(self, data: bytes) -> str:
        try:
            await self._host.reload(load(self._path, data))
        except (PolicyError, TlsFileError, StartError, AuditError) as error:
            if hashlib.sha256(data).hexdigest() != self._guard.policy.sha256:
                return str(error)
            # The same policy, and one of its files is another than the supervisor has just read: it will ask again.
            logger.error("a worker keeps the files that it has: %s", error)
        return ""


def _refuse(code: int, why: str) -> int:
    sys.stderr.write(f"sekisho: {why}\n")
    sys.stderr.flush()
    return code
