"""A rendered pod without a cluster: its volumes as a kubelet lays them out, its containers as their security contexts say.

Mount and network namespaces stand in for the container engine, and this interpreter with its packages for the images.
The root file system is empty but for those, and read-only.
"""

from __future__ import annotations

import http.client
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.kubernetes.tools import Manifest, run
from tests.sidecar import ROOT

POD_ADDRESS = "192.0.2.10"
SECONDS = 60.0
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/nonexistent",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONPATH": str(ROOT),
}
"""What the image sets."""


def until(true: Callable[[], bool], what: str) -> None:
    """Returns once ``true()`` is."""
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, f"not within {SECONDS} s: {what}"
        time.sleep(0.05)


def write_atomically(volume: Path, files: dict[str, bytes], mode: int, group: int) -> None:
    """The files of a ConfigMap or Secret, as kubelet's AtomicWriter puts them into a volume: a new directory, one rename
    of the link ``..data`` to it, and the old one is gone. ``fsGroup`` may read each (SetVolumeOwnership)."""
    link, before = volume / "..data", None
    if link.is_symlink():
        before = volume / link.readlink()
    payload = volume / f"..2026_11_22_18_00_{time.monotonic_ns()}"
    payload.mkdir(mode=0o755)
    for name, data in files.items():
        path = payload / name
        path.write_bytes(data)
        path.chmod(mode | 0o440 if group else mode)
        os.chown(path, 0, group)
        if not (volume / name).is_symlink():
            (volume / name).symlink_to(Path("..data") / name)
    (volume / "..data_tmp").symlink_to(payload.name)
    (volume / "..data_tmp").rename(link)
    if before is not None:
        shutil.rmtree(before)


