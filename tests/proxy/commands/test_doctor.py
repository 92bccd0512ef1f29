"""``sekisho doctor``: what is printed for whom, and exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from proxy.doctor import examine as module
from proxy.doctor.examine import Examination, Wishes
from proxy.doctor.rows import Subject

WELL = Subject("policy").ok("good")
ILL = Subject("upstream", "es:9200").broken("no connection: Connection refused", "start it")
SO_SO = Subject("core-dumps").warning("on", "ulimit -c 0")
NOT_SEEN = Subject("trust", "node").skipped("node is not installed here")


@pytest.fixture
def found(monkeypatch):
    """Puts rows in the place of an examination; ``asked`` has what it was asked for."""
    asked: list[tuple[Path, Wishes]] = []

    def put(*rows, policy=True):
        def examine(path, environment, wishes, told):
            asked.append((path, wishes))
            told(0, 1)
            return Examination(object() if policy else None, list(rows))

        monkeypatch.setattr(module, "examine", examine)
        return asked

    return put


def test_lines_in_a_pipe(run, found):
    found(WELL, ILL, SO_SO, NOT_SEEN)
    code, out, err = run("doctor")
    assert (code, err) == (1, "")
    assert (
        out
        == """\
ok       policy            good
broken   upstream es:9200  no connection: Connection refused
                           fix: start it
warning  core-dumps        on
                           fix: ulimit -c 0
skipped  trust node        node is not installed here
1 ok, 1 warning, 1 broken, 1 skipped
"""
    )


@pytest.mark.parametrize(
    ("rows", "policy", "code"),
    [([WELL], True, 0), ([WELL, SO_SO, NOT_SEEN], True, 0), ([WELL, ILL], True, 1), ([ILL], False, 2)],
    ids=["well", "warnings", "broken", "no policy"],
)
def test_exit_codes(run, found, rows, policy, code):
    found(*rows, policy=policy)
    assert run("doctor")[0] == code
    made = json.loads(run("doctor", "--json")[1])
    assert made["ok"] is (code == 0)


def test_for_machines(run, found):
    found(WELL, ILL)
    made = json.loads(run("doctor", "--json", "-c", "p.yaml")[1])
    assert made == {
        "ok": False,
        "file": "p.yaml",
        "counts": {"ok": 1, "warning": 0, "broken": 1, "skipped": 0},
        "rows": [
            {"check": "policy", "about": "", "state": "ok", "seen": "good", "fix": ""},
            {
                "check": "upstream",
                "about": "es:9200",
                "state": "broken",
                "seen": "no connection: Connection refused",
                "fix": "start it",
            },
        ],
    }


def test_a_policy_that_cannot_be_used(run, found):
    found(Subject("policy", "p.yaml:3:1").broken("unknown key", "allowed: mode"), policy=False)
    assert run("doctor")[1].splitlines()[-1] == "the policy cannot be used: nothing else was looked at"


def test_a_table_and_progress_on_a_terminal(run, found, monkeypatch):
    found(WELL, ILL, NOT_SEEN)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    code, out, _ = run("doctor")
    assert code == 1
    assert "what was seen, and what to type" in out
    assert "start it" in out
    assert "fix:" not in out
    assert out.splitlines()[-1] == "1 ok, 1 broken, 1 skipped"


def test_what_is_asked_for(run, found):
    asked = found(WELL)
    run("doctor")
    run("doctor", "-c", "p.yaml", "--client", "node", "--client", "curl", "--card")
    assert asked == [
        (Path("sekisho.yaml"), Wishes()),
        (Path("p.yaml"), Wishes(clients=frozenset({"node", "curl"}), card=True)),
    ]


def test_a_client_that_nobody_knows(run):
    assert run("doctor", "--client", "cobol")[0] == 2
