"""What the admin address says, and what of it is well."""

from __future__ import annotations

import asyncio
import json

import pytest

from proxy.doctor import sidecar
from proxy.doctor.sidecar import NoSidecarError, Sidecar
from proxy.policy.values import Address
from tests.e2e.origin import origin
from tests.e2e.plane import policy
from tests.sidecar import free_port

HUP = "kill -HUP 7"
NOW = 1_800_000_000.0
PAGE = """\
# TYPE sekisho_build_info gauge
sekisho_build_info{python="3.12.1",version="1.2.0"} 1.0
# TYPE sekisho_policy_info gauge
sekisho_policy_info{mode="enforce",policy_id="shop-v7",sha256="abc"} 1.0
"""


def answering(page: str, ready: str):
    def reply(request: bytes) -> bytes:
        body = (page if b"/metrics" in request else ready).encode()
        head = b"HTTP/1.1 200 OK\r\nDate: Fri, 15 Jan 2027 08:00:00 GMT\r\nConnection: close\r\n"
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body

    return reply


async def asked(reply):
    async with origin(reply) as server:
        return await asyncio.to_thread(sidecar.ask, Address("0.0.0.0", server.port))


async def test_what_it_says():
    found = await asked(answering(PAGE, json.dumps({"ready": True})))
    assert found.label("sekisho_policy_info", "policy_id") == "shop-v7"
    assert found.value("sekisho_build_info", version="1.2.0") == 1
    assert found.value("sekisho_build_info", version="1.3.0") is None
    assert (found.readiness, found.date) == ({"ready": True}, "Fri, 15 Jan 2027 08:00:00 GMT")


@pytest.mark.parametrize("ready", ["not ready", "[]"])
async def test_readiness_that_is_none(ready):
    assert (await asked(answering(PAGE, ready))).readiness == {}


@pytest.mark.parametrize(
    "reply",
    [
        answering("# nothing of ours\nother 1\n", ""),
        answering("{{{ 1", ""),
        answering('a{b="\n', ""),
        b"220 mail.example ESMTP\r\n",
        None,
    ],
    ids=["other metrics", "no metrics", "half a line", "no HTTP", "no answer"],
)
async def test_another_program(reply, tmp_path):
    with pytest.raises(NoSidecarError, match="another program has this address"):
        await asked(reply or (lambda _: None))


def test_nobody(tmp_path):
    port = free_port()
    with pytest.raises(NoSidecarError) as raised:
        sidecar.ask(Address("127.0.0.1", port))
    assert str(raised.value) == f"nothing answers on 127.0.0.1:{port}: Connection refused"
    rules = policy(tmp_path, {"upstream": "http://127.0.0.1:1"})
    (row,) = sidecar.missing(rules, raised.value)
    assert (row.name, row.state, row.fix) == ("sidecar", "broken", f"sekisho run -c {rules.path}")


def test_where_to_knock():
    assert sidecar.reached(Address("0.0.0.0", 80)) == Address("127.0.0.1", 80)
    assert sidecar.reached(Address("::", 80)) == Address("::1", 80)
    assert sidecar.reached(Address("10.0.0.1", 80)) == Address("10.0.0.1", 80)


@pytest.fixture
def rules(tmp_path):
    return policy(tmp_path, {"upstream": "http://127.0.0.1:1"})


def says(rules, *more, readiness=None, sha256=None):
    info = {"policy_id": "shop-v6", "sha256": sha256 or rules.sha256, "mode": "enforce"}
    samples = (("sekisho_build_info", {"version": "1.2.0"}, 1.0), ("sekisho_policy_info", info, 1.0), *more)
    return Sidecar(samples, {"ready": True} if readiness is None else readiness)


def test_a_good_one(rules):
    rows = list(sidecar.rows(rules, says(rules), HUP))
    assert [(row.name, row.state) for row in rows] == [("sidecar", "ok"), ("policy-in-force", "ok")]
    assert rows[0].seen == f"version 1.2.0 answers on {rules.admin.listen} and is ready"
    assert rows[1].seen == "the sidecar runs this file: test, mode enforce"


def test_one_that_is_not_ready(rules):
    said = {"ready": False, "lanes": {"a": "listening", "b": "not listening"}, "self_check": "failed"}
    row, _ = sidecar.rows(rules, says(rules, readiness={**said, "probes": {"a": "the answer was 500"}}), HUP)
    assert row.state == "broken"
    assert (
        row.seen == "it is not ready: lane b is not listening; its self-check: failed; "
        "the probe of lane a: the answer was 500"
    )
    assert row.fix == "read its log; docs/runbooks/probe.md if it is a probe"
    full = {"lanes": {}, "self_check": "passed", "audit": "audit file a: No space left on device"}
    row, _ = sidecar.rows(rules, says(rules, readiness=full), HUP)
    assert row.seen == "it is not ready: records cannot be written: audit file a: No space left on device"
    assert row.fix == "read its log; docs/runbooks/sidecar.md (SekishoAuditFailing)"
    row, _ = sidecar.rows(rules, says(rules, readiness={"self_check": "passed"}), HUP)
    assert row.seen == "it is not ready: it does not say why"


@pytest.mark.parametrize(
    ("success", "more", "fix"),
    [
        (1.0, "", f"sekisho check {{}} && {HUP}"),
        (
            0.0,
            ", and could not use the one that it read last",
            f"sekisho check {{}}; if it is good, restart the sidecar: {sidecar.FIXED} cannot change while it runs",
        ),
    ],
    ids=["good", "refused"],
)
def test_another_policy_in_force(rules, success, more, fix):
    reload = ("sekisho_policy_last_reload_success", {}, success)
    _, row = sidecar.rows(rules, says(rules, reload, sha256="feedbeef00"), HUP)
    assert row.state == "broken"
    assert row.seen == f"the sidecar runs another policy than this file: shop-v6 (sha256 feedbeef…){more}"
    assert row.fix == fix.format(rules.path)


@pytest.mark.parametrize(
    ("success", "age", "state", "seen"),
    [
        (1.0, 12, "ok", "its synthetic card number was treated as the policy says, 12 s ago"),
        (1.0, 186, "broken", "the last probe was 186 s ago, and one is due every 60 s"),
        (0.0, 12, "broken", "the probe 12 s ago: the answer was 500"),
        (None, 0, "warning", "the sidecar has not probed this lane yet"),
    ],
)
def test_the_probe_of_a_lane(rules, success, age, state, seen):
    samples = () if success is None else [("sekisho_probe_success", {"lane": "lane"}, success)]
    when = ("sekisho_probe_timestamp_seconds", {"lane": "lane"}, NOW - age)
    said = says(rules, *samples, when, readiness={"probes": {"lane": "the answer was 500"}})
    (row,) = sidecar.probes(rules, said, "lane", NOW)
    assert (row.name, row.state, row.seen) == ("lane-probe lane", state, seen)
    assert bool(row.fix) == (state != "ok")
