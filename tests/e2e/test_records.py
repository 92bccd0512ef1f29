"""What a running sidecar leaves behind: metrics, the audit file and its chain, through crashes, full disks and reloads."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from tests.e2e.origin import origin
from tests.e2e.plane import until
from tests.published_numbers import card_numbers_in
from tests.sidecar import LOOKS_OFTEN, ROOT, Sidecar, launch

PAN = "4242424242424242"
LEAK = {"level": "info", "card": {"number": PAN, "cvv": "123"}}
CLEAN = {"level": "info", "order": "ROKI-1"}
SLICE_ENDED = b"a slice has ended"
SLICES_AS_TOLD = f"""
import asyncio, signal, sys, types
from proxy.bypass import silence

ends = asyncio.Semaphore(0)

async def wait_for_end(_):
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, ends.release)
    print("{SLICE_ENDED.decode()}", file=sys.stderr, flush=True)
    await ends.acquire()

silence.asyncio = types.SimpleNamespace(sleep=wait_for_end)
silence.BUSY, silence.QUIET = 1, 1
from proxy.cli import main
main()
"""
"""A ``program`` for which a slice of time ends with SIGUSR1, and which says so when it has looked at it."""
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


@pytest.fixture
async def sink():
    async with origin() as state:
        yield state


@pytest.fixture
async def sidecar(sink, start_sidecar, request) -> Sidecar:
    lanes = [
        {"name": "app-logs", "upstream": sink.url, "role": "logging"},
        {"name": "redacted", "upstream": sink.url, "role": "logging", "on_violation": "redact"},
        {"name": "watched", "upstream": sink.url, "role": "storage", "mode": "monitor"},
    ]
    return await asyncio.to_thread(start_sidecar, lanes, **getattr(request, "param", {}))


async def post(sidecar: Sidecar, lane: str, document: dict, **headers: str) -> requests.Response:
    url = sidecar.url(lane, "/push")
    return await asyncio.to_thread(requests.post, url, json=document, headers=headers, timeout=60)


def metric(sidecar: Sidecar, start: str) -> float:
    """The sum of all samples whose line begins with ``start``."""
    lines = [line for line in sidecar.admin("/metrics").splitlines() if line.startswith(start)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def verify(sidecar: Sidecar) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "proxy", "audit", "verify", "-c", "sekisho.yaml", "--json"]
    environment = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=sidecar.base, env=environment, capture_output=True, text=True, check=False)


def kinds(sidecar: Sidecar) -> list[str]:
    return [line["kind"] for line in sidecar.audit_lines()]


def audit_file(sidecar: Sidecar) -> Path:
    return sidecar.base / "var" / "audit.jsonl"


async def test_a_refusal_an_audit_line_and_an_exemplar_share_one_id(sidecar, sink):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = await post(sidecar, "app-logs", LEAK, traceparent=trace, **{"X-Request-Id": "req-77"})
    assert answer.status_code == 403
    assert answer.headers["Content-Type"] == "application/problem+json"
    record = answer.json()["instance"].removeprefix("urn:uuid:")
    start, line = sidecar.audit_lines()
    assert start["kind"] == "start"
    assert line["id"] == record
    assert {name: line[name] for name in ("kind", "lane", "role", "direction", "method", "path", "verdict")} == {
        "kind": "retention",
        "lane": "app-logs",
        "role": "logging",
        "direction": "request",
        "method": "POST",
        "path": "/push",
        "verdict": "block",
    }
    assert (line["traceparent"], line["request_id"]) == (trace, "req-77")
    assert {found["entity"] for found in line["findings"]} >= {"PAN", "SECURITY_CODE"}
    assert {found["masked"] for found in line["findings"] if found["entity"] == "PAN"} == {"************4242"}
    page = await asyncio.to_thread(
        requests.get,
        f"http://{sidecar.policy['admin']['listen']}/metrics",
        headers={"Accept": "application/openmetrics-text; version=1.0.0"},
        timeout=60,
    )
    assert f'audit_id="{record}"' in page.text
    assert sink.requests == []


async def test_the_numbers_add_up(sidecar, sink):
    for lane, document in (("app-logs", CLEAN), ("app-logs", LEAK), ("redacted", LEAK), ("watched", LEAK)):
        await post(sidecar, lane, document)
    for lane, messages in (("app-logs", 2), ("redacted", 1), ("watched", 1)):
        assert metric(sidecar, f'sekisho_messages_total{{direction="request",lane="{lane}"') == messages
    for lane, verdict in (("app-logs", "block"), ("redacted", "redact"), ("watched", "report")):
        text = [line for line in sidecar.admin("/metrics").splitlines() if f'lane="{lane}"' in line]
        seen = [line for line in text if line.startswith("sekisho_violations_total") and 'entity="PAN"' in line]
        assert [f'verdict="{verdict}"' in line and line.endswith(" 1.0") for line in seen] == [True], lane
    assert metric(sidecar, "sekisho_inspect_seconds_count") >= 4
    assert metric(sidecar, "sekisho_added_latency_seconds_count") >= 4
    assert metric(sidecar, "sekisho_inspected_bytes_total") > 100
    assert metric(sidecar, "sekisho_internal_errors_total") == metric(sidecar, "sekisho_audit_errors_total") == 0
    assert not card_numbers_in(sidecar.admin("/metrics"))
    assert len([request for request in sink.requests if PAN.encode() in request]) == 1  # the monitored lane


@pytest.mark.parametrize("sidecar", [{"program": ("-c", SLICES_AS_TOLD)}], indirect=True, ids=[""])
async def test_a_lane_that_falls_silent_while_another_is_busy(sidecar):
    """Counted and recorded, once; the one that goes on is not."""

    async def slice_of(*lanes: str) -> None:
        """So many requests on each, and the end of the time that is looked at as one."""
        ended = sidecar.output().count(SLICE_ENDED)
        for lane in lanes:
            for _ in range(3):
                assert (await post(sidecar, lane, CLEAN)).status_code == 200
        sidecar.process.send_signal(signal.SIGUSR1)
        await until(lambda: sidecar.output().count(SLICE_ENDED) > ended, 60)

    silent = 'sekisho_bypass_total{kind="silent",lane="app-logs"}'
    await until(lambda: SLICE_ENDED in sidecar.output(), 60)  # the first begins
    await slice_of("app-logs", "redacted")
    assert metric(sidecar, silent) == 0
    await slice_of("redacted")
    await slice_of("redacted")
    assert metric(sidecar, silent) == metric(sidecar, "sekisho_bypass_total") == 1
    about = [(line["lane"], line["outcome"]) for line in sidecar.audit_lines() if line["kind"] == "bypass"]
    assert about == [("app-logs", "silent")]


async def test_a_life_from_start_to_stop_verifies_and_a_changed_word_does_not(sidecar):
    await post(sidecar, "app-logs", LEAK)
    await post(sidecar, "redacted", LEAK)
    assert verify(sidecar).returncode == 0  # while it is being written
    assert sidecar.stop() == 0
    assert kinds(sidecar) == ["start", "retention", "retention", "coverage", "stop"]
    done = verify(sidecar)
    assert (done.returncode, json.loads(done.stdout)["lines"]) == (0, 5)
    audit_file(sidecar).write_bytes(audit_file(sidecar).read_bytes().replace(b'"block"', b'"allow"', 1))
    done = verify(sidecar)
    assert (done.returncode, json.loads(done.stdout)["line"]) == (1, 2)


async def test_a_killed_sidecar_leaves_a_chain_that_goes_on(sidecar):
    await post(sidecar, "app-logs", LEAK)
    sidecar.stop(signal.SIGKILL)
    with audit_file(sidecar).open("ab") as file:
        file.write(b'{"id":"half a line')  # as a power cut would leave
    again = await asyncio.to_thread(launch, sidecar.base, sidecar.policy)
    try:
        await post(again, "app-logs", LEAK)
    finally:
        again.stop()
    done = verify(again)
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["repairs"] == 1


@pytest.mark.parametrize("sidecar", [{"program": ("-c", LOOKS_OFTEN)}], indirect=True, ids=[""])
async def test_a_full_disk_stops_what_cannot_be_recorded_and_nothing_else(sidecar, sink):
    """And /readyz says why until it can be recorded again, which needs no message. A restart would not help."""
    ready = sidecar.readiness()
    assert {name: ready[name] for name in ("ready", "lanes", "self_check")} == {
        "ready": True,
        "lanes": {"app-logs": "listening", "redacted": "listening", "watched": "listening"},
        "self_check": "passed",
    }
    size = audit_file(sidecar).stat().st_size
    resource.prlimit(sidecar.process.pid, resource.RLIMIT_FSIZE, (size + 20, resource.RLIM_INFINITY))
    for lane in ("app-logs", "redacted"):
        answer = await post(sidecar, lane, LEAK)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:sekisho:problem:failure")
        assert "instance" not in answer.json()
    assert sink.requests == []
    assert (await post(sidecar, "app-logs", CLEAN)).status_code == 200
    assert (await post(sidecar, "watched", LEAK)).status_code == 200
    assert metric(sidecar, "sekisho_audit_errors_total") == 3
    said = sidecar.readiness()
    assert (said["ready"], said["lanes"]["app-logs"]) == (False, "listening")
    assert said["audit"].startswith("audit file ")
    assert sidecar.admin("/healthz") == "ok\n"
    resource.prlimit(sidecar.process.pid, resource.RLIMIT_FSIZE, UNLIMITED)
    await asyncio.to_thread(sidecar.wait_ready)
    assert sidecar.readiness()["audit"] == "written"
    assert (await post(sidecar, "app-logs", LEAK)).status_code == 403
    assert sidecar.stop() == 0
    assert verify(sidecar).returncode == 0
    assert [line["outage"]["lost"] for line in sidecar.audit_lines() if line["kind"] == "outage"] == [3]
    assert PAN.encode() not in sidecar.output()


async def test_a_deleted_audit_file_stops_what_cannot_be_recorded(sidecar, sink):
    audit_file(sidecar).unlink()
    assert (await post(sidecar, "redacted", LEAK)).status_code == 503
    assert (await post(sidecar, "redacted", CLEAN)).status_code == 200
    assert len(sink.requests) == 1


async def test_two_sidecars_never_share_an_audit_file(sidecar, start_sidecar, sink, free_port):
    document = {**sidecar.policy, "admin": {"listen": f"127.0.0.1:{free_port()}"}}
    document["lanes"] = [{**document["lanes"][0], "listen": f"127.0.0.1:{free_port()}"}]
    path = sidecar.base / "second.yaml"
    path.write_text(json.dumps(document))
    command = [sys.executable, "-m", "proxy", "run", "-c", path.name]
    environment = {"PYTHONPATH": str(ROOT)}
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=sidecar.base,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (2, 3)
    assert "another process writes it; each needs its own" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_reload_is_recorded_and_a_bad_one_is_counted(sidecar):
    def wait_for(start: str, value: float) -> None:
        deadline = time.monotonic() + 60
        while metric(sidecar, start) != value:
            assert time.monotonic() < deadline, start
            time.sleep(0.05)

    path = sidecar.base / "sekisho.yaml"
    path.write_text(json.dumps({**sidecar.policy, "policy_id": "the next one"}))
    sidecar.process.send_signal(signal.SIGHUP)
    await asyncio.to_thread(wait_for, 'sekisho_policy_reloads_total{result="ok"}', 1)
    assert metric(sidecar, 'sekisho_policy_info{mode="enforce",policy_id="the next one"') == 1
    assert metric(sidecar, "sekisho_policy_info") == 1
    path.write_text("version: 2")
    sidecar.process.send_signal(signal.SIGHUP)
    await asyncio.to_thread(wait_for, 'sekisho_policy_reloads_total{result="error"}', 1)
    assert metric(sidecar, 'sekisho_policy_info{mode="enforce",policy_id="the next one"') == 1
    await post(sidecar, "app-logs", LEAK)
    records = sidecar.audit_lines()
    assert [record["kind"] for record in records] == ["start", "policy", "retention"]
    assert [record["policy_id"] for record in records] == ["test", "the next one", "the next one"]
    assert len({record["policy_sha256"] for record in records}) == 2
