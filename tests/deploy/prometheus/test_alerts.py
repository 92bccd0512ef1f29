"""Every alert rings when it must and is silent when it must be, as Prometheus' own tester evaluates the shipped rules."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.prometheus.alert_cases import CASES, Case
from tests.deploy.prometheus.servers import PLACE, need
from tests.sidecar import ROOT

RULES = [PLACE / "recording.yaml", PLACE / "alerts.yaml"]
ALERTS = {
    rule["alert"]: rule
    for group in yaml.safe_load(RULES[1].read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}


def promtool(*arguments: str | Path, cwd: Path = PLACE) -> str:
    run = subprocess.run(
        [need("promtool"), *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def annotations(alert: str, labels: dict[str, str]) -> dict[str, str]:
    def filled(text: str) -> str:
        return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda name: labels[name[1]], text)

    return {name: filled(text) for name, text in ALERTS[alert]["annotations"].items()}


def expected(case: Case, minute: int) -> dict[str, object]:
    return {
        "alertname": case.alert,
        "eval_time": f"{minute}m",
        "exp_alerts": [
            {"exp_labels": ALERTS[case.alert]["labels"] | labels, "exp_annotations": annotations(case.alert, labels)}
            for labels in case.fires[minute]
        ],
    }


def test_the_rules_are_valid():
    promtool("check", "rules", *RULES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}-{case.says}")
def test_alert(case, tmp_path):
    document = {
        "rule_files": [str(path) for path in RULES],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
                "alert_rule_test": [expected(case, minute) for minute in case.fires],
            }
        ],
    }
    path = tmp_path / "test.yaml"
    path.write_text(json.dumps(document))
    promtool("test", "rules", path)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_rung_and_been_silent(alert):
    minutes = [fired for case in CASES if case.alert == alert for fired in case.fires.values()]
    assert any(minutes)
    assert not all(minutes)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_where_and_what_to_do(alert):
    rule = ALERTS[alert]
    assert set(rule["labels"]) == {"severity"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    named = {
        name for case in CASES if case.alert == alert for fired in case.fires.values() for one in fired for name in one
    }
    text = rule["annotations"]["summary"] + rule["annotations"]["description"]
    missing = {name for name in named & {"lane", "kind", "entity", "reason", "where"} if f"$labels.{name}" not in text}
    assert missing == set()


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_its_runbook(alert):
    base, _, rest = ALERTS[alert]["annotations"]["runbook_url"].partition("/docs/")
    file, _, anchor = rest.partition("#")
    text = (ROOT / "docs" / file).read_text()
    assert base == "https://sekisho.example"
    assert anchor == alert.lower()
    (section,) = [part for part in re.split(r"^## ", text, flags=re.MULTILINE) if part.startswith(f"{alert}\n")]
    assert "First ten minutes" in section


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_is_listed(alert):
    listed = (ROOT / "docs" / "monitoring.md").read_text()
    (row,) = [line for line in listed.splitlines() if line.startswith(f"| `{alert}` |")]
    runbook = ALERTS[alert]["annotations"]["runbook_url"].partition("/docs/")[2].partition("#")[0]
    assert row.split(" | ")[1] == ALERTS[alert]["labels"]["severity"]
    assert f"]({runbook})" in row


def test_no_runbook_for_an_alert_that_is_not_there():
    headed = [
        name
        for path in (ROOT / "docs" / "runbooks").glob("*.md")
        for name in re.findall(r"^## (Sekisho\w+)$", path.read_text(), re.MULTILINE)
    ]
    assert sorted(headed) == sorted(ALERTS)


def test_every_series_in_the_rules_exists():
    from proxy.metrics.series import SERIES

    known = {row.name + end for row in SERIES for end in ("", "_bucket")}
    used = {name for path in RULES for name in re.findall(r"\bsekisho_\w+", path.read_text())}
    assert used - known == set()


@pytest.mark.parametrize("name", ["prometheus.yml", "alertmanager.yml"])
def test_the_example_configurations_are_valid(name):
    if name == "prometheus.yml":
        promtool("check", "config", name)
    else:
        run = subprocess.run(
            [need("amtool"), "check-config", name], cwd=PLACE, capture_output=True, text=True, check=False, timeout=60
        )
        assert run.returncode == 0, run.stdout + run.stderr
