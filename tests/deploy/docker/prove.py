"""``make image-proof``: runs the Dockerfile without a container engine, and the sidecar from the tree that comes of it.

The base image is a Debian of the same release, made by debootstrap, with the interpreter that runs this in /usr/local, as
the official Python images have it. Each COPY and RUN is executed as written, RUN in a chroot of its own process and mount
namespace. The sidecar then runs as the image says: user, environment, entry point; its root is read-only, it is the
first process of its namespace, and it has no capability. Needs root, debootstrap, the Debian mirror and the Python
package index. Everything is kept under ``--work``; the Debian tree is taken up again from there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from tests.deploy.docker.dockerfile import PLACE, Stage, pairs, shipped
from tests.sidecar import ROOT, free_port

# What the official slim images install beside the interpreter, and the libraries that its modules are linked with.
PACKAGES = (
    "ca-certificates,netbase,tzdata,libssl3,libffi8,libsqlite3-0,libreadline8,libbz2-1.0,liblzma5,zlib1g,libncursesw6"
)
CARD = "4111" + "1111" * 3
UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(*command: str | Path, **more: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([str(word) for word in command], check=True, stdin=subprocess.DEVNULL, **more)


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    say(f"{time.monotonic() - began:7.1f} s  {what}")


def base_tree(work: Path, image: str) -> Path:
    """A tree like that of the official image ``python:X.Y-slim-SUITE``."""
    wanted, suite = re.fullmatch(r"python:(3\.\d+)-slim-(\w+)", image).groups()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if version != wanted:
        say(f"        note: the image has Python {wanted}; this proof uses {version}, which runs it")
    tree = work / f"base-{suite}-{version}"
    if (tree / "usr/local/bin/python").exists():
        return tree
    shutil.rmtree(tree, ignore_errors=True)
    run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, tree, stdout=subprocess.DEVNULL)
    for name in (f"bin/python{version}", f"lib/python{version}", *library()):
        source, target = Path(sys.base_prefix) / name, tree / "usr/local" / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "test", "tests", "idle_test", "site-packages", "config-*")
            shutil.copytree(source, target, symlinks=True, ignore=ignored)
        else:
            shutil.copy2(source, target)
    for name in ("python", "python3"):
        (tree / "usr/local/bin" / name).symlink_to(f"python{version}")
    (tree / f"usr/local/lib/python{version}/site-packages").mkdir()
    run("chroot", tree, "/sbin/ldconfig")
    pip = ("/usr/local/bin/python", "-m", "ensurepip")
    run("chroot", tree, *pip, env={"PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]}, capture_output=True)
    return tree


def library() -> list[str]:
    """``libpython``, where the interpreter is linked with one."""
    return [str(path.relative_to(sys.base_prefix)) for path in Path(sys.base_prefix, "lib").glob("libpython3*.so*")]


@dataclass(slots=True)
class Image:
    """What a stage has become."""

    tree: Path
    stage: Stage
    environment: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    )
    directory: str = "/"

    def build(self, others: dict[str, Image], version: str) -> None:
        """Executes its instructions in their order; what only describes the image is left to ``described``."""
        for instruction in self.stage.instructions:
            filled = Template(instruction.text).safe_substitute(self.environment)
            match instruction.name:
                case "ENV":
                    self.environment |= pairs(filled)
                case "WORKDIR":
                    self.directory = filled
                    self.at(filled).mkdir(parents=True, exist_ok=True)
                case "COPY":
                    self._copy(
                        instruction.words(), others[other].tree if (other := instruction.option("from")) else None
                    )
                case "RUN":
                    with timed(f"RUN {instruction.text[:100]}"):
                        self._run(instruction.text)
                case (
                    "ARG" | "LABEL" | "VOLUME" | "USER" | "EXPOSE" | "STOPSIGNAL" | "HEALTHCHECK" | "ENTRYPOINT" | "CMD"
                ):
                    pass
                case unknown:
                    raise AssertionError(unknown)

    def at(self, path: str) -> Path:
        """Where a path of the image is on this machine."""
        return self.tree / str(Path(self.directory) / path).lstrip("/")

    def _copy(self, words: list[str], other: Path | None) -> None:
        *sources, target = words
        for source in sources:
            into = self.at(target) / Path(source).name if target.endswith("/") else self.at(target)
            into.parent.mkdir(parents=True, exist_ok=True)
            if other is not None:
                run("cp", "-a", other / source.lstrip("/"), into)
            elif (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.py[co]")  # as Dockerfile.dockerignore says
                shutil.copytree(ROOT / source, into, ignore=ignored)
            else:
                shutil.copy2(ROOT / source, into)

    def _run(self, line: str) -> None:
        """In the tree, with this machine's resolver and authorities, which are the engine's to give."""
        script = (
            'mount --make-rprivate / && mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && '
            'for file in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt; do touch "$0$file"; '
            'mount --bind "$file" "$0$file"; done && cd / && exec chroot "$0" /bin/sh -c "cd $1 && $2"'
        )
        pip = {name: value for name, value in os.environ.items() if name in ("PIP_CERT", "PIP_INDEX_URL", "PIP_PROXY")}
        line = line.replace("\\", "\\\\").replace("$", "\\$").replace('"', '\\"')
        run(*UNSHARE, "sh", "-c", script, self.tree, self.directory, line, env=self.environment | pip)


class Running:
    """The sidecar in its own namespaces, with the image's read-only tree as its root."""

    # The policy, the key and the volume are mounted as an operator would; /proc and /dev as an engine does.
    MOUNTS = (
        'mount --make-rprivate / && mount --bind "$0" "$0" && mount --bind "$1/etc" "$0/etc/sekisho" && '
        'mount -o remount,bind,ro "$0/etc/sekisho" && mount --bind "$1/var" "$0$2" && mount -t proc proc "$0/proc" && '
        'mount -t tmpfs -o mode=755 dev "$0/dev" && for node in null zero random urandom; do touch "$0/dev/$node"; '
        'mount --bind "/dev/$node" "$0/dev/$node"; done && mount -o remount,bind,ro "$0" && cd / && shift 2 && '
        'exec chroot "$0" "$@"'
    )

    def __init__(self, image: Image, base: Path, arguments: tuple[str, ...] = ()) -> None:
        self.image, self.base = image, base
        self.port, self.admin, upstream = free_port(), free_port(), free_port()
        self.volume = image.stage.last("VOLUME").words()[0]
        self.uid = int(image.stage.last("USER").text.partition(":")[0])
        shutil.rmtree(base, ignore_errors=True)
        (base / "etc/secrets").mkdir(parents=True)
        (base / "var").mkdir(mode=0o700)
        os.chown(base / "var", self.uid, self.uid)
        key = base / "etc/secrets/fingerprint.key"
        key.write_text(secrets.token_hex(32))
        key.chmod(0o400)
        os.chown(key, self.uid, self.uid)
        lane = {"name": "app-logs", "listen": f"127.0.0.1:{self.port}", "role": "logging"}
        policy = {
            "version": 1,
            "policy_id": "image-proof",
            "admin": {"listen": f"127.0.0.1:{self.admin}"},
            "audit": {"path": f"{self.volume}/audit.jsonl", "fingerprint_key_file": "secrets/fingerprint.key"},
            "lanes": [lane | {"upstream": f"http://127.0.0.1:{upstream}"}],
        }
        (base / "etc/sekisho.yaml").write_text(json.dumps(policy))
        command = [*image.stage.last("ENTRYPOINT").words(), *image.stage.last("CMD").words(), *arguments]
        with (base / "output").open("wb") as output:
            mounts = [*UNSHARE, "sh", "-c", self.MOUNTS, image.tree, base, self.volume]
            self.process = subprocess.Popen(
                [str(word) for word in (*mounts, *self.unprivileged(), *command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.upstream = upstream

    def unprivileged(self) -> list[str]:
        """How the image's user is become, with the image's environment and nothing else."""
        environment = self.image.environment | {"SEKISHO_ADMIN": f"127.0.0.1:{self.admin}"}
        user = [
            "env",
            "-i",
            *(f"{name}={value}" for name, value in environment.items()),
            "setpriv",
            "--reuid",
            str(self.uid),
            "--regid",
            str(self.uid),
            "--clear-groups",
        ]
        return [*user, "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]

    def pid(self) -> int:
        """Of the first process in the namespace, as this machine sees it."""
        tasks = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(tasks.read_text().split()[0])

    def wait_ready(self) -> float:
        began = time.monotonic()
        while time.monotonic() - began < 60:
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=2).close()
                return time.monotonic() - began
            assert self.process.poll() is None, (self.base / "output").read_text()
            time.sleep(0.02)
        raise AssertionError((self.base / "output").read_text())

    def post(self, body: bytes, path: str = "/push") -> int:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def inside(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        """A command in the running container, as an engine runs a health check."""
        place = [
            "nsenter",
            "--target",
            str(self.pid()),
            "--mount",
            "--pid",
            "--ipc",
            "--uts",
            "chroot",
            str(self.image.tree),
        ]
        return subprocess.run(
            [*place, *self.unprivileged(), *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=30,
        )


def slow_upstream(port: int, slow: threading.Event) -> None:
    """Answers 204, and sets ``slow`` when ``/slow`` has come, which it answers after a second."""
    import http.server

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/slow":
                slow.set()
                time.sleep(1)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    threading.Thread(
        target=http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever, daemon=True
    ).start()


def prove_running(image: Image, base: Path, arguments: tuple[str, ...]) -> None:
    """Every promise about the running container; an assertion fails on the first that does not hold."""
    stamp = base.parent / "stamp"
    stamp.write_text("")
    sidecar = Running(image, base, arguments)
    try:
        ready = sidecar.wait_ready()
        status = Path(f"/proc/{sidecar.pid()}/status").read_text()
        lines = dict(line.split(":\t", 1) for line in status.splitlines())
        capabilities = {name: lines[name].strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
        assert set(capabilities.values()) == {""}, capabilities
        assert lines["Uid"].split() == [str(sidecar.uid)] * 4
        assert lines["NoNewPrivs"] == "1"
        assert lines["NSpid"].split()[-1] == "1"
        arrived = threading.Event()
        slow_upstream(sidecar.upstream, arrived)
        say(f"        ready after {ready:.1f} s as process 1, uid {sidecar.uid}, no capability, no new privileges")
        clean = sidecar.post(b'{"message":"order 1 paid"}')
        blocked = sidecar.post(b'{"card_number":"' + CARD.encode() + b'"}')
        say(f"        a log line: {clean}; one with a card number: {blocked}")
        assert (clean, blocked) == (204, 403)
        check = image.stage.last("HEALTHCHECK").words()
        asked = time.monotonic()
        health = sidecar.inside(*check)
        say(
            f"        {' '.join(check)}: {health.returncode} in {time.monotonic() - asked:.2f} s: {health.stdout.decode().strip()}"
        )
        assert health.returncode == 0
        for path in ("/etc/sekisho/x", "/opt/sekisho/x", "/tmp/x", "/dev/x"):
            touched = sidecar.inside("touch", path)
            assert touched.returncode != 0, path
        say("        /etc, /opt, /tmp and /dev cannot be written to")
        answers: list[int] = []
        under_way = threading.Thread(target=lambda: answers.append(sidecar.post(b'{"message":"under way"}', "/slow")))
        under_way.start()
        assert arrived.wait(30)
        number = signal.Signals[image.stage.last("STOPSIGNAL").text]
        os.kill(sidecar.pid(), number)
        asked = time.monotonic()
        code = sidecar.process.wait(30)
        under_way.join()
        say(
            f"        {number.name} with a request under way: {answers}, exit code {code} after {time.monotonic() - asked:.1f} s"
        )
        assert (answers, code) == ([204], 0)
    finally:
        sidecar.process.kill()
        sidecar.process.wait()
    written = (
        run("find", image.tree, "-newer", stamp, "-not", "-type", "d", capture_output=True).stdout.decode().split()
    )
    kept = sorted(path.name for path in (base / "var").rglob("*"))
    say(f"        written in the tree: {written or 'nothing'}; in {sidecar.volume}: {', '.join(kept)}")
    assert written == []
    leaked = [path.name for path in (*(base / "var").rglob("*"), base / "output") if CARD.encode() in path.read_bytes()]
    assert leaked == []


def size(path: Path) -> str:
    found = run("du", "-sxm", path, capture_output=True).stdout.split()[0].decode()
    return f"{found} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=Path("/var/tmp/sekisho-image-proof"), help="where the trees are made"
    )
    parser.add_argument("--keep", action="store_true", help="run what was built before")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    arguments, stages = shipped()
    with timed(f"the base, for {arguments['BASE']} (kept)"):
        base = base_tree(given.work, arguments["BASE"])
    images: dict[str, Image] = {}
    for stage in stages:
        image = Image(given.work / f"stage-{stage.name}", stage)
        images[stage.name] = image
        if given.keep:
            image.environment |= {name: value for row in stage.all("ENV") for name, value in pairs(row.text).items()}
            continue
        shutil.rmtree(image.tree, ignore_errors=True)
        run("cp", "-a", base, image.tree)
        image.build(images, arguments["BASE"])
    say(
        f"        /opt/sekisho: {size(image.tree / 'opt/sekisho')}; the whole tree: {size(image.tree)}; its base: {size(base)}"
    )
    for extra in ((), ("--workers", "2")):
        with timed(f"sekisho run {' '.join(extra)}"):
            prove_running(image, given.work / "run", extra)
    say("proven")


if __name__ == "__main__":
    assert PLACE.is_dir()
    main()
