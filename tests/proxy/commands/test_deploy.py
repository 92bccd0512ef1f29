"""``sekisho deploy``: what is written where, and exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml


@pytest.fixture(autouse=True)
def _no_names(monkeypatch):
    monkeypatch.setattr("proxy.bypass.watch.resolve", lambda name: ())


def test_to_standard_output(run, policy):
    policy()
    code, out, err = run("deploy", "networkpolicy", "--pod-selector", "app=shop,tier=web", "--namespace", "shop")
    made = yaml.safe_load(out)
    assert code == 0
    assert made["metadata"] == {"name": "sekisho", "namespace": "shop"}
    assert made["spec"]["podSelector"] == {"matchLabels": {"app": "shop", "tier": "web"}}
    number, _, what = err.splitlines()[0].removeprefix("line ").partition(": ")
    assert what.startswith("loki:80 (lane logs): compare label and port with kubectl ")
    assert out.splitlines()[int(number) - 1].strip().startswith("# loki:80 (lane logs): ")


def test_to_a_file(run, policy, tmp_path):
    policy()
    code, out, err = run("deploy", "networkpolicy", "--pod-selector", "app=shop", "--name", "out", "-o", "np.yaml")
    assert (code, out) == (0, "")
    assert yaml.safe_load(Path("np.yaml").read_text())["metadata"] == {"name": "out"}
    assert err.startswith("np.yaml:")


WRONG = {
    "no selector": ([], "--pod-selector"),
    "a selector without values": (
        ["--pod-selector", "app"],
        "--pod-selector: not labels: write them like app=shop,tier=backend",
    ),
    "a selector that is YAML": (["--pod-selector", 'app="}'], "--pod-selector: not labels"),
    "a selector with a line": (["--pod-selector", "app=a\nb=c"], "--pod-selector: not labels"),
    "an empty selector": (["--pod-selector", ""], "--pod-selector: not labels"),
    "no name": (["--pod-selector", "app=shop", "--name", ""], "--name: not a name"),
    "a name that is YAML": (["--pod-selector", "app=shop", "--name", "a: b"], "--name: not a name"),
    "a namespace in capitals": (["--pod-selector", "app=shop", "--namespace", "Shop"], "--namespace: not a name"),
    "nowhere to write": (
        ["--pod-selector", "app=shop", "-o", "no/such/np.yaml"],
        "no/such/np.yaml: cannot be written: No such",
    ),
}


@pytest.mark.parametrize(("arguments", "why"), WRONG.values(), ids=WRONG)
def test_what_is_refused(run, policy, arguments, why):
    policy()
    code, out, err = run("deploy", "networkpolicy", *arguments)
    assert (code, out) == (2, "")
    assert why in err


def test_a_bad_policy(run):
    assert run("deploy", "networkpolicy", "--pod-selector", "app=shop")[0] == 2
