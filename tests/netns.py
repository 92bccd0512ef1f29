"""A network namespace of a test's own: its rules, addresses and listeners are nobody else's."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

PACKAGES = {"ip": "iproute2", "iptables": "iptables", "ip6tables": "iptables", "setpriv": "util-linux"}
SECONDS = 30.0


def need(*commands: str) -> None:
    """Skips the test where one of the commands is missing, or where nobody may make a namespace."""
    missing = {PACKAGES.get(command, command) for command in commands if shutil.which(command) is None}
    if missing:
        pytest.skip(f"apt-get install --no-install-recommends {' '.join(sorted(missing))}")
    if os.geteuid() != 0:
        pytest.skip("makes network namespaces: run as root (sudo -E make test)")


@dataclass(frozen=True)
class Namespace:
    """One that exists."""

    name: str

    def command(self, *command: str) -> list[str]:
        """``command`` as it is run inside."""
        return ["ip", "netns", "exec", self.name, *command]

    def run(self, *command: str, check: bool = True, env: dict[str, str] | None = None) -> str:
        """What ``command`` prints."""
        own = {**os.environ, **env} if env else None
        done = subprocess.run(
            self.command(*command), capture_output=True, text=True, timeout=SECONDS, check=False, env=own
        )
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout


@contextmanager
def namespace() -> Iterator[Namespace]:
    """A new one with its loopback interface up, gone when left."""
    here = Namespace(f"sekisho-{uuid.uuid4().hex[:8]}")
    subprocess.run(["ip", "netns", "add", here.name], check=True, timeout=SECONDS)
    try:
        here.run("ip", "link", "set", "lo", "up")
        yield here
    finally:
        subprocess.run(["ip", "netns", "del", here.name], check=True, timeout=SECONDS)
