"""``make unit-proof``: a real systemd starts ``deploy/systemd/sekisho.service`` as it is, and everything it promises is tried.

The tree is the one that ``make image-proof`` has built, with Debian's systemd added. It boots in namespaces of its own
(processes, mounts, control groups, network: loopback alone), so the restrictions of the unit are systemd's, not this
proof's idea of them. Needs root, cgroup 2 and the Debian mirror.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.deploy.docker.prove import run, say, timed
from tests.e2e.authority import authority
from tests.sidecar import ROOT

UNIT = ROOT / "deploy" / "systemd" / "sekisho.service"
TOOLS = "/usr/sbin:/usr/bin:/sbin:/bin"

# $0: the tree. What a container manager gives to a systemd that it starts.
BOOT = """
set -e
mount --make-rprivate /
mount --bind "$0" "$0"
cd "$0"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for node in null zero full random urandom tty; do touch "dev/$node"; mount --bind "/dev/$node" "dev/$node"; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mkdir run/old
pivot_root . run/old
umount -l run/old
mount --make-rshared /
exec env -i container=sekisho-proof PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --show-status=no
"""

POLICY = {
    "version": 1,
    "policy_id": "unit-proof",
    "audit": {
        "path": "/var/lib/sekisho/audit.jsonl",
        "fingerprint_key_file": "/run/credentials/sekisho.service/fingerprint.key",
    },
    "lanes": [
        {"name": "app-logs", "listen": "127.0.0.1:3100", "upstream": "http://127.0.0.1:3101", "role": "logging"},
        {
            "name": "egress",
            "listen": "127.0.0.1:8081",
            "upstream": "forward",
            "source": "backend",
            "destinations": [{"hosts": ["sink.example"], "role": "logging"}],
            "tls": {"intercept_ca_file": "/run/credentials/sekisho.service/authority.pem"},
        },
    ],
}

# Runs in the booted tree, with the image's interpreter: an upstream, and what is sent through the lanes.
TRAFFIC = """
import http.client, http.server, os, ssl, sys, threading, time
CARD = b'{"card_number": "4111' + b"1111" * 3 + b'"}'

class Upstream(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/slow":
            print("arrived", flush=True)
            time.sleep(1)
        self.send_response(204)
        self.end_headers()
    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 3101), Upstream)
threading.Thread(target=server.serve_forever, daemon=True).start()

def post(connection, path, body):
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    return connection.getresponse().status

if sys.argv[1] == "mixed":
    lane = http.client.HTTPConnection("127.0.0.1", 3100)
    print("a log line:", post(lane, "/", b'{"message": "order 1 paid"}'))
    print("one with a card number:", post(lane, "/", CARD))
    context = ssl.create_default_context(cafile="/etc/sekisho/authority.crt")
    tunnel = http.client.HTTPSConnection("127.0.0.1", 8081, context=context)
    tunnel.set_tunnel("sink.example", 443)
    print("one inside an intercepted tunnel:", post(tunnel, "/", CARD))
else:
    print("under way:", post(http.client.HTTPConnection("127.0.0.1", 3100), "/slow", b'{"message": "slow"}'))
