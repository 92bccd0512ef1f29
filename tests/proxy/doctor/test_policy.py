"""What is said of the policy file."""

from __future__ import annotations

from datetime import date

import pytest

from proxy.doctor import policy as policy_file
from proxy.policy import PolicyError, load
from proxy.policy.errors import Mark, Problem
from tests.e2e.plane import policy

TODAY = date(2026, 11, 22)


def test_a_good_one(tmp_path):
    (row,) = policy_file.rows(policy(tmp_path, {"upstream": "http://127.0.0.1:1"}), TODAY)
    assert (row.name, row.state, row.seen) == ("policy", "ok", "good: test, mode enforce")


def test_one_that_deserves_a_second_look(tmp_path):
    row = {"upstream": "http://127.0.0.1:1", "mode": "monitor", "allow_test_numbers": True}
    rules = policy(tmp_path, row)
    (found,) = policy_file.rows(rules, TODAY)
    assert found.state == "warning"
    assert found.seen == (
        'good: test, mode enforce, but lane "lane" is in mode monitor: card data is recorded and passes '
        "(enforce stops it) (and 1 more)"
    )
    assert found.fix == f"sekisho check {rules.path}"


def test_a_key_that_everybody_reads(tmp_path):
    rules = policy(tmp_path, {"upstream": "http://127.0.0.1:1"})
    rules.audit.fingerprint_key_file.chmod(0o644)
    with pytest.raises(PolicyError) as raised:
        load(rules.path)
    (row,) = policy_file.unusable(raised.value)
    assert (row.check, row.state) == ("policy", "broken")
    assert row.seen == "the key file can be read by others (mode 0644)"
    assert row.fix == f"chmod 600 {rules.audit.fingerprint_key_file}"


def test_every_error_has_a_fix(tmp_path):
    problems = [
        Problem(Mark(3, 1), "unknown key", "allowed: mode"),
        Problem(Mark(4, 2), "the key file cannot be opened", "Permission denied"),
        Problem(Mark(5, 2), "not so"),
    ]
    rows = list(policy_file.unusable(PolicyError(tmp_path / "our rules" / "p.yaml", problems)))
    assert [(row.about, row.fix) for row in rows] == [
        ("p.yaml:3:1", "allowed: mode"),
        ("p.yaml:4:2", "run this as the sidecar's user, or as root"),
        ("p.yaml:5:2", f"mend it, then: sekisho check '{tmp_path}/our rules/p.yaml'"),
    ]
