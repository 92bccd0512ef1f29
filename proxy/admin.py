"""The operators' side door: /metrics, /healthz, /readyz and the inspector page (``proxy.page``).

No card traffic passes here, and nothing can be changed.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

from proxy.addresses import why_not_bound
from proxy.faults import place
from proxy.policy.values import Address, is_loopback

Runner = web.AppRunner
"""What ``serve_admin`` gives."""

IDLE_SECONDS = 75.0
"""A connection on which nobody asks anything, or finishes asking, is closed after so long."""

LISTENING = "listening"
PASSED = "passed"
WRITTEN = "written"

Render = Callable[[str], Awaitable[tuple[bytes, str]]]
"""The page of metrics and its content type, for an Accept header."""


class AdminError(Exception):
    """The admin server cannot listen; the message names the address and what to change."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether traffic may be sent here: every lane listens, the inspector has found what it must find, and nothing is
    refused because it could not be recorded."""

    lanes: Mapping[str, str] = field(default_factory=dict)
    """Lane → ``listening``, or why it does not."""
    self_check: str = "not run"
    """``passed``, or why it did not."""
    probes: Mapping[str, str] = field(default_factory=dict)
    """Lane → ``passed``, or what its last self-probe has shown; lanes without one are not in it."""
    audit: str = WRITTEN
    """``written``, or why audit records cannot be."""
    enforces: bool = True
    """Whether a lane refuses what cannot be recorded. Where none does, the records do not make it unready."""

    def recorded(self, why: str, *, enforces: bool) -> Readiness:
        """The same, with what is known of the records; ``why``: why they cannot be written, if they cannot."""
        return replace(self, audit=why or WRITTEN, enforces=enforces)

    @property
    def ready(self) -> bool:
        listening = bool(self.lanes) and set(self.lanes.values()) == {LISTENING}
        recorded = self.audit == WRITTEN or not self.enforces
        return listening and recorded and self.self_check == PASSED and set(self.probes.values()) <= {PASSED}


ENDPOINTS: Mapping[str, str] = {
    "/metrics": "Every series, as Prometheus text or, if the Accept header asks for it, as OpenMetrics with exemplars.",
    "/healthz": "200 as long as the process answers at all.",
    "/readyz": "200 when every lane listens, the inspector's self-check has passed, no lane's last probe has failed "
    "and, if a lane is in mode enforce, audit records can be written; else 503. Says which, as JSON.",
}


def admin_app(*, render: Render, readiness: Callable[[], Awaitable[Readiness]], host: str) -> web.Application:
    """The application. ``host`` is the address it will listen on: on a loopback address it answers only requests that
    name such a host, so that no web page can read it through a name of its own that points here (DNS rebinding)."""

    async def metrics(request: web.Request) -> web.Response:
        body, content_type = await render(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        state = await readiness()
        document = {"ready": state.ready, "lanes": dict(state.lanes), "self_check": state.self_check}
        document |= {"probes": dict(state.probes), "audit": state.audit}
        return web.json_response(document, status=200 if state.ready else 503)

    application = web.Application(middlewares=[_only_for(host)], client_max_size=1024)
    application.on_response_prepare.append(_harden)
    for path, handler in (("/metrics", metrics), ("/healthz", healthz), ("/readyz", readyz)):
        application.router.add_get(path, handler)
    return application


async def serve_admin(application: web.Application, host: str, port: int) -> web.AppRunner:
    """Listens until ``cleanup()`` of the runner it gives. Raises ``AdminError``, and then nothing is left running."""
    runner = web.AppRunner(
        application,
        handle_signals=False,
        shutdown_timeout=1.0,
        keepalive_timeout=IDLE_SECONDS,
        access_log=None,
        logger=_faults(),
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        why = why_not_bound(error)
        raise AdminError(f"the admin server (admin.listen) cannot listen on {Address(host, port)}: {why}") from error
    return runner


def _faults() -> logging.Logger:
    """Where the server logs what failed, of which only kind and place are told: its text may quote what was asked."""
    faults = logging.getLogger(f"{__name__}.faults")
    faults.addFilter(_without_words)
    return faults


def _without_words(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    record.msg, record.args, record.exc_info = "admin failed: %s", (place(error) if error else "no exception",), None
    return not isinstance(error, HttpProcessingError)  # the client's own fault, and it has been told


def _only_for(host: str) -> Middleware:
    local = is_loopback(host)

    @web.middleware
    async def check_host(request: web.Request, handler: Handler) -> web.StreamResponse:
        named = request.headers.get("Host", "")
        if local and named and not is_loopback(host_of(named)):
            return web.Response(status=421, text="This address answers to the name of this machine only.\n")
        return await handler(request)

    return check_host


async def _harden(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["Server"] = "sekisho"


def host_of(authority: str) -> str:
    """The host in a Host header, without port and brackets."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.rpartition(":")[0] if ":" in authority else authority
