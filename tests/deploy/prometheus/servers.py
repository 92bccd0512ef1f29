"""A real Prometheus and a real Alertmanager of this machine, each in a directory of its own, ended when left."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.sidecar import ROOT, Sidecar, free_port

PACKAGES = {
    "promtool": "prometheus",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
}
PLACE = ROOT / "deploy" / "prometheus"
FAST = "200ms"
WAIT_SECONDS = 60.0


def need(command: str) -> str:
    """Where ``command`` is; without it the test is skipped, and says how to get it."""
    found = shutil.which(command)
    if found is None:
        pytest.skip(f"apt-get install --no-install-recommends {PACKAGES[command]}")
    return found


def get(url: str) -> Any:
    """The JSON document, or the text, that is there."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        text = answer.read().decode()
    return json.loads(text) if answer.headers.get_content_type() == "application/json" else text


def wait_for[T](look: Callable[[], T], what: str) -> T:
    """The first true answer of ``look``, which may fail as long as nothing listens."""
    began = time.monotonic()
    while True:
        try:
            if got := look():
                return got
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        assert time.monotonic() - began < WAIT_SECONDS, f"no {what}"
        time.sleep(0.05)


@contextmanager
def running(command: list[str], base: Path, ready: str) -> Iterator[None]:
    """The server, once ``ready`` answers."""
    with (base / "output").open("wb") as output:
        process = subprocess.Popen(command, cwd=base, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        wait_for(lambda: get(ready), f"answer: {(base / 'output').read_text()[-2000:]}")
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def alertmanager(base: Path, configuration: dict[str, Any]) -> Iterator[str]:
    """The address (host:port) of an Alertmanager with that configuration."""
    program = need("prometheus-alertmanager")
    base.mkdir()
    (base / "alertmanager.yml").write_text(yaml.safe_dump(configuration))
    address = f"127.0.0.1:{free_port()}"
    options = ["--config.file=alertmanager.yml", "--storage.path=data", "--cluster.listen-address="]
    with running([program, *options, f"--web.listen-address={address}"], base, f"http://{address}/-/ready"):
        yield address


@contextmanager
def prometheus(base: Path, configuration: dict[str, Any]) -> Iterator[str]:
    """The URL of a Prometheus with that configuration."""
    program = need("prometheus")
    base.mkdir()
    (base / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    address = f"127.0.0.1:{free_port()}"
    options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--enable-feature=exemplar-storage"]
    with running([program, *options, f"--web.listen-address={address}"], base, f"http://{address}/-/ready"):
        yield f"http://{address}"


def watching(sidecar: Sidecar, receiver: str = "") -> dict[str, Any]:
    """The shipped configuration, with this machine's addresses and a test's intervals, for ``prometheus``; ``receiver``
    is an Alertmanager's address."""
    shipped = yaml.safe_load((PLACE / "prometheus.yml").read_text())
    shipped["global"] = {"scrape_interval": FAST, "evaluation_interval": FAST}
    shipped["rule_files"] = [str(PLACE / name) for name in shipped["rule_files"]]
    shipped["alerting"]["alertmanagers"][0]["static_configs"] = [{"targets": [receiver] if receiver else []}]
    shipped["scrape_configs"][0]["static_configs"] = [{"targets": [sidecar.policy["admin"]["listen"]]}]
    return shipped


def query(server: str, expression: str) -> list[dict[str, Any]]:
    """The series that the expression gives now. Raises ``HTTPError`` for one that is wrong."""
    found = get(f"{server}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
    return list(found["data"]["result"])
