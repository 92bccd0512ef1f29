"""Looks that fail, hang or find nothing to look at, and which looks there are."""

from __future__ import annotations

import os
import threading

import pytest

from proxy.authority import make, write
from proxy.doctor import examine as module
from proxy.doctor.examine import Look, Wishes, examine, take
from proxy.doctor.rows import Subject
from tests.e2e.plane import policy
from tests.sidecar import free_port

AT = Subject("disk", "/var")
NUMBER = "4111111111111111"


def failing():
    yield AT.ok("so far")
    raise ValueError(NUMBER)


def told(_ended, _all):
    pass


def test_a_look_that_fails_says_so_and_no_more():
    rows = take([Look(AT, failing), Look(AT, lambda: [AT.ok("well")])], told)
    assert [(row.state, row.seen) for row in rows] == [
        ("ok", "so far"),
        ("broken", "could not be checked: ValueError"),
        ("ok", "well"),
    ]
    assert rows[1].fix
    assert NUMBER not in repr(rows)


def test_a_look_that_does_not_end_holds_nobody_up():
    forever = threading.Event()
    rows = take([Look(AT, lambda: iter(forever.wait, True), 0.05), Look(AT, lambda: [AT.ok("well")])], told)
    forever.set()
    assert [row.seen for row in rows] == ["could not be checked: not finished in 0 s", "well"]


def test_all_looks_are_taken_at_once():
    met = threading.Barrier(3)

    def meet():
        met.wait(60)
        return [AT.ok("met")]

    steps = []
    rows = take([Look(AT, meet)] * 3, lambda ended, whole: steps.append((ended, whole)))
    assert [row.seen for row in rows] == ["met"] * 3
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_a_policy_that_cannot_be_used(tmp_path):
    path = tmp_path / "sekisho.yaml"
    path.write_text("version: 2\n")
    found = examine(path, {}, Wishes(), told)
    assert found.policy is None
    assert {(row.check, row.state) for row in found.rows} == {("policy", "broken")}
    assert found.count("broken") == len(found.rows) >= 1


@pytest.fixture
def set_up(tmp_path):
    """A policy with one lane of each kind, for which nothing runs."""
    private = tmp_path / "ca.pem"
    write(private, make("shop CA", 365), new=True)
    hosts = [{"hosts": ["*.mul-pay.jp"], "role": "payment-gateway"}]
    listen = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    return policy(
        tmp_path,
        {"name": "logs", "listen": listen[0], "upstream": f"http://127.0.0.1:{free_port()}"},
        {
            "name": "egress",
            "listen": listen[1],
            "upstream": "forward",
            "destinations": hosts,
            "tls": {"intercept_ca_file": str(private)},
        },
    ).path


@pytest.mark.parametrize("card", [False, True])
def test_nothing_runs(set_up, card):
    found = examine(set_up, {"PATH": ""}, Wishes(card=card), told)
    states = [(row.name, row.state) for row in found.rows]
    refusal = [("lane-refusal logs", "skipped")], [("lane-refusal egress", "skipped")]
    port = found.policy.lanes[0].upstream.port
    assert states == [
        ("policy", "ok"),
        ("sidecar", "broken"),
        ("lane logs", "skipped"),
        *(refusal[0] if card else []),
        ("lane egress", "skipped"),
        *(refusal[1] if card else []),
        ("certificate egress interception", "ok"),
        (f"upstream 127.0.0.1:{port}", "broken"),
        ("upstream *.mul-pay.jp", "skipped"),
        *((f"trust {name}", "skipped") for name in ("python", "requests", "node", "java", "curl")),
        ("file plane.yaml", "ok"),
        ("file fingerprint.key", "ok"),
        ("file ca.pem", "ok"),
        ("audit-file audit.jsonl", "ok"),
        (f"disk {set_up.parent}", "ok"),
        ("proxy-variable", "skipped"),
    ]


def test_clients_that_the_user_names_are_needed(set_up):
    found = examine(set_up, {"PATH": ""}, Wishes(clients=frozenset({"node"})), told)
    assert [row.state for row in found.rows if row.check == "trust"] == [
        "skipped",
        "skipped",
        "broken",
        "skipped",
        "skipped",
    ]


def test_a_client_is_not_asked_where_no_lane_has_an_authority(tmp_path):
    lane = {"name": "logs", "listen": f"127.0.0.1:{free_port()}", "upstream": f"http://127.0.0.1:{free_port()}"}
    found = examine(policy(tmp_path, lane).path, {"PATH": ""}, Wishes(clients=frozenset({"node"})), told)
    (row,) = (row for row in found.rows if row.check == "trust")
    assert (row.name, row.state) == ("trust node", "skipped")
    assert row.seen.startswith("no lane has tls.intercept_ca_file")


def test_certificates_that_cannot_be_used(set_up, monkeypatch):
    def refuse(_):
        raise module.TlsFileError("ca.pem", "holds no readable PEM certificate")

    monkeypatch.setattr(module.Rules, "of", refuse)
    found = examine(set_up, {"PATH": ""}, Wishes(), told)
    (row,) = (row for row in found.rows if row.check == "certificate")
    assert (row.state, row.seen) == ("broken", "ca.pem: holds no readable PEM certificate")


@pytest.mark.parametrize("part", [(module.sidecar, "ask"), (module.process, "find"), (module.Rules, "of")])
def test_a_strange_machine_is_no_reason_to_stop(set_up, monkeypatch, part):
    def fail(*_):
        raise MemoryError(NUMBER)

    monkeypatch.setattr(*part, fail)
    monkeypatch.setattr(module.sockets, "read", lambda: fail_with(OSError(NUMBER)))
    found = examine(set_up, {"PATH": ""}, Wishes(), told)
    assert NUMBER not in repr(found.rows)
    assert "broken" in {row.state for row in found.rows}


def fail_with(error):
    raise error


@pytest.mark.parametrize(("uids", "state"), [((), "skipped"), ((os.geteuid(),), "broken")])
def test_a_stranger_goes_around_no_lane(tmp_path, monkeypatch, uids, state):
    """To the sidecar's watch, whoever else connects to an upstream goes around the lane."""
    monkeypatch.setattr(module.process, "find", lambda _: module.process.Owner(64_000))
    lane = {"name": "logs", "listen": f"127.0.0.1:{free_port()}", "upstream": f"http://127.0.0.1:{free_port()}"}
    path = policy(tmp_path, lane, bypass={"allowed_uids": uids}).path
    (row,) = (row for row in examine(path, {"PATH": ""}, Wishes(), told).rows if row.check == "upstream")
    assert row.state == state
    assert row.seen.endswith(f"sudo -u '#64000' sekisho doctor -c {path}") is (state == "skipped")


def test_everything_that_is_not_well_has_a_fix(set_up):
    rows = examine(set_up, {"PATH": "", "HTTPS_PROXY": "http://corp:1"}, Wishes(), told).rows
    assert {row.state for row in rows} == {"ok", "warning", "broken", "skipped"}
    assert [row.name for row in rows if (row.state in ("warning", "broken")) != bool(row.fix)] == []
