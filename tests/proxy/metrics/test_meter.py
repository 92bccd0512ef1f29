from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from detectors.model import Finding
from proxy.message import Message, Part
from proxy.metrics.meter import Meter, PrometheusMeter
from proxy.metrics.series import SERIES
from proxy.policy.routes import Route
from tests.proxy.doubles import RecordingMeter


def lane(name: str, *modes: str, percent: int = 100) -> SimpleNamespace:
    made = [Route(name, "logging", mode=mode, percent=percent) for mode in modes]
    routes = tuple((f"host-{index}", route) for index, route in enumerate(made))
    return SimpleNamespace(name=name, routes=routes)


def policy(*lanes: SimpleNamespace, policy_id: str = "n", suppress: tuple = (), **more: str) -> SimpleNamespace:
    rest = {"sha256": "", "mode": "enforce", **more}
    return SimpleNamespace(policy_id=policy_id, lanes=lanes, suppress=suppress, **rest)


POLICY = policy(lane("app-logs", "enforce"), lane("gmo", "enforce"), policy_id="shop-2026", sha256="ab" * 32)
FINDING = Finding("PAN", "visa", "high", False, "***", "", "$.a", (), 0, 1)
MESSAGE = Message(Route("app-logs", "logging"), "request", "http", (Part("body", b"x" * 10),))


@pytest.fixture
def meter() -> PrometheusMeter:
    meter = PrometheusMeter(version="1.2.3", entities=["EMPLOYEE_ID"])
    meter.policy(POLICY)
    return meter


def samples(meter: PrometheusMeter) -> Mapping[str, float]:
    """``name{label="value",…}`` → value, of every sample."""
    return {
        sample.name + "{" + ",".join(f'{k}="{v}"' for k, v in sorted(sample.labels.items())) + "}": sample.value
        for family in text_string_to_metric_families(meter.render()[0].decode())
        for sample in family.samples
    }


def test_a_message(meter):
    meter.message(MESSAGE, "allow", 10, 0.00003)
    meter.message(MESSAGE, "allow", 20, 0.002)
    got = samples(meter)
    labels = 'direction="request",lane="app-logs",protocol="http",role="logging",verdict="allow"'
    assert got[f"sekisho_messages_total{{{labels}}}"] == 2
    assert got['sekisho_inspected_bytes_total{direction="request",lane="app-logs"}'] == 30
    assert got['sekisho_inspect_seconds_bucket{lane="app-logs",le="5e-05"}'] == 1
    assert got['sekisho_inspect_seconds_bucket{lane="app-logs",le="0.0025"}'] == 2
    assert got['sekisho_inspect_seconds_sum{lane="app-logs"}'] == pytest.approx(0.00203)


def test_a_violation(meter):
    meter.violation(MESSAGE, "retention", FINDING, "block", "some-id")
    assert (
        samples(meter)[
            'sekisho_violations_total{brand="visa",confidence="high",direction="request",entity="PAN",kind="retention",'
            'lane="app-logs",role="logging",verdict="block"}'
        ]
        == 1
    )


def test_when_a_violation_was_last_seen(meter, monkeypatch):
    name = 'sekisho_violation_timestamp_seconds{confidence="high",entity="PAN",kind="retention",lane="app-logs",verdict="block"}'
    for now in (1_800_000_000.5, 1_800_000_060.5):
        monkeypatch.setattr("time.time", lambda now=now: now)
        meter.violation(MESSAGE, "retention", FINDING, "block", "some-id")
        assert samples(meter)[name] == now


def test_when_a_lane_was_last_heard_of(meter, monkeypatch):
    for now in (1_800_000_000.5, 1_800_000_060.5):
        monkeypatch.setattr("time.time", lambda now=now: now)
        meter.message(MESSAGE, "block", 10, 0.00003)
        assert samples(meter)['sekisho_lane_last_message_timestamp_seconds{lane="app-logs"}'] == now


