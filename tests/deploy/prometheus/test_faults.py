"""What goes wrong in a real sidecar rings in a real Prometheus: the rules' labels are those that the program says."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import requests

from tests.deploy.prometheus.servers import need, prometheus, query, wait_for, watching
from tests.e2e.origin import OK, origin
from tests.sidecar import Sidecar, free_port

PAN = "4242424242424242"
UNREADABLE = {"data": b"x" * 100, "headers": {"Content-Encoding": "none-such"}}
GOES_BLIND = """
import signal
from detectors.inspector import Inspector
from detectors.model import Inspection

def go_blind(*_):
    Inspector.quiet = lambda *_, **__: True
    Inspector.inspect = lambda *_, **__: Inspection()

signal.signal(signal.SIGUSR1, go_blind)
from proxy.cli import main
main()
"""


def answer(request: bytes) -> bytes:
    """To /old what was stored there once."""
    if b" /old " not in request:
        return OK
    body = json.dumps({"card_number": PAN}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def rings(server: str, alert: str, state: str = "firing", **labels: str) -> None:
    """Waits until the alert is in that state with those labels."""
    inside = {"alertname": alert, "alertstate": state, **labels}
    text = "ALERTS{" + ",".join(f'{name}="{value}"' for name, value in inside.items()) + "}"
    wait_for(lambda: query(server, text), f"{text} in {query(server, 'ALERTS')}")


def spoil(policy: Path, sidecar: Sidecar) -> None:
    policy.write_text("version: 2\n")
    sidecar.process.send_signal(signal.SIGHUP)


def faults(sidecar: Sidecar, base: Path) -> None:
    with prometheus(base / "prometheus", watching(sidecar)) as server:
        wait_for(lambda: query(server, "up == 1"), "first scrape")
        rings(server, "SekishoMonitorMode", "pending", lane="watched")
        rings(server, "SekishoSuppressionExpires", lane="search", entity="PAN")
        for _ in range(6):
            requests.post(sidecar.url("search", "/"), **UNREADABLE, timeout=60)
        requests.post(sidecar.url("watched", "/"), **UNREADABLE, timeout=60)
        requests.post(sidecar.url("watched", "/"), json={"card_number": PAN}, timeout=60)
        requests.get(sidecar.url("search", "/old"), timeout=60)
        rings(server, "SekishoGapsRising", lane="search", reason="unknown-content-encoding")
        rings(server, "SekishoGapsForwarded", lane="watched", reason="unknown-content-encoding")
        rings(server, "SekishoUninspectedBytes", "pending", lane="search")
        rings(server, "SekishoCardDataForwarded", lane="watched", kind="retention", entity="PAN")
        rings(server, "SekishoCardDataStored", lane="search", kind="stored", entity="PAN", verdict="block")
        spoil(base / "sekisho.yaml", sidecar)
        rings(server, "SekishoPolicyReloadFailed")
        size = (base / "var" / "audit.jsonl").stat().st_size
        resource.prlimit(sidecar.process.pid, resource.RLIMIT_FSIZE, (size + 20, resource.RLIM_INFINITY))
        requests.post(sidecar.url("search", "/"), json={"card_number": PAN}, timeout=60)
        rings(server, "SekishoAuditFailing")
        names = {row["metric"]["alertname"] for row in query(server, "ALERTS")}
        assert not names & {"SekishoProbeFailing", "SekishoProbeAbsent", "SekishoTargetDown", "SekishoLaneSilent"}
        sidecar.stop(signal.SIGKILL)
        rings(server, "SekishoTargetDown", "pending")


async def test_faults_ring(start_sidecar, tmp_path):
    need("prometheus")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    known = {"lane": "search", "path": "$.order_id", "entity": "PAN", "reason": "order ids", "until": tomorrow}
    async with origin(answer) as sink:
        lanes = [
            {"name": "search", "upstream": sink.url, "role": "storage"},
            {"name": "watched", "upstream": sink.url, "role": "storage", "mode": "monitor"},
        ]
        sidecar = await asyncio.to_thread(start_sidecar, lanes, suppress=[known])
        await asyncio.to_thread(faults, sidecar, tmp_path)


def blindness(sidecar: Sidecar, base: Path) -> None:
    with prometheus(base / "prometheus", watching(sidecar)) as server:
        wait_for(lambda: query(server, "sekisho_probe_success == 1"), "good probe")
        assert query(server, 'ALERTS{alertname=~"SekishoProbe.*"}') == []
        sidecar.process.send_signal(signal.SIGUSR1)
        rings(server, "SekishoProbeFailing", lane="search")
    assert requests.get(f"http://{sidecar.policy['admin']['listen']}/readyz", timeout=60).status_code == 503


async def test_an_inspector_that_goes_blind_rings(start_sidecar, tmp_path):
    need("prometheus")
    lanes = [{"name": "search", "upstream": "http://127.0.0.1:9", "role": "storage"}]
    admin = {"listen": f"127.0.0.1:{free_port()}", "probe_seconds": 1}
    sidecar = await asyncio.to_thread(start_sidecar, lanes, program=("-c", GOES_BLIND), admin=admin)
    await asyncio.to_thread(blindness, sidecar, tmp_path)
