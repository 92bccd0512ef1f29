"""What the parts of a policy have to do with each other: each rule, broken and just kept."""

from __future__ import annotations

from datetime import date

import pytest

from proxy.policy.model import Admin, Lane, Suppression
from proxy.policy.rules import ENTITIES, Parts, clashes
from proxy.policy.tls import PAIRS


def lane(**keys) -> Lane:
    return Lane.model_validate({"name": "a", "listen": "127.0.0.1:1", "upstream": "http://up"} | keys)


def forward(*destinations: dict, **keys) -> Lane:
    return lane(upstream="forward", destinations=destinations, **keys)


def found(*lanes: Lane, suppress=(), admin="127.0.0.1:9464", own_recognizers=False, mode="enforce") -> list[tuple]:
    parts = Parts(
        lanes=dict(enumerate(lanes)),
        suppress=dict(enumerate(suppress)),
        admin=Admin.model_validate({"listen": admin}),
        lane_names=frozenset(one.name for one in lanes),
        own_recognizers=own_recognizers,
        mode=mode,
    )
    rows = list(clashes(parts))
    assert all(row.hint for row in rows)
    return [(row.loc, row.why) for row in rows]


def test_lanes_have_names_of_their_own():
    one, other = lane(role="logging"), lane(role="logging", listen="127.0.0.1:2")
    assert found(one, other) == [(("lanes", 1, "name"), 'lane name "a" is taken by lane 1')]


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("127.0.0.1:1", "127.0.0.1:1", True),
        ("127.0.0.1:1", "127.0.0.1:2", False),
        ("127.0.0.1:1", "127.0.0.2:1", False),
        ("0.0.0.0:1", "127.0.0.1:1", True),
        ("127.0.0.1:1", "0.0.0.0:1", True),
        ("[::]:1", "[::1]:1", True),
        ("[::]:1", "127.0.0.1:1", False),
        ("LOCALHOST:1", "localhost:1", True),
        ("127.0.0.1:0", "127.0.0.1:0", False),
    ],
)
def test_listeners_have_addresses_of_their_own(one, other, clash):
    rows = found(lane(role="logging", listen=one), lane(name="b", role="logging", listen=other))
    assert [loc for loc, _ in rows] == ([("lanes", 1, "listen")] if clash else [])
    assert [loc for loc, _ in found(lane(role="logging", listen=other), admin=one)] == (
        [("lanes", 0, "listen")] if clash else []
    )


@pytest.mark.parametrize(
    ("broken", "loc", "why"),
    [
        (lane(), (), 'lane "a" has no role'),
        (forward(role="logging"), ("role",), "a forward lane has no role of its own"),
        (lane(upstream="transparent", role="logging"), ("role",), "a transparent lane has no role of its own"),
        (lane(role="logging", unlisted="block"), ("unlisted",), '"unlisted" is for forward and transparent lanes'),
        (
            lane(role="logging", destinations=()),
            ("destinations",),
            '"destinations" is for forward and transparent lanes',
        ),
        (lane(role="logging", tls={"ca_file": "x"}), ("tls", "ca_file"), '"ca_file" is for upstreams with TLS'),
        *(
            (lane(role="logging", upstream="https://up", tls={one: "x"}), ("tls", one), f'"{one}" needs "{other}"')
            for pair in PAIRS
            for one, other in (pair, pair[::-1])
        ),
        (
            lane(role="logging", tls={"client_ca_file": "x"}),
            ("tls", "client_ca_file"),
            '"client_ca_file" needs "certificate_file"',
        ),
        (
            lane(role="logging", upstream="https://up", tls={"intercept_ca_file": "x"}),
            ("tls", "intercept_ca_file"),
            '"intercept_ca_file" is for forward and transparent lanes',
        ),
        (
            lane(upstream="transparent", tls={"certificate_file": "x", "key_file": "x"}),
            ("tls", "certificate_file"),
            '"certificate_file" is for lanes that clients connect to themselves',
        ),
        *(
            (lane(role=role, source="browser"), ("source",), f"source: browser does not go with the role {role}")
            for role in ("logging", "storage", "shop")
        ),
        (lane(role="logging", upstream="http://127.0.0.1:1"), ("upstream",), "the lane leads back to itself"),
        *(
            (lane(role=role, on_violation="redact"), ("on_violation",), f"redact does not go with the role {role}")
            for role in ("shop", "payment-gateway")
        ),
        (
            forward({"hosts": ("a.jp",), "role": "payment-gateway", "on_violation": "redact"}),
            ("destinations", 0, "on_violation"),
            "redact does not go with the role payment-gateway",
        ),
        (
            forward({"hosts": ("a.jp",), "role": "shop"}),
            ("destinations", 0, "role"),
            "a destination cannot be the shop",
        ),
        (
            forward({"hosts": ("a.jp",), "role": "logging"}, {"hosts": ("b.jp", "A.JP."), "role": "external"}),
            ("destinations", 1, "hosts", 1),
            '"a.jp" is listed twice in this lane',
        ),
    ],
)
def test_what_does_not_go_together(broken, loc, why):
    assert found(broken) == [(("lanes", 0, *loc), why)]


