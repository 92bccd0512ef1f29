"""Where a client of a forward lane may not be led: this machine, by whatever spelling."""

from __future__ import annotations

import socket
import sys

import pytest

from proxy import destinations
from proxy.destinations import addresses_of, is_here, original_destination
from proxy.http import hooks as http_hooks
from tests.e2e.origin import OK, origin, status_of
from tests.e2e.plane import ScriptedGuard, plane, policy

HERE = [
    *("127.0.0.1", "127.9.9.9", "0.0.0.0", "169.254.169.254", "224.0.0.1", "::1", "::", "fe80::1", "fe80::1%eth0"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "ff02::1"),
    *("64:ff9b::a9fe:a9fe", "no address"),
]
ELSEWHERE = ["192.0.2.1", "10.0.0.1", "2001:db8::1", "::ffff:192.0.2.1", "64:ff9b::c000:201", "fd00::1"]


@pytest.mark.parametrize("address", HERE)
def test_addresses_of_this_machine_and_its_link(address):
    assert is_here(address, 80)


@pytest.mark.parametrize("address", ELSEWHERE)
def test_addresses_of_other_machines(address):
    assert not is_here(address, 80, {80})


def own_address():
    """This machine's own address in a network, if it is in one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        return probe.getsockname()[0]


@pytest.mark.skipif(not own_address(), reason="in no network")
def test_where_sekisho_itself_listens():
    """Listening on 0.0.0.0, the admin server has every address of the machine."""
    assert is_here(own_address(), 9464, {9464, 3100})
    assert not is_here(own_address(), 80, {9464, 3100})


def test_an_address_that_the_kernel_has_no_way_to(monkeypatch):
    def broken(*_):
        raise OSError

    monkeypatch.setattr(destinations.socket, "socket", broken)
    assert not is_here("192.0.2.1", 80, {80})


async def test_what_does_not_resolve_has_no_addresses():
    assert await addresses_of("no-such-host.invalid", 80) == ()
    assert await addresses_of("127.0.0.1", 80) == ("127.0.0.1",)


def forward(base, **options):
    row = {"upstream": "forward", "unlisted": "external", **options}
    return ScriptedGuard(policy(base, row, **({"mode": row.pop("mode")} if "mode" in row else {})))


def request(host, port):
    return f"GET http://{host}:{port}/ HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()


SPELLINGS = [
    *("127.0.0.1", "127.1", "0x7f000001", "2130706433", "0", "0.0.0.0", "localhost", "localhost.", "LOCALHOST"),
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0177.0.0.1", "127.000.000.001"),
]


@pytest.mark.parametrize("host", SPELLINGS)
async def test_no_spelling_leads_to_this_machine(tmp_path, host):
    async with origin() as server, plane(forward(tmp_path)) as running:
        response = await running.ask(request(host, server.port))
        assert status_of(response) in (400, 403, 502)
        if status_of(response) == 403:
            assert b"urn:sekisho:problem:local-destination" in response
            assert running.meter.named("refused") == [("lane", "local-destination")]
            assert running.meter.named("upstream_error") == []
        assert server.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "localhost"])
async def test_the_plain_ones_say_why(tmp_path, host):
    """Resolvers differ in what they take for an address; these are ones to all of them."""
    async with origin() as server, plane(forward(tmp_path)) as running:
        assert status_of(await running.ask(request(host, server.port))) == 403


async def test_a_destination_that_lists_the_host_by_its_name(tmp_path):
    listed = [{"hosts": ["127.0.0.1", "*.localhost"], "role": "logging"}]
    async with origin() as server, plane(forward(tmp_path, destinations=listed)) as running:
        assert await running.ask(request("127.0.0.1", server.port)) == OK
        assert status_of(await running.ask(request("localhost", server.port))) == 403
        assert server.connections == 1


async def test_monitor_mode_refuses_nothing(tmp_path):
    for options in ({}, {"unlisted": "block", "destinations": [{"hosts": ["a"], "role": "logging"}]}):
        async with origin() as server, plane(forward(tmp_path, mode="monitor", **options)) as running:
            assert await running.ask(request("127.1", server.port)) == OK


async def test_a_name_that_resolves_to_another_address_a_moment_later(tmp_path, monkeypatch):
    """DNS rebinding: the connection is there, and not one byte goes out on it."""

    async def elsewhere(*_):
        return ("192.0.2.1",)

    monkeypatch.setattr(http_hooks, "addresses_of", elsewhere)
    async with origin() as server, plane(forward(tmp_path)) as running:
        assert status_of(await running.ask(request("localhost", server.port))) == 502
        assert bytes(server.received) == b""


async def test_a_reverse_lane_leads_where_the_policy_says(tmp_path):
    async with origin() as server:
        guard = ScriptedGuard(policy(tmp_path, {"upstream": server.url.replace("127.0.0.1", "localhost")}))
        async with plane(guard) as running:
            assert await running.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == OK


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_connection_that_nobody_redirected(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.create_server((host, 0), family=family)
    with server, socket.create_connection(server.getsockname()[:2]):
        accepted, _ = server.accept()
        with accepted:
            assert original_destination(accepted) is None


class Redirected:
    """A socket as the kernel describes one: a ``sockaddr_in`` or a ``sockaddr_in6``."""

    def __init__(self, family, raw, here):
        self.family, self.raw, self.here = family, raw, here

    def getsockopt(self, _level, option, size):
        assert option == 80
        return self.raw[:size]

    def getsockname(self):
        return self.here


V4 = b"\x02\x00" + (443).to_bytes(2) + bytes([192, 0, 2, 1]) + bytes(8)
V6 = b"\x0a\x00" + (443).to_bytes(2) + bytes(4) + socket.inet_pton(socket.AF_INET6, "2001:db8::1") + bytes(4)
LINK = V6[:8] + socket.inet_pton(socket.AF_INET6, "fe80::1") + (3).to_bytes(4, sys.byteorder)


@pytest.mark.parametrize(
    ("family", "raw", "here", "found"),
    [
        (socket.AF_INET, V4, ("127.0.0.1", 15001), ("192.0.2.1", 443)),
        (socket.AF_INET, V4, ("192.0.2.1", 443), None),
        (socket.AF_INET6, V6, ("::1", 15001, 0, 0), ("2001:db8::1", 443)),
        (socket.AF_INET6, V6, ("2001:db8::1", 443, 0, 0), None),
        (socket.AF_INET6, LINK, ("::1", 15001, 0, 0), ("fe80::1%3", 443)),
    ],
    ids=["ipv4", "ipv4-itself", "ipv6", "ipv6-itself", "ipv6-link"],
)
def test_where_a_connection_was_going(family, raw, here, found):
    assert original_destination(Redirected(family, raw, here)) == found
