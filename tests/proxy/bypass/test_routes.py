"""What goes around Sekisho, told from tables of sockets. Sekisho is user 900, the application user 1000."""

from __future__ import annotations

import pytest

from proxy.bypass.routes import Bypass, Sinks, guarded, inward, redirects, routes
from proxy.bypass.sockets import Connection, Endpoint, Sockets
from tests.e2e.plane import policy

SEKISHO, APP, MESH = 900, 1000, 1337
LANES = (
    {"name": "app-logs", "upstream": "http://loki:3100", "role": "logging", "listen": "127.0.0.1:3100"},
    {"name": "search", "upstream": "https://[2001:db8::9]:9200", "role": "storage"},
    {"name": "sessions", "upstream": "http://127.0.0.1:6379", "role": "storage"},
    {"name": "front", "upstream": "http://127.0.0.1:8000", "role": "shop"},
    {
        "name": "egress",
        "upstream": "forward",
        "destinations": [
            {"hosts": ["api.example.com", "*.sentry.example", "198.51.100.7"], "role": "external"},
        ],
    },
)
NAMES = {
    "loki": ("10.0.0.9", "10.0.0.10"),
    "api.example.com": ("93.184.216.34",),
}
ME = Endpoint("10.0.0.5", 41234)


@pytest.fixture(name="rules")
def rules_fixture(tmp_path):
    def make(*lanes, **bypass):
        return policy(tmp_path, *(lanes or LANES), bypass=bypass)

    return make


def end(text: str) -> Endpoint:
    host, _, port = text.rpartition(":")
    return Endpoint(host.strip("[]"), int(port))


def tcp(
    remote: str, *, uid: int = APP, local: str = "10.0.0.5:41234", state: str = "connected", inode: int = 7
) -> Connection:
    return Connection("tcp", end(local), end(remote), state, uid, inode)


def udp(remote: str, uid: int = APP) -> Connection:
    return Connection("udp", ME, end(remote), "connected", uid, 7)


def table(*rows: Connection, **listeners: int) -> Sockets:
    """Sekisho listens on 127.0.0.1:3100, the application on 0.0.0.0:8000."""
    return Sockets(rows, {end("127.0.0.1:3100"): {SEKISHO}, end("0.0.0.0:8000"): {APP}})


def test_what_is_guarded(rules):
    assert list(guarded(rules())) == [
        ("app-logs", "loki", 3100),
        ("search", "2001:db8::9", 9200),
        ("sessions", "127.0.0.1", 6379),
        ("egress", "api.example.com", 0),
        ("egress", "198.51.100.7", 0),
    ]


def test_the_sinks_of_a_policy(rules):
    assert Sinks.of(rules(), NAMES).lanes == {
        ("10.0.0.9", 3100): "app-logs",
        ("10.0.0.10", 3100): "app-logs",
        ("2001:db8::9", 9200): "search",
        ("127.0.0.1", 6379): "sessions",
        ("93.184.216.34", 0): "egress",
        ("198.51.100.7", 0): "egress",
    }
    assert ("10.0.0.9", 3100) not in Sinks.of(rules(), {}).lanes


def test_a_port_of_its_own_goes_before_any_port():
    sinks = Sinks({("10.0.0.9", 0): "egress", ("10.0.0.9", 3100): "app-logs"})
    assert [sinks.lane(end(text)) for text in ("10.0.0.9:3100", "10.0.0.9:80", "10.0.0.8:3100")] == [
        "app-logs",
        "egress",
        "",
    ]


AROUND = {
    "to an upstream": (tcp("10.0.0.9:3100"), "direct", "app-logs"),
    "to its other address": (tcp("10.0.0.10:3100"), "direct", "app-logs"),
    "not yet answered": (tcp("10.0.0.9:3100", state="connecting"), "direct", "app-logs"),
    "closed by the upstream": (tcp("10.0.0.9:3100", state="closing"), "direct", "app-logs"),
    "over IPv6": (tcp("[2001:db8::9]:9200", local="[2001:db8::5]:41234"), "direct", "search"),
    "by root": (tcp("10.0.0.9:3100", uid=0), "direct", "app-logs"),
    "to an upstream on the same machine": (tcp("127.0.0.1:6379", local="127.0.0.1:41234"), "direct", "sessions"),
    "to a forward lane's destination": (tcp("93.184.216.34:443"), "direct", "egress"),
    "to that on another port": (tcp("198.51.100.7:5432"), "direct", "egress"),
    "from a port that somebody listens on": (tcp("10.0.0.9:3100", local="10.0.0.5:8001"), "direct", "app-logs"),
    "to somewhere in the internet": (tcp("93.184.216.35:443"), "egress", ""),
    "to a destination that has only a pattern": (tcp("93.184.216.36:443"), "egress", ""),
    "over QUIC": (udp("93.184.216.35:443"), "quic", ""),
    "over QUIC to a destination": (udp("93.184.216.34:443"), "quic", "egress"),
    "over QUIC to a private address": (udp("10.0.0.9:443"), "quic", ""),
}


