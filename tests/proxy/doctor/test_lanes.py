"""Who answers on a lane's address, and what becomes of a card number sent there."""

from __future__ import annotations

import asyncio

import pytest

from proxy.doctor import lanes, wire
from proxy.doctor.sidecar import Sidecar
from tests.e2e.authority import authority, pair, server_context
from tests.e2e.origin import OK, origin
from tests.e2e.plane import ALLOW, ScriptedGuard, boundary, plane, policy
from tests.e2e.plane import BLOCK as CARD
from tests.sidecar import free_port

SIDECAR = Sidecar(())
HOSTS = [{"hosts": ["*.mul-pay.jp"], "role": "payment-gateway"}]


def on(rules, port):
    """The lane of a policy, where it really listens."""
    (lane,) = rules.lanes
    return lane.model_copy(update={"listen": type(lane.listen)("127.0.0.1", port)})


async def looked(lane, sidecar=SIDECAR):
    return await asyncio.to_thread(lambda: list(lanes.rows(lane, sidecar)))


@pytest.mark.parametrize("mode", ["enforce", "monitor"])
@pytest.mark.parametrize("upstream", ["http", "forward", "transparent"])
async def test_a_lane_is_known_by_its_answer(tmp_path, upstream, mode):
    async with origin() as server:
        row = {"upstream": server.url} if upstream == "http" else {"upstream": upstream, "destinations": HOSTS}
        rules = policy(tmp_path, row, mode=mode)
        async with plane(ScriptedGuard(rules)) as running:
            (row,) = await looked(on(rules, running.port()))
        assert (row.name, row.state) == ("lane lane", "ok")
        assert row.seen.endswith("answers as a lane of Sekisho")
        assert server.connections == 0


@pytest.mark.parametrize(
    "reply", [OK, b"220 mail.example\r\n", lambda _: None, b'HTTP/1.1 405 No\r\n\r\n{"type":"about:blank"}']
)
async def test_another_program_has_the_port(tmp_path, reply):
    rules = policy(tmp_path, {"upstream": "http://127.0.0.1:1"})
    async with origin(lambda sent: reply(sent) if callable(reply) else reply + b"\r\nconnection: close") as server:
        (row,) = await looked(on(rules, server.port))
        assert row.state == "broken"
        assert row.seen == f"what answers on 127.0.0.1:{server.port} is not Sekisho: another program has this port"
        assert row.fix == f"see which: ss -ltnp 'sport = :{server.port}'; stop it, or change the lane's listen"


@pytest.mark.parametrize(("sidecar", "state"), [(SIDECAR, "broken"), (None, "skipped")])
async def test_nobody_listens(tmp_path, sidecar, state):
    port = free_port()
    (row,) = await looked(on(policy(tmp_path, {"upstream": "http://127.0.0.1:1"}), port), sidecar)
    assert row.state == state
    assert row.seen.startswith(f"a connection to 127.0.0.1:{port} fails: Connection refused")


def test_a_port_that_the_policy_does_not_name(tmp_path):
    (lane,) = policy(tmp_path, {"upstream": "http://127.0.0.1:1"}).lanes
    (row,) = lanes.rows(lane, SIDECAR)
    assert row.state == "skipped"


def test_a_lane_that_lets_nothing_pass(tmp_path):
    lane = on(policy(tmp_path, {"upstream": "forward"}), 1)
    assert [row.state for row in lanes.rows(lane, SIDECAR)] == ["skipped"]


# With TLS.


@pytest.fixture
def secured(tmp_path):
    """``secured(asks=…)``: a policy whose lane speaks TLS, and asks its clients for certificates or not."""
    public, _ = authority(tmp_path)
    certificate, key = pair(tmp_path, "lane")

    def make(*, asks: bool):
        tls = {"certificate_file": str(certificate), "key_file": str(key)}
        more = {"client_ca_file": str(public)} if asks else {}
        return policy(tmp_path, {"upstream": "http://127.0.0.1:1", "tls": tls | more})

    return make


@pytest.mark.parametrize(("asks", "more"), [(False, ""), (True, ", and asks clients for theirs")])
async def test_a_lane_is_known_by_its_certificate(secured, asks, more):
    rules = secured(asks=asks)
    async with plane(ScriptedGuard(rules)) as running:
        (row,) = await looked(on(rules, running.port()))
    assert row.state == "ok"
    assert row.seen.endswith(f" shows the lane's certificate{more}")