def test_what_goes_around(meter, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.5)
    meter.bypass("gmo", "direct", 2)
    monkeypatch.setattr("time.time", lambda: 1_800_000_002.5)
    meter.bypass("gmo", "direct", 0)
    meter.bypass("", "egress", 1)
    meter.watched()
    got = samples(meter)
    assert got['sekisho_bypass_total{kind="direct",lane="gmo"}'] == 2
    assert got['sekisho_bypass_total{kind="egress",lane="other"}'] == 1
    assert got['sekisho_bypass_timestamp_seconds{kind="direct",lane="gmo"}'] == 1_800_000_002.5
    assert got["sekisho_bypass_watch_timestamp_seconds{}"] == 1_800_000_002.5


@pytest.mark.parametrize(
    ("modes", "value"),
    [(["enforce"], 0), (["monitor"], 1), (["enforce", "monitor"], 1), (["enforce", "enforce"], 0), ([], 0)],
)
def test_a_lane_that_is_only_watched_in_part_is_monitored(meter, modes, value):
    meter.policy(policy(lane("egress", *modes)))
    got = {name: number for name, number in samples(meter).items() if name.startswith("sekisho_lane_monitored")}
    assert got == {'sekisho_lane_monitored{lane="egress"}': value}


@pytest.mark.parametrize(
    ("modes", "percent", "value"),
    [(["enforce"], 25, 25), (["enforce", "monitor"], 25, 0), (["enforce"], 100, 100), ([], 25, 100)],
)
def test_the_least_share_of_a_lane_that_is_enforced(meter, modes, percent, value):
    meter.policy(policy(lane("egress", *modes, percent=percent)))
    got = {name: number for name, number in samples(meter).items() if name.startswith("sekisho_lane_enforced")}
    assert got == {'sekisho_lane_enforced_percent{lane="egress"}': value}


def test_what_was_not_enforced(meter):
    meter.unenforced(MESSAGE, "redact")
    meter.unenforced(MESSAGE, "a typo")
    got = samples(meter)
    assert got['sekisho_unenforced_total{lane="app-logs",would="redact"}'] == 1
    assert got['sekisho_unenforced_total{lane="app-logs",would="other"}'] == 1


def suppression(until: date, entity: str = "PAN") -> SimpleNamespace:
    return SimpleNamespace(lane="gmo", entity=entity, until=until)


