"""A network namespace of a test's own: its rules, addresses and listeners are nobody else's."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.sidecar import ROOT

PACKAGES = {"ip": "iproute2", "iptables": "iptables", "ip6tables": "iptables", "setpriv": "util-linux"}
SECONDS = 60.0


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

    def command(self, *command: str, uid: int = 0) -> list[str]:
        """``command`` as it is run inside; by another user without a capability, who may read what Python needs."""
        if not uid:
            return ["ip", "netns", "exec", self.name, *command]
        drop = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs"]
        drop += ["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"]
        script = f'{_opened()}\nexec "$@"'
        return ["ip", "netns", "exec", self.name, "sh", "-ec", script, "sh", *drop, *command]

    def run(self, *command: str, uid: int = 0, check: bool = True, env: Mapping[str, str] | None = None) -> str:
        """What ``command`` prints."""
        done = subprocess.run(
            self.command(*command, uid=uid),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env={**os.environ, **(env or {})},
        )
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def enter[T](self, function: Callable[[], T]) -> T:
        """What ``function`` returns, run inside by a thread of this process: its sockets stay there."""
        results: list[T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                with open(f"/run/netns/{self.name}") as place:
                    os.setns(place.fileno(), os.CLONE_NEWNET)
                results.append(function())
            except BaseException as error:  # noqa: BLE001 - raised again below
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]


@contextmanager
def namespace(hosts: Mapping[str, str] | None = None) -> Iterator[Namespace]:
    """A new one with its loopback interface up, gone when left. ``hosts``: the names it knows, with their addresses."""
    here = Namespace(f"sekisho-{uuid.uuid4().hex[:8]}")
    etc = Path("/etc/netns", here.name)
    subprocess.run(["ip", "netns", "add", here.name], check=True, timeout=SECONDS)
    try:
        if hosts is not None:
            etc.mkdir(parents=True)
            lines = [f"{address} {name}\n" for name, address in {"localhost": "127.0.0.1", **hosts}.items()]
            (etc / "hosts").write_text("".join(lines))
            (etc / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        here.run("ip", "link", "set", "lo", "up")
        yield here
    finally:
        subprocess.run(["ip", "netns", "del", here.name], check=True, timeout=SECONDS)
        shutil.rmtree(etc, ignore_errors=True)


def connect(one: Namespace, other: Namespace, ones: list[str], others: list[str]) -> None:
    """Joins two by a cable, with these addresses (with their prefix length) at its ends."""
    one.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", other.name)
    for here, addresses in ((one, ones), (other, others)):
        for address in addresses:
            extra = ["nodad"] if ":" in address else []
            here.run("ip", "address", "add", address, "dev", "eth0", *extra)
        here.run("ip", "link", "set", "eth0", "up")


def _opened() -> str:
    """Shell commands that let everybody reach the interpreter and this project in a mount namespace of their own,
    whatever closed directory they are in (``/root``)."""
    needed = {Path(path).resolve() for path in (sys.prefix, sys.base_prefix, ROOT, *sys.path) if Path(path).is_dir()}
    closed: dict[Path, set[Path]] = {}
    for path in needed:
        for above in reversed(path.parents):
            if not above.stat().st_mode & 0o001:
                closed.setdefault(above, set()).add(path)
                break
    commands = []
    for above, paths in closed.items():
        inside = [path for path in paths if not any(other in path.parents for other in paths)]
        commands += ["aside=$(mktemp -d)", f"mount --bind {shlex.quote(str(above))} $aside"]
        commands.append(f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(above))}")
        for path in inside:
            at, source = shlex.quote(str(path)), shlex.quote(str(path.relative_to(above)))
            commands += [f"mkdir -p {at}", f"mount --bind $aside/{source} {at}"]
        commands.append("umount -l $aside && rmdir $aside")
    return "\n".join(commands)
