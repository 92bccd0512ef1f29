from __future__ import annotations

import logging
import signal
import socket

import pytest

from proxy.notify import READY, STOPPING, notify
from tests.sidecar import launch, policy_document


@pytest.fixture
def manager(tmp_path):
    """A service manager's socket, and the value of NOTIFY_SOCKET that leads there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(20)
        yield listening


def test_a_manager_is_told(manager, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    notify(READY)
    assert manager.recv(100) == b"READY=1"


def test_an_abstract_socket_is_found(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{tmp_path}")
        listening.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{tmp_path}")
        notify(STOPPING)
        assert listening.recv(100) == b"STOPPING=1"


def test_nobody_is_told_who_did_not_ask(monkeypatch, caplog):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify(READY)
    assert caplog.records == []


def test_a_manager_that_is_gone_stops_nothing(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    with caplog.at_level(logging.WARNING):
        notify(READY)
    assert [record.getMessage() for record in caplog.records] == [
        "the service manager could not be told READY=1: No such file or directory"
    ]


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")])
def test_the_sidecar_says_when_it_is_ready_and_when_it_ends(arguments, manager, tmp_path, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    lane = {"name": "app-logs", "upstream": "http://127.0.0.1:9", "role": "logging"}
    sidecar = launch(tmp_path, policy_document(tmp_path, [lane]), ready=False, arguments=arguments)
    try:
        assert manager.recv(100) == b"READY=1"
        assert '"ready": true' in sidecar.admin("/readyz")
        sidecar.process.send_signal(signal.SIGTERM)
        assert manager.recv(100) == b"STOPPING=1"
    finally:
        assert sidecar.stop() == 0
