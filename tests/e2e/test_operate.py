"""A sidecar as an operator meets it: whatever keeps it from starting is told in one line, and nothing is left behind."""

from __future__ import annotations

import ast
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.keyfile import read_key
from proxy.records.audit import JsonLinesAudit
from proxy.terminal import BAD_INPUT, FAULT, NO_START
from tests.sidecar import ROOT, free_port, policy_document

STARTS = """
import os, resource, runpy, signal, sys
import proxy.processes.member, proxy.processes.supervisor, proxy.run

made = proxy.run.Inspector(fingerprint_key=b"k" * 32)
make = proxy.run.Inspector
proxy.run.Inspector = lambda **given: make(**given) if given["recognizers"] else made

def blind(_):
    raise RuntimeError("found nothing")

def full():
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

def dying():
    proxy.processes.member.work = lambda *_, **__: os.kill(os.getpid(), 9)

def unchecked():
    make.self_check = blind

for name in sys.argv[1:]:
    case, _, prepare = name.partition(":")
    read, write = os.pipe()
    if not (pid := os.fork()):
        signal.alarm(100)  # for one that starts after all
        os.chdir(case)
        os.dup2(write, 1)
        os.dup2(write, 2)
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))
        for number in range(3, 256):
            try:
                os.close(number)
            except OSError:
                pass
        if prepare:
            globals()[prepare]()
        sys.argv = ["sekisho", "run", "-c", "sekisho.yaml", "--workers", "2" if prepare == "dying" else "1"]
        try:
            runpy.run_module("proxy", run_name="__main__")
        except SystemExit as end:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code)
        os._exit(99)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    sys.stdout.buffer.write(repr((code, said)).encode() + b"\\n")
    sys.stdout.flush()
"""
"""Starts sidecars one after the other, each a process of its own, without reading all the libraries each time."""

LANES = [{"name": "logs", "role": "logging"}, {"name": "search", "role": "storage"}]


class Case:
    """A directory with a policy, and what is wrong in it."""

    def __init__(self, base: Path, taken: str) -> None:
        self.base, self.taken = base, taken
        self.document = policy_document(base, [{"upstream": "http://127.0.0.1:9", **lane} for lane in LANES])
        self.held = []

    def put(self, name: str, content: str, mode: int = 0o600) -> None:
        (self.base / name).parent.mkdir(exist_ok=True)
        (self.base / name).write_text(content)
        (self.base / name).chmod(mode)

    def lane(self, number: int, **keys) -> None:
        self.document["lanes"][number].update(keys)

    def lock(self) -> None:
        """Another sidecar writes this audit file."""
        (self.base / "var").mkdir()
        key = read_key(self.base / "secrets/fingerprint.key")
        self.held.append(JsonLinesAudit(self.base / "var/audit.jsonl", key, keep_days=30))


