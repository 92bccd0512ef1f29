"""``sekisho run``: builds every object once, by hand, serves, and ends as it was told to.

Exit codes: 0 ended by a signal; 2 a policy, key, certificate or recognizer file that cannot be used; 3 an address that
is taken, or an audit file that cannot be opened or written.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from detectors.inspector import Inspector
from detectors.presidio import RecognizerError
from proxy.admin import LISTENING, PASSED, AdminError, Readiness, Render, Runner, admin_app, serve_admin
from proxy.bypass.silence import Silence
from proxy.bypass.watch import Watch
from proxy.faults import place
from proxy.guard import Guard
from proxy.host import Host, StartError
from proxy.http.tls import TlsFileError
from proxy.keyfile import KeyFileError, read_key, regular
from proxy.memory import leave_no_core, return_large_blocks
from proxy.metrics.meter import PrometheusMeter
from proxy.metrics.sum import Counts, counted
from proxy.notify import READY, STOPPING, notify
from proxy.page.server import Page, Shown
from proxy.policy import Policy, PolicyError, load
from proxy.policy.errors import scrub
from proxy.policy.files import files_of
from proxy.policy.values import is_loopback
from proxy.records.audit import AuditError, JsonLinesAudit
from proxy.records.coverage import Coverage
from proxy.records.outage import watch
from proxy.terminal import BAD_INPUT, FAULT, NO_START, OK
from proxy.watch import due

GRACE_SECONDS = 10.0
"""How long requests under way may take to finish after SIGTERM, unless the operator says otherwise."""

STOPPING_LINE = "stopping: requests under way have %.0f s; a second signal ends them"

logger = logging.getLogger("sekisho")


class BadInput(Exception):
    """A file that cannot be used; the message is for the operator."""


@dataclass(slots=True)
class Sidecar:
    """The parts of a running sidecar."""

    path: Path
    inspector: Inspector
    meter: PrometheusMeter
    audit: JsonLinesAudit
    guard: Guard
    self_check: str
    token: bytes = b""
    """What readers of the inspector page must know, if anything."""
    grace: float = GRACE_SECONDS
    """Seconds that requests under way may take to finish after SIGTERM."""
    fixed: Mapping[Path, str] = field(default_factory=dict)
    """The files that are read at start only, by what they held then."""


def main(policy_path: Path, workers: int = 1, grace: float = GRACE_SECONDS) -> int:
    """Serves the policy until SIGTERM or SIGINT; with more than one worker, as their supervisor. Returns the code."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("presidio-analyzer").setLevel(logging.WARNING)  # names each of its recognizers at start
    leave_no_core()
    return_large_blocks()
    try:
        sidecar = build(policy_path)
        sidecar.grace = grace
    except (PolicyError, BadInput) as error:
        return _refuse(BAD_INPUT, str(error))
    except AuditError as error:
        return _refuse(NO_START, str(error))
    try:
        if sidecar.self_check != PASSED:
            return _refuse(FAULT, f"{sidecar.self_check}: nothing is served; install Sekisho anew")
        if workers == 1:
            gc.collect()
            gc.freeze()  # or each full collection would hold up all lanes for a tenth of a second
            return asyncio.run(_serve(sidecar))
        from proxy.processes.supervisor import supervise  # noqa: PLC0415 - it is made of this module's parts

        return supervise(sidecar, workers)
    except TlsFileError as error:
        return _refuse(BAD_INPUT, str(error))
    except (StartError, AdminError, AuditError) as error:
        return _refuse(NO_START, str(error))
    finally:
        sidecar.audit.close()


def build(policy_path: Path) -> Sidecar:
    """Reads every file and makes every part. Raises ``PolicyError``, ``BadInput`` or ``AuditError``."""
    policy = load(policy_path)
    fixed = held(read_at_start(policy))
    try:
        key = read_key(policy.audit.fingerprint_key_file)
        token = read_key(policy.admin.token_file) if policy.admin.token_file is not None else b""
        inspector = Inspector(fingerprint_key=key, recognizers=policy.recognizers)
        audit = JsonLinesAudit(policy.audit.path, key, keep_days=policy.audit.retention_days)
    except (KeyFileError, RecognizerError) as error:
        raise BadInput(str(error)) from None
    meter = new_meter(inspector)
    guard = Guard(policy=policy, inspector=inspector, meter=meter, audit=audit)
    return Sidecar(policy_path, inspector, meter, audit, guard, self_check(inspector), token, fixed=fixed)


def new_meter(inspector: Inspector) -> PrometheusMeter:
    """A meter that has counted nothing."""
    return PrometheusMeter(version=_version(), entities=inspector.team_entities)


def self_check(inspector: Inspector) -> str:
    """``passed``, or why not."""
    try:
        inspector.self_check()
    except RuntimeError:
        return "the inspector did not find a synthetic card number"
    return PASSED


def _version() -> str:
    try:
        return version("sekisho")
    except PackageNotFoundError:
        return "source"


