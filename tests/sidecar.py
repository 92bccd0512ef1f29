"""A real ``sekisho run`` process, as an operator starts it: own directory, own policy file, output kept."""

from __future__ import annotations

import atexit
import itertools
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 120.0
"""It takes four or five of one core; on a machine that others use, too, many more."""
WHOLE = ("-m", "proxy")
"""What an operator gives Python to run."""
LOOKS_OFTEN = """
from proxy.records import outage
outage.LOOK_SECONDS, outage.COUNTED = 0.05, 1_000_000
from proxy.cli import main
main()
"""
"""A ``program`` for ``launch`` that notices at once when records can be written again, and counts no try."""
_SHARE = 2_500


@cache
def _ports() -> Iterator[int]:
    """This process's share of the ports below those that the kernel gives to clients, around and around."""
    first = 12_000 + _SHARE * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8)
    start = random.randrange(_SHARE)
    return (first + (start + step) % _SHARE for step in itertools.count())


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now, and not one of the last thousands given. It is below those that
    the kernel gives to clients, and of a share of its own for each of the test run's processes: nobody can take it before
    its listener. Raises: RuntimeError when the whole share is taken."""
    for port in itertools.islice(_ports(), _SHARE):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise RuntimeError(f"each of this process's {_SHARE} ports is taken: what has left so many listeners behind?")


@cache
def prepared() -> tuple[str, ...]:
    """What Python is given to run where the start is not what is tested: half of it is done once per test process."""
    kept = Path(tempfile.mkdtemp(prefix="sekisho-tests-"))
    kept.chmod(0o755)  # for sidecars of another user
    atexit.register(shutil.rmtree, kept, ignore_errors=True)
    return ("-m", "tests.prepared", str(kept))


def policy_document(base: Path, lanes: list[dict[str, Any]], **top: Any) -> dict[str, Any]:
    """A whole policy around ``lanes``; each lane without ``listen`` is given a free port, the key file is made."""
    key = base / "secrets" / "fingerprint.key"
    key.parent.mkdir(exist_ok=True)
    key.write_text(secrets.token_hex(32) + "\n")
    key.chmod(0o600)
    return {
        "version": 1,
        "policy_id": "test",
        "mode": "enforce",
        "admin": {"listen": f"127.0.0.1:{free_port()}"},
        "audit": {"path": "var/audit.jsonl", "retention_days": 30, "fingerprint_key_file": "secrets/fingerprint.key"},
        "lanes": [{"listen": f"127.0.0.1:{free_port()}", **lane} for lane in lanes],
    } | top


def write_policy(base: Path, document: dict[str, Any]) -> Path:
    """The document as a policy file in ``base``. JSON is YAML."""
    path = base / "sekisho.yaml"
    path.write_text(json.dumps(document, indent=1))
    return path


@dataclass
class Sidecar:
    """A running sidecar. Use ``url(lane)`` to reach a lane, ``stop()`` to end it as an init system does."""

    base: Path
    policy: dict[str, Any]
    process: subprocess.Popen[bytes]
    ready_after: float = field(default=0.0)
    """Seconds from start to the first good answer of /readyz."""

    def url(self, lane: str, path: str = "") -> str:
        (listen,) = (item["listen"] for item in self.policy["lanes"] if item["name"] == lane)
        return f"http://{listen}{path}"

    def port(self, lane: str) -> int:
        return int(self.url(lane).rsplit(":", 1)[1])

    def admin(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{self.policy['admin']['listen']}{path}", timeout=60) as answer:
            return str(answer.read().decode())

    def readiness(self) -> dict[str, Any]:
        """What /readyz says, green or red."""
        try:
            return dict(json.loads(self.admin("/readyz")))
        except urllib.error.HTTPError as error:
            with error:
                return dict(json.loads(error.read()))

    def output(self) -> bytes:
        """All that it has written to stdout and stderr so far."""
        return (self.base / "stdout").read_bytes() + (self.base / "stderr").read_bytes()

    def audit_lines(self) -> list[dict[str, Any]]:
        path = self.base / self.policy["audit"]["path"]
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def wait_ready(self) -> None:
        began = time.monotonic()
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(
                    f"ended with {self.process.returncode} before it was ready:\n{self.output().decode()}"
                )
            try:
                self.admin("/readyz")
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if time.monotonic() - began > START_SECONDS:
                    raise RuntimeError(f"not ready after {START_SECONDS} s:\n{self.output().decode()}") from None
                time.sleep(0.02)
            else:
                self.ready_after = time.monotonic() - began
                return

    def stop(self, number: int = signal.SIGTERM, wait: float = 60) -> int:
        """Its exit code after the signal; killed (and so a negative code) when it does not end in ``wait`` seconds."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(wait)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


def launch(
    base: Path,
    policy: dict[str, Any],
    *,
    ready: bool = True,
    program: tuple[str, ...] = WHOLE,
    arguments: tuple[str, ...] = (),
    cores: Collection[int] = (),
    inside: Callable[[list[str]], list[str]] = lambda command: command,
) -> Sidecar:
    """Starts ``sekisho run`` in ``base`` with the policy; with ``ready``, returns once /readyz says so.

    ``program`` is what Python is given to run; ``cores`` are the CPUs that it may run on; without any, all; ``inside``
    makes of its command one that runs it somewhere else.
    """
    path = write_policy(base, policy)
    # Whatever it would write to a home or a temporary directory lands in ``base``, where tests can search it.
    places = {name: str(base / name.lower()) for name in ("HOME", "TMPDIR")}
    for place in places.values():
        Path(place).mkdir(exist_ok=True)
    environment = os.environ | places | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    with (base / "stdout").open("wb") as out, (base / "stderr").open("wb") as err:
        process = subprocess.Popen(
            inside([sys.executable, *program, "run", "-c", path.name, *arguments]),
            cwd=base,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
    if cores:
        os.sched_setaffinity(process.pid, cores)
    sidecar = Sidecar(base, policy, process)
    if ready:
        try:
            sidecar.wait_ready()
        except BaseException:
            sidecar.stop(signal.SIGKILL)
            raise
    return sidecar