"""


def prepare(work: Path) -> Path:
    """The tree, with systemd, the unit, a policy, a key and an authority."""
    image, tree = work / "stage-1", work / "systemd"
    if not image.is_dir():
        raise SystemExit(f"{image} is not there: run `make image-proof` first")
    shutil.rmtree(tree, ignore_errors=True)
    run("cp", "-a", image, tree)
    install = "apt-get -qq update && apt-get -qq install -y --no-install-recommends systemd"
    with (work / "apt.log").open("wb") as log:
        run(
            "chroot",
            tree,
            "sh",
            "-c",
            install,
            env={"PATH": TOOLS, "DEBIAN_FRONTEND": "noninteractive"},
            stdout=log,
            stderr=log,
        )
    place = tree / "etc/sekisho"
    (place / "secrets").mkdir(parents=True)
    key = place / "secrets/fingerprint.key"
    key.write_text(secrets.token_hex(32))
    key.chmod(0o400)
    for path in authority(work):
        shutil.copy(path, place / f"authority{path.suffix}")
    (place / "sekisho.yaml").write_text(json.dumps(POLICY, indent=1))
    units = tree / "etc/systemd/system"
    shutil.copy(UNIT, units)
    (units / "sekisho.service.d").mkdir()
    credential = "[Service]\nLoadCredential=authority.pem:/etc/sekisho/authority.pem\n"
    (units / "sekisho.service.d/authority.conf").write_text(credential)
    (units / "default.target").unlink(missing_ok=True)
    (units / "default.target").symlink_to("/lib/systemd/system/basic.target")
    return tree


@contextlib.contextmanager
def booted(tree: Path) -> Iterator[list[str]]:
    """The command that runs another one in the booted system."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    group = Path(next(words[1] for words in mounts if words[2] == "cgroup2")) / f"sekisho-proof-{os.getpid()}"
    group.mkdir()
    namespaces = ("--mount", "--pid", "--fork", "--kill-child", "--cgroup", "--net", "--ipc", "--uts")
    enter = ("sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec unshare "$@"', group, *namespaces)
    with (tree.parent / "boot.log").open("wb") as log:
        command = [str(word) for word in (*enter, "sh", "-c", BOOT, tree)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        until(lambda: (tree.parent / "boot.log").exists() and first(process.pid))
        clean = ("env", "-i", f"PATH={TOOLS}")
        inside = ["nsenter", "--all", "--root", "--wd", "--target", str(first(process.pid)), *clean]
        until(
            lambda: (
                subprocess.run(
                    [*inside, "systemctl", "is-active", "basic.target"], capture_output=True, check=False
                ).returncode
                == 0
            )
        )
        yield inside
    finally:
        process.kill()
        process.wait()
        (group / "cgroup.kill").write_text("1")
        until(lambda: "populated 0" in (group / "cgroup.events").read_text())
        for path in sorted(group.rglob("*"), reverse=True):
            if path.is_dir():
                path.rmdir()
        group.rmdir()


def first(parent: int) -> int:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return int(children[0]) if children else 0


def until(look: object) -> None:
    for _ in range(600):
        if look():  # type: ignore[operator]
            return
        time.sleep(0.1)
    raise AssertionError("it does not come up")


class Machine:
    """The booted system, asked by command."""

    def __init__(self, inside: list[str]) -> None:
        self._inside = inside

    def do(self, *command: str, good: bool = True) -> str:
        done = subprocess.run([*self._inside, *command], capture_output=True, text=True, check=False, timeout=120)
        assert not good or done.returncode == 0, f"{command}: {done.stdout} {done.stderr} {self.log()}"
        return done.stdout.strip()

    def show(self, name: str) -> str:
        return self.do("systemctl", "show", "--value", "--property", name, "sekisho")

    def log(self) -> str:
        return self.do("journalctl", "--no-pager", "--output=cat", "--unit=sekisho", good=False)

    def traffic(self, kind: str) -> subprocess.Popen[str]:
        python = ["/opt/sekisho/bin/python", "-I", "-c", TRAFFIC, kind]
        return subprocess.Popen([*self._inside, *python], stdout=subprocess.PIPE, text=True)


def prove(machine: Machine) -> None:
    with timed("systemctl start, until every lane listens"):
        machine.do("systemctl", "start", "sekisho")
    main = machine.show("MainPID")
    status = dict(line.split(":\t", 1) for line in machine.do("cat", f"/proc/{main}/status").splitlines())
    assert status["Uid"].split()[0] != "0"
    assert {status[name].strip("0") for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {""}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    say(f"        uid {status['Uid'].split()[0]}, no capability, {status['Seccomp_filters']} seccomp filters")
    said = machine.traffic("mixed").communicate(timeout=60)[0].splitlines()
    for line in said:
        say(f"        {line}")
    assert [line.rpartition(" ")[2] for line in said] == ["204", "403", "403"]
    machine.do("sed", "-i", "s/unit-proof/unit-proof-2/", "/etc/sekisho/sekisho.yaml")
    machine.do("systemctl", "reload", "sekisho")
    until(lambda: "policy unit-proof-2 is in force" in machine.log())
    say("        systemctl reload: the changed policy is in force, the process is the same")
    assert machine.show("MainPID") == main
    machine.do("systemctl", "kill", "--signal=KILL", "--kill-who=main", "sekisho")
    until(lambda: machine.show("ActiveState") == "active" and machine.show("MainPID") != main)
    say("        killed: started again")
    stop(machine)
    workers = "[Service]\nExecStart=\nExecStart=/opt/sekisho/bin/sekisho run -c /etc/sekisho/sekisho.yaml --workers 2\n"
    override(machine, workers)
    machine.do("systemctl", "start", "sekisho")
    said = machine.traffic("mixed").communicate(timeout=60)[0].splitlines()
    assert [line.rpartition(" ")[2] for line in said] == ["204", "403", "403"]
    say("        with two workers: the same answers")
    stop(machine)
    machine.do("sed", "-i", "s/logging/login/", "/etc/sekisho/sekisho.yaml")
    machine.do("systemctl", "start", "sekisho", good=False)
    assert (machine.show("ActiveState"), machine.show("ExecMainStatus"), machine.show("NRestarts")) == (
        "failed",
        "2",
        "0",
    )
    say("        a policy with an error: failed at once with 2, not tried again")
    kept = machine.do("find", "/var/lib/private/sekisho", "-type", "f", "-printf", "%M %f\\n").split("\n")
    say(f"        /var/lib/sekisho: {', '.join(sorted(kept))}")
    assert all(line.startswith("-rw------- audit.jsonl") for line in kept)


def stop(machine: Machine) -> None:
    under_way = machine.traffic("slow")
    assert under_way.stdout is not None
    assert under_way.stdout.readline() == "arrived\n"
    with timed("systemctl stop, with a request under way"):
        machine.do("systemctl", "stop", "sekisho")
    said = under_way.communicate(timeout=30)[0].strip()
    result = (machine.show("Result"), machine.show("ExecMainStatus"))
    say(f"        {said}; {' '.join(result)}")
    assert (said, result) == ("under way: 204", ("success", "0"))


def override(machine: Machine, text: str) -> None:
    machine.do("sh", "-c", f"printf %s '{text}' > /etc/systemd/system/sekisho.service.d/workers.conf")
    machine.do("systemctl", "daemon-reload")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("/var/tmp/sekisho-image-proof"), help="as of image-proof")
    given = parser.parse_args()
    with timed("the tree, with systemd"):
        tree = prepare(given.work)
    with booted(tree) as inside:
        machine = Machine(inside)
        say(f"        {machine.do('systemctl', '--version').splitlines()[0]}")
        prove(machine)
    say("proven")


if __name__ == "__main__":
    main()
