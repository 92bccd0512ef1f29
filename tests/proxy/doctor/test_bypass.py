"""Connections and variables that lead around a lane."""

from __future__ import annotations

import pytest

from proxy.bypass.sockets import Connection, Endpoint, Sockets
from proxy.doctor import bypass
from proxy.doctor.process import Owner
from proxy.doctor.sidecar import Sidecar
from tests.e2e.plane import policy

HOSTS = [{"hosts": ["p01.mul-pay.jp", "*.sentry.io"], "role": "external"}]
SECRET = "user:hunter2@"


NOW = 1_800_000_000.0
US, THEM = 1000, 1001


def linked(uid, remote, protocol="tcp"):
    return Connection(protocol, Endpoint("10.0.0.5", 40_000), Endpoint(*remote), "connected", uid, 7)


LOKI = ("10.0.3.7", 3100)
CLOSE = "sekisho deploy networkpolicy -c {file} writes the rules that close the way: docs/bypass.md"


@pytest.mark.parametrize(
    ("open_", "name", "state", "seen"),
    [
        ((THEM, LOKI), "bypass logs", "broken", "user 1001 has a connection to what the lane leads to: 10.0.3.7:3100"),
        ((US, LOKI), "bypass", "ok", "no connection of this machine goes around the lanes, nor has one for an hour"),
        (
            (THEM, ("8.8.8.8", 443)),
            "bypass egress",
            "warning",
            "user 1001 has a connection to an address that no lane leads to: 8.8.8.8:443",
        ),
        (
            (THEM, ("8.8.8.8", 443), "udp"),
            "bypass quic",
            "warning",
            "user 1001 has HTTP/3, which no lane speaks: 8.8.8.8:443",
        ),
    ],
)
def test_what_is_open(tmp_path, open_, name, state, seen):
    rules = policy(tmp_path, {"name": "logs", "upstream": "http://10.0.3.7:3100"})
    table = Sockets((linked(*open_), linked(*open_)))
    (row,) = bypass.connections(rules, table, Owner(US), Sidecar(()))
    assert (row.name, row.state, row.seen) == (name, state, seen)
    assert row.fix.endswith("" if state == "ok" else CLOSE.format(file=rules.path))


def test_a_name_is_looked_up(tmp_path, monkeypatch):
    monkeypatch.setattr(bypass, "resolve", lambda name: {"loki": ("10.0.3.7",)}[name])
    rules = policy(tmp_path, {"name": "logs", "upstream": "http://loki:3100"})
    (row,) = bypass.connections(rules, Sockets((linked(THEM, LOKI),)), Owner(US), Sidecar(()))
    assert row.state == "broken"


def test_what_the_sidecar_has_seen(tmp_path):
    rules = policy(tmp_path, {"name": "logs", "upstream": "http://10.0.3.7:3100"})
    seen = [
        ("sekisho_bypass_timestamp_seconds", {"lane": "logs", "kind": "direct"}, NOW - 120),
        ("sekisho_bypass_timestamp_seconds", {"lane": "logs", "kind": "silent"}, NOW - 7200),
        ("sekisho_probe_timestamp_seconds", {"lane": "logs"}, NOW),
    ]
    (row,) = bypass.connections(rules, Sockets(), Owner(US), Sidecar(tuple(seen), at=NOW))
    assert (row.name, row.state) == ("bypass-seen logs direct", "warning")
    assert row.seen == "the sidecar saw a connection to what the lane leads to 2 minutes ago"
    assert row.fix == f"grep bypass {rules.audit.path}; {CLOSE.format(file=rules.path)}"


def test_whose_connections_are_whose_is_not_known(tmp_path):
    rules = policy(tmp_path, {"name": "logs", "upstream": "http://10.0.3.7:3100"})
    (row,) = bypass.connections(rules, Sockets((linked(THEM, LOKI),)), Owner(), Sidecar(()))
    assert row.state == "skipped"


def test_a_table_that_was_not_read_to_its_end(tmp_path):
    rules = policy(tmp_path, {"name": "logs", "upstream": "http://10.0.3.7:3100"})
    (row,) = bypass.connections(rules, Sockets(whole=False), Owner(US), Sidecar(()))
    assert row.state == "ok"
    assert row.seen.endswith("; the socket table is too long to be looked through whole")


def test_root_sees_less(tmp_path):
    rules = policy(tmp_path, {"name": "logs", "upstream": "http://10.0.3.7:3100"})
    (row,) = bypass.connections(rules, Sockets(), Owner(0), Sidecar(()))
    assert row.seen.endswith("; other processes of root would not be seen")


@pytest.fixture
def rules(tmp_path):
    return policy(
        tmp_path,
        {"name": "logs", "upstream": "http://loki:3100"},
        {"name": "egress", "listen": "127.0.0.1:8081", "upstream": "forward", "destinations": HOSTS},
    )


