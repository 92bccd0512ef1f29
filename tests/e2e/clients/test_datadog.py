"""Datadog's log intake, with the official client and each of its content codings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from datadog_api_client import ApiClient, Configuration
from datadog_api_client.v2.api.logs_api import LogsApi
from datadog_api_client.v2.api.metrics_api import MetricsApi
from datadog_api_client.v2.model.content_encoding import ContentEncoding
from datadog_api_client.v2.model.http_log import HTTPLog
from datadog_api_client.v2.model.http_log_item import HTTPLogItem
from datadog_api_client.v2.model.metric_content_encoding import MetricContentEncoding
from datadog_api_client.v2.model.metric_payload import MetricPayload
from datadog_api_client.v2.model.metric_point import MetricPoint
from datadog_api_client.v2.model.metric_series import MetricSeries

from tests.e2e.clients.stage import MASKED, PAN, Stage

CLEAN = {
    "ddsource": "python",
    "ddtags": "env:prod,version:5.1",
    "hostname": "shop-1",
    "message": '{"order": "ROKI-20261122-000123", "dd.trace_id": "6934821035892394823", "amount": 12800}',
    "service": "payment",
}
LEAKING = CLEAN | {"message": f"ExecTran CardNo={PAN}&Expire=3012 took 41 ms"}
CODINGS = [ContentEncoding.IDENTITY, ContentEncoding.GZIP, ContentEncoding.DEFLATE]


@pytest.fixture
def api(stage):
    configuration = Configuration(host=stage.url("datadog"), api_key={"apiKeyAuth": "0123456789abcdef0123456789abcdef"})
    with ApiClient(configuration) as client:
        yield LogsApi(client)


def submit_metric(api: LogsApi, tag: str) -> None:
    """Metrics go out in the codings of logs, and in zstd, which Datadog calls ``zstd1``."""
    series = MetricSeries(
        metric="shop.orders", type=1, points=[MetricPoint(timestamp=1763769600, value=12.5)], tags=["env:prod", tag]
    )
    MetricsApi(api.api_client).submit_metrics(
        MetricPayload(series=[series]), content_encoding=MetricContentEncoding.ZSTD1
    )


def submit(api: LogsApi, *items: dict[str, str], coding: Any) -> None:
    api.submit_log(HTTPLog([HTTPLogItem(**item) for item in items]), content_encoding=coding)


def logs(stage: Stage) -> list[dict[str, str]]:
    return json.loads(stage.sinks["datadog"].only().plain)


@pytest.mark.parametrize("coding", CODINGS, ids=str)
def test_clean(stage, api, coding):
    submit(api, CLEAN, CLEAN, coding=coding)
    assert logs(stage) == [CLEAN, CLEAN]
    assert stage.records() == []


@pytest.mark.parametrize("coding", CODINGS, ids=str)
def test_leaking(stage, api, coding):
    submit(api, CLEAN, LEAKING, coding=coding)
    clean, masked = logs(stage)
    assert clean == CLEAN
    assert masked["message"].startswith(f"ExecTran CardNo={MASKED}&Expire=")
    assert masked["message"].endswith(" took 41 ms")
    assert stage.verdicts("datadog") == ["redact"]


def test_metrics(stage, api):
    submit_metric(api, "shop:1")
    assert stage.records() == []
    submit_metric(api, f"card:{PAN}")
    clean, leaking = stage.sinks["datadog"].received
    assert clean.header("content-encoding") == "zstd1"
    assert clean.json()["series"][0]["tags"] == ["env:prod", "shop:1"]
    assert leaking.json()["series"][0]["tags"] == ["env:prod", f"card:{MASKED}"]
    assert stage.verdicts("datadog") == ["redact"]