@pytest.mark.parametrize(
    "good",
    [
        *(lane(role=role) for role in ("logging", "storage", "payment-gateway", "shop", "external")),
        *(lane(role=role, on_violation="redact") for role in ("logging", "storage", "external")),
        *(lane(role=role, on_violation="report") for role in ("shop", "payment-gateway")),
        *(lane(role=role, source="browser") for role in ("external", "payment-gateway")),
        lane(role="storage", upstream="https://up", tls={"ca_file": "x"}),
        lane(role="storage", tls={"certificate_file": "x", "key_file": "x", "client_ca_file": "x"}),
        lane(role="storage", upstream="https://up", tls={"upstream_certificate_file": "x", "upstream_key_file": "x"}),
        lane(role="logging", upstream="http://127.0.0.1:2"),
        forward(on_violation="redact", source="browser", unlisted="external", tls={"intercept_ca_file": "x"}),
        forward({"hosts": ("a.jp", "*.a.jp"), "role": "payment-gateway"}),
        lane(
            upstream="transparent",
            destinations=({"hosts": ("a.jp", "10.0.0.1"), "role": "payment-gateway"},),
            unlisted="external",
            source="browser",
            tls={"ca_file": "x", "intercept_ca_file": "y"},
        ),
    ],
)
def test_what_goes_together(good):
    assert found(good) == []


@pytest.mark.parametrize(
    ("mode", "one", "loc"),
    [
        ("monitor", lane(role="logging", percent=10), ("percent",)),
        ("monitor", lane(role="logging", percent=10, mode="enforce"), None),
        ("enforce", lane(role="logging", percent=10), None),
        ("enforce", lane(role="logging", percent=10, mode="monitor"), ("percent",)),
        (
            "enforce",
            forward({"hosts": ("a",), "role": "logging", "percent": 1}, mode="monitor"),
            ("destinations", 0, "percent"),
        ),
        ("monitor", forward({"hosts": ("a",), "role": "logging", "percent": 1, "mode": "enforce"}), None),
    ],
)
def test_a_share_is_of_what_is_enforced(mode, one, loc):
    expected = [(("lanes", 0, *loc), "percent does not go with mode: monitor")] if loc else []
    assert found(one, mode=mode) == expected


def row(**keys) -> Suppression:
    return Suppression(**{"lane": "a", "path": "$", "entity": "PAN", "reason": "r", "until": date(2020, 1, 1)} | keys)


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_suppression_of_anything_that_is_found_may_be_old(entity):
    assert found(lane(role="logging"), suppress=[row(entity=entity)]) == []


def test_a_suppression_of_what_does_not_exist():
    assert found(lane(role="logging"), suppress=[row(lane="b")]) == [(("suppress", 0, "lane"), 'there is no lane "b"')]
    strange = row(entity="PAM")
    assert found(lane(role="logging"), suppress=[strange]) == [(("suppress", 0, "entity"), 'nothing finds "PAM"')]
    assert found(lane(role="logging"), suppress=[strange], own_recognizers=True) == []