@dataclass
class Container:
    """A process of the pod; ``log`` is what kubectl logs would show."""

    process: subprocess.Popen[bytes]
    path: Path

    def log(self) -> str:
        return self.path.read_text()

    def end(self) -> int:
        """SIGTERM and then the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


class Pod:
    """The pod of a Deployment among ``manifests``; Secrets that are not among them are in ``secrets``."""

    def __init__(self, base: Path, manifests: list[Manifest], secrets: Mapping[str, dict[str, bytes]]) -> None:
        (deployment,) = [item for item in manifests if item["kind"] == "Deployment"]
        self.spec: Manifest = deployment["spec"]["template"]["spec"]
        self.group: int = self.spec.get("securityContext", {}).get("fsGroup", 0)
        self.base = base
        self._containers: list[Container] = []
        maps = {item["metadata"]["name"]: item["data"] for item in manifests if item["kind"] == "ConfigMap"}
        for volume in self.spec["volumes"]:
            place = self.volume(volume["name"])
            place.mkdir(parents=True)
            if "configMap" in volume:
                self.write(volume["name"], {k: v.encode() for k, v in maps[volume["configMap"]["name"]].items()}, 0o644)
            elif "secret" in volume:
                self.write(volume["name"], secrets[volume["secret"]["secretName"]], volume["secret"]["defaultMode"])
            else:
                place.chmod(0o2777)
                os.chown(place, 0, self.group)
        self._root = base / "root"
        self._root.mkdir()
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--net", "sh", "-euc", self._script()], stdout=subprocess.PIPE, text=True
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "made\n"
        until(lambda: self._proc("root").resolve() == self._root.resolve(), "the root of the pod")
        self._inside = ThreadPoolExecutor(1, initializer=self._enter)

    def volume(self, name: str) -> Path:
        return self.base / "volumes" / name

    def write(self, volume: str, files: dict[str, bytes], mode: int = 0o644) -> None:
        """What a changed ConfigMap or Secret becomes in the pod."""
        write_atomically(self.volume(volume), files, mode, self.group)

    def start(self, container: Manifest) -> Container:
        """The container's process, with its user, groups and capabilities."""
        log = self.base / f"{container['name']}.log"
        command = self._inner(container, [*container["command"], *container.get("args", [])])
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )
        self._containers.append(Container(process, log))
        return self._containers[-1]

    def exec(self, container: Manifest, *command: str, given: bytes = b"") -> tuple[int, str]:
        """Exit code and output of ``kubectl exec -i``; container engines give standard input to the container's user."""
        reading, writing = os.pipe()
        os.fchown(reading, container["securityContext"]["runAsUser"], 0)
        os.write(writing, given)
        os.close(writing)
        try:
            done = run(*self._inner(container, list(command)), env=ENVIRONMENT, stdin=reading)
        finally:
            os.close(reading)
        return done.returncode, done.stdout + done.stderr

    def _inner(self, container: Manifest, command: list[str]) -> list[str]:
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"]["drop"] == ["ALL"]
        assert security["allowPrivilegeEscalation"] is False
        added = "".join(f",+{name.lower()}" for name in security["capabilities"].get("add", []))
        who = ["--reuid", security["runAsUser"], "--regid", security.get("runAsGroup", 0)]
        who += ["--groups", self.group] if self.group else ["--clear-groups"]
        none = ["--no-new-privs", "--inh-caps=-all", f"--bounding-set=-all{added}"]
        program, *arguments = command
        python = {"sekisho": [sys.executable, "-m", "proxy"], "python": [sys.executable], "sh": ["sh"]}[program]
        return [
            *("nsenter", f"--target={self._holder.pid}", "--mount", "--net", "--root", "--wd"),
            *("sh", "-c", 'cd "$0" && exec "$@"', container.get("workingDir", "/")),
            *("setpriv", *map(str, who), *none, *python, *arguments),
        ]

    def get(self, port: int, path: str, host: str = POD_ADDRESS) -> tuple[int, str]:
        """Status and body of a GET inside the pod's network; 0 where nobody listens."""
        return self.inside(lambda: self._get(host, port, path))

    def inside[Result](self, call: Callable[[], Result]) -> Result:
        """What ``call`` gives in a thread whose sockets are the pod's."""
        return self._inside.submit(call).result()

    def probe(self, container: Manifest, kind: str) -> bool:
        """What the kubelet's probe says."""
        asked = container[f"{kind}Probe"]["httpGet"]
        return 200 <= self.get(asked["port"], asked["path"])[0] < 400

    def close(self) -> None:
        self._inside.shutdown()
        for container in self._containers:
            container.process.kill()
            container.process.wait()
        self._holder.kill()
        self._holder.wait()
        assert self._holder.stdout is not None
        self._holder.stdout.close()

    def _get(self, host: str, port: int, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(host, port, timeout=60)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except ConnectionError:
            return 0, ""
        finally:
            connection.close()

    def _proc(self, name: str) -> Path:
        return Path(f"/proc/{self._holder.pid}/{name}")

    def _enter(self) -> None:
        """This thread's sockets are the pod's from now on."""
        descriptor = os.open(self._proc("ns/net"), os.O_RDONLY)
        os.setns(descriptor, os.CLONE_NEWNET)
        os.close(descriptor)

    def _script(self) -> str:
        """What makes the pod's network and its files, and then holds both."""
        root = shlex.quote(str(self._root))
        lines = ["mount --make-rprivate /", "ip link set lo up", "ip link add eth0 type veth peer name node"]
        lines += [f"ip address add {POD_ADDRESS}/24 dev eth0", "ip link set node up", "ip link set eth0 up"]
        lines += ["ip route add default dev eth0", f"mount -t tmpfs -o mode=0755 tmpfs {root}", f"mkdir {root}/tmp"]

        def bind(source: Path | str, target: Path | str, *, writable: bool = False) -> None:
            there = f"{root}{shlex.quote(str(target))}"
            kind = "touch" if Path(source).is_file() else "mkdir -p"
            lines.append(f"mkdir -p {shlex.quote(str(self._root) + str(Path(target).parent))}")
            lines.append(f"{kind} {there}; mount --rbind {shlex.quote(str(source))} {there}")
            if not writable:
                lines.append(f"mount -o remount,bind,ro {there}")

        for name in ("/bin", "/sbin", "/lib", "/lib64"):
            if Path(name).is_symlink():
                lines.append(f"ln -s {Path(name).readlink()} {root}{name}")
            elif Path(name).exists():
                bind(name, name)
        imports = {ROOT, Path(sys.prefix), Path(sys.base_prefix), *(Path(item) for item in sys.path if item)}
        places = sorted(path.resolve() for path in imports if path.is_dir())
        for place in [Path("/usr"), *(place for place in places if not place.is_relative_to("/usr"))]:
            if not any(place != other and place.is_relative_to(other) for other in places):
                bind(place, place)
        for name in ("/dev", "/proc"):
            bind(name, name, writable=True)
        for name in ("/etc/ld.so.cache", "/etc/hosts", "/etc/alternatives"):
            if Path(name).exists():
                bind(name, name)
        mounts: dict[str, dict[str, Any]] = {
            mount["mountPath"]: mount
            for container in [*self.spec["initContainers"], *self.spec["containers"]]
            for mount in container.get("volumeMounts", [])
        }
        for target, mount in mounts.items():
            bind(self.volume(mount["name"]), target, writable=not mount.get("readOnly", False))
        lines += [f"mount -o remount,ro {root}", "echo made", f"exec chroot {root} sleep infinity"]
        return "\n".join(lines)