FAILURES = {
    "no policy": (lambda case: case.document.clear(), "", BAD_INPUT, ["sekisho.yaml"]),
    "a bad policy": (lambda case: case.lane(0, role="loging"), "", BAD_INPUT, ["sekisho.yaml:", "loging", "logging"]),
    "a key that others can read": (
        lambda case: (case.base / "secrets/fingerprint.key").chmod(0o644),
        "",
        BAD_INPUT,
        ["sekisho.yaml:", "fingerprint.key", "600"],
    ),
    "no key": (lambda case: (case.base / "secrets/fingerprint.key").unlink(), "", BAD_INPUT, ["fingerprint.key"]),
    "a bad recognizer": (
        lambda case: (case.put("own.yaml", "recognizers: 5"), case.document.update(recognizers=["own.yaml"])),
        "",
        BAD_INPUT,
        ["own.yaml"],
    ),
    "a bad authority": (
        lambda case: (case.put("ca.pem", "none"), case.lane(1, upstream="https://es:1", tls={"ca_file": "ca.pem"})),
        "",
        BAD_INPUT,
        ["sekisho.yaml:", "ca.pem"],
    ),
    "a port that is taken": (
        lambda case: case.lane(0, listen=case.taken),
        "",
        NO_START,
        ["lane logs", "{taken}", "stop"],
    ),
    "the second lane's port": (lambda case: case.lane(1, listen=case.taken), "", NO_START, ["lane search", "{taken}"]),
    "the admin server's port": (
        lambda case: case.document.update(admin={"listen": case.taken}),
        "",
        NO_START,
        ["admin", "{taken}"],
    ),
    "another machine's address": (
        lambda case: case.lane(0, listen="192.0.2.1:8080"),
        "",
        NO_START,
        ["lane logs", "192.0.2.1:8080", "of this machine"],
    ),
    "a name that does not resolve": (
        lambda case: case.lane(0, listen="nowhere.invalid:8080"),
        "",
        NO_START,
        ["lane logs", "nowhere.invalid:8080", "does not resolve"],
    ),
    "no place for the audit file": (lambda case: case.put("var", ""), "", NO_START, ["audit"]),
    "another sidecar's audit file": (Case.lock, "", NO_START, ["audit.jsonl", "another"]),
    "a full disk": (lambda _: None, "full", NO_START, ["audit.jsonl", "too large"]),
    "a worker that dies at once": (lambda _: None, "dying", FAULT, ["worker", "-9", "nothing is served"]),
    "an inspector that finds nothing": (lambda _: None, "unchecked", FAULT, ["synthetic card number", "install"]),
}
"""What is wrong, how the process is prepared, the exit code, and what the operator must read."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Of each case: its exit code, all that it has said, and the addresses in its policy on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        taken = f"127.0.0.1:{busy.getsockname()[1]}"
        cases, names = {}, []
        for number, (name, (spoil, prepare, _, _)) in enumerate(FAILURES.items()):
            base = tmp_path_factory.mktemp(f"case-{number}")
            case = cases[name] = Case(base, taken)
            spoil(case)
            if case.document:
                (base / "sekisho.yaml").write_text(json.dumps(case.document))
            names.append(f"{base}:{prepare}")
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        ran = subprocess.run(
            [sys.executable, "-c", STARTS, *names],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            timeout=280,
            check=True,
            text=True,
        )
        found = [ast.literal_eval(line) for line in ran.stdout.splitlines()]
        for case in cases.values():
            for audit in case.held:
                audit.close()
        return {
            name: (code, said.decode(), open_ports(case), taken)
            for (name, case), (code, said) in zip(cases.items(), found, strict=True)
        }


def open_ports(case: Case) -> list[str]:
    rows = [*case.document.get("lanes", []), case.document.get("admin", {"listen": case.taken})]
    addresses = {row["listen"] for row in rows} - {case.taken}
    return [address for address in addresses if listens(address)]


def listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as found:
        return host == "127.0.0.1" and found.connect_ex((host, int(port))) == 0


@pytest.mark.parametrize("name", FAILURES)
def test_what_keeps_it_from_starting_is_said_and_nothing_is_left(outcomes, name):
    code, said, listening, taken = outcomes[name]
    _, _, expected, words = FAILURES[name]
    assert (code, listening) == (expected, []), said
    assert "Traceback" not in said
    assert " listens on " not in said
    lines = [line for line in said.splitlines() if " INFO " not in line]
    assert lines
    for word in words:
        assert word.format(taken=taken) in said, said


def test_a_start_that_fails_leaves_room_for_the_next(outcomes, start_sidecar):
    """The very ports and files of a case, once its fault is gone."""
    assert outcomes["the second lane's port"][0] == NO_START
    sidecar = start_sidecar([{"name": "logs", "upstream": f"http://127.0.0.1:{free_port()}", "role": "logging"}])
    assert json.loads(sidecar.admin("/readyz"))["lanes"] == {"logs": "listening"}


def test_reloads_and_an_end_under_load_lose_nothing():
    """Two workers, a few reloads by signal and one as Kubernetes does it, SIGTERM: `make reloads` does it at length."""
    arguments = ["--reloads", "10", "--ends", "1", "--workers", "2", "--seconds", "0.5"]
    ran = subprocess.run(
        [sys.executable, "benchmarks/reloads.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        timeout=280,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.endswith("nothing was lost\n")
