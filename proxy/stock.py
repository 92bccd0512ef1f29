"""The gate in a stock mitmproxy, for a developer who lives there: ``mitmdump -s`` or ``mitmweb -s`` this file.

    mitmweb -s "$(python -c 'import proxy.stock; print(proxy.stock.__file__)')" \
        --mode reverse:http://loki:3100 --set sekisho_config=sekisho.yaml

The policy comes from the option ``sekisho_config`` or the environment variable ``SEKISHO_CONFIG``. HTTP only. The gate
fails closed here too, but it sees only what the host shows it: ``LIMITS`` says what that leaves open, and so does the
log at start. Card data belongs behind ``sekisho run``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from mitmproxy import ctx, exceptions, http
from mitmproxy.addonmanager import Loader
from mitmproxy.proxy.mode_specs import ProxyMode, RegularMode, ReverseMode

from proxy.addon import Gate
from proxy.faults import place
from proxy.http import marks
from proxy.http.request import refusal_response
from proxy.message import Direction
from proxy.policy import Lane, Policy, PolicyError
from proxy.records.audit import AuditError
from proxy.refusals import REFUSALS, problem
from proxy.run import BadInput, Sidecar, build
from proxy.threads import Threads

OPTION, VARIABLE = "sekisho_config", "SEKISHO_CONFIG"
LIMITS = (
    "raw TCP and UDP, WebSocket messages after a switch, and whatever ignore_hosts or rawtcp let through",
    "bodies that stream_large_bodies or another addon streams: they leave before the gate is asked",
    "other addons, which may change a message after the gate has let it pass",
    "a forward lane's destinations that lead back to this machine",
    "limits on header blocks, connections and slow clients; HTTP/1 trailers, at which the host breaks",
    "mitmweb and mitmproxy, which keep and show every flow, card numbers included; so do saved flows and its log",
)
"""What a stock mitmproxy cannot enforce."""

logger = logging.getLogger(__name__)


class Stock:
    """The gate's hooks under the host's names."""

    name = "sekisho"

    def __init__(self) -> None:
        self._sidecar: Sidecar | None = None
        self._gate: Gate | None = None
        self._threads = Threads()

    def load(self, loader: Loader) -> None:
        """Adds the option."""
        loader.add_option(OPTION, str, "", f"Sekisho's policy file; {VARIABLE} of the environment if empty.")

    def configure(self, updated: set[str]) -> None:
        """Reads the policy, once. Without one, everything is refused."""
        if self._gate is not None or OPTION not in updated:
            return
        name = getattr(ctx.options, OPTION) or os.environ.get(VARIABLE, "")
        if not name:
            raise exceptions.OptionsError(f"no policy: --set {OPTION}=FILE, or {VARIABLE}=FILE in the environment")
        try:
            sidecar = build(Path(name))
        except (PolicyError, BadInput, AuditError) as error:
            raise exceptions.OptionsError(str(error)) from None
        self._sidecar = sidecar
        self._gate = Gate(sidecar.guard, self._threads, sidecar.meter)

    def running(self) -> None:
        """Says what this cannot do."""
        if self._gate is None:
            logger.error("sekisho has no policy: every request is refused (--set %s=FILE)", OPTION)
        for limit in LIMITS:
            logger.warning("sekisho in a stock mitmproxy does not cover: %s", limit)
        if getattr(ctx.options, "stream_large_bodies", None):
            logger.error("sekisho: stream_large_bodies is set, so large bodies leave uninspected")

    def done(self) -> None:
        """Lets go of the audit file."""
        self._threads.close()
        if self._sidecar is not None:
            self._sidecar.audit.close()

    async def http_connect(self, flow: http.HTTPFlow) -> None:
        """Refuses tunnels to unlisted destinations. What is inside the others, the host decrypts."""
        await self._ask(flow, "request", lambda gate, lane: gate.connect(flow, lane, readable=True))

    async def request(self, flow: http.HTTPFlow) -> None:
        """Asks before a request is forwarded."""
        if "upgrade" in flow.request.headers and not marks.drop_h2c(flow.request.headers):
            marks.set_gap(flow, "request", "upgrade")
        if flow.request.raw_content is None:
            marks.set_gap(flow, "request", "body-too-large")
        await self._ask(flow, "request", lambda gate, lane: gate.request(flow, lane))

    async def response(self, flow: http.HTTPFlow) -> None:
        """Asks before a response is forwarded; our own refusals need no asking."""
        if marks.refusal(flow) is not None:
            return
        if flow.response is not None and flow.response.raw_content is None:
            marks.set_gap(flow, "response", "body-too-large")
        await self._ask(flow, "response", lambda gate, lane: gate.response(flow, lane))

    async def _ask(
        self, flow: http.HTTPFlow, direction: Direction, hook: Callable[[Gate, Lane], Awaitable[None] | None]
    ) -> None:
        """Runs a hook of the gate. The host forwards a flow whose hook fails, so none may end without an answer."""
        try:
            lane = lane_of(flow.client_conn.proxy_mode, self._policy())
            if self._gate is not None and lane is not None:
                try:
                    pending = hook(self._gate, lane)
                    if pending is not None:
                        await pending
                except BaseException as error:  # noqa: BLE001 - a cancelled task is forwarded too
                    logger.error("hook failed: %s", place(error))
                    self._gate.broken(flow, lane, direction, "plane")
        finally:
            if not marks.passed(flow, direction):
                flow.response = marks.refusal(flow) or self._unanswered(flow)

    def _policy(self) -> Policy | None:
        return self._sidecar.guard.policy if self._sidecar is not None else None

    def _unanswered(self, flow: http.HTTPFlow) -> http.Response:
        response = refusal_response(
            REFUSALS["internal"].status, problem("internal"), head=flow.request.method == "HEAD"
        )
        marks.set_refusal(flow, response)
        return response


def lane_of(mode: ProxyMode, policy: Policy | None) -> Lane | None:
    """The lane that a listener of the host stands for: by its upstream, then by its port; the only one there is."""
    lanes = policy.lanes if policy is not None else ()
    if isinstance(mode, ReverseMode):
        where = (mode.scheme, *mode.address[:2])
        named = [lane for lane in lanes if (lane.upstream.kind, lane.upstream.host, lane.upstream.port) == where]
    elif isinstance(mode, RegularMode):
        named = [lane for lane in lanes if lane.upstream.kind == "forward"]
    else:
        named = []
    by_port = [lane for lane in named if lane.listen.port == mode.custom_listen_port]
    chosen = by_port or named
    return chosen[0] if len(chosen) == 1 else None


addons = [Stock()]
