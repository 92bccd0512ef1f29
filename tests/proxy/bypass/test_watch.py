"""The watch counts a connection once, records it, and goes on whatever happens to it."""

from __future__ import annotations

import logging
import os
import threading

import pytest

from proxy.bypass import watch as bypass_watch
from proxy.bypass.sockets import Connection, Endpoint, Sockets
from proxy.bypass.watch import AGAIN_SECONDS, KEEP_SECONDS, MOST_RECORDED, Addresses, Watch
from proxy.records.audit import AuditError
from tests.e2e.plane import policy
from tests.proxy.bypass.keeping import Guard
from tests.proxy.doubles import RecordingMeter

APP = os.geteuid() + 1
LANES = (
    {"name": "app-logs", "upstream": "http://10.0.0.9:3100", "role": "logging"},
    {"name": "search", "upstream": "http://es:9200", "role": "storage"},
)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def to(remote: str = "10.0.0.9:3100", *, local: int = 41234, inode: int = 7, protocol: str = "tcp") -> Connection:
    host, port = remote.split(":")
    return Connection(protocol, Endpoint("10.0.0.5", local), Endpoint(host, int(port)), "connected", APP, inode)


@pytest.fixture
def seen():
    """What the socket table holds."""
    return []


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def guard(tmp_path):
    return Guard(policy(tmp_path, *LANES))


@pytest.fixture
def meter():
    return RecordingMeter()


@pytest.fixture
def watch(guard, meter, seen, clock):
    return Watch(guard, meter, read=lambda: Sockets(tuple(seen)), clock=clock)


def looks(watch, meter):
    """What one look counts."""
    meter.calls.clear()
    watch.look()
    assert meter.calls.pop() == ("watched",)
    return sorted(meter.named("bypass"))


def test_nothing_goes_around(watch, meter, guard):
    assert looks(watch, meter) == []
    assert guard.kept == []


def test_a_connection_is_counted_once_and_seen_as_long_as_it_lasts(watch, meter, seen):
    seen.append(to())
    assert looks(watch, meter) == [("app-logs", "direct", "1")]
    assert looks(watch, meter) == [("app-logs", "direct", "0")]
    seen.append(to(local=41235, inode=8))
    assert looks(watch, meter) == [("app-logs", "direct", "1")]
    seen.clear()
    assert looks(watch, meter) == []
    seen.append(to(inode=9))
    assert looks(watch, meter) == [("app-logs", "direct", "1")]


def test_the_record(watch, guard, seen):
    seen.append(to())
    watch.look()
    assert guard.kept == [
        {
            "kind": "bypass",
            "lane": "app-logs",
            "outcome": "direct",
            "uid": APP,
            "peer": "10.0.0.5:41234",
            "destination": "10.0.0.9:3100",
        }
    ]


def test_the_log_line(watch, seen, caplog):
    seen.append(to())
    watch.look()
    assert caplog.messages == [f"bypass (direct) of lane app-logs: user {APP} has a connection to 10.0.0.9:3100"]


def test_a_user_that_connects_again_and_again_is_recorded_once_an_hour(watch, guard, meter, seen, clock):
    for number in range(5):
        seen[:] = [to(local=41000 + number)]
        assert looks(watch, meter) == [("app-logs", "direct", "1")]
    assert len(guard.kept) == 1
    clock.now += AGAIN_SECONDS
    seen[:] = [to(local=41999)]
    watch.look()
    assert [kept["peer"] for kept in guard.kept] == ["10.0.0.5:41000", "10.0.0.5:41999"]


def test_what_cannot_be_recorded_is_counted_and_recorded_with_the_next_one(watch, guard, meter, seen):
    guard.error = AuditError("disk full")
    seen.append(to())
    assert looks(watch, meter) == [("app-logs", "direct", "1")]
    guard.error = None
    seen.append(to(local=41235))
    assert looks(watch, meter) == [("app-logs", "direct", "1")]
    assert [kept["peer"] for kept in guard.kept] == ["10.0.0.5:41235"]


def test_memory_of_records_is_bounded(watch, seen, monkeypatch):
    monkeypatch.setattr(bypass_watch, "MOST_RECORDED", 3)
    seen[:] = [to(f"93.184.216.{number}:443", local=number + 1) for number in range(8)]
    watch.look()
    assert len(watch._recorded) <= 3 < MOST_RECORDED


def test_udp_counts_when_it_is_seen_twice(watch, meter, guard, seen):
    """getaddrinfo(3) binds UDP to an address and port for a moment, and sends nothing."""
    quic = to("93.184.216.35:443", protocol="udp")
    seen[:] = [quic]
    assert looks(watch, meter) == []
    seen[:] = [to("93.184.216.35:443", protocol="udp", local=5)]
    assert looks(watch, meter) == []
    assert looks(watch, meter) == [("", "quic", "1")]
    assert looks(watch, meter) == [("", "quic", "0")]
    assert len(guard.kept) == 1