USE = "export HTTP_PROXY=http://127.0.0.1:8081 HTTPS_PROXY=http://127.0.0.1:8081"
LANE = "http://127.0.0.1:8081"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, [("", "skipped", f"HTTP_PROXY and HTTPS_PROXY not set here; where the application runs: {USE}", "")]),
        (
            {"HTTP_PROXY": LANE, "https_proxy": "localhost:8081"},
            [("HTTP_PROXY", "ok", "leads to lane egress", ""), ("HTTPS_PROXY", "ok", "leads to lane egress", "")],
        ),
        (
            {"HTTP_PROXY": LANE, "HTTPS_PROXY": f"http://{SECRET}corp:3128"},
            [
                ("HTTP_PROXY", "ok", "leads to lane egress", ""),
                ("HTTPS_PROXY", "warning", "leads to corp:3128, around lane egress", USE),
            ],
        ),
        (
            {"HTTP_PROXY": LANE, "http_proxy": "http://127.0.0.1:9999", "HTTPS_PROXY": "http://[::"},
            [
                ("HTTP_PROXY", "ok", "leads to lane egress", ""),
                ("HTTP_PROXY", "warning", "leads to 127.0.0.1:9999, around lane egress", USE),
                ("HTTPS_PROXY", "warning", "leads to what is no address, around lane egress", USE),
            ],
        ),
        (
            {"HTTP_PROXY": LANE, "HTTPS_PROXY": LANE, "NO_PROXY": "localhost, .mul-pay.jp,10.0.0.0/8"},
            [
                ("HTTP_PROXY", "ok", "leads to lane egress", ""),
                ("HTTPS_PROXY", "ok", "leads to lane egress", ""),
                (
                    "NO_PROXY",
                    "warning",
                    '".mul-pay.jp" lets p01.mul-pay.jp go around lane egress',
                    "export NO_PROXY=localhost,10.0.0.0/8",
                ),
            ],
        ),
        (
            {"HTTP_PROXY": LANE, "HTTPS_PROXY": LANE, "no_proxy": "localhost"},
            [
                ("HTTP_PROXY", "ok", "leads to lane egress", ""),
                ("HTTPS_PROXY", "ok", "leads to lane egress", ""),
                ("NO_PROXY", "ok", "no host of a forward lane is in it", ""),
            ],
        ),
    ],
)
def test_variables(rules, environment, expected):
    rows = list(bypass.variables(rules, environment))
    assert [(row.about, row.state, row.seen, row.fix) for row in rows] == expected
    assert "hunter2" not in repr(rows)


def test_without_a_forward_lane_they_mean_nothing(tmp_path):
    rules = policy(tmp_path, {"upstream": "http://loki:3100"})
    assert list(bypass.variables(rules, {"HTTPS_PROXY": "http://corp:3128"})) == []


@pytest.mark.parametrize(
    ("entry", "pattern", "lets"),
    [
        ("*", "p01.mul-pay.jp", True),
        ("p01.mul-pay.jp", "p01.mul-pay.jp", True),
        ("P01.Mul-Pay.JP", "p01.mul-pay.jp", True),
        ("mul-pay.jp", "p01.mul-pay.jp", True),
        (".mul-pay.jp", "p01.mul-pay.jp", True),
        ("*.mul-pay.jp", "p01.mul-pay.jp", True),
        ("p01.mul-pay.jp:443", "p01.mul-pay.jp", True),
        ("pay.jp", "p01.mul-pay.jp", False),
        ("sentry.io", "*.sentry.io", True),
        ("o1.sentry.io", "*.sentry.io", True),
        ("io", "*.sentry.io", True),
        ("xsentry.io", "*.sentry.io", False),
        ("localhost", "*.sentry.io", False),
        (":", "*.sentry.io", False),
    ],
)
def test_what_an_entry_lets_around(entry, pattern, lets):
    assert bypass.lets(entry, pattern) is lets


@pytest.mark.parametrize(
    ("listen", "host", "leads"),
    [
        ("127.0.0.1:8081", "127.0.0.1", True),
        ("127.0.0.1:8081", "localhost", True),
        ("127.0.0.1:8081", "10.0.0.9", False),
        ("127.0.0.1:8081", "sekisho", False),
        ("0.0.0.0:8081", "sekisho", True),
        ("0.0.0.0:8081", "10.0.0.9", True),
        ("localhost:8081", "127.0.0.1", True),
        ("localhost:8081", "10.0.0.9", False),
    ],
)
def test_where_a_proxy_leads(tmp_path, listen, host, leads):
    (lane,) = policy(tmp_path, {"listen": listen, "upstream": "forward", "destinations": HOSTS}).lanes
    assert bypass.leads_to(type(lane.listen)(host, 8081), lane) is leads
    assert bypass.leads_to(type(lane.listen)(host, 8082), lane) is False
