"""A worker process, as its supervisor knows it: forked, asked, signalled, and seen to its end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from dataclasses import dataclass, field
from typing import Any, NoReturn

from proxy.admin import PASSED, Readiness
from proxy.metrics.sum import Counts
from proxy.processes.channel import Asker, Gone
from proxy.processes.worker_process import work
from proxy.run import Sidecar
from proxy.terminal import FAULT

END_SECONDS = 1.0
"""How long a worker that has said its last word may take to end."""


@dataclass(slots=True, eq=False)
class Member:
    """One worker."""

    pid: int
    control: socket.socket
    """It answers on the other end of this, and asks to keep records on that of ``records``."""
    records: socket.socket
    asker: Asker | None = None
    counts: Counts = field(default_factory=dict)
    """What it has said last."""
    attending: asyncio.Task[None] | None = None
    watches: bool = False
    """It is the one of them that looks for what goes around Sekisho."""
    is_up: bool = False
    is_gone: bool = False
    """Its number may be another process's by now."""

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal, if there is still somebody to receive it."""
        if not self.is_gone:
            os.kill(self.pid, number)

    async def ask(self, question: Any, seconds: float) -> Any:
        """See ``worker_process``. Raises ``Gone`` or ``TimeoutError``."""
        if self.asker is None:
            raise Gone
        return await self.asker.ask(question, seconds)

    async def state(self, seconds: float) -> Readiness:
        """What it says of itself; not ready, if it does not say within ``seconds``."""
        try:
            return Readiness(**await self.ask("state", seconds))
        except (Gone, TimeoutError):
            return Readiness(self_check=PASSED)

    async def ended(self) -> int:
        """Its exit code, negative for a signal. Killed if it does not end by itself now."""
        ends = asyncio.get_running_loop().time() + END_SECONDS
        while not (found := os.waitpid(self.pid, os.WNOHANG))[0]:  # noqa: ASYNC222 - does not wait
            if asyncio.get_running_loop().time() > ends:
                self.signal(signal.SIGKILL)
            await asyncio.sleep(0.01)
        self.is_gone = True
        if self.asker is not None:
            self.asker.close()
        return os.waitstatus_to_exitcode(found[1])


def fork(sidecar: Sidecar, *, watches: bool = False) -> Member:
    """A new worker with what ``sidecar`` has in memory. There must be no other thread, and no running event loop."""
    control, their_control = socket.socketpair()
    records, their_records = socket.socketpair()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = os.fork()
    if pid == 0:
        _become_worker(sidecar, their_control, their_records, watches)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    their_control.close()
    their_records.close()
    return Member(pid, control, records, watches=watches)


def _become_worker(sidecar: Sidecar, control: socket.socket, records: socket.socket, watches: bool) -> NoReturn:
    """In the child. What it has inherited is closed by number: to close the supervisor's loop properly would take its
    sockets from the poll that both share. For the same reason nothing of it may be freed, and this never returns."""
    code = FAULT
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to all, and the supervisor has the say
            signal.signal(number, signal.SIG_IGN)
        kept = sorted((control.fileno(), records.fileno()))
        for low, high in zip((2, *kept), (*kept, os.sysconf("SC_OPEN_MAX")), strict=True):
            os.closerange(low + 1, high)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        code = work(sidecar, control, records, watches=watches)
    finally:
        os._exit(code)