def test_beside_a_transparent_lane_what_is_seen_twice_counts(watch, meter, guard, seen, tmp_path):
    """A table that is read while a redirected connection begins or ends may have one side of it only."""
    guard.policy = policy(
        tmp_path,
        {"name": "all", "upstream": "transparent", "unlisted": "external"},
        LANES[0] | {"listen": "127.0.0.1:1"},
    )
    seen[:] = [to()]
    assert looks(watch, meter) == []
    assert looks(watch, meter) == [("app-logs", "direct", "1")]


def test_a_lane_that_is_new_in_the_policy(watch, meter, guard, seen, tmp_path):
    seen.append(to("10.0.0.77:5000"))
    assert looks(watch, meter) == []
    guard.policy = policy(tmp_path, {"name": "new", "upstream": "http://10.0.0.77:5000"})
    assert looks(watch, meter) == [("new", "direct", "1")]


def test_names_are_resolved_and_kept_for_a_while(guard, clock, monkeypatch, tmp_path):
    answers = {"es": ("10.0.0.20",)}
    monkeypatch.setattr(bypass_watch, "resolve", lambda name: answers.get(name, ()))
    addresses = Addresses(clock)
    addresses.refresh(guard.policy)
    assert addresses.now() == {"es": ("10.0.0.20",)}
    answers["es"] = ("10.0.0.21",)
    clock.now += KEEP_SECONDS
    addresses.refresh(guard.policy)
    assert addresses.now() == {"es": ("10.0.0.20", "10.0.0.21")}
    answers.clear()
    clock.now += 1
    addresses.refresh(guard.policy)
    assert addresses.now() == {"es": ("10.0.0.21",)}
    addresses.refresh(policy(tmp_path, LANES[0]))
    assert addresses.now() == {}


@pytest.mark.parametrize(("name", "known"), [("localhost", "127.0.0.1"), ("nowhere.invalid", None), ("." * 70, None)])
def test_resolving(name, known):
    found = bypass_watch.resolve(name)
    assert known in found if known else found == ()


def run_until(watch, done: threading.Event) -> None:
    watch.start()
    assert done.wait(60)
    watch.stop()


def test_it_runs_by_itself_and_survives_what_it_meets(guard, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(bypass_watch, "IDLE_SECONDS", 0.001)
    done, calls = threading.Event(), []

    def read():
        calls.append(1)
        if len(calls) < 3:
            raise OSError("no tables here")
        done.set()
        return Sockets()

    guard.policy = policy(tmp_path, *LANES, bypass={"watch_seconds": 0.001})
    run_until(Watch(guard, RecordingMeter(), read=read), done)
    assert len([text for text in caplog.messages if text.startswith("bypass failed: OSError at ")]) == 1


def test_a_table_that_is_too_long_is_told_once(guard, caplog):
    tables = [Sockets(), Sockets(whole=False), Sockets(whole=False), Sockets(), Sockets(whole=False)]
    watch = Watch(guard, RecordingMeter(), read=lambda: tables.pop(0))
    told = []
    while tables:
        watch.look()
        told.append(len(caplog.messages))
    assert told == [0, 1, 1, 1, 2]
    assert caplog.messages[0] == "the socket table is too long: what goes around the lanes at its end is not seen"


def test_it_can_be_turned_off(guard, tmp_path, monkeypatch):
    monkeypatch.setattr(bypass_watch, "IDLE_SECONDS", 0.001)
    guard.policy = policy(tmp_path, *LANES, bypass={"watch_seconds": 0})
    calls, passed = [], threading.Event()
    watch = Watch(guard, RecordingMeter(), read=lambda: calls.append(1))
    waited = watch._stop.wait

    def wait(seconds):
        passed.set()
        return waited(seconds)

    monkeypatch.setattr(watch._stop, "wait", wait)
    run_until(watch, passed)
    assert calls == []


@pytest.mark.parametrize(("uid", "seconds", "lines"), [(0, 2, 1), (0, 0, 0), (900, 2, 0)])
def test_root_is_told_what_it_does_not_see(guard, monkeypatch, caplog, tmp_path, uid, seconds, lines):
    monkeypatch.setattr("os.geteuid", lambda: uid)
    guard.policy = policy(tmp_path, *LANES, bypass={"watch_seconds": seconds})
    caplog.set_level(logging.WARNING)
    watch = Watch(guard, RecordingMeter(), read=Sockets)
    watch.stop()
    watch.start()
    assert len([text for text in caplog.messages if text.startswith("running as root")]) == lines
