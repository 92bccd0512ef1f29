from __future__ import annotations

import types

import pytest
from mitmproxy.connection import Server

from proxy.http.seat import LaneSeat, Rules, Table
from tests.e2e.plane import policy
from tests.proxy.doubles import RecordingMeter


def seat(base, row, meter=None):
    rules = policy(base, row)
    table = Table(Rules.of(rules), meter or RecordingMeter())
    return LaneSeat(table, rules.lanes[0], 4096, 60)


def test_a_reverse_seat(tmp_path):
    found = seat(tmp_path, {"upstream": "https://es.example:9200", "limits": {"body": 5000}})
    context = types.SimpleNamespace(server=Server(address=None))
    found.prepare(context)
    assert (context.server.address, context.server.tls) == (("es.example", 9200), True)
    assert found.server_name("anything") == "es.example"
    assert found.body_limit("anything") == 5000
    assert not found.forward


def test_a_forward_seat(tmp_path):
    destinations = [{"hosts": ["a.example"], "role": "logging"}]
    found = seat(tmp_path, {"upstream": "forward", "destinations": destinations, "limits": {"body": 5000}})
    context = types.SimpleNamespace(server=Server(address=None))
    found.prepare(context)
    assert context.server.address is None
    assert found.server_name("a.example") == "a.example"
    assert found.body_limit("a.example") == found.body_limit("unlisted.example") == 5000
    assert found.forward


def test_a_seat_follows_a_reload_to_the_same_place(tmp_path):
    found = seat(tmp_path, {"upstream": "http://a:1"})
    new = policy(tmp_path, {"upstream": "http://a:1", "mode": "monitor"})
    found.table.rules = Rules.of(new)
    assert found.lane is new.lanes[0]
    assert not found.draining


@pytest.mark.parametrize("row", [{"upstream": "http://b:1"}, {"upstream": "http://a:1", "name": "other"}])
def test_a_seat_does_not_follow_to_another_place(tmp_path, row):
    found = seat(tmp_path, {"upstream": "http://a:1"})
    found.table.rules = Rules.of(policy(tmp_path, row))
    assert found.lane is found.bound
    assert found.draining


def test_a_meter_that_fails_does_not_matter(tmp_path):
    class Broken:
        def __getattr__(self, _):
            raise OSError("no")

    found = seat(tmp_path, {"upstream": "http://a:1"}, Broken())
    found.upstream_failed("upstream-failed", None)
    found.refused("slow-body")


@pytest.mark.parametrize("error", ["client disconnected", "cut"])
def test_a_client_that_left_is_no_upstream_error(tmp_path, error):
    meter = RecordingMeter()
    seat(tmp_path, {"upstream": "http://a:1"}, meter).upstream_failed("upstream-unreachable", error)
    assert meter.named("upstream_error") == []


LOGS = {"role": "logging", "hosts": ["logs.example", "10.0.0.1"]}
FRONTING = {
    "the same": ("logs.example", "logs.example", False),
    "in other letters": ("logs.example", "LOGS.Example.", False),
    "of the same destination": ("10.0.0.1", "logs.example", False),
    "of one with the same rules": ("logs.example", "more.example", False),
    "of a stricter destination": ("lax.example", "logs.example", True),
    "of a laxer destination": ("logs.example", "lax.example", True),
    "of nobody's": ("logs.example", "evil.example", True),
    "no host name": ("logs.example", "", True),
    "nor listed here": ("evil.example", "worse.example", False),
    "watched as well": ("lax.example", "idle.example", False),
}


@pytest.mark.parametrize(("name", "host", "escapes"), FRONTING.values(), ids=FRONTING)
def test_a_host_that_would_escape_its_rules(tmp_path, name, host, escapes):
    lax = {"role": "external", "mode": "monitor"}
    destinations = [
        LOGS,
        {"role": "logging", "hosts": ["more.example"]},
        {**lax, "hosts": ["lax.example"]},
        {**lax, "hosts": ["idle.example"], "on_gap": "report"},
    ]
    for upstream in ("forward", "transparent"):
        assert seat(tmp_path, {"upstream": upstream, "destinations": destinations}).fronts(name, host) is escapes


def test_calls_to_the_gateway_are_judged_as_such(tmp_path):
    """Also where all hosts have the same rules: there are more for it."""
    found = seat(tmp_path, {"upstream": "forward", "unlisted": "external"})
    assert found.fronts("front.example", "p01.mul-pay.jp")
    assert not found.fronts("front.example", "other.example")


def test_with_one_upstream_the_client_has_no_say(tmp_path):
    assert not seat(tmp_path, {"upstream": "https://es.example"}).fronts("es.example", "anything.example")
