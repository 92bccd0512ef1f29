"""Whatever a client's test sends, no sink may be left holding the number, and the sidecar must not say it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.e2e.authority import authority, server_context
from tests.e2e.clients.answers import ANSWERS
from tests.e2e.clients.collector import Collector
from tests.e2e.clients.objects import ObjectStore
from tests.e2e.clients.sinks import Sink, Sinks, holds
from tests.e2e.clients.stage import LANES, LOGGING, PAN, STORAGE, Stage
from tests.sidecar import launch, policy_document, prepared


@pytest.fixture(scope="session")
def whole_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    base = tmp_path_factory.mktemp("clients")
    public, private = authority(base)
    sinks = Sinks(*(Sink(name, ANSWERS[name]) for name in LANES))
    objects = ObjectStore(server_context(base, "127.0.0.1"))
    lanes = [{"name": name, "upstream": sinks[name].url, **rest} for name, rest in LANES.items()]
    collector = Collector()
    lanes.append({"name": "otlp-grpc", "upstream": collector.url, **LOGGING})
    lanes.append({"name": "objects", "upstream": objects.url, **STORAGE})
    egress = [{"hosts": ["127.0.0.1"], **STORAGE}]
    tls = {"ca_file": str(public), "intercept_ca_file": str(private)}
    lanes.append({"name": "egress", "upstream": "forward", "destinations": egress, "tls": tls})
    try:
        sidecar = launch(base, policy_document(base, lanes), program=prepared())
        try:
            yield Stage(sidecar, sinks, objects, collector, public)
        finally:
            sidecar.stop()
    finally:
        sinks.stop()
        objects.stop()
        collector.stop()


@pytest.fixture(autouse=True)
def stage(whole_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """The stage, with empty sinks. Afterwards no sink holds the number, and the sidecar has neither said it nor failed."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    whole_stage.sinks.empty()
    whole_stage.objects.requests.clear()
    whole_stage.collector.received.clear()
    whole_stage.seen = len(whole_stage.sidecar.audit_lines())
    yield whole_stage
    arrived = {
        name: [holds(PAN, received.text().encode("latin-1")) for received in whole_stage.sinks[name].received]
        for name in LANES
    }
    assert {name: hits for name, hits in arrived.items() if any(hits)} == {}
    assert [key for key, data in whole_stage.objects.everything().items() if holds(PAN, data)] == []
    assert [export for export in whole_stage.collector.received if holds(PAN, export)] == []
    assert holds(PAN, whole_stage.sidecar.output()) == []
    assert holds(PAN, str(whole_stage.records()).encode()) == []
    assert whole_stage.internal_errors() == []