async def _serve(sidecar: Sidecar) -> int:
    host = Host(sidecar.guard, sidecar.meter)
    stop, hurry, again = asyncio.Event(), asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    loop.add_signal_handler(signal.SIGHUP, again.set)
    coverage, silence = Coverage(sidecar.guard), Silence(sidecar.guard, sidecar.meter)
    sidecar.guard.note("start")  # before the first byte of traffic: what cannot be recorded does not happen
    try:
        admin = await _open(sidecar, host)
    except (StartError, AdminError):
        note_stop(sidecar)
        raise
    for lane, (address, port) in host.addresses.items():
        logger.info("lane %s listens on %s:%d", lane, address, port)
    notify(READY)
    reloads = asyncio.create_task(_reload(sidecar, host, again))
    probing = asyncio.create_task(host.probe.run())
    bypasses = Watch(sidecar.guard, sidecar.meter)
    bypasses.start()

    async def cover() -> None:
        await asyncio.to_thread(coverage.write, counted(sidecar.meter.registry))

    async def counts() -> Counts:
        return counted(sidecar.meter.registry)

    async def look() -> str:
        return await asyncio.to_thread(sidecar.audit.look)

    looks = (coverage.run(cover), silence.run(counts), watch(look, sidecar.meter))
    looking = [asyncio.create_task(one) for one in looks]
    await stop.wait()
    notify(STOPPING)
    logger.info(STOPPING_LINE, sidecar.grace)
    bypasses.stop()
    tasks = (probing, *looking, reloads)
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Exception):  # what is under way is seen to its end all the same
            logger.error("a task had failed: %s", place(ended))
    await host.drain(sidecar.grace, hurry)
    await admin.cleanup()
    coverage.write(counted(sidecar.meter.registry))
    note_stop(sidecar)
    return OK


async def _open(sidecar: Sidecar, host: Host) -> Runner:
    """Opens the lanes, then the admin server. Raises ``StartError`` or ``AdminError``, with nothing left open."""
    await host.start()

    async def render(accept: str) -> tuple[bytes, str]:
        return sidecar.meter.render(accept)

    async def readiness() -> Readiness:
        return readiness_of(host, sidecar.self_check)

    async def counts() -> Counts:
        return counted(sidecar.meter.registry)

    try:
        return await open_admin(sidecar, render, readiness, counts)
    except AdminError:
        await host.drain(0)
        raise


async def open_admin(
    sidecar: Sidecar,
    render: Render,
    readiness: Callable[[], Awaitable[Readiness]],
    counts: Callable[[], Awaitable[Counts]],
) -> Runner:
    """Opens the admin server, with the inspector page. Raises ``AdminError``."""

    async def whole() -> Readiness:
        modes = {route.mode for lane in sidecar.guard.policy.lanes for _, route in lane.routes}
        return (await readiness()).recorded(sidecar.audit.outage.why, enforces="enforce" in modes)

    listen = sidecar.guard.policy.admin.listen
    app = admin_app(render=render, readiness=whole, host=listen.host)
    shown = Shown(lambda: sidecar.guard.policy, whole, counts, sidecar.audit.recent)
    Page(shown, token=sidecar.token, local=is_loopback(listen.host)).add_to(app)
    return await serve_admin(app, listen.host, listen.port)


def readiness_of(host: Host, checked: str) -> Readiness:
    """What one process says of itself; ``checked``: the outcome of its self-check."""
    lanes = {lane: LISTENING if up else "not listening" for lane, up in host.listening().items()}
    return Readiness(lanes, checked, dict(host.probe.state))


def note_stop(sidecar: Sidecar) -> None:
    """Records the end, and what could not be recorded before, if that can be done."""
    sidecar.audit.look()
    with contextlib.suppress(AuditError):
        sidecar.guard.note("stop")


def watched(sidecar: Sidecar) -> tuple[Path, ...]:
    """The policy file in force, and every file that it names."""
    return sidecar.path, *files_of(sidecar.guard.policy)


def read_at_start(policy: Policy) -> tuple[Path, ...]:
    """Those that are not read again."""
    keys = (policy.audit.fingerprint_key_file, policy.admin.token_file)
    return *(path for path in keys if path is not None), *policy.recognizers


def held(paths: Iterable[Path]) -> dict[Path, str]:
    """What each file holds, as its SHA-256; empty if that cannot be read."""
    found = {}
    for path in paths:
        try:
            with open(path, "rb", opener=regular) as file:
                found[path] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            found[path] = ""
    return found


async def _reload(sidecar: Sidecar, host: Host, again: asyncio.Event) -> None:
    async for _ in due(lambda: watched(sidecar), again):
        await reload_once(sidecar, host)


async def reload_once(sidecar: Sidecar, host: Host) -> bool:
    """Reads the policy file and puts it in force, whole; or changes nothing, says why and counts it."""
    try:
        policy = load(sidecar.path)
        check_fixed(sidecar, policy)
        await host.reload(policy)
        sidecar.audit.keep_days = policy.audit.retention_days
    except Exception as error:  # noqa: BLE001 - whatever it was, the next reload is due all the same
        not_reloaded(sidecar, error)
        return False
    logger.info("policy %s is in force", policy.policy_id)
    return True


def not_reloaded(sidecar: Sidecar, error: Exception) -> None:
    """Says why a policy was not put in force, and counts it."""
    expected = isinstance(error, PolicyError | BadInput | TlsFileError | StartError | AuditError)
    sidecar.meter.policy_reload("error")
    logger.error("policy not reloaded, the former one stays in force: %s", error if expected else place(error))


def check_fixed(sidecar: Sidecar, new: Policy) -> None:
    """Raises ``BadInput`` if ``new``, or a file that it names, changes what can only be changed by a restart."""
    old = sidecar.guard.policy
    same = {
        "admin": old.admin == new.admin,
        "audit.path": old.audit.path == new.audit.path,
        "audit.fingerprint_key_file": old.audit.fingerprint_key_file == new.audit.fingerprint_key_file,
        "recognizers": old.recognizers == new.recognizers,
    }
    if changed := [name for name, unchanged in same.items() if not unchanged]:
        raise BadInput(f"{', '.join(changed)} cannot change while running: restart with the new policy")
    now = held(sidecar.fixed)
    if changed := [scrub(str(path)) for path, content in sidecar.fixed.items() if now[path] != content]:
        raise BadInput(f"{', '.join(changed)} changed, and is read at start only: put it back, or restart")


def _refuse(code: int, why: str) -> int:
    sys.stderr.write(f"sekisho: {why}\n")
    return code
