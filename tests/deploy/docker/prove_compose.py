"""``make compose-proof``: runs deploy/compose.yaml without a container engine.

Each service has a network namespace of its own, with an interface on a bridge for each of its networks, a hosts file with
the names it may know, and its volumes; those of Sekisho's image run from the tree that ``make image-proof`` has made, as its
user, without capabilities, on a read-only root. Prometheus and Alertmanager are this machine's (Debian), a stub stands for
Loki, and Grafana is left out. Needs root, iproute2, wget, prometheus and prometheus-alertmanager.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.docker.dockerfile import pairs, shipped
from tests.deploy.docker.prove import CARD, run, say, timed
from tests.sidecar import ROOT

DEPLOY = ROOT / "deploy"
DOCUMENT = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
NETWORKS = list(DOCUMENT["networks"])
IMAGE = SERVICES["sekisho"]["image"]
STAGE = shipped()[1][-1]
ENVIRONMENT = pairs(" ".join(row.text for row in STAGE.all("ENV"))) | {"PAUSE_SECONDS": "0.2"}
NOT_RUN = ("grafana",)
LOCAL = {"prometheus": "prometheus", "alertmanager": "prometheus-alertmanager"}
LOKI = """
import asyncio, sys
from aiohttp import web
from proxy.demo.sinks import Sink, log_store
class Loud(Sink):
    @web.middleware
    async def keep(self, request, handler):
        sys.stdout.write((await request.read()).decode() + "\\n")
        sys.stdout.flush()
        return await handler(request)
web.run_app(log_store(Loud("loki")), port=3100, print=None)
"""
# $0: the tree, $1: a hosts file; then "source target mode" for each volume up to "--", then the command.
CONTAINER = """
set -e
mount --make-rprivate /
tree=$0
mount --bind "$tree" "$tree"
mount --bind "$1" "$tree/etc/hosts"
shift
while [ "$1" != -- ]; do
    mount --bind "$1" "$tree$2"
    [ "$3" = rw ] || mount -o remount,bind,ro "$tree$2"
    shift 3
