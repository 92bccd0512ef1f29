from __future__ import annotations

import asyncio
import json

import pytest

from detectors import Inspection, Inspector
from proxy import probe
from proxy.guard import Guard
from proxy.host import Host
from tests.e2e.origin import origin
from tests.e2e.plane import plane, policy
from tests.proxy.doubles import RecordingAudit, RecordingMeter

LANES = {
    "block": {},
    "redact": {"on_violation": "redact"},
    "report": {"on_violation": "report"},
    "monitor": {"mode": "monitor"},
    "https": {"upstream": "https://es.example:9200"},
    "gateway": {"upstream": "https://p01.mul-pay.jp", "role": "payment-gateway"},
    "shop": {"role": "shop"},
    "forward": {"upstream": "forward", "destinations": [{"hosts": ["*.a.example"], "role": "external"}]},
    "transparent": {"upstream": "transparent", "destinations": [{"hosts": ["*.a.example"], "role": "external"}]},
    "forward to nowhere": {"upstream": "forward", "destinations": []},
}


@pytest.fixture(scope="module")
def inspector():
    return Inspector(fingerprint_key=b"k" * 32)


class Blind:
    """An inspector that finds nothing."""

    def quiet(self, _data, _type=""):
        return True

    def fields(self, *_):
        return iter(())

    def inspect(self, *_args, **_options):
        return Inspection()


class Broken(Blind):
    def quiet(self, _data, _type=""):
        return False

    def inspect(self, *_args, **_options):
        raise RuntimeError("broken")


def guarded(base, row, inspector):
    row = dict(row)
    mode = row.pop("mode", "enforce")
    rules = policy(base, {"upstream": "http://127.0.0.1:9", **row}, mode=mode, limits={"inspect_seconds": 10})
    return Guard(policy=rules, inspector=inspector, meter=RecordingMeter(), audit=RecordingAudit())


@pytest.mark.parametrize("name", LANES)
async def test_each_kind_of_lane_passes_and_nothing_is_counted_as_traffic(tmp_path, inspector, name):
    guard, meter = guarded(tmp_path, LANES[name], inspector), RecordingMeter()
    async with plane(guard, meter) as running:
        assert await running.host.probe.round() == {"lane": "passed"}
        assert meter.calls == [("probe", "lane", "passed")]
        assert guard._ledger._meter.calls == [("policy", *call[1:]) for call in guard._ledger._meter.calls]
        assert guard._ledger._audit.events == []


@pytest.mark.parametrize("name", ["block", "redact", "report", "monitor", "gateway", "forward"])
@pytest.mark.parametrize("kind", [Blind, Broken])
async def test_an_inspector_that_does_not_find_it_is_told(tmp_path, name, kind):
    guard, meter = guarded(tmp_path, LANES[name], kind()), RecordingMeter()
    async with plane(guard, meter) as running:
        (found,) = (await running.host.probe.round()).values()
        assert found != "passed"
        assert not any(character * 4 in found for character in "0123456789")
        assert meter.calls == [("probe", "lane", "failed")]


async def test_a_lane_that_no_longer_listens_fails(tmp_path, inspector):
    async with plane(guarded(tmp_path, {}, inspector)) as running:
        await running.host.listeners.servers.update([])
        (found,) = (await running.host.probe.round()).values()
        assert "no answer" in found


async def test_the_probe_never_reaches_the_upstream(tmp_path, inspector):
    async with origin() as server:
        async with plane(guarded(tmp_path, {"upstream": server.url, "mode": "monitor"}, inspector)) as running:
            assert await running.host.probe.round() == {"lane": "passed"}
        assert server.connections == 0


async def test_an_inspection_that_hangs_does_not_hold_the_probe_up(tmp_path, inspector, monkeypatch):
    monkeypatch.setattr(probe, "GRACE_SECONDS", -9.9)

    async def enter(_host, _lane, _seat, connection):
        with connection:
            await asyncio.sleep(60)

    monkeypatch.setattr(Host, "enter", enter)
    async with plane(guarded(tmp_path, {}, inspector)) as running:
        assert await running.host.probe.round() == {"lane": "no answer in time"}


async def test_recovery(tmp_path, inspector, monkeypatch, caplog):
    guard = guarded(tmp_path, {}, inspector)
    async with plane(guard) as running:
        with monkeypatch.context() as patch:
            patch.setattr(inspector, "quiet", lambda *_: True)
            assert await running.host.probe.round() == {"lane": "the number was not found"}
        assert await running.host.probe.round() == {"lane": "passed"}
    events = [(event["kind"], event["lane"], event["outcome"]) for event in guard._ledger._audit.events]
    assert events == [("probe", "lane", "the number was not found"), ("probe", "lane", "passed")]
    assert [record.levelname for record in caplog.records if "probe of lane" in record.message] == ["ERROR", "INFO"]


async def test_a_record_that_fails_does_not_end_the_probe(tmp_path, inspector, monkeypatch, caplog):
    guard, meter = guarded(tmp_path, {}, inspector), RecordingMeter()
    guard._ledger._audit.error = OSError("full")
    async with plane(guard, meter) as running:
        monkeypatch.setattr(inspector, "quiet", lambda *_: True)
        for _ in range(2):
            assert await running.host.probe.round() == {"lane": "the number was not found"}
    assert meter.calls == [("probe", "lane", "failed")] * 2
    assert [record.message for record in caplog.records if "no record" in record.message]


def test_synthetic_numbers_differ_and_are_found(inspector):
    numbers = {probe.synthetic() for _ in range(20)}
    assert len(numbers) == 20
    for number in numbers:
        (found,) = inspector.inspect(json.dumps({"card_number": number.decode()}).encode()).findings
        assert (found.entity, found.brand, found.confidence, found.test) == ("PAN", "visa", "high", False)


def test_a_pair_is_of_two_ends():
    ours, theirs = probe.pair()
    with ours, theirs:
        ours.sendall(b"x")
        assert theirs.recv(1) == b"x"
        assert ours.getpeername() == theirs.getsockname()
