from __future__ import annotations

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.metrics.meter import PrometheusMeter
from proxy.metrics.sum import added, counted, lasting
from tests.proxy.metrics.test_meter import FINDING, MESSAGE, POLICY

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def meter(messages: int = 0, record: str = "") -> PrometheusMeter:
    made = PrometheusMeter(version="1.2.3")
    made.policy(POLICY)
    made.connections("gmo", 2)
    for _ in range(messages):
        made.message(MESSAGE, "allow", 10, 0.003)
        made.violation(MESSAGE, "retention", FINDING, "report", record)
    return made


def over_the_wire(one: PrometheusMeter):
    return json.loads(json.dumps(counted(one.registry)))


def values(page: bytes) -> dict[str, float]:
    families = text_string_to_metric_families(page.decode())
    return {
        sample.name + str(sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def of(page: bytes, name: str) -> list[float]:
    return [value for key, value in values(page).items() if key.startswith(name + "[")]


def test_counters_histograms_and_gauges_add_up():
    page, _ = meter(1).render("", [over_the_wire(meter(2)), over_the_wire(meter(3))])
    assert of(page, "sekisho_messages_total") == [6]
    assert of(page, "sekisho_inspected_bytes_total") == [60]
    assert of(page, "sekisho_inspect_seconds_count") == [6]
    assert of(page, "sekisho_inspect_seconds_sum") == [pytest.approx(0.018)]
    assert [value for key, value in values(page).items() if key.startswith("sekisho_inspect_seconds_b")][-1] == 6
    assert sorted(of(page, "sekisho_connections")) == [0, 6]
    assert set(of(page, "sekisho_audit_errors_total")) == {0}


def test_of_probes_the_worst_and_the_oldest_counts():
    workers = [meter(), meter(), meter()]
    for worker, time, success in zip(workers, (100, 90, 110), (True, True, False), strict=True):
        worker.probe("lane", time, success=success)
    page, _ = meter().render("", [over_the_wire(worker) for worker in workers])
    assert of(page, "sekisho_probe_success") == [0]
    assert of(page, "sekisho_probe_timestamp_seconds") == [90]


def test_what_is_of_the_sidecar_as_a_whole_is_not_added():
    worker = meter()
    worker.policy_reload("ok")
    page, _ = meter().render("", [over_the_wire(worker)] * 3)
    assert of(page, "sekisho_policy_info") == [1]
    assert of(page, "sekisho_build_info") == [1]
    assert of(page, "sekisho_policy_last_reload_success") == [1]
    assert of(page, "sekisho_lane_monitored") == [0, 0]
    assert of(page, "sekisho_policy_reloads_total") == [0, 0]


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_a_sum_reads_like_the_page_of_one_process(accept, monkeypatch):
    """Buckets in order, and what only another process has counted in its place."""
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.5)
    summed = meter().render(accept, [lasting(over_the_wire(meter(4)))])
    assert without_process(summed) == without_process(meter(4).render(accept))


def without_process(page: tuple[bytes, str]) -> list[bytes]:
    return [line for line in page[0].splitlines() if b"process_" not in line]


def test_of_moments_the_latest_stays(monkeypatch):
    """Also of a process that has ended; its memory has ended with it."""
    others = []
    for now in (1_800_000_000.0, 1_800_000_600.0, 1_800_000_300.0):
        monkeypatch.setattr("time.time", lambda now=now: now)
        others.append(lasting(over_the_wire(meter(1))))
    page, _ = meter().render("", others)
    assert of(page, "sekisho_violation_timestamp_seconds") == [1_800_000_600.0]
    alone, _ = meter().render()
    assert of(page, "process_start_time_seconds") == of(alone, "process_start_time_seconds")
    assert of(page, "process_resident_memory_bytes")[0] < 2 * of(alone, "process_resident_memory_bytes")[0]


def test_the_newest_exemplar_stays():
    older = over_the_wire(meter(1, "aaaa"))
    newer = over_the_wire(meter(1, "bbbb"))
    for order in ([older, newer], [newer, older]):
        page = meter().render(OPENMETRICS, order)[0]
        assert b'audit_id="bbbb"' in page
        assert b"aaaa" not in page


def test_a_process_that_has_ended_leaves_its_counters_and_no_gauge():
    left = lasting(over_the_wire(meter(2)))
    page, _ = meter().render("", [left, left])
    assert of(page, "sekisho_messages_total") == [4]
    assert sorted(of(page, "sekisho_connections")) == [0, 2]
    assert added(left, {}) == added({}, left)


def test_the_probes_of_a_process_that_has_ended_are_forgotten():
    """The first of several workers' moments is told: one that stands still for ever would look like a lane unprobed."""
    ended, working = meter(), meter()
    ended.probe("gmo", 1_800_000_000.0, success=False)
    working.probe("gmo", 1_800_000_600.0, success=True)
    page, _ = meter().render("", [lasting(over_the_wire(ended)), over_the_wire(working)])
    assert of(page, "sekisho_probe_timestamp_seconds") == [1_800_000_600.0]
    assert of(page, "sekisho_probe_success") == [1.0]
