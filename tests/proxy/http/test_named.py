"""Which rules a cleartext message on a redirected connection is judged by: a name is believed if it resolves there."""

from __future__ import annotations

import asyncio

import pytest

from proxy.http import hooks as http_hooks
from proxy.http import named, seat
from proxy.http.named import authority_host, host_name, same_address
from tests.e2e.origin import OK, exchange, get, origin, read_response, status_of
from tests.e2e.plane import ScriptedGuard, plane, policy

DESTINATIONS = [
    {"hosts": ["127.0.0.1"], "role": "external"},
    {"hosts": ["logs.example", "*.logs.example"], "role": "logging"},
    {"hosts": ["other.example"], "role": "storage"},
]
RESOLVES = {"logs.example": ("127.0.0.1",), "a.logs.example": ("127.0.0.1", "10.0.0.9"), "other.example": ("10.0.0.9",)}


@pytest.fixture
def asked(monkeypatch):
    """The names that have been looked up; those of ``RESOLVES`` are known."""
    names: list[str] = []

    async def addresses_of(host, _port):
        names.append(host)
        if host == "broken.logs.example":
            raise RuntimeError("broken")
        return RESOLVES.get(host, ())

    monkeypatch.setattr(http_hooks, "addresses_of", addresses_of)
    return names


@pytest.fixture
def redirect(monkeypatch, tmp_path):
    """Starts a transparent lane on which every connection was going to the server."""

    def start(server, destinations=DESTINATIONS, **row):
        monkeypatch.setattr(seat, "is_here", lambda *_: False)
        monkeypatch.setattr(seat, "original_destination", lambda _: ("127.0.0.1", server.port))
        return plane(ScriptedGuard(policy(tmp_path, {"upstream": "transparent", "destinations": destinations, **row})))

    return start


async def one_after_another(running, hosts):
    """A request to each on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port())
    for host in hosts:
        writer.write(get("/", host=host))
        assert await read_response(reader) == OK
    writer.close()


@pytest.mark.parametrize(
    ("host", "role", "judged_as", "looked_up"),
    [
        ("logs.example", "logging", "logs.example", ["logs.example"]),
        ("LOGS.example:8080", "logging", "logs.example", ["logs.example"]),
        ("a.logs.example", "logging", "a.logs.example", ["a.logs.example"]),
        ("other.example", "external", "127.0.0.1", ["other.example"]),
        ("b.logs.example", "external", "127.0.0.1", ["b.logs.example"]),
        ("broken.logs.example", "external", "127.0.0.1", ["broken.logs.example"]),
        ("127.0.0.1", "external", "127.0.0.1", []),
        ("x4000056655665556.logs.example", "external", "127.0.0.1", []),
        ("a@logs.example", "external", "127.0.0.1", []),
        ("logs.example.", "logging", "logs.example", ["logs.example"]),
    ],
)
async def test_whose_rules(redirect, asked, host, role, judged_as, looked_up):
    async with origin() as server, redirect(server) as running:
        await exchange(running.port(), get("/", host=host))
        first = running.guard.asked[0]
        assert (first.route.role, first.host, first.port) == (role, judged_as, server.port)
        assert asked == looked_up
        assert server.requests == [get("/", host=host)]


async def test_what_would_change_nothing_is_not_looked_up(redirect, asked):
    async with origin() as server, redirect(server, [], unlisted="external") as running:
        await exchange(running.port(), get("/", host="any.example"))
        assert running.guard.asked[0].host == "127.0.0.1"
        assert asked == []


async def test_a_name_of_an_unlisted_address_lets_it_pass_only_if_it_holds(redirect, asked):
    async with origin() as server, redirect(server, DESTINATIONS[1:]) as running:
        assert status_of(await exchange(running.port(), get("/", host="logs.example"))) == 200
        assert status_of(await exchange(running.port(), get("/", host="other.example"))) == 403
        assert status_of(await exchange(running.port(), get("/"))) == 403
        assert len(server.requests) == 1
        assert asked == ["logs.example", "other.example"]


async def test_each_message_of_a_connection_by_its_own_name_looked_up_once(redirect, asked):
    hosts = ["logs.example", "other.example", "logs.example", "127.0.0.1", "other.example"]
    async with origin() as server, redirect(server) as running:
        await one_after_another(running, hosts)
        roles = [message.route.role for message in running.guard.asked if message.direction == "request"]
        assert roles == ["logging", "external", "logging", "external", "external"]
        assert asked == ["logs.example", "other.example"]
        assert server.requests == [get("/", host=host) for host in hosts]


async def test_what_is_remembered_of_a_client_has_a_bound(redirect, asked, monkeypatch):
    monkeypatch.setattr(named, "MOST_NAMES", 2)
    hosts = [f"{letter}.logs.example" for letter in "abca"]
    async with origin() as server, redirect(server) as running:
        await one_after_another(running, hosts)
        assert asked == hosts


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("A.example:80", "a.example"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("例え.jp", "xn--r8jz45g.jp"),
        ("", ""),
        ("a b", ""),
        ("a:b", ""),
        ("a@b", ""),
        ("x4111111111111111.example", ""),
    ],
)
def test_host_name(field, name):
    assert host_name(field) == name


@pytest.mark.parametrize(
    ("field", "host"), [("A.example.:80", "A.example."), ("[::1]:1", "[::1]"), ("", ""), ("a b:1", "a b"), ("a@b", "")]
)
def test_authority_host(field, host):
    assert authority_host(field) == host


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("2001:db8::1", "2001:DB8:0::1", True),
        ("fe80::1%eth0", "fe80::1%eth0", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("::ffff:10.0.0.1", "10.0.0.1", False),
        ("a.example", "a.example", False),
    ],
)
def test_same_address(one, other, same):
    assert same_address(one, other) is same
