"""The own host with everything but the inspection: a lane whose guard lets every message pass unread.

``uninspected.py POLICY`` serves until it is told to end.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

from proxy.guard import PASSED  # noqa: E402
from proxy.host import Host  # noqa: E402 - needs the path
from proxy.message import Decision, Message  # noqa: E402
from proxy.metrics.meter import PrometheusMeter  # noqa: E402
from proxy.policy import Policy, load  # noqa: E402


class Blind:
    """Counts as the guard does, and looks at nothing."""

    def __init__(self, policy: Policy, meter: PrometheusMeter) -> None:
        self.policy = policy
        self._meter = meter

    def quick(self, message: Message) -> Decision:
        self._meter.message(message, "allow", sum(len(part.data) for part in message.parts), 0.0)
        return PASSED

    def check(self, message: Message) -> Decision:
        return self.quick(message)

    def failed(self, _message: Message, _where: str) -> Decision:
        return Decision()

    def note(self, _kind: str, **_more: object) -> None:
        """There is no record to write."""

    def adopt(self, policy: Policy) -> None:
        self.policy = policy


async def serve(policy: Policy) -> None:
    meter = PrometheusMeter()
    meter.policy(policy)
    host, stop = Host(Blind(policy, meter), meter), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await host.start()
    await stop.wait()
    await host.drain(1)


if __name__ == "__main__":
    asyncio.run(serve(load(Path(sys.argv[1]))))
