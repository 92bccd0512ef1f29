from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from mitmproxy import connection, exceptions, http
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import taddons

from proxy import stock
from proxy.addon import Gate
from proxy.http import marks
from proxy.stock import LIMITS, Stock, lane_of
from proxy.threads import Threads
from tests.e2e.origin import OK, body_of, exchange, get, origin, post, status_of
from tests.e2e.plane import PAN, ScriptedGuard, policy, until
from tests.proxy.doubles import RecordingMeter
from tests.sidecar import ROOT, free_port, policy_document, write_policy

NUMBER = PAN.encode()


def flow(mode="reverse:http://a:1@8080", content=b"", fields=()):
    client = connection.Client(peername=("127.0.0.1", 9), sockname=("127.0.0.1", 2), proxy_mode=ProxyMode.parse(mode))
    found = http.HTTPFlow(client, connection.Server(address=None))
    headers = http.Headers([(b"Host", b"a"), *fields])
    found.request = http.Request("a", 1, b"POST", b"http", b"", b"/x", b"HTTP/1.1", headers, content, None, 0, 0)
    return found


@pytest.fixture
def made(tmp_path):
    """The addon with a scripted guard."""
    guard = ScriptedGuard(policy(tmp_path, {"upstream": "http://a:1"}))
    threads = Threads()
    addon = Stock()
    addon._gate = Gate(guard, threads, RecordingMeter())
    addon._policy = lambda: guard.policy
    yield addon, guard
    threads.close()


async def test_a_clean_exchange(made):
    addon, guard = made
    found = flow(content=b"clean")
    await addon.request(found)
    assert found.response is None
    found.response = http.Response.make(200, b"clean")
    await addon.response(found)
    assert found.response.status_code == 200
    assert [message.direction for message in guard.asked] == ["request", "response"]


async def test_a_card_in_the_request(made):
    addon, guard = made
    found = flow(content=NUMBER)
    await addon.request(found)
    assert found.response.status_code == 403
    await addon.response(found)  # the host calls it for our own answer too
    assert found.response.status_code == 403
    assert len(guard.asked) == 1


async def test_a_card_in_the_response(made):
    addon, _ = made
    found = flow()
    await addon.request(found)
    found.response = http.Response.make(200, NUMBER)
    await addon.response(found)
    assert found.response.status_code == 403
    assert NUMBER not in found.response.content


@pytest.mark.parametrize("error", [RuntimeError("x"), TimeoutError(), asyncio.CancelledError(), KeyboardInterrupt()])
@pytest.mark.parametrize("hook", ["request", "response"])
async def test_a_hook_that_fails(made, error, hook):
    """The host would forward the flow."""
    addon, guard = made

    def broken(*_):
        raise error

    setattr(addon._gate, hook, broken)
    found = flow(content=NUMBER)
    if hook == "response":
        found.response = http.Response.make(200, NUMBER)
    await getattr(addon, hook)(found)
    assert found.response.status_code == 503
    assert guard.failures == ["plane"]


async def test_without_a_policy_everything_is_refused():
    found = flow()
    await Stock().request(found)
    assert found.response.status_code == 503
    assert marks.refusal(found) is not None


@pytest.mark.parametrize("mode", ["reverse:http://b:1@8080", "reverse:https://a:1@8080", "regular@8080", "socks5@8080"])
async def test_a_listener_that_is_no_lane(made, mode):
    addon, _ = made
    found = flow(mode)
    await addon.request(found)
    assert found.response.status_code == 503


async def test_upgrades_and_streamed_bodies_are_gaps(made):
    addon, guard = made
    upgrade = flow(fields=[(b"Upgrade", b"websocket")])
    await addon.request(upgrade)
    assert upgrade.response.status_code == 501
    streamed = flow()
    streamed.request.data.content = None
    await addon.request(streamed)
    assert streamed.response.status_code == 413
    answer = flow()
    await addon.request(answer)
    answer.response = http.Response.make(200)
    answer.response.data.content = None
    await addon.response(answer)
    assert answer.response.status_code == 502
    assert [message.gap for message in guard.asked] == ["upgrade", "body-too-large", "", "body-too-large"]


def test_lane_of(tmp_path):
    rows = [
        {"name": "one", "upstream": "http://a:1", "listen": "127.0.0.1:8081"},
        {"name": "two", "upstream": "http://a:1", "listen": "127.0.0.1:8082"},
        {"name": "tls", "upstream": "https://b:443", "listen": "127.0.0.1:8083"},
        {"name": "fwd", "upstream": "forward", "listen": "127.0.0.1:8084", "unlisted": "external"},
    ]
    rules = policy(tmp_path, *rows)

    def name(spec):
        found = lane_of(ProxyMode.parse(spec), rules)
        return found.name if found else None

    assert name("reverse:http://a:1@8082") == "two"
    assert name("reverse:http://a:1@9999") is None  # two lanes could be meant
    assert name("reverse:https://b@9999") == "tls"
    assert name("regular@9999") == "fwd"
    assert name("transparent@8084") is None
    assert lane_of(ProxyMode.parse("regular"), None) is None


@pytest.mark.parametrize("content", [None, "lanes: []", "version: 2"])
def test_a_policy_that_cannot_be_used(tmp_path, monkeypatch, content):
    monkeypatch.delenv(stock.VARIABLE, raising=False)
    path = tmp_path / "sekisho.yaml"
    if content is not None:
        path.write_text(content)
    addon = Stock()
    with taddons.context() as context:
        addon.load(_Loader(context.options))
        if content is not None:
            monkeypatch.setenv(stock.VARIABLE, str(path))
        with pytest.raises(exceptions.OptionsError, match=r"policy|sekisho\.yaml"):
            addon.configure({stock.OPTION})
    assert addon._gate is None


class _Loader:
    def __init__(self, options):
        self.options = options

    def add_option(self, name, kind, default, text):
        self.options.add_option(name, kind, default, text)


@pytest.fixture
def mitmdump(tmp_path):
    """``mitmdump(upstream)``: a real one with the addon, its port, and what it has said when it is over."""
    started = []

    def start(upstream):
        rows = [{"name": "lane", "upstream": upstream, "role": "logging"}]
        path = write_policy(tmp_path, policy_document(tmp_path, rows))
        port, log = free_port(), tmp_path / "log"
        command = [str(Path(sys.executable).parent / "mitmdump"), "-s", stock.__file__]
        command += ["--mode", f"reverse:{upstream}@127.0.0.1:{port}", "--set", f"sekisho_config={path}"]
        command += ["--set", f"confdir={tmp_path}"]
        with log.open("wb") as out:
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            started.append(subprocess.Popen(command, stdout=out, stderr=out, env=environment, cwd=tmp_path))
        return port, started[-1], log

    yield start
    for process in started:
        process.kill()
        process.wait()


async def test_in_a_real_mitmdump(mitmdump):
    """The whole thing: the file given to ``-s``, the policy by option, a real origin behind it."""
    async with origin(OK) as server:
        port, process, log = mitmdump(server.url)
        await until(lambda: process.poll() is not None or _answers(port), 120)
        assert process.poll() is None, log.read_text()
        assert status_of(await exchange(port, get("/x"), seconds=40)) == 200
        refused = await exchange(port, post("/log", b'{"card": "%s"}' % NUMBER))
        assert status_of(refused) == 403
        assert b"urn:sekisho:problem:card-data" in body_of(refused)
        assert NUMBER not in server.received
        said = log.read_text()
        for limit in LIMITS:
            assert limit in said


def _answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
