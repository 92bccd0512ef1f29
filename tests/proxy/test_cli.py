"""The command line: what is printed where, exit codes, what is loaded, and what a fault must not show."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
import types
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from proxy.policy import PolicyError, schema
from proxy.policy.errors import START, Problem

ROOT = Path(__file__).resolve().parents[2]
NUMBER = "4111111111111111"
EXPIRED = "suppress: [{lane: logs, path: $.id, entity: PAN, reason: ids, until: 2020-12-31}]"


def test_check_prints_the_rules_in_effect(run, policy):
    code, out, err = run("check", policy(EXPIRED, lane=", on_violation: redact"))
    assert (code, err) == (0, "")
    assert (
        out
        == """\
sekisho.yaml: good
policy shop-v7, mode enforce, metrics on 127.0.0.1:9464

logs  127.0.0.1:3100 → http://loki:80
  logging          enforce: redact (mask); gaps: block

egress  127.0.0.1:3128 → forward
  *.mul-pay.jp  payment-gateway  enforce: block; gaps: block
  all others    refused

sekisho.yaml:7:70: warning: this suppression has expired on 2020-12-31: what it covered is acted on again (renew or remove it)
1 warning
"""
    )


def test_check_for_machines(run, policy):
    code, out, err = run("check", "--json", policy("mode: monitor"))
    made = json.loads(out)
    assert (code, err) == (0, "")
    assert (made["ok"], made["file"], made["policy_id"], made["mode"]) == (True, "sekisho.yaml", "shop-v7", "monitor")
    assert len(made["sha256"]) == 64
    assert made["lanes"][0] == {
        "lane": "logs",
        "listen": "127.0.0.1:3100",
        "upstream": "http://loki:80",
        "hosts": "",
        "role": "logging",
        "mode": "monitor",
        "on_violation": "block",
        "on_gap": "block",
        "percent": 0,
    }
    assert made["warnings"] == [
        {"line": 7, "column": 7, "why": "mode is monitor: card data is recorded and passes", "hint": "enforce stops it"}
    ]


def test_check_without_a_name_takes_the_usual_file(run, policy):
    policy()
    code, out, _ = run("check")
    assert (code, out.splitlines()[0], out.splitlines()[-1]) == (0, "sekisho.yaml: good", "no warnings")


def test_a_policy_that_is_another_users_is_told_as_all_else_is(run, policy, monkeypatch):
    path = policy()
    monkeypatch.setattr(os, "access", lambda *_, **__: False)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    code, _, said = run("check", str(path))
    assert (code, said.splitlines()[0]) == (
        2,
        f"{path}:1:1: the policy cannot be read: Permission denied (name a policy file)",
    )


def test_check_of_a_bad_policy_names_every_place(run, policy):
    code, out, err = run("check", policy("mod: monitor", "limits: {depth: 0}"))
    assert (code, out) == (2, "")
    assert (
        err
        == """\
sekisho.yaml:7:1: unknown key "mod" (did you mean "mode"? allowed: mode, admin, bypass, defaults, suppress, recognizers)
sekisho.yaml:8:17: "depth" must be 1 or more (Most decoders on top of one another, like gzip in base64 in JSON.)
2 errors: the policy is not used
"""
    )


def test_check_of_a_bad_policy_for_machines(run, policy):
    code, out, err = run("check", "--json", policy(f"'{NUMBER}': 1"))
    made = json.loads(out)
    assert (code, err, made["ok"]) == (2, "", False)
    assert [(row["line"], row["column"]) for row in made["errors"]] == [(7, 1)]
    assert "1111" not in out


def test_check_of_no_file(run, tmp_path):
    code, out, err = run("check", str(tmp_path / "none.yaml"))
    assert (code, out) == (2, "")
    assert err.startswith(f"{tmp_path}/none.yaml:1:1: the policy cannot be read: No such file or directory")


RECOGNIZERS = """\
recognizers:
  - {{name: "{name}", supported_entity: MEMBER, patterns: [{{name: p, regex: "{regex}", score: 0.9}}]}}
