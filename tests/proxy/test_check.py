"""What `sekisho check` prints of a good policy: the rules in effect, and what deserves a second look."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from proxy.authority import limits_to, make, write
from proxy.check import ENDS, Row, summary, warnings
from proxy.policy.errors import Mark
from proxy.policy.model import Policy
from proxy.policy.tls import Tls
from tests.e2e.authority import authority, pair

TODAY = date(2027, 1, 1)
LANE = {"name": "logs", "listen": "127.0.0.1:1", "upstream": "http://loki", "role": "logging"}
FORWARD = {
    "name": "egress",
    "listen": "127.0.0.1:2",
    "upstream": "forward",
    "tls": {"intercept_ca_file": "ca.pem"},
}


def policy(*lanes: dict, **top) -> Policy:
    return Policy.model_validate(
        {"version": 1, "policy_id": "p", "audit": {"fingerprint_key_file": "k"}, "lanes": lanes} | top
    )


def test_each_lane_and_each_destination_has_a_row():
    destinations = (
        {"hosts": ("*.mul-pay.jp",), "role": "payment-gateway"},
        {
            "hosts": ("a.jp", "b.jp"),
            "role": "logging",
            "on_violation": "redact",
            "redaction": "last4",
            "mode": "monitor",
        },
    )
    assert summary(policy(LANE, FORWARD | {"destinations": destinations})) == (
        Row("logs", "127.0.0.1:1", "http://loki:80", "", "logging", "enforce", "block", "block"),
        Row("egress", "127.0.0.1:2", "forward", "*.mul-pay.jp", "payment-gateway", "enforce", "block", "block"),
        Row("egress", "127.0.0.1:2", "forward", "a.jp", "logging", "monitor", "redact (last4)", "block", 0),
        Row("egress", "127.0.0.1:2", "forward", "b.jp", "logging", "monitor", "redact (last4)", "block", 0),
        Row("egress", "127.0.0.1:2", "forward", "all others", "", "", "refused", ""),
    )


def test_the_share_that_is_enforced_is_shown():
    assert [row.percent for row in summary(policy(LANE | {"percent": 25}))] == [25]


def test_a_transparent_lane_has_rows_like_a_forward_lane():
    lane = FORWARD | {"upstream": "transparent", "destinations": ({"hosts": ("a.jp",), "role": "logging"},)}
    assert summary(policy(lane)) == (
        Row("egress", "127.0.0.1:2", "transparent", "a.jp", "logging", "enforce", "block", "block"),
        Row("egress", "127.0.0.1:2", "transparent", "all others", "", "", "refused", ""),
    )


def test_unlisted_hosts_that_pass_have_a_row():
    (row,) = summary(policy(FORWARD | {"unlisted": "external", "on_gap": "report"}))
    assert (row.hosts, row.role, row.on_violation, row.on_gap) == ("all others", "external", "block", "report")


def test_what_makes_a_lane_different_is_said():
    lane = LANE | {"act_on": "low", "tokens": "deny", "allow_test_numbers": True, "on_violation": "report"}
    (row,) = summary(policy(lane))
    assert row.on_violation == "report, doubtful too, tokens too, test numbers reported"


def test_a_long_number_in_a_host_name_is_not_printed():
    number = "4111111111111111"
    destinations = ({"hosts": (f"o{number}.ingest.sentry.io",), "role": "logging"},)
    rows = summary(policy(LANE | {"upstream": f"http://h{number}"}, FORWARD | {"destinations": destinations}))
    assert "1111" not in repr(rows)
    assert rows[0].upstream == "http://h[digits not shown]:80"


def suppression(until: date) -> dict:
    return {"lane": "logs", "path": "$.id", "entity": "PAN", "reason": "ids", "until": until}


@pytest.mark.parametrize(
    ("made", "why"),
    [
        pytest.param(policy(LANE, mode="monitor"), "mode is monitor: card data is recorded and passes", id="monitor"),
        pytest.param(
            policy(LANE | {"mode": "monitor"}),
            'lane "logs" is in mode monitor: card data is recorded and passes',
            id="monitor-lane",
        ),
        pytest.param(
            policy(FORWARD | {"destinations": ({"hosts": ("a",), "role": "logging", "mode": "monitor"},)}),
            'lane "egress" is in mode monitor: card data is recorded and passes',
            id="monitor-destination",
        ),
        pytest.param(
            policy(LANE | {"percent": 25}),
            'lane "logs" enforces 25 of a hundred messages: card data in the others passes',
            id="percent",
        ),
        pytest.param(
            policy(LANE, defaults={"percent": 0}),
            "0 of a hundred messages are enforced: card data in the others passes",
            id="percent-default",
        ),
        pytest.param(
            policy(LANE, bypass={"watch_seconds": 0.0}),
            "nobody looks for connections that go around Sekisho",
            id="unwatched",
        ),
        pytest.param(
            policy(LANE, bypass={"allowed_uids": (0,)}),
            "connections of root may go around Sekisho",
            id="root-may",
        ),
        pytest.param(
            policy(LANE | {"allow_test_numbers": True}),
            'lane "logs" lets published test card numbers pass',
            id="test-numbers",
        ),
        pytest.param(
            policy(LANE | {"role": "shop", "on_violation": "report"}),
            'lane "logs" lets card data pass the shop\'s systems and only records it',
            id="passthrough-that-is-only-recorded",
        ),
        *(
            pytest.param(
                policy(LANE | {"listen": listen}),
                'lane "logs" accepts connections from any machine that reaches this one',
                id=listen,
            )
            for listen in ("0.0.0.0:1", "[::]:1")
        ),
        pytest.param(
            policy(FORWARD | {"unlisted": "external", "tls": {}}),
            'lane "egress" refuses https: it has no tls.intercept_ca_file, and cannot look inside',
            id="no-look-inside-https",
        ),
        pytest.param(
            policy(FORWARD | {"upstream": "transparent", "listen": "10.0.0.1:2", "unlisted": "external"}),
            'lane "egress" listens where iptables redirects nothing that this machine sends',
            id="nothing-is-redirected-there",
        ),
        pytest.param(
            policy(FORWARD),
            'lane "egress" lets nothing pass: it has no destinations, and unlisted hosts are refused',
            id="nothing-passes",
        ),
        pytest.param(
            policy(LANE, suppress=(suppression(date(2026, 12, 31)),)),
            "this suppression has expired on 2026-12-31: what it covered is acted on again",
            id="expired",
        ),
    ],
)
def test_a_second_look(made, why):
    (problem,) = warnings(made, TODAY)
    assert problem.why == why
    assert problem.hint


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(policy(LANE), id="plain"),
        pytest.param(policy(LANE | {"role": "shop", "listen": "0.0.0.0:1"}), id="the-shop-is-for-everyone"),
        pytest.param(policy(LANE, suppress=(suppression(TODAY),)), id="last-day"),
        pytest.param(policy(FORWARD | {"unlisted": "external"}), id="everything-passes-inspected"),
        pytest.param(policy(FORWARD | {"upstream": "transparent", "unlisted": "external"}), id="transparent"),
        pytest.param(policy(LANE | {"allow_test_numbers": False, "mode": "enforce"}), id="said-and-safe"),
    ],
)
def test_nothing_to_look_at(made):
    assert warnings(made, TODAY) == ()


@pytest.mark.parametrize(
    ("days", "says"), [(28.5, "ends on"), (0.5, "ends on"), (-1.5, "has ended on"), (31, ""), (400, "")]
)
def test_a_certificate_that_ends(tmp_path, days, says):
    authority(tmp_path)
    certificate, key = pair(tmp_path, "server", days=days)
    made = policy(LANE | {"tls": {"certificate_file": certificate, "key_file": key}})
    found = [problem.why for problem in warnings(made, datetime.now(UTC).date())]
    assert [why.partition(" 20")[0] for why in found] == (
        [f'the first certificate in certificate_file of lane "logs" {says}'] if says else []
    )


def test_of_trusted_certificates_one_is_enough(tmp_path):
    early, late = (authority(tmp_path, name, days=days)[0] for name, days in (("a", 3), ("b", 300)))
    certificate, key = pair(tmp_path, "server", "b", days=90)
    tls = {"certificate_file": certificate, "key_file": key, "client_ca_file": early}
    today = datetime.now(UTC).date()
    (found,) = warnings(policy(LANE | {"tls": tls}), today)
    assert found.why.startswith('the last certificate in client_ca_file of lane "logs" ends on')
    early.write_bytes(early.read_bytes() + late.read_bytes())
    assert warnings(policy(LANE | {"tls": tls}), today) == ()


def test_every_certificate_of_a_lane_is_looked_at():
    assert set(ENDS) == {name for name in Tls.model_fields if "key" not in name}


def test_a_destination_that_the_authority_may_not_sign_for(tmp_path):
    write(tmp_path / "ca.pem", make("Sekisho", 90, limits_to(["mul-pay.jp", "10.0.0.0/8"])), new=True)
    hosts = ("p01.mul-pay.jp", "*.mul-pay.jp", "10.1.2.3", "*.sentry.io", "192.0.2.1")
    lane = FORWARD | {
        "tls": {"intercept_ca_file": tmp_path / "ca.pem"},
        "destinations": ({"hosts": hosts, "role": "external"},),
    }
    made = policy(lane)
    marks = {("lanes", 0, "destinations", 0, "hosts", place): Mark(1, place) for place in range(5)}
    made._place = lambda *loc: marks[loc]
    assert [(problem.mark.column, problem.why) for problem in warnings(made, datetime.now(UTC).date())] == [
        (place, 'clients of lane "egress" cannot call this over https: its authority may not sign for it')
        for place in (3, 4)
    ]
