from __future__ import annotations

import types

import pytest
from mitmproxy.connection import Server
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from proxy.addon import Gate
from proxy.http.hooks import LaneHooks
from proxy.http.seat import LaneSeat, Rules, Table
from proxy.threads import Threads
from tests.e2e.plane import ScriptedGuard, policy
from tests.proxy.doubles import RecordingMeter


@pytest.fixture
def hooks(tmp_path):
    guard = ScriptedGuard(policy(tmp_path, {"upstream": "http://a:1"}))
    meter = RecordingMeter()
    table = Table(Rules.of(guard.policy), meter)
    made = LaneHooks(Gate(guard, Threads(), meter), table, lambda _: None)
    return made, LaneSeat(table, guard.policy.lanes[0], 4096, 60), meter


def test_a_failed_connect_hook_is_a_refused_connection(hooks):
    made, found, meter = hooks
    data = ServerConnectionHookData(client=None, server=Server(address=("a", 1)))
    made.failed("server_connect", data, found, "plane")
    assert data.server.error == "refused"
    assert meter.named("internal_error") == [("plane",)]


def test_a_failed_tls_hook_leaves_no_connection(hooks):
    made, found, meter = hooks
    data = types.SimpleNamespace(ssl_conn=None)
    made.failed("tls_start_server", data, found, "plane")
    assert data.ssl_conn is None
    assert meter.named("internal_error") == [("plane",)]


def test_nothing_comes_out_of_a_failing_failure(hooks):
    made, found, _ = hooks
    made.failed("request", object(), None, "plane")
    made._table.meter = None
    made.crashed("plane")
    made.failed("tls_start_client", None, found, "plane")