"""


def test_check_loads_the_recognizers_as_run_does(run, policy, tmp_path):
    (tmp_path / "good.yaml").write_text(RECOGNIZERS.format(name="member", regex="M[0-9]{6}"))
    (tmp_path / "bad.yaml").write_text(RECOGNIZERS.format(name=NUMBER, regex="M[0-9"))
    code, out, err = run("check", policy("recognizers: [good.yaml, bad.yaml]"))
    assert (code, out) == (2, "")
    first, last = err.splitlines()
    assert first.startswith("sekisho.yaml:7:26: the recognizers file is refused: ")
    assert "regex" in first
    assert "1111" not in first
    assert last == "1 error: the policy is not used"
    code, out, err = run("check", policy("recognizers: [good.yaml]"))
    assert (code, err) == (0, "")


def test_schema_is_json(run):
    code, out, err = run("schema")
    assert (code, err) == (0, "")
    assert json.loads(out) == schema()


# Commands that hand over.


@pytest.fixture
def stand_in(monkeypatch):
    """Puts a module with the given ``main`` in the place of one that loads the host."""

    def put(name: str, main) -> None:
        module = types.ModuleType(name)
        module.main = main
        monkeypatch.setitem(sys.modules, name, module)

    return put


def test_run_hands_over_the_policy_and_its_exit_code(run, stand_in):
    asked = []
    stand_in("proxy.run", lambda *arguments: asked.append(arguments) or 3)
    assert run("run") == (3, "", "")
    assert run("run", "-c", "p.yaml", "--workers", "2")[0] == 3
    assert asked == [(Path("sekisho.yaml"), 1, 10.0), (Path("p.yaml"), 2, 10.0)]


def test_demo_hands_over_its_mode_and_exit_code(run, stand_in):
    asked = []
    stand_in("proxy.demo", lambda *arguments: asked.append(arguments) or 1)
    assert run("demo")[0] == 1
    assert run("demo", "--mode", "monitor", "--serve")[0] == 1
    assert asked == [("enforce", False), ("monitor", True)]


def raising(error: BaseException):
    def main(*_: object) -> int:
        raise error

    return main


def test_a_bad_policy_at_start(run, stand_in):
    stand_in("proxy.run", raising(PolicyError(Path("p.yaml"), [Problem(START, "bad")])))
    assert run("run") == (2, "", "p.yaml:1:1: bad\n1 error: the policy is not used\n")


def test_a_fault_shows_its_place_and_none_of_its_data(run, stand_in):
    stand_in("proxy.run", raising(ValueError(f"cannot read {NUMBER}")))
    code, out, err = run("run")
    assert (code, out) == (70, "")
    assert err.startswith("sekisho: a fault in Sekisho itself: ValueError at test_cli.py:")
    assert NUMBER not in err
    assert "Traceback" not in err


def test_an_interrupted_command_ends_as_the_shell_expects(run, stand_in):
    stand_in("proxy.demo", raising(KeyboardInterrupt()))
    assert run("demo")[0] == 130


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--workers", "0"),
        ("run", "--workers", "65"),
        ("demo", "--mode", "off"),
        ("scan",),
        ("check", "--jsn"),
        ("check", "a", "b"),
    ],
)
def test_bad_usage(run, arguments):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "Usage: sekisho" in err


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("-h",), *((name, "-h") for name in ("run", "demo", "check", "schema")), ("audit", "verify", "-h")],
)
def test_help_explains(run, arguments):
    code, out, _ = run(*arguments)
    assert code == 0
    assert "Usage: sekisho" in out
    assert "[bold]" not in out


def test_the_version(run, monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"9.8 of {name}")
    assert run("--version") == (0, "sekisho 9.8 of sekisho\n", "")

    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", absent)
    assert run("--version") == (0, "sekisho (not installed: run from its source)\n", "")


# In a process of its own.

PROBE = """
import sys
from proxy import cli
sys.argv = ["sekisho", *sys.argv[1:]]
try:
    cli.main()
finally:
    heavy = {"mitmproxy", "presidio_analyzer", "spacy", "hyperscan", "aiohttp", "prometheus_client", "cryptography"}
    print("LOADED", sorted(heavy & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [["check", "sekisho.yaml"], ["schema"], ["--version"], ["-h"]])
def test_light_commands_never_load_the_host_or_the_engines(policy, arguments):
    Path(policy()).write_text(Path(policy()).read_text().replace("tls: {intercept_ca_file: ca}, ", ""))
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "LOADED []\n")


def test_the_module_is_the_command_and_is_plain_in_a_pipe(policy):
    policy()
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "check"],
        env={"PYTHONPATH": str(ROOT), "TERM": "xterm-256color"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"sekisho.yaml: good\npolicy shop-v7")
    assert b"\x1b" not in done.stdout


def test_a_file_name_that_the_terminal_cannot_show(policy):
    name = b"caf\xe9.yaml"
    Path(policy()).rename(name.decode(errors="surrogateescape"))
    environment = {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    for more in ([], ["--json"]):
        done = subprocess.run(
            [sys.executable.encode(), b"-m", b"proxy", b"check", name, *map(str.encode, more)],
            env=environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_sigterm_before_it_listens_ends_it_as_later():
    """The first process of a container ignores signals without a handler. A policy that is a pipe holds up the start."""
    command = [sys.executable, "-m", "proxy", "run", "-c", "/dev/stdin"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdin.write(b"#")
        process.stdin.flush()
        while any(fcntl.ioctl(process.stdin, termios.FIONREAD, bytes(4))):  # until the policy is being read
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stderr.read() == b""