@pytest.mark.parametrize(("row", "kind", "lane"), AROUND.values(), ids=AROUND)
def test_around(rules, row, kind, lane):
    assert routes(rules(), Sinks.of(rules(), NAMES), table(row), SEKISHO) == (Bypass(kind, lane, row),)


INSIDE = {
    "Sekisho's own": tcp("10.0.0.9:3100", uid=SEKISHO),
    "Sekisho's own to the internet": tcp("93.184.216.35:443", uid=SEKISHO),
    "to a lane": tcp("127.0.0.1:3100", local="127.0.0.1:41234"),
    "a scrape of the admin server": tcp("127.0.0.1:9464", local="127.0.0.1:41234", uid=65534),
    "to another port of an upstream": tcp("10.0.0.9:9090"),
    "to another machine of the network": tcp("10.0.0.77:5432"),
    "to a name server": udp("93.184.216.35:53"),
    "over UDP on this machine": Connection("udp", end("127.0.0.1:41234"), end("127.0.0.1:443"), "connected", APP, 7),
    "a customer's browser": tcp("93.184.216.35:55555", local="10.0.0.5:8000"),
    "the shop's own health check": tcp("127.0.0.1:8000", local="127.0.0.1:41234"),
    "to a cloud's metadata": tcp("169.254.169.254:80"),
    "to documentation's network": tcp("192.0.2.1:443"),
    "to a group": tcp("224.0.0.1:443"),
    "closed by its process": tcp("10.0.0.9:3100", uid=0, inode=0),
}


@pytest.mark.parametrize("row", INSIDE.values(), ids=INSIDE)
def test_not_around(rules, row):
    assert routes(rules(), Sinks.of(rules(), NAMES), table(row), SEKISHO) == ()


def test_users_that_may(rules):
    spared = rules(allowed_uids=[MESH])
    rows = [tcp("10.0.0.9:3100", uid=uid) for uid in (MESH, APP)]
    assert routes(spared, Sinks.of(spared, NAMES), table(*rows), SEKISHO) == (Bypass("direct", "app-logs", rows[1]),)


def test_egress_may_be_ignored(rules):
    silent = rules(egress="ignore")
    rows = [tcp("93.184.216.35:443"), tcp("93.184.216.34:443")]
    assert routes(silent, Sinks.of(silent, NAMES), table(*rows), SEKISHO) == (Bypass("direct", "egress", rows[1]),)


def test_what_stays_on_a_machine_with_a_public_address(rules):
    there, back = (
        tcp("93.184.216.80:5432", local="93.184.216.80:41234"),
        tcp("93.184.216.80:41234", local="93.184.216.80:5432"),
    )
    assert routes(rules(), Sinks.of(rules(), NAMES), table(there, back), SEKISHO) == ()


def test_what_the_kernel_has_redirected_to_sekisho(rules):
    """The application's end says the upstream; Sekisho's says with whom it is connected."""
    theirs = tcp("10.0.0.9:3100")
    ours = tcp("10.0.0.5:41234", local="127.0.0.1:3100", uid=SEKISHO, inode=8)
    waiting = tcp("10.0.0.5:41234", local="127.0.0.1:3100", uid=0, inode=0)
    sinks = Sinks.of(rules(), NAMES)
    assert routes(rules(), sinks, table(theirs), SEKISHO) == (Bypass("direct", "app-logs", theirs),)
    assert routes(rules(), sinks, table(theirs, ours), SEKISHO) == ()
    assert routes(rules(), sinks, table(theirs, waiting), SEKISHO) == ()


def test_what_is_known_from_a_former_look(rules):
    """A server that drains has closed its listener, and its customers are still connected."""
    row = tcp("93.184.216.35:55555", local="10.0.0.5:8000")
    sinks = Sinks.of(rules(), NAMES)
    assert routes(rules(), sinks, Sockets((row,)), SEKISHO) == (Bypass("egress", "", row),)
    assert routes(rules(), sinks, Sockets((row,)), SEKISHO, inward(table(row), SEKISHO)) == ()


TRANSPARENT = {
    "name": "all",
    "upstream": "transparent",
    "listen": "127.0.0.1:15001",
    "destinations": [{"hosts": ["api.example.com"], "role": "external"}],
}


@pytest.mark.parametrize(
    ("row", "found"),
    [
        pytest.param(tcp("93.184.216.34:443"), "direct", id="not redirected"),
        pytest.param(tcp("93.184.216.34:443", state="closing"), None, id="redirected, and closed by Sekisho"),
        pytest.param(tcp("93.184.216.99:443"), "egress", id="not redirected, to somewhere"),
        pytest.param(udp("93.184.216.34:443"), None, id="over QUIC, which the lane counts"),
    ],
)
def test_beside_a_transparent_lane(rules, row, found):
    made = rules(TRANSPARENT)
    assert redirects(made)
    assert not redirects(rules())
    assert [one.kind for one in routes(made, Sinks.of(made, NAMES), table(row), SEKISHO)] == ([found] if found else [])
