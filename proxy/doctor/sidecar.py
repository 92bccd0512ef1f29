"""What the sidecar says of itself on its admin address, and whether that is what its policy file says."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from shlex import quote
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from proxy.doctor.rows import Row, Subject
from proxy.doctor.wire import ANSWER_SECONDS, why
from proxy.policy import Policy
from proxy.policy.values import Address

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}
SHOWN = 8
"""Digits of a policy's SHA-256 that are shown."""
FIXED = "the admin address, the audit file, its key and recognizers"
LATE = 3
"""A probe that is older than so many of its periods has stopped."""


class NoSidecarError(Exception):
    """The admin address does not answer as a sidecar's does; the message says how it does."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """One answer of /metrics and of /readyz."""

    samples: tuple[tuple[str, Mapping[str, str], float], ...]
    readiness: Mapping[str, Any] = field(default_factory=dict)
    date: str = ""
    at: float = 0.0
    """When it answered, by the clock here."""

    def value(self, name: str, **labels: str) -> float | None:
        """The first sample of that name with these labels."""
        rows = (value for row, own, value in self.samples if row == name and labels.items() <= own.items())
        return next(rows, None)

    def label(self, name: str, label: str) -> str:
        return next((own.get(label, "") for row, own, _ in self.samples if row == name), "")

    def of_file(self, policy: Policy) -> bool:
        """Whether the policy that it runs is this file as it is now."""
        return self.label("sekisho_policy_info", "sha256") == policy.sha256


def reached(address: Address) -> Address:
    """Where to knock on what listens on ``address``."""
    return Address(_ANY.get(address.host, address.host), address.port)


def ask(admin: Address) -> Sidecar:
    """Raises ``NoSidecarError``."""
    page, date = _get(admin, "/metrics")
    at = time.time()
    try:
        families = list(text_string_to_metric_families(page))
    except Exception:  # noqa: BLE001 - whatever it is, it is no page of metrics
        families = []
    samples = tuple((sample.name, sample.labels, sample.value) for family in families for sample in family.samples)
    if Sidecar(samples).value("sekisho_build_info") is None:
        raise NoSidecarError(f"what answers on {admin} is no sidecar: another program has this address")
    document, _ = _get(admin, "/readyz")
    try:
        readiness = json.loads(document)
    except ValueError:
        readiness = {}
    return Sidecar(samples, readiness if isinstance(readiness, dict) else {}, date, at)


def _get(admin: Address, path: str) -> tuple[str, str]:
    where = reached(admin)
    connection = http.client.HTTPConnection(where.host, where.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.read(16 * 1024 * 1024).decode("utf-8", "replace"), answer.headers.get("Date", "")
    except http.client.HTTPException:
        raise NoSidecarError(f"what answers on {admin} does not speak HTTP: another program has this address") from None
    except OSError as error:
        raise NoSidecarError(f"nothing answers on {admin}: {why(error)}") from None
    finally:
        connection.close()


def missing(policy: Policy, error: NoSidecarError) -> Iterator[Row]:
    """Rows for a sidecar that does not answer."""
    start = f"sekisho run -c {quote(str(policy.path))}"
    if "another program" in str(error):
        start = f"see which: ss -ltnp 'sport = :{policy.admin.listen.port}'; stop it, or change admin.listen"
    yield Subject("sidecar").broken(str(error), start)


def rows(policy: Policy, sidecar: Sidecar, reload: str) -> Iterator[Row]:
    """Whether it is ready, and whether it runs this policy. ``reload``: what makes it read its files again."""
    at = Subject("sidecar")
    version = sidecar.label("sekisho_build_info", "version")
    said = sidecar.readiness
    if said.get("ready") is True:
        yield at.ok(f"version {version} answers on {policy.admin.listen} and is ready")
    else:
        lanes = [f"lane {name} is {state}" for name, state in _items(said, "lanes") if state != "listening"]
        probes = [f"the probe of lane {name}: {state}" for name, state in _items(said, "probes") if state != "passed"]
        checked = said.get("self_check", "unknown")
        tried = [] if checked == "passed" else [f"its self-check: {checked}"]
        recorded = said.get("audit", "written")
        lost = [] if recorded == "written" else [f"records cannot be written: {recorded}"]
        told = "; ".join([*lanes, *tried, *probes, *lost]) or "it does not say why"
        page = "docs/runbooks/sidecar.md (SekishoAuditFailing)" if lost else "docs/runbooks/probe.md if it is a probe"
        yield at.broken(f"it is not ready: {told}", f"read its log; {page}")
    yield from _in_force(policy, sidecar, reload)


def _items(said: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    rows = said.get(name)
    return sorted(rows.items()) if isinstance(rows, dict) else []


def _in_force(policy: Policy, sidecar: Sidecar, reload: str) -> Iterator[Row]:
    at = Subject("policy-in-force")
    file = quote(str(policy.path))
    running = sidecar.label("sekisho_policy_info", "sha256")
    if not sidecar.of_file(policy):
        named = sidecar.label("sekisho_policy_info", "policy_id")
        seen = f"the sidecar runs another policy than this file: {named} (sha256 {running[:SHOWN]}…)"
        refused = sidecar.value("sekisho_policy_last_reload_success") == 0
        if refused:
            fix = f"sekisho check {file}; if it is good, restart the sidecar: {FIXED} cannot change while it runs"
            yield at.broken(f"{seen}, and could not use the one that it read last", fix)
        else:
            yield at.broken(seen, f"sekisho check {file} && {reload}")
        return
    yield at.ok(f"the sidecar runs this file: {policy.policy_id}, mode {policy.mode}")


def probes(policy: Policy, sidecar: Sidecar, lane: str, now: float | None = None) -> Iterator[Row]:
    """What the sidecar's own probe of a lane has shown, and how long ago."""
    at = Subject("lane-probe", lane)
    success = sidecar.value("sekisho_probe_success", lane=lane)
    when = sidecar.value("sekisho_probe_timestamp_seconds", lane=lane)
    if success is None or when is None:
        yield at.warning("the sidecar has not probed this lane yet", "wait a minute, then look again")
        return
    age = (time.time() if now is None else now) - when
    shown = f"{max(0.0, age):.0f} s ago"
    if success != 1:
        told = dict(_items(sidecar.readiness, "probes")).get(lane, "it was not treated as the policy says")
        yield at.broken(f"the probe {shown}: {told}", "docs/runbooks/probe.md: real card numbers may be passing")
    elif age > LATE * policy.admin.probe_seconds + ANSWER_SECONDS:
        fix = "docs/runbooks/probe.md, SekishoProbeAbsent"
        yield at.broken(f"the last probe was {shown}, and one is due every {policy.admin.probe_seconds:.0f} s", fix)
    else:
        yield at.ok(f"its synthetic card number was treated as the policy says, {shown}")
