"""The self-probe: each lane is given a synthetic card number, again and again, that must not reach a sink of our own.

The probe enters a lane behind its listening socket, as a client on a connection of its own, and takes the way of every
message: the connection handler, the layers, the guard, the inspector, the policy. Only where the lane leads is another:
a server here that keeps what it is sent and forgets it. What the lane does must be what its policy says: refuse, mask,
or, where it only reports, have noticed. Nothing of it is counted or recorded as traffic.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from detectors.luhn import luhn
from proxy.admin import PASSED
from proxy.faults import place
from proxy.http.seat import LaneSeat
from proxy.policy import Lane, Policy, Route

PATH = "/sekisho-self-probe"
GRACE_SECONDS = 5.0
"""Added to the inspection's own limit."""
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

logger = logging.getLogger(__name__)


class ProbeError(Exception):
    """The probe did not go as it must; the message says how, without the number."""


class Lanes(Protocol):
    """Where the probe enters."""

    @property
    def policy(self) -> Policy:
        """The policy in force."""

    async def enter(self, lane: Lane, seat: LaneSeat, connection: socket.socket) -> None:
        """Serves ``connection`` as a client of the lane, to its end."""

    def probe_seat(self, lane: Lane) -> LaneSeat:
        """A place that nobody else could have taken."""


class Meter(Protocol):
    """The part of the meter that the probe uses."""

    def probe(self, lane: str, timestamp: float, *, success: bool) -> None:
        """A lane's probe has ended."""


@dataclass(slots=True)
class Probe:
    """Probes all lanes of the policy in force, over and over: ``run`` it in a task."""

    lanes: Lanes
    meter: Meter
    note: Callable[..., None]
    """Keeps a record of a kind with these fields; may block, and may raise."""
    state: dict[str, str] = field(default_factory=dict)
    """Lane → ``passed``, or what went wrong the last time. Lanes that have not been probed are not in it."""

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            began = time.monotonic()
            await self.round()
            pause = self.lanes.policy.admin.probe_seconds - (time.monotonic() - began)
            await asyncio.sleep(max(1.0, pause))

    async def round(self) -> Mapping[str, str]:
        """Probes each lane once. Raises nothing."""
        policy = self.lanes.policy
        for lane in policy.lanes:
            await self._probe(lane)
        for gone in self.state.keys() - {lane.name for lane in policy.lanes}:
            del self.state[gone]
        return self.state

    async def _probe(self, lane: Lane) -> None:
        try:
            await self._once(lane)
            found = PASSED
        except ProbeError as error:
            found = str(error)
        except Exception as error:  # noqa: BLE001 - whatever it was, the lane has not shown that it works
            found = f"failed: {place(error)}"
        former, self.state[lane.name] = self.state.get(lane.name, PASSED), found
        self.meter.probe(lane.name, time.time(), success=found == PASSED)
        if found != former:
            logger.log(logging.INFO if found == PASSED else logging.ERROR, "probe of lane %s: %s", lane.name, found)
            try:
                await asyncio.to_thread(self.note, "probe", lane=lane.name, outcome=found)
            except Exception as error:  # noqa: BLE001 - the next probe is due all the same
                logger.error("probe of lane %s: no record: %s", lane.name, place(error))

    async def _once(self, lane: Lane) -> None:
        host = host_of(lane)
        route = lane.route(host)
        if route is None:
            return  # a forward lane to nowhere: there is no way to take
        number = synthetic()
        found: list[bool] = []
        sink = Sink()
        try:
            async with asyncio.timeout(route.limits.seconds + GRACE_SECONDS):
                status = await self._exchange(lane, host, number, sink, found)
        except TimeoutError:
            raise ProbeError("no answer in time") from None
        judge(route, status, reached=number in sink.received, arrived=bool(sink.received), noticed=True in found)

    async def _exchange(self, lane: Lane, host: str, number: bytes, sink: Sink, found: list[bool]) -> int:
        seat = self.lanes.probe_seat(lane)
        server = await asyncio.start_server(sink.serve, "127.0.0.1", 0)
        seat.sink = server.sockets[0].getsockname()[:2]
        seat.told = found.append
        ours, theirs = pair()
        serving = asyncio.get_running_loop().create_task(self.lanes.enter(lane, seat, theirs))
        writer = None
        try:
            reader, writer = await asyncio.open_connection(sock=ours)
            writer.write(request(lane, host, number))
            head = await reader.readuntil(b"\r\n")
            await reader.read(-1)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise ProbeError("the lane gave no answer") from error
        finally:
            if writer is not None:
                writer.close()
            serving.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await serving
            server.close()
        return int(head.split(b" ")[1])


class Sink:
    """An upstream of our own."""

    def __init__(self) -> None:
        self.received = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Takes one request and says that all is well."""
        with suppress(OSError, asyncio.IncompleteReadError):
            self.received += await reader.readuntil(b"\r\n\r\n")
            self.received += await reader.readuntil(b"}}")
            writer.write(_ANSWER)
            await writer.drain()
        writer.close()


def judge(route: Route, status: int, *, reached: bool, arrived: bool, noticed: bool) -> None:
    """Raises ``ProbeError`` unless the lane did what its policy says. ``reached``: the sink has the number;
    ``arrived``: it has the request; ``noticed``: the guard has called it a violation."""
    reports = route.mode == "monitor" or route.on_violation == "report"
    if not noticed:
        raise ProbeError("the number was not found" if arrived or reports else f"it was refused unseen, with {status}")
    if reports and not reached:
        raise ProbeError("the message did not arrive, although the lane only reports")
    if not reports and reached:
        raise ProbeError("the number was found, and reached the sink")
    if not reports and status not in (200, 403, 422):
        raise ProbeError(f"the answer was {status}")


def request(lane: Lane, host: str, number: bytes) -> bytes:
    """A request with the number in a JSON body."""
    target = f"http://{host}{PATH}" if lane.upstream.kind == "forward" else PATH
    body = b'{"probe":{"card_number":"' + number + b'"}}'
    head = (
        f"POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    )
    return head.encode() + b"Connection: close\r\n\r\n" + body


def host_of(lane: Lane) -> str:
    """The host that the lane, or its first destination, leads to."""
    if not lane.upstream.chosen:
        return lane.upstream.host
    pattern = next((pattern for pattern, _ in lane.routes), "probe.invalid")
    return pattern.replace("*", "probe", 1)


def synthetic() -> bytes:
    """A number that passes as a Visa card's, another one each time, and no published test number."""
    body = b"4" + b"%014d" % random.SystemRandom().randrange(10**14)
    return next(number for digit in range(10) if luhn(number := body + b"%d" % digit))


def pair() -> tuple[socket.socket, socket.socket]:
    """The two ends of a TCP connection on the loopback interface that nobody else can have opened."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, peer = listener.accept()
    if peer != ours.getsockname():
        ours.close()
        theirs.close()
        raise ProbeError("somebody else was faster")
    return ours, theirs