def test_the_first_suppression_to_end_is_shown_with_the_end_of_its_last_day(meter, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    rows = (suppression(date(2027, 4, 30)), suppression(date(2027, 3, 31)), suppression(date(2027, 5, 1), "TOKEN"))
    meter.policy(policy(lane("gmo"), suppress=rows))
    name = 'sekisho_suppression_expiry_timestamp_seconds{{entity="{}",lane="gmo"}}'
    got = samples(meter)
    assert got[name.format("PAN")] == datetime(2027, 3, 31, 15, tzinfo=UTC).timestamp()
    assert got[name.format("TOKEN")] == datetime(2027, 5, 1, 15, tzinfo=UTC).timestamp()
    meter.policy(POLICY)
    assert name.format("PAN") not in samples(meter)


def test_when_certificates_end_as_of_the_last_reading(meter):
    name = 'sekisho_certificate_expiry_timestamp_seconds{{lane="gmo",purpose="{}"}}'
    meter.certificates({("gmo", "server"): 5e9, ("gmo", "upstream"): 6e9})
    assert [samples(meter)[name.format(purpose)] for purpose in ("server", "upstream")] == [5e9, 6e9]
    meter.certificates({("gmo", "server"): 7e9})
    assert samples(meter)[name.format("server")] == 7e9
    assert name.format("upstream") not in samples(meter)


@pytest.fixture(autouse=True)
def _time_zone_as_it_was():
    yield
    time.tzset()


@pytest.mark.parametrize(("results", "value"), [([], 1), (["error"], 0), (["error", "ok"], 1), (["ok", "error"], 0)])
def test_whether_the_file_on_disk_is_in_force(meter, results, value):
    for result in results:
        meter.policy_reload(result)
    assert samples(meter)["sekisho_policy_last_reload_success{}"] == value


def test_the_process_is_measured(meter):
    got = samples(meter)
    assert got["process_resident_memory_bytes{}"] > 10_000_000
    assert got["process_start_time_seconds{}"] > 1_700_000_000


def test_a_suppressed_finding(meter):
    meter.suppressed(MESSAGE, FINDING)
    assert samples(meter)['sekisho_suppressed_findings_total{entity="PAN",lane="app-logs"}'] == 1


def test_a_gap(meter):
    meter.gap(MESSAGE, "unlisted-gmo-path", 70, "report", "")
    got = samples(meter)
    assert got['sekisho_gaps_total{lane="app-logs",reason="unlisted-gmo-path",verdict="report"}'] == 1
    assert got['sekisho_uninspected_bytes_total{direction="request",lane="app-logs",reason="unlisted-gmo-path"}'] == 70


def test_latency_connections_and_upstream_errors(meter):
    meter.added_latency("gmo", 0.0003)
    meter.connections("gmo", 1)
    meter.connections("gmo", 1)
    meter.connections("gmo", -1)
    meter.upstream_error("gmo", "refused")
    got = samples(meter)
    assert got['sekisho_added_latency_seconds_bucket{lane="gmo",le="0.00025"}'] == 0
    assert got['sekisho_added_latency_seconds_bucket{lane="gmo",le="0.0005"}'] == 1
    assert got['sekisho_connections{lane="gmo"}'] == 1
    assert got['sekisho_connections{lane="app-logs"}'] == 0
    assert got['sekisho_upstream_errors_total{lane="gmo",reason="refused"}'] == 1


def test_failure_counters_are_there_before_the_first_failure(meter):
    got = samples(meter)
    assert got["sekisho_audit_errors_total{}"] == 0
    assert got['sekisho_internal_errors_total{where="inspect"}'] == 0
    assert got['sekisho_policy_reloads_total{result="error"}'] == 0
    meter.audit_error()
    meter.internal_error("inspect")
    meter.policy_reload("error")
    got = samples(meter)
    assert got["sekisho_audit_errors_total{}"] == 1
    assert got['sekisho_internal_errors_total{where="inspect"}'] == 1
    assert got['sekisho_policy_reloads_total{result="error"}'] == 1


def test_only_the_policy_in_force_is_shown(meter):
    info = 'sekisho_policy_info{{mode="{}",policy_id="{}",sha256="{}"}}'
    former = info.format("enforce", "shop-2026", "ab" * 32)
    assert samples(meter)[former] == 1
    meter.policy(policy(policy_id="next", sha256="cd" * 32, mode="monitor"))
    got = samples(meter)
    assert former not in got
    assert got[info.format("monitor", "next", "cd" * 32)] == 1
    meter.policy(POLICY)
    assert samples(meter)[former] == 1


def test_a_lane_that_a_new_policy_brings_is_counted_by_its_name(meter):
    message = Message(Route("search", "storage"), "request", "http", ())
    meter.message(message, "allow", 0, 0)
    meter.policy(policy(lane("search", "enforce")))
    meter.message(message, "allow", 0, 0)
    got = samples(meter)
    labels = 'direction="request",lane="{}",protocol="http",role="storage",verdict="allow"'
    assert got[f"sekisho_messages_total{{{labels.format('other')}}}"] == 1
    assert got[f"sekisho_messages_total{{{labels.format('search')}}}"] == 1


def finding(entity: str, brand: str = "") -> Finding:
    return Finding(entity, brand, "high", False, "***", "", "", (), 0, 1)


@pytest.mark.parametrize(
    ("entity", "label"),
    [
        ("PAN", "PAN"),
        ("TOKEN", "TOKEN"),
        ("EMPLOYEE_ID", "EMPLOYEE_ID"),
        ("SOMETHING_ELSE", "other"),
        ("4" * 16, "other"),
    ],
)
def test_entities_are_those_that_are_registered(meter, entity, label):
    meter.suppressed(MESSAGE, finding(entity))
    named = [name for name in samples(meter) if name.startswith("sekisho_suppressed_findings_total")]
    assert named == [f'sekisho_suppressed_findings_total{{entity="{label}",lane="app-logs"}}']


def test_no_peer_can_make_new_series(meter):
    for number in range(300):
        word = f"word-{number}"
        strange = Message(Route(word, word), word, word, ())  # type: ignore[arg-type]
        meter.message(strange, word, 0, 0)
        meter.violation(strange, word, Finding(word, word, word, False, "", "", "", (), 0, 0), word, "")  # type: ignore[arg-type]
        meter.suppressed(strange, finding(word))
        meter.gap(strange, word, 1, word, "")
        meter.internal_error(word)
        meter.added_latency(word, 1)
        meter.connections(word, 1)
        meter.upstream_error(word, word)
        meter.policy_reload(word)
    assert not [name for name in samples(meter) if "word-" in name]
    labels = ",".join(f'{label}="other"' for label in ("direction", "lane", "protocol", "role", "verdict"))
    assert samples(meter)[f"sekisho_messages_total{{{labels}}}"] == 300


def test_the_memory_of_misspelt_labels_is_bounded(meter):
    meter._upstream.MOST = 5
    for number in range(50):
        meter.upstream_error("gmo", f"word-{number}")
    assert len(meter._upstream._children) == 5
    assert samples(meter)['sekisho_upstream_errors_total{lane="gmo",reason="other"}'] == 50


def test_openmetrics_carries_the_audit_record_as_exemplar(meter):
    record = "7d444840-9dc0-41d1-b245-5ffdce74fad2"
    meter.violation(MESSAGE, "retention", FINDING, "block", record)
    meter.violation(MESSAGE, "retention", FINDING, "block", "")
    text = meter.render("application/openmetrics-text; version=1.0.0")[0].decode()
    (line,) = [line for line in text.splitlines() if line.startswith("sekisho_violations_total{")]
    assert f'}} 2.0 # {{audit_id="{record}"}} 1.0' in line
    assert "audit_id" not in meter.render()[0].decode()


def test_every_series_of_the_table_is_exposed_and_no_other(meter):
    types = {
        line.split()[2]: line.split()[3]
        for line in meter.render()[0].decode().splitlines()
        if line.startswith("# TYPE")
    }
    ours = {name: kind for name, kind in types.items() if not name.startswith("process_")}
    assert ours == {series.name: series.type for series in SERIES}


def test_two_meters_share_nothing():
    one, other = PrometheusMeter(), PrometheusMeter()
    one.audit_error()
    assert samples(one)["sekisho_audit_errors_total{}"] == 1
    assert samples(other)["sekisho_audit_errors_total{}"] == 0


def test_the_double_records_every_call():
    meter: Meter = RecordingMeter()
    meter.message(MESSAGE, "allow", 10, 0.5)
    meter.violation(MESSAGE, "retention", FINDING, "block", "id")
    meter.suppressed(MESSAGE, FINDING)
    meter.gap(MESSAGE, "body", 3, "report", "id")
    meter.internal_error("inspect")
    meter.audit_error()
    meter.added_latency("gmo", 0.25)
    meter.connections("gmo", -1)
    meter.upstream_error("gmo", "tls")
    meter.policy(POLICY)
    meter.policy_reload("ok")
    meter.bypass("gmo", "direct", 1)
    meter.watched()
    assert meter.calls == [
        ("message", "app-logs", "request", "allow", "10"),
        ("violation", "app-logs", "retention", "PAN", "high", "block", "id"),
        ("suppressed", "app-logs", "PAN"),
        ("gap", "app-logs", "body", "3", "report", "id"),
        ("internal_error", "inspect"),
        ("audit_error",),
        ("added_latency", "gmo"),
        ("connections", "gmo", "-1"),
        ("upstream_error", "gmo", "tls"),
        ("policy", "shop-2026", "enforce"),
        ("policy_reload", "ok"),
        ("bypass", "gmo", "direct", "1"),
        ("watched",),
    ]
    assert meter.seconds == [0.5, 0.25]
    assert meter.named("gap") == [("app-logs", "body", "3", "report", "id")]
