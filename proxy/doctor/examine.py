"""The examination: which looks there are at a set-up, all taken at once, each with its time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from shlex import quote

from proxy.bypass import sockets
from proxy.bypass.sockets import Sockets
from proxy.check import check_recognizers
from proxy.doctor import bypass, certificates, clock, files, lanes, process, sidecar, trust, upstreams
from proxy.doctor import policy as policy_file
from proxy.doctor.rows import Row, Subject
from proxy.doctor.sidecar import NoSidecarError, Sidecar
from proxy.http.seat import Rules
from proxy.pem import TlsFileError
from proxy.policy import Policy, PolicyError, load

LOOK_SECONDS = 20.0
Told = Callable[[int, int], None]
"""Is told how many looks have ended, of how many."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asks for beyond looking."""

    clients: frozenset[str] = frozenset()
    """Runtimes that must trust the authority of an intercepting lane."""
    card: bool = False
    """Send a published test number through each lane that must refuse it."""


@dataclass(frozen=True, slots=True)
class Look:
    """One part of the examination."""

    subject: Subject
    rows: Callable[[], Iterable[Row]]
    seconds: float = LOOK_SECONDS


@dataclass(slots=True)
class Examination:
    """What was seen, in the order of the looks."""

    policy: Policy | None
    """``None``: it cannot be used, and the rows say why."""
    rows: list[Row] = field(default_factory=list)

    def count(self, state: str) -> int:
        return sum(row.state == state for row in self.rows)


def examine(path: Path, environment: Mapping[str, str], wishes: Wishes, told: Told) -> Examination:
    """Looks at everything that the policy in ``path`` speaks of. Changes nothing and raises nothing."""
    try:
        policy = load(path)
        check_recognizers(policy, path)
    except PolicyError as error:
        return Examination(None, list(policy_file.unusable(error)))
    return Examination(policy, take([*_looks(policy, environment, wishes)], told))


def _looks(policy: Policy, environment: Mapping[str, str], wishes: Wishes) -> Iterator[Look]:
    """All looks, in the order in which they are told."""
    table = _sockets()
    yield Look(Subject("policy"), lambda: policy_file.rows(policy, datetime.now(UTC).date()))
    said, owner = _asked(policy), _owner(policy)
    found = None if isinstance(said, NoSidecarError) else said
    if isinstance(said, NoSidecarError):
        yield Look(Subject("sidecar"), partial(sidecar.missing, policy, said))
    else:
        yield Look(Subject("sidecar"), partial(sidecar.rows, policy, said, owner.reload))
    for lane in policy.lanes:
        yield Look(Subject("lane", lane.name), partial(lanes.rows, lane, found))
        if found is not None and found.of_file(policy):
            yield Look(Subject("lane-probe", lane.name), partial(sidecar.probes, policy, found, lane.name))
        if wishes.card:
            yield Look(Subject("lane-refusal", lane.name), partial(lanes.refusal, policy, lane, found))
    yield from _tls(policy, found, owner)
    yield from _trust(policy, environment, wishes)
    if found is not None:
        yield Look(Subject("clock", "sidecar"), partial(clock.rows, "sidecar", found.date, found.at))
    yield from _machine(policy, found, owner, table)
    yield Look(Subject("proxy-variable"), partial(bypass.variables, policy, environment))


def _asked(policy: Policy) -> Sidecar | NoSidecarError:
    try:
        return sidecar.ask(policy.admin.listen)
    except NoSidecarError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a strange machine is what this is for
        return NoSidecarError(f"{policy.admin.listen} could not be asked: {type(error).__name__}")


def _owner(policy: Policy) -> process.Owner:
    try:
        return process.find(policy.admin.listen)
    except Exception:  # noqa: BLE001 - likewise: what is not known of it is said row by row
        return process.Owner()


