"""The demo's records as a report: every number of it is found again in the audit file, and no card number is in it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.demo.scenarios import SCENARIOS
from proxy.demo.stage import open_stage
from proxy.demo.story import play_one
from tests.published_numbers import card_numbers_in
from tests.sidecar import ROOT


def sekisho(base: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "proxy", *arguments, "--key", "secrets/fingerprint.key", "var"]
    environment = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=base, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
async def demo(tmp_path, monkeypatch):
    """What the demo's sidecar has left behind when it has stopped: its policy, key and audit file."""
    monkeypatch.setattr("proxy.demo.stage.tempfile.TemporaryDirectory", lambda **_: nullcontext(str(tmp_path)))
    async with open_stage("enforce") as stage:
        for scenario in SCENARIOS:
            await play_one(stage, scenario)
    return tmp_path


async def test_the_report_of_a_demo(demo):
    today = f"{datetime.now(UTC).date()}"
    records = [json.loads(line) for line in (demo / "var" / "audit.jsonl").read_text().splitlines()]
    days = ("--from", min(records[0]["ts"][:10], today), "--to", today)
    done = sekisho(demo, "report", *days, "--out", "report.html")
    assert (done.returncode, done.stderr) == (0, "")
    figures = json.loads((demo / "report.json").read_text())
    assert figures["records"] == {
        "total": len(records),
        "kinds": dict(sorted(Counter(record["kind"] for record in records).items())),
    }
    assert figures["chains"][0]["last_hash"] == records[-1]["hash"]
    findings = Counter(
        (record["kind"], record["lane"], finding["entity"], finding["brand"], finding["verdict"])
        for record in records
        for finding in record["findings"]
    )
    counted: Counter[tuple[str, ...]] = Counter()
    for row in figures["violations"]["rows"]:
        counted[row["kind"], row["lane"], row["entity"], row["brand"], row["verdict"]] += row["count"]
    assert counted == findings
    assert figures["violations"]["total"] == findings.total() > 0
    (covered,) = [record["coverage"]["lanes"] for record in records if record["kind"] == "coverage"]
    assert {name: lane["messages"] for name, lane in figures["lanes"].items()} == {
        name: lane["messages"] for name, lane in covered.items()
    }
    blocked = Counter(record["lane"] for record in records if record["verdict"] == "block")
    assert {name: lane["messages"]["block"] for name, lane in covered.items() if "block" in lane["messages"]} == blocked
    assert figures["spans"]["uncovered"] == []
    assert [(row["policy_id"], row["sha256"]) for row in figures["policies"]] == [
        (records[0]["policy_id"], records[0]["policy_sha256"])
    ]
    stopped = {row["id"]: row["figures"] for row in figures["requirements"]}
    assert stopped["非保持化: 通過"]["forwarded"] == stopped["非保持化: 保存"]["forwarded"] == 0
    text = (demo / "report.html").read_text() + (demo / "report.json").read_text()
    assert card_numbers_in(text) == []
    for record in records:
        for finding in record["findings"]:
            assert not finding["fingerprint"] or finding["fingerprint"] not in text

    path = demo / "var" / "audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"block"', b'"allow"', 1))
    done = sekisho(demo, "report", *days, "--out", "report.html")
    assert done.returncode == 1
    assert 'class="say bad">The records are NOT whole' in (demo / "report.html").read_text()
