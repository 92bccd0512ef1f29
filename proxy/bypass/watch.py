"""The watch for what goes around Sekisho: looks through the socket table again and again, counts and records.

Two threads of its own, away from the event loop: one looks, the other keeps the addresses of the lanes' upstreams, for
a resolver that does not answer must not hold up the looking. A look takes some milliseconds in a pod; where there are
very many sockets it is done so much less often that it takes two percent of one processor.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from proxy.bypass import sockets
from proxy.bypass.routes import Bypass, Key, Sinks, guarded, inward, key_of, redirects, routes
from proxy.policy.values import is_address
from proxy.records.ledger import Notes, complain

if TYPE_CHECKING:
    from proxy.bypass.sockets import Sockets
    from proxy.policy import Policy

RESOLVE_SECONDS = 30.0
"""How often names are resolved."""
KEEP_SECONDS = 600.0
"""How long an address counts after its name last resolved to it: connections outlive changes in the DNS."""
AGAIN_SECONDS = 3600.0
"""A user's connections to the same destination are recorded once in this time, and counted each."""
IDLE_SECONDS = 1.0
SHARE = 50
"""A look may take one part in so many of the time."""
MOST_RECORDED = 10_000

logger = logging.getLogger("sekisho")


class Meter(Protocol):
    """The part of the meter that the watch uses."""

    def bypass(self, lane: str, kind: str, new: int) -> None:
        """Something goes around the lane, ``new`` more than before."""

    def watched(self) -> None:
        """The socket table has been looked through."""


class Addresses:
    """What names resolve to, and have resolved to of late."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, dict[str, float]] = {}

    def refresh(self, policy: Policy) -> None:
        """Resolves every name that the policy guards. A name that does not resolve keeps its addresses for a while."""
        names = {host for _, host, _ in guarded(policy) if not is_address(host)}
        for name in names:
            known = dict(self._seen.get(name, {}))
            now = self._clock()
            known.update(dict.fromkeys(resolve(name), now))
            self._seen[name] = {address: when for address, when in known.items() if now - when <= KEEP_SECONDS}
        for gone in self._seen.keys() - names:
            del self._seen[gone]

    def now(self) -> Mapping[str, tuple[str, ...]]:
        """Name → addresses."""
        return {name: tuple(found) for name, found in self._seen.copy().items()}


def resolve(name: str) -> tuple[str, ...]:
    """The addresses of ``name``, none if it does not resolve. May take as long as the system's resolver does."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(row[4][0]).partition("%")[0] for row in found))


class Watch:
    """Use ``start`` and ``stop``; ``look`` is what it does again and again."""

    def __init__(
        self,
        guard: Notes,
        meter: Meter,
        *,
        read: Callable[[], Sockets] = sockets.read,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._guard = guard
        self._meter = meter
        self._read = read
        self._clock = clock
        self._uid = os.geteuid()
        self._whole = True
        self.addresses = Addresses(clock)
        self._inward: frozenset[Key] = frozenset()
        self._seen: frozenset[Key] = frozenset()
        self._counted: frozenset[Key] = frozenset()
        self._recorded: dict[tuple[object, ...], float] = {}
        self._stop = threading.Event()

    def start(self) -> None:
        """Begins to look."""
        if self._uid == 0 and self._guard.policy.bypass.watch_seconds:
            logger.warning("running as root: what other processes of root send around the lanes is not seen")
        for work in (self._resolve, self._look_if_told):
            threading.Thread(target=self._again, args=(work,), name="sekisho-watch", daemon=True).start()

    def stop(self) -> None:
        """No look begins any more. Does not wait for one that is under way."""
        self._stop.set()

    def look(self) -> None:
        """Looks once: counts what is new, and records it. Raises ``OSError`` where there is no socket table."""
        policy = self._guard.policy
        table = self._read()
        if self._whole and not table.whole:
            logger.warning("the socket table is too long: what goes around the lanes at its end is not seen")
        self._whole = table.whole
        present = frozenset(key_of(row) for row in table.connections)
        self._inward = (self._inward & present) | inward(table, self._uid)
        sinks = Sinks.of(policy, self.addresses.now())
        found = {row.key: row for row in routes(policy, sinks, table, self._uid, self._inward)}
        # Resolvers bind UDP to an address for a moment, port and all, to learn from which of their own it is reached.
        twice = {key for key, row in found.items() if row.kind == "quic" or redirects(policy)}
        sure = {key: row for key, row in found.items() if key in self._seen or key not in twice}
        new = Counter((row.lane, row.kind) for key, row in sure.items() if key not in self._counted)
        for lane, kind in {(row.lane, row.kind) for row in sure.values()}:
            self._meter.bypass(lane, kind, new[lane, kind])
        for key, row in sure.items():
            if key not in self._counted:
                self._record(row)
        self._seen, self._counted = frozenset(found), frozenset(sure)
        self._meter.watched()

    def _record(self, found: Bypass) -> None:
        row = found.connection
        about = (found.kind, found.lane, row.uid, row.remote)
        now = self._clock()
        if now - self._recorded.get(about, -AGAIN_SECONDS) < AGAIN_SECONDS:
            return
        if len(self._recorded) >= MOST_RECORDED:
            self._recorded.clear()
        self._recorded[about] = now
        lane = f"lane {found.lane}" if found.lane else "all lanes"
        logger.warning("bypass (%s) of %s: user %d has a connection to %s", found.kind, lane, row.uid, row.remote)
        ends = {"peer": str(row.local), "destination": str(row.remote)}
        try:
            self._guard.note("bypass", lane=found.lane, outcome=found.kind, uid=row.uid, **ends)
        except Exception as error:  # noqa: BLE001 - the next look is due all the same
            del self._recorded[about]
            complain("bypass", error)

    def _look_if_told(self) -> float:
        seconds = self._guard.policy.bypass.watch_seconds
        spent = time.thread_time()
        if seconds:
            self.look()
        return max(seconds or IDLE_SECONDS, SHARE * (time.thread_time() - spent))

    def _resolve(self) -> float:
        self.addresses.refresh(self._guard.policy)
        return RESOLVE_SECONDS

    def _again(self, work: Callable[[], float]) -> None:
        """Does ``work`` until the end, with a pause as long as it says. Complains about the first of its failures."""
        failed = False
        while not self._stop.is_set():
            try:
                pause, failed = work(), False
            except Exception as error:  # noqa: BLE001 - a watch that ends at the first surprise is none
                if not failed:
                    complain("bypass", error)
                pause, failed = IDLE_SECONDS, True
            self._stop.wait(pause)