def _tls(policy: Policy, found: Sidecar | None, owner: process.Owner) -> Iterator[Look]:
    """Certificates and upstreams, as the sidecar would read the files now."""
    try:
        rules = Rules.of(policy)
    except Exception as error:  # noqa: BLE001 - likewise
        told = str(error) if isinstance(error, TlsFileError) else f"could not be read: {type(error).__name__}"
        broken = Subject("certificate").broken(told, f"mend the file, then: sekisho check {quote(str(policy.path))}")
        yield Look(Subject("certificate"), partial(list, [broken]))
        return
    yield Look(Subject("certificate"), partial(certificates.rows, rules, found, owner.reload))
    around = owner.uid is not None and os.geteuid() not in {owner.uid, *policy.bypass.allowed_uids}
    for place in upstreams.places(policy):
        if around and policy.bypass.watch_seconds and not isinstance(place, str):
            why = f"from user {os.geteuid()} it would be a way around the lane, and ring its alarm"
            command = f"sudo -u '#{owner.uid}' sekisho doctor -c {quote(str(policy.path))}"
            skipped = Subject("upstream", place.name).skipped(f"{why}: {command}")
            yield Look(Subject("upstream", place.name), partial(list, [skipped]))
        elif isinstance(place, str):
            skipped = Subject("upstream", place).skipped("a pattern: there is no one host to look at")
            yield Look(Subject("upstream", place), partial(list, [skipped]))
        else:
            look = partial(upstreams.rows, place, rules.tls[place.lane].upstream)
            yield Look(Subject("upstream", place.name), look)


def _trust(policy: Policy, environment: Mapping[str, str], wishes: Wishes) -> Iterator[Look]:
    named = (lane.tls.intercept_ca_file for lane in policy.lanes if lane.tls is not None)
    files = dict.fromkeys(file for file in named if file is not None)
    for name in sorted(wishes.clients) if not files else ():
        skipped = Subject("trust", name).skipped("no lane has tls.intercept_ca_file: clients see no certificate of it")
        yield Look(Subject("trust", name), partial(list, [skipped]))
    for file in files:
        for runtime in trust.RUNTIMES:
            needed = runtime.name in wishes.clients
            look = partial(trust.rows, runtime, file, environment, needed=needed)
            yield Look(Subject("trust", runtime.name), look, 2 * trust.RUN_SECONDS)


def _sockets() -> Sockets:
    try:
        return sockets.read()
    except OSError:
        return Sockets()


def _machine(policy: Policy, found: Sidecar | None, owner: process.Owner, table: Sockets) -> Iterator[Look]:
    if found is not None:
        yield Look(Subject("process"), partial(process.rows, policy, owner, found))
        yield Look(Subject("bypass"), partial(bypass.connections, policy, table, owner, found))
    yield Look(Subject("files"), partial(files.rows, policy, owner))


def take(looks: Sequence[Look], told: Told) -> list[Row]:
    """All looks at once; the rows of each in their order. One that fails, or does not end in its time, says so."""
    taken = [_Taken(look) for look in looks]
    began = time.monotonic()
    for one in taken:
        one.thread.start()
    for ended, one in enumerate(taken):
        told(ended, len(taken))
        one.thread.join(max(0.0, began + one.look.seconds - time.monotonic()))
    told(len(taken), len(taken))
    return [row for one in taken for row in one.rows()]


class _Taken:
    """A look that is being taken in a thread of its own: nobody waits for one that hangs in the resolver."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self.thread = threading.Thread(target=self._take, daemon=True)
        self._rows: list[Row] = []
        self._ended = ""

    def _take(self) -> None:
        try:
            for row in self.look.rows():
                self._rows.append(row)
            self._ended = "well"
        except Exception as error:  # noqa: BLE001 - a strange machine is what this is for
            self._ended = type(error).__name__

    def rows(self) -> list[Row]:
        rows, ended = list(self._rows), self._ended
        if ended == "well":
            return rows
        told = f"could not be checked: {ended or f'not finished in {self.look.seconds:.0f} s'}"
        return [
            *rows,
            self.look.subject.broken(told, "look at it by hand: docs/doctor.md says at what"),
        ]
