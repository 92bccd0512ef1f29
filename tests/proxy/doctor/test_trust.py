"""Runtimes, really run: without the authority, and with what the fix says in their environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.authority import limits_to, make, write
from proxy.commands.doctor import Client
from proxy.doctor import trust
from proxy.doctor.trust import RUNTIMES, Runtime
from tests.e2e.authority import authority
from tests.sidecar import ROOT

BY_NAME = {runtime.name: runtime for runtime in RUNTIMES}
PYTHON = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("SSL_", "NODE_", "JAVA_", "CURL_", "REQUESTS_"))
} | PYTHON


def needs(name: str):
    command = {"java": "javac"}.get(name, BY_NAME[name].command[0])
    package = {"node": "nodejs", "javac": "default-jdk-headless"}.get(command, command)
    return pytest.mark.skipif(not shutil.which(command), reason=f"apt-get install -y --no-install-recommends {package}")


EACH = [pytest.param(name, marks=needs(name)) for name in BY_NAME]


def looked(file, environment, runtime, *, needed=False):
    (row,) = trust.rows(runtime, file, environment, needed=needed)
    return row


def after(fix: str, base: Path) -> dict[str, str]:
    """The environment of a shell that was given ``fix`` to type."""
    script = f'set -e; sekisho() {{ "{sys.executable}" -m proxy "$@" >&2; }}; {fix}; env -0'
    ended = subprocess.run(
        ["bash", "-c", script], cwd=base, env=ENVIRONMENT | {"PYTHONPATH": str(ROOT)}, capture_output=True, check=True
    )
    return dict(row.split("=", 1) for row in ended.stdout.decode().split("\0") if "=" in row)


@pytest.mark.parametrize("needed", [False, True])
@pytest.mark.parametrize("name", EACH)
def test_an_authority_that_is_not_trusted(tmp_path, name, needed):
    _, private = authority(tmp_path)
    row = looked(private, ENVIRONMENT, BY_NAME[name], needed=needed)
    assert (row.name, row.state) == (f"trust {name}", "broken" if needed else "warning")
    program = shutil.which(BY_NAME[name].command[0], path=ENVIRONMENT["PATH"])
    assert row.seen.startswith(f"{program} does not trust test authority.pem")
    assert row.fix.startswith(f"sekisho ca export '{private}' --out 'test authority.crt'; ")


@pytest.mark.parametrize("name", [case for case in EACH if case.values[0] != "java"])
def test_what_the_fix_says_is_the_fix(tmp_path, name):
    _, private = authority(tmp_path)
    row = looked(private, ENVIRONMENT, BY_NAME[name])
    # A proxy in the environment is none for the question: it would go around the server that asks.
    environment = after(row.fix, tmp_path) | {"HTTPS_PROXY": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"}
    row = looked(private, environment, BY_NAME[name], needed=True)
    assert (row.state, row.fix) == ("ok", "")
    assert row.seen.endswith("trusts test authority.pem")


@pytest.mark.parametrize("only", [["shop.example"], ["10.0.0.0/8"]], ids=["names", "networks"])
@pytest.mark.parametrize("name", [case for case in EACH if case.values[0] != "java"])
def test_an_authority_for_certain_hosts_only(tmp_path, name, only):
    """What ``sekisho ca init --only`` makes may not sign for the loopback address."""
    private = tmp_path / "ca.pem"
    write(private, make("limited", 2, limits_to(only)), new=True)
    row = looked(private, ENVIRONMENT, BY_NAME[name])
    assert row.state == "warning"
    assert looked(private, after(row.fix, tmp_path), BY_NAME[name], needed=True).state == "ok"


@pytest.mark.parametrize("name", ["python", "requests"])
def test_what_lies_in_the_working_directory_is_not_run(tmp_path, monkeypatch, name):
    """Whoever can write there must not become whoever runs doctor, who may be root."""
    _, private = authority(tmp_path)
    for module in ("socket", "ssl", "requests"):
        (tmp_path / f"{module}.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path)
    assert looked(private, ENVIRONMENT, BY_NAME[name]).state == "warning"
    assert not (tmp_path / "ran").exists()


@needs("java")
def test_java_with_a_trust_store(tmp_path):
    """The fix for Java writes to the machine's own store; the same command, with a store of the test's."""
    _, private = authority(tmp_path)
    row = looked(private, ENVIRONMENT, BY_NAME["java"])
    store = tmp_path / "store.p12"
    after(row.fix.replace("-cacerts", f"-keystore {store}"), tmp_path)
    options = f"-Djavax.net.ssl.trustStore={store} -Djavax.net.ssl.trustStorePassword=changeit"
    assert looked(private, ENVIRONMENT | {"JAVA_TOOL_OPTIONS": options}, BY_NAME["java"]).state == "ok"


@needs("node")
def test_a_runtime_that_verifies_nothing(tmp_path):
    _, private = authority(tmp_path)
    row = looked(private, ENVIRONMENT | {"NODE_TLS_REJECT_UNAUTHORIZED": "0"}, BY_NAME["node"])
    assert (row.state, row.fix) == ("warning", "unset NODE_TLS_REJECT_UNAUTHORIZED")


ODD = {
    "not installed": (("sekisho-none",), "", "sekisho-none is not installed here"),
    "no words": (("sh", "-c", "exit 3"), "", "sh could not be asked (exit code 3)"),
    "complains": (("sh", "-c", "echo no compiler >&2; exit 1"), "", "sh could not be asked (no compiler)"),
    "other words": (("sh",), "echo hello there", "sh could not be asked (there)"),
    "no library": (("sh",), "echo absent", "sh has no odd"),
}


@pytest.mark.parametrize("name", ODD)
def test_a_runtime_that_cannot_be_asked(tmp_path, name):
    command, program, seen = ODD[name]
    _, private = authority(tmp_path)
    runtime = Runtime("odd", command, program, "", by_hand="look by hand")
    assert looked(private, ENVIRONMENT, runtime).state == "skipped"
    row = looked(private, ENVIRONMENT, runtime, needed=True)
    assert seen in row.seen
    assert (row.state, bool(row.fix)) == (("skipped", False) if name == "no library" else ("broken", True))


def test_a_runtime_that_does_not_end(tmp_path, monkeypatch):
    monkeypatch.setattr(trust, "RUN_SECONDS", 0.1)
    _, private = authority(tmp_path)
    row = looked(private, ENVIRONMENT, Runtime("odd", ("sleep", "60"), "", ""))
    assert (row.state, "could not be asked (it did not end in 0 s)" in row.seen) == ("skipped", True)


def test_the_command_line_knows_all_runtimes():
    assert [client.value for client in Client] == [runtime.name for runtime in RUNTIMES]
