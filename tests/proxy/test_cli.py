"""The command line: what is printed where, exit codes, what is loaded, and what a fault must not show."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from proxy import cli
from proxy.keyfile import read_key
from proxy.policy import PolicyError, schema
from proxy.policy.errors import START, Problem
from proxy.records.audit import JsonLinesAudit
from proxy.records.audit_verify import Verification

ROOT = Path(__file__).resolve().parents[2]
NUMBER = "4111111111111111"


@pytest.fixture
def run(monkeypatch, capsys):
    """``run("check", "file")`` → exit code, stdout, stderr of the command in this process."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sekisho", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture
def policy(tmp_path, monkeypatch):
    """Writes ``sekisho.yaml`` with a good key file into the working directory; arguments are further lines."""
    monkeypatch.chdir(tmp_path)
    key = tmp_path / "k"
    key.write_text("k" * 40)
    key.chmod(0o600)
    (tmp_path / "ca").write_text("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n")
    (tmp_path / "ca").chmod(0o600)

    def write(*lines: str, lane: str = "") -> str:
        text = f"""\
version: 1
policy_id: shop-v7
audit: {{fingerprint_key_file: k}}
lanes:
  - {{name: logs, listen: "127.0.0.1:3100", upstream: "http://loki", role: logging{lane}}}
  - {{name: egress, listen: "127.0.0.1:3128", upstream: forward, tls: {{intercept_ca_file: ca}}, destinations: [{{hosts: ["*.mul-pay.jp"], role: payment-gateway}}]}}
"""
        Path("sekisho.yaml").write_text(text + "".join(f"{line}\n" for line in lines))
        return "sekisho.yaml"

    return write


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
    }
    assert made["warnings"] == [
        {"line": 7, "column": 7, "why": "mode is monitor: card data is recorded and passes", "hint": "enforce stops it"}
    ]


def test_check_without_a_name_takes_the_usual_file(run, policy):
    policy()
    code, out, _ = run("check")
    assert (code, out.splitlines()[0], out.splitlines()[-1]) == (0, "sekisho.yaml: good", "no warnings")


def test_check_of_a_bad_policy_names_every_place(run, policy):
    code, out, err = run("check", policy("mod: monitor", "limits: {depth: 0}"))
    assert (code, out) == (2, "")
    assert (
        err
        == """\
sekisho.yaml:7:1: unknown key "mod" (did you mean "mode"? allowed: mode, admin, defaults, suppress, recognizers)
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


# Audit.


@pytest.fixture
def chain(monkeypatch):
    """Stands in for the walk over the file; ``asked`` has what it was asked for."""
    asked: list[tuple[Path, bytes]] = []

    def answers(result) -> list[tuple[Path, bytes]]:
        def verify(path: Path, key: bytes):
            asked.append((path, key))
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr("proxy.records.audit_verify.verify", verify)
        return asked

    return answers


def test_a_whole_chain(run, policy, chain, tmp_path):
    policy()
    asked = chain(Verification(ok=True, lines=7, repairs=1))
    code, out, err = run("audit", "verify", "old.jsonl", "--key", "k")
    assert (code, out, err) == (
        0,
        "old.jsonl: 7 lines, none removed, altered or moved, 1 torn while writing and accounted for\n",
        "",
    )
    assert asked == [(Path("old.jsonl"), b"k" * 40)]


def test_a_broken_chain(run, policy, chain):
    policy()
    chain(Verification(ok=False, lines=3, line=4, why="altered"))
    assert run("audit", "verify", "old.jsonl", "--key", "k") == (1, "", "old.jsonl:4: altered\n")
    code, out, _ = run("audit", "verify", "old.jsonl", "--key", "k", "--json")
    made = json.loads(out)
    assert (code, made["ok"], made["line"], made["why"]) == (1, False, 4, "altered")


def test_names_that_are_not_given_come_from_the_policy(run, policy, chain, tmp_path):
    asked = chain(Verification(ok=True, lines=1))
    Path(policy()).rename("other.yaml")
    assert run("audit", "verify", "-c", "other.yaml")[0] == 0
    assert run("audit", "verify", "old.jsonl", "-c", "other.yaml")[0] == 0
    assert asked == [(tmp_path / "var" / "audit.jsonl", b"k" * 40), (Path("old.jsonl"), b"k" * 40)]


def test_a_chain_that_cannot_be_read(run, policy, chain):
    policy()
    chain(FileNotFoundError(2, "No such file or directory"))
    assert run("audit", "verify", "x", "--key", "k") == (2, "", "x: cannot be read: No such file or directory\n")
    code, _, err = run("audit", "verify", "x", "--key", "none")
    assert (code, err.startswith("none: the key file does not exist (make one: ")) == (2, True)
    assert run("audit", "verify", "-c", "none.yaml")[0] == 2


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
    assert asked == [(Path("sekisho.yaml"), 1), (Path("p.yaml"), 2)]


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
    policy()
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


def test_the_directory_of_an_audit_file_stands_for_it(run, tmp_path):
    key = tmp_path / "key"
    key.write_text("ab" * 32)
    key.chmod(0o600)
    folder = tmp_path / "var"
    assert run("audit", "verify", str(tmp_path), "--key", str(key))[0] == 2
    JsonLinesAudit(folder / "audit.jsonl", read_key(key)).close()
    assert run("audit", "verify", str(folder), "--key", str(key))[0] == 0
    (folder / "other.jsonl.head").touch()
    assert run("audit", "verify", str(folder), "--key", str(key))[0] == 2


@pytest.fixture
def recorded(tmp_path):
    """A directory with an audit file of today and its key."""
    key = tmp_path / "key"
    key.write_text("ab" * 32)
    key.chmod(0o600)
    sink = JsonLinesAudit(tmp_path / "var" / "audit.jsonl", read_key(key))
    for kind in ("start", "stop"):
        sink.append({"kind": kind, "policy_id": "one", "policy_sha256": "1" * 64})
    sink.close()
    return tmp_path


def reported(run, base, first, last, *more):
    common = ("--key", str(base / "key"), "--out", str(base / "out.html"))
    return run("report", "--from", first, "--to", last, *common, *more, str(base / "var"))


def test_a_report_is_a_page_and_its_figures(run, recorded):
    code, out, err = reported(run, recorded, "2026-01-01", "2999-12-31")
    assert (code, err) == (0, "")
    assert out.endswith("out.html and out.json: 2 records\n")
    figures = json.loads((recorded / "out.json").read_text())
    assert figures["records"]["kinds"] == {"start": 1, "stop": 1}
    assert "<h1>Evidence" in (recorded / "out.html").read_text()
    code, out, _ = reported(run, recorded, "2026-01-01", "2026-01-01", "--json")
    assert (code, json.loads(out)["records"]["total"]) == (0, 0)


def test_a_report_of_a_broken_chain(run, recorded):
    path = recorded / "var" / "audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"one"', b'"two"', 1))
    code, out, err = reported(run, recorded, "2026-01-01", "2999-12-31")
    assert (code, err) == (1, f"{path}:1: altered: its hash does not match\n")
    assert "1 records" in out
    assert "NOT whole" in (recorded / "out.html").read_text()


def test_a_report_of_nothing(run, recorded):
    assert reported(run, recorded, "2026-11-02", "2026-11-01")[0::2] == (2, "--to is before --from\n")
    assert reported(run, recorded, "yesterday", "2026-11-01")[0] == 2
    (recorded / "var" / "audit.jsonl").unlink()
    code, _, err = reported(run, recorded, "2026-11-01", "2026-11-01")
    assert (code, "No such file" in err) == (2, True)