done
shift
mount -t proc proc "$tree/proc"
mount -t tmpfs -o mode=755 dev "$tree/dev"
for node in null zero random urandom; do touch "$tree/dev/$node"; mount --bind "/dev/$node" "$tree/dev/$node"; done
mount -o remount,bind,ro "$tree"
cd /
exec chroot "$tree" "$@"
"""


@dataclass(slots=True)
class Container:
    """A service's namespace, and its process once it runs."""

    name: str
    namespace: str
    addresses: dict[str, str] = field(default_factory=dict)
    """By network."""
    process: subprocess.Popen[bytes] | None = None
    output: Path = Path()

    def inside(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        """A command in its network, with its names."""
        hosts = self.output.with_suffix(".hosts")
        script = 'mount --make-rprivate / && mount --bind "$0" /etc/hosts && exec "$@"'
        words = ["ip", "netns", "exec", self.namespace, "unshare", "--mount", "sh", "-c", script, str(hosts), *command]
        return subprocess.run(words, capture_output=True, check=False, timeout=30)

    def said(self) -> str:
        return self.output.read_text(errors="replace")


@contextlib.contextmanager
def networks(names: list[str]) -> Iterator[dict[str, Container]]:
    """A namespace for each service, joined by bridges in one more; nothing leads out of any."""
    mark = f"sekisho-{os.getpid()}"
    hub = f"{mark}-hub"
    containers = {name: Container(name, f"{mark}-{name}") for name in names}
    made = [hub, *(container.namespace for container in containers.values())]
    try:
        for namespace in made:
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        for row, network in enumerate(NETWORKS):
            run("ip", "-n", hub, "link", "add", f"br{row}", "type", "bridge")
            run("ip", "-n", hub, "link", "set", f"br{row}", "up")
            for column, container in enumerate(containers.values()):
                if network in SERVICES[container.name].get("networks", []):
                    _join(hub, container, row, column, network)
        yield containers
    finally:
        for namespace in made:
            subprocess.run(["ip", "netns", "delete", namespace], check=False, stderr=subprocess.DEVNULL)


def _join(hub: str, container: Container, row: int, column: int, network: str) -> None:
    port, place = f"v{row}-{column}", ["ip", "-n", container.namespace]
    run("ip", "-n", hub, "link", "add", port, "type", "veth", "peer", "name", f"eth{row}", "netns", container.namespace)
    run("ip", "-n", hub, "link", "set", port, "master", f"br{row}", "up")
    container.addresses[network] = f"10.213.{row}.{column + 2}"
    run(*place, "address", "add", f"{container.addresses[network]}/24", "dev", f"eth{row}")
    run(*place, "link", "set", f"eth{row}", "up")


def hosts(container: Container, containers: dict[str, Container]) -> str:
    """What an engine's resolver would tell it: the services it shares a network with."""
    lines = ["127.0.0.1 localhost"]
    for other in containers.values():
        shared = [network for network in container.addresses if network in other.addresses]
        lines += [f"{other.addresses[network]} {other.name}" for network in shared[:1]]
    return "\n".join(lines) + "\n"


def volumes(service: dict[str, Any], work: Path) -> list[tuple[Path, str, str]]:
    """(source on this machine, target, mode). A named volume is a directory, which its first user owns."""
    found = []
    for mount in service.get("volumes", []):
        source, target, *mode = mount.split(":")
        path = DEPLOY / source if source.startswith("./") else work / "volumes" / source
        if not source.startswith("./") and not path.exists():
            path.mkdir(parents=True, mode=0o700)
            os.chown(path, 10001, 10001)
        found.append((path, target, mode[0] if mode else "rw"))
    return found


def start(container: Container, tree: Path, work: Path) -> None:
    service = SERVICES[container.name]
    with container.output.open("wb") as output:
        container.process = subprocess.Popen(
            ["ip", "netns", "exec", container.namespace, *_command(container, service, tree, work)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


def _command(container: Container, service: dict[str, Any], tree: Path, work: Path) -> list[str]:
    known = str(container.output.with_suffix(".hosts"))
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c"]
    mounts = volumes(service, work)
    if container.name in LOCAL:
        # Its own root would be the image's: paths of the command are those of the volumes here.
        words = [LOCAL[container.name], *service["command"]]
        place = work / container.name
        place.mkdir()
        for source, target, _ in mounts:
            local = place / target.lstrip("/").replace("/", "-")
            if source.is_file():
                shutil.copy(source, place / Path(target).name)
                local = place / Path(target).name
            else:
                local = source
            words = [word.replace(f"={target}", f"={local}") for word in words]
        return [*unshare, 'mount --make-rprivate / && mount --bind "$0" /etc/hosts && exec "$@"', known, *words]
    entry = service.get("entrypoint", STAGE.last("ENTRYPOINT").words())
    words = [*entry, *service.get("command", STAGE.last("CMD").words())]
    if container.name == "loki":
        words, mounts = ["/opt/sekisho/bin/python", "-I", "-c", LOKI], []
    for source, target, _ in mounts:
        inside = tree / target.lstrip("/")
        if source.is_dir():
            inside.mkdir(parents=True, exist_ok=True)
        else:
            inside.touch()
    listed = [word for mount in mounts for word in map(str, mount)]
    user = [
        "--reuid=10001",
        "--regid=10001",
        "--clear-groups",
        "--no-new-privs",
        "--bounding-set=-all",
        "--inh-caps=-all",
    ]
    environment = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
    return [*unshare, CONTAINER, str(tree), known, *listed, "--", "env", "-i", *environment, "setpriv", *user, *words]


def until(look: Callable[[], object], what: str, seconds: float = 90.0) -> None:
    ends = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < ends, what
        time.sleep(0.2)


def is_healthy(container: Container, tree: Path) -> bool:
    """Runs the service's health check: the image's in the tree, the others as they are."""
    if container.name == "loki":
        return container.inside("wget", "-qO", "/dev/null", "http://127.0.0.1:3100/ready").returncode == 0
    words = [str(word) for word in SERVICES[container.name]["healthcheck"]["test"][1:]]
    place = ["chroot", str(tree), "env", "-i", *(f"{name}={value}" for name, value in ENVIRONMENT.items())]
    return container.inside(*([] if container.name in LOCAL else place), *words).returncode == 0


def prove(containers: dict[str, Container], tree: Path, work: Path) -> None:
    key = containers.pop("key")
    start(key, tree, work)
    assert key.process is not None
    assert key.process.wait(60) == 0, key.said()
    say(f"        key: {key.said().strip()!r}")
    with timed("every service is up and its health check passes"):
        for container in containers.values():
            start(container, tree, work)
        for container in containers.values():
            until(lambda one=container: is_healthy(one, tree), f"{container.name}: {container.said()[-2000:]}")  # type: ignore[misc]
    shop, loki = containers["shop"], containers["loki"]
    for name in ("loki", "gmo", "stores"):
        address = next(iter(containers[name].addresses.values()))
        tried = shop.inside("wget", "-qO", "/dev/null", "-T", "3", "-t", "1", f"http://{address}:8000/")
        named = shop.inside("getent", "hosts", name)
        say(
            f"        the shop to {name}: {tried.returncode} (4: network unreachable); its address known: {named.returncode == 0}"
        )
        assert (tried.returncode, named.returncode) == (4, 2)
    expected = {
        "customers": ["token_order: 201", "browser_posts_card: 403"],
        "shop": ["debug_log: 204", "crash_dump: 204", "store_card: 403", "remember_code: 403", "pay_raw: 403"],
        "pager": ["on-call: firing SekishoSensitiveAuthenticationData", "on-call: firing SekishoCardDataPassthrough"],
    }
    for name, lines in expected.items():
        for line in lines:
            until(
                lambda one=name, text=line: text in containers[one].said(),
                f"no {line}: {containers[name].said()[-1500:]}",
            )  # type: ignore[misc]
        say(f"        {name}: {', '.join(lines)}")
    masked = f"{CARD[:6]}******{CARD[-4:]}"
    assert masked in loki.said()
    assert [name for name, container in containers.items() if CARD in container.said()] == []
    say(
        f"        what reached Loki's place: {loki.said().count('streams')} pushes, the card number in none, {masked} in some"
    )
    found = containers["prometheus"].inside("wget", "-qO", "-", "http://127.0.0.1:9090/api/v1/targets")
    (target,) = json.loads(found.stdout)["data"]["activeTargets"]
    say(f"        Prometheus: {target['labels']['job']} at {target['labels']['instance']} is {target['health']}")
    assert target["health"] == "up"
    sekisho = containers["sekisho"].process
    assert sekisho is not None
    child = int(Path(f"/proc/{sekisho.pid}/task/{sekisho.pid}/children").read_text().split()[0])
    os.kill(child, signal.SIGTERM)
    say(f"        SIGTERM to sekisho: exit code {sekisho.wait(30)}")
    assert sekisho.returncode == 0
    assert CARD.encode() not in b"".join(path.read_bytes() for path in (work / "volumes/records").iterdir())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("/var/tmp/sekisho-image-proof"), help="as of image-proof")
    given = parser.parse_args()
    tree, work = given.work / f"stage-{STAGE.name}", given.work / "compose"
    if not tree.is_dir():
        raise SystemExit(f"{tree} is not there: run `make image-proof` first")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    with networks([name for name in SERVICES if name not in NOT_RUN]) as containers:
        started = list(containers.values())
        for container in started:
            container.output = work / f"{container.name}.log"
            container.output.with_suffix(".hosts").write_text(hosts(container, containers))
        try:
            prove(containers, tree, work)
        finally:
            for container in started:
                if container.process is not None:
                    container.process.kill()
                    container.process.wait()
    say("proven")


if __name__ == "__main__":
    main()
