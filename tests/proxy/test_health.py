from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from proxy.health import NOT_READY, READY, ask
from tests.sidecar import ROOT, free_port, launch, policy_document, prepared

LANE = {"name": "app-logs", "upstream": "http://127.0.0.1:9", "role": "logging"}


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory):
    base = tmp_path_factory.mktemp("health")
    running = launch(base, policy_document(base, [LANE]), program=prepared())
    yield running
    assert running.stop() == 0


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "importtime", "-m", "proxy.health"]
    return subprocess.run(
        command, env=os.environ | environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_ready_sidecar_is_healthy(sidecar):
    asked = run(SEKISHO_ADMIN=sidecar.policy["admin"]["listen"])
    assert asked.returncode == READY
    assert json.loads(asked.stdout)["lanes"] == {"app-logs": "listening"}


def test_it_loads_nothing_heavy(sidecar):
    loaded = {line.rpartition("|")[2].strip() for line in run(SEKISHO_ADMIN="127.0.0.1:1").stderr.splitlines()}
    assert "proxy" in loaded
    assert {"asyncio", "http.client", "urllib.request", "typer", "proxy.cli", "ssl"} & loaded == set()


def test_nobody_there_is_unhealthy():
    address = f"127.0.0.1:{free_port()}"
    assert ask(address) == (NOT_READY, f"{address}: ConnectionRefusedError")


@pytest.mark.parametrize("address", ["", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999", "[::1:9"])
def test_an_address_that_is_none_is_unhealthy(address):
    assert ask(address)[0] == NOT_READY


@pytest.mark.parametrize("address", ["", "127.0.0.1", "127.0.0.1:x"])
def test_what_has_no_port_is_told_what_it_should_be(address):
    assert ask(address) == (NOT_READY, f"{address}: not host:port (set SEKISHO_ADMIN to admin.listen of the policy)")


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 503 Service Unavailable\r\n\r\n{}", b"200", b"garbage\r\n\r\n 200 ", b"HTTP/1.1 2000 ?\r\n\r\n"],
)
def test_what_is_not_a_200_is_unhealthy(answer):
    import socket
    import threading

    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert ask(f"127.0.0.1:{server.getsockname()[1]}")[0] == NOT_READY
        thread.join()