async def test_another_certificate_is_another_program(secured, tmp_path):
    rules = secured(asks=False)
    async with origin(tls=server_context(tmp_path, "127.0.0.1")) as server:
        (row,) = await looked(on(rules, server.port))
    assert (row.state, row.seen.endswith("is not Sekisho: another program has this port")) == ("broken", True)


async def test_a_lane_that_speaks_no_tls_although_it_should(secured, monkeypatch):
    monkeypatch.setattr(wire, "ANSWER_SECONDS", 0.2)
    rules = secured(asks=False)
    async with origin(lambda _: None) as server:
        (row,) = await looked(on(rules, server.port), None)
    assert row.state == "broken"
    assert row.fix.endswith(f"ss -ltnp 'sport = :{server.port}'")


# The card.


async def refused(rules, lane, sidecar=None):
    info = ("sekisho_policy_info", {"sha256": rules.sha256}, 1.0)
    return await asyncio.to_thread(lambda: list(lanes.refusal(rules, lane, sidecar or Sidecar((info,)))))


async def test_a_card_is_refused(tmp_path, inspector):
    async with boundary(tmp_path, inspector) as running:
        (row,) = await refused(running.guard.policy, on(running.guard.policy, running.port()))
        assert (row.name, row.state) == ("lane-refusal lane", "ok")
        assert running.origin.requests == []
        assert running.kinds() == ["retention"]


@pytest.mark.parametrize(
    "row",
    [
        {"mode": "monitor"},
        {"percent": 99},
        {"on_violation": "redact"},
        {"on_violation": "report"},
        {"allow_test_numbers": True},
    ],
)
async def test_a_card_is_not_sent_where_it_would_pass(tmp_path, row):
    async with origin() as server:
        rules = policy(tmp_path, {"upstream": "http://127.0.0.1:1", **row})
        (found,) = await refused(rules, on(rules, server.port))
        assert (found.state, found.seen) == ("skipped", "not sent: this lane would not refuse it")
        assert server.connections == 0


@pytest.mark.parametrize("sidecar", [Sidecar((("sekisho_policy_info", {"sha256": "other"}, 1.0),))])
async def test_a_card_is_not_sent_under_another_policy(tmp_path, sidecar):
    async with origin() as server:
        rules = policy(tmp_path, {"upstream": "http://127.0.0.1:1"})
        (found,) = await refused(rules, on(rules, server.port), sidecar)
        assert found.state == "skipped"
        assert server.connections == 0


async def test_a_card_that_is_not_refused(tmp_path):
    async with origin() as server:
        rules = policy(tmp_path, {"upstream": server.url})
        async with plane(ScriptedGuard(rules, quickly=lambda _: ALLOW)) as running:
            (row,) = await refused(rules, on(rules, running.port()))
    assert (row.state, row.seen) == ("broken", "a published test number was answered with 200, no problem of ours")
    assert row.fix == "stop this lane until it refuses: docs/runbooks/probe.md"


async def test_a_card_is_not_sent_to_somebody_else(tmp_path):
    rules = policy(tmp_path, {"upstream": "http://127.0.0.1:1"})
    async with origin(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n") as server:
        (row,) = await refused(rules, on(rules, server.port))
        assert (row.state, row.seen) == ("skipped", "not sent: who answers is not this lane")
        assert b"POST" not in server.received


async def test_a_card_through_a_forward_lane(tmp_path, inspector):
    async with boundary(tmp_path, inspector, upstream="forward", destinations=HOSTS) as running:
        (row,) = await refused(running.guard.policy, on(running.guard.policy, running.port()))
    assert row.state == "ok"


@pytest.mark.parametrize(("asks", "state"), [(False, "ok"), (True, "skipped")])
async def test_a_card_over_tls(secured, asks, state):
    rules = secured(asks=asks)
    async with plane(ScriptedGuard(rules, quickly=lambda _: None, slowly=lambda _: CARD)) as running:
        (row,) = await refused(rules, on(rules, running.port()))
        assert row.state == state
        assert len(running.guard.asked) == (0 if asks else 1)


async def test_a_card_that_no_rule_redirects(tmp_path):
    rules = policy(tmp_path, {"upstream": "transparent", "destinations": HOSTS})
    (row,) = await refused(rules, on(rules, 1))
    assert row.state == "skipped"


async def test_a_card_that_nobody_takes(tmp_path):
    rules = policy(tmp_path, {"upstream": "http://127.0.0.1:1"})
    (row,) = await refused(rules, on(rules, free_port()))
    assert (row.state, row.seen) == ("broken", "no answer to a card number: Connection refused")
