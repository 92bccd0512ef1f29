"""Sentry: an exception whose local variables, message and breadcrumbs hold a card number, as the SDK's envelopes."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope

from tests.e2e.clients.stage import MASKED, PAN, Stage

CODINGS = ["gzip", "br"]


@pytest.fixture(params=CODINGS)
def scope(request, stage):
    """A client of its own in a scope of its own: nothing is hooked into the test process."""
    client = sentry_sdk.Client(
        dsn=f"http://0123456789abcdef0123456789abcdef@127.0.0.1:{stage.port('sentry')}/42",
        default_integrations=False,
        traces_sample_rate=1.0,
        release="shop@5.1.0",
        server_name="shop-1",
        _experiments={"transport_compression_algo": request.param},
    )
    scope = sentry_sdk.Scope(client=client)
    scope.set_user({"id": "m_000123456789"})
    yield scope
    client.close(timeout=60)


def decline(form: dict[str, Any]) -> None:
    number = form["CardNo"]
    raise ValueError(f"declined: {number}")


def crash(scope: sentry_sdk.Scope, value: str, amount: int) -> None:
    """Reports an exception from a frame that has the value in a local variable."""
    form = {"CardNo": value, "Expire": "3012", "Amount": amount}
    with sentry_sdk.scope.use_scope(scope):
        scope.set_extra("order_id", 20261122000123)
        scope.add_breadcrumb(category="pay", message=f"ExecTran CardNo={value}", data={"order_id": "20261122-000123"})
        try:
            decline(form)
        except ValueError:
            scope.capture_exception(sys.exc_info())
    scope.client.flush(timeout=60)


def event(stage: Stage) -> dict[str, Any]:
    """The event as Sentry's own reader finds it in the envelope, whose items say how long they are."""
    envelope = Envelope.deserialize(stage.sinks["sentry"].only().plain)
    assert [item.type for item in envelope.items] == ["event"]
    (item,) = envelope.items
    event = item.payload.json
    assert envelope.headers["event_id"] == event["event_id"]
    return event


def frame_variables(event: dict[str, Any]) -> dict[str, Any]:
    return event["exception"]["values"][0]["stacktrace"]["frames"][-1]["vars"]


def test_clean(stage, scope):
    crash(scope, "tok_9f3b1c7e", 12800)
    got = event(stage)
    assert frame_variables(got)["form"] == {"CardNo": "'tok_9f3b1c7e'", "Expire": "'3012'", "Amount": "12800"}
    assert got["exception"]["values"][0]["value"] == "declined: tok_9f3b1c7e"
    assert stage.records() == []


def test_leaking(stage, scope):
    crash(scope, PAN, 12800)
    got = event(stage)
    assert frame_variables(got)["number"] == f"'{MASKED}'"
    assert frame_variables(got)["form"]["CardNo"] == f"'{MASKED}'"
    assert frame_variables(got)["form"]["Amount"] == "12800"
    assert got["exception"]["values"][0]["value"] == f"declined: {MASKED}"
    assert got["breadcrumbs"]["values"][0]["message"] == f"ExecTran CardNo={MASKED}"
    assert stage.verdicts("sentry") == ["redact"]


def test_what_changes_the_length_of_an_item(stage, scope):
    """A number becomes a longer string and a security code a shorter one; an envelope's item says how long it is."""
    with sentry_sdk.scope.use_scope(scope):
        scope.set_extra("card_number", int(PAN))
        scope.set_extra("security_code", "1234")
        scope.capture_message("declined")
    scope.client.flush(timeout=60)
    got = event(stage)
    assert got["extra"]["card_number"] == MASKED
    assert got["extra"]["security_code"] == "***"
    assert stage.verdicts("sentry") == ["redact"]
