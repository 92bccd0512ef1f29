"""The committed dashboards are those that the code writes, and every query of them has data after a real run."""

from __future__ import annotations

import asyncio
import json
import math
import re
import socket
import time
from urllib.parse import urlencode

import pytest
import requests
import yaml

from deploy.grafana.dashboards import PLACE, documents
from tests.deploy.prometheus.servers import get, need, prometheus, query, wait_for, watching
from tests.e2e.origin import origin
from tests.sidecar import ROOT, Sidecar, free_port

PAN = "4242424242424242"
GIVEN = {"$__rate_interval": "10s", "$__range": "6h", "$job": "sekisho", "$lane": ".*"}
DOCUMENTS = {name: json.loads(text) for name, text in documents().items()}
PANELS = [(name, panel) for name, board in DOCUMENTS.items() for panel in board["panels"] if panel["type"] != "row"]


def expression(target: dict) -> str:
    text = target["expr"]
    for name, value in GIVEN.items():
        text = text.replace(name, value)
    assert "$" not in text
    return text


def test_the_committed_files_are_what_the_code_writes():
    """Run ``make dashboards`` after a change of deploy/grafana/dashboards.py."""
    assert {path.name: path.read_text() for path in PLACE.iterdir()} == documents()


@pytest.mark.parametrize(
    ("name", "panel"), PANELS, ids=lambda value: value["title"] if isinstance(value, dict) else value
)
def test_a_panel_says_what_it_shows(name, panel):
    assert panel["description"].endswith(".")
    assert panel["targets"]
    sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    assert {source["uid"] for source in sources} == {"${datasource}"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_panels_do_not_overlap(name):
    taken: set[tuple[int, int]] = set()
    for panel in DOCUMENTS[name]["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells


def test_identifiers_differ():
    assert len({board["uid"] for board in DOCUMENTS.values()}) == len(DOCUMENTS)
    for board in DOCUMENTS.values():
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_the_provisioning_names_what_is_there():
    place = ROOT / "deploy" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((place / "datasources" / "prometheus.yaml").read_text())["datasources"]
    (provider,) = yaml.safe_load((place / "dashboards" / "sekisho.yaml").read_text())["providers"]
    assert source["type"] == "prometheus"
    assert provider["options"]["path"].endswith("/grafana/dashboards")


def traffic(sidecar: Sidecar) -> None:
    """Leaks of all kinds, a redaction, what is clean, gaps, a refusal, and an upstream that is not there."""
    number, code = {"card_number": PAN}, {"card_number": PAN, "cvv": "123"}
    for lane, document in (
        ("app-logs", number),
        ("search", code),
        ("watched", number),
        ("gmo", number),
        ("search", {}),
    ):
        requests.post(sidecar.url(lane, "/push"), json=document, timeout=60)
    requests.post(
        sidecar.url("app-logs", "/push"), data=b"x" * 100, headers={"Content-Encoding": "none-such"}, timeout=60
    )
    requests.post(sidecar.url("gone", "/push"), json={}, timeout=60)
    with socket.create_connection(("127.0.0.1", sidecar.port("search")), timeout=60) as client:
        client.sendall(b"NOT HTTP\r\n\r\n")
        client.recv(1000)


def has_data(server: str, text: str) -> bool:
    return any(not math.isnan(float(row["value"][1])) for row in query(server, text))


def exemplars(server: str) -> set[str]:
    """The ids of audit records that Grafana shows as points on the panels that ask for them."""
    asking = [target for _, panel in PANELS for target in panel["targets"] if target.get("exemplar")]
    now = time.time()
    found = [
        get(
            f"{server}/api/v1/query_exemplars?{urlencode({'query': expression(t), 'start': now - 600, 'end': now + 60})}"
        )
        for t in asking
    ]
    return {one["labels"]["audit_id"] for data in found for row in data["data"] for one in row["exemplars"]}


def run(sidecar: Sidecar, tmp_path) -> tuple[dict[str, list[dict]], set[str]]:
    """What each query gives, by "dashboard: panel: query"; the audit records shown as points."""
    with prometheus(tmp_path / "prometheus", watching(sidecar)) as server:
        wait_for(lambda: query(server, "up == 1"), "first scrape")
        traffic(sidecar)
        wait_for(lambda: query(server, "sekisho_refusals_total"), "refusal")
        traffic(sidecar)
        wait_for(lambda: query(server, "sum(increase(sekisho_refusals_total[1m])) > 0"), "second refusal")
        found = {}
        for name, panel in PANELS:
            for target in panel["targets"]:
                text = expression(target)
                what = f"{name}: {panel['title']}: {text}"
                wait_for(lambda text=text: has_data(server, text), what)
                found[what] = query(server, text)
        return found, wait_for(lambda: exemplars(server), "exemplar")


async def test_every_query_has_data(start_sidecar, tmp_path):
    need("prometheus")
    async with origin() as sink:
        lanes = [
            {"name": "app-logs", "upstream": sink.url, "role": "logging", "on_violation": "redact"},
            {"name": "search", "upstream": sink.url, "role": "storage"},
            {"name": "watched", "upstream": sink.url, "role": "storage", "mode": "monitor"},
            {"name": "gmo", "upstream": sink.url, "role": "payment-gateway"},
            {"name": "gone", "upstream": f"http://127.0.0.1:{free_port()}", "role": "storage"},
        ]
        known = {"lane": "search", "path": "$.order_id", "entity": "PAN", "reason": "order ids", "until": "2099-03-31"}
        sidecar = await asyncio.to_thread(start_sidecar, lanes, suppress=[known])
        found, records = await asyncio.to_thread(run, sidecar, tmp_path)
        assert records <= {line["id"] for line in sidecar.audit_lines() if line["kind"] in ("retention", "passthrough")}
    assert len(found) == sum(len(panel["targets"]) for _, panel in PANELS)
    titled = {re.sub(r"^\w+\.json: (.*?): .*$", r"\1", what, flags=re.DOTALL): rows for what, rows in found.items()}
    assert [row["value"][1] for row in titled["Lanes with card data now"]] == ["4"]
    assert [row["value"][1] for row in titled["Lanes in mode monitor"]] == ["1"]
    assert {row["metric"]["lane"] for row in titled["By lane"]} == {"app-logs", "search", "watched", "gmo"}
    assert [row["metric"] for row in titled["By brand"]] == [{"brand": "visa"}]
    assert {row["metric"]["kind"] for row in titled["Last findings"]} == {"retention", "passthrough"}
    assert "SekishoCardDataPassthrough" in {row["metric"]["alertname"] for row in titled["Alerts"]}
