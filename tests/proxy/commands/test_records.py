"""``sekisho audit`` and ``sekisho report``: what is printed, exit codes, and which files are taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.keyfile import read_key
from proxy.records.audit import JsonLinesAudit
from proxy.records.audit_verify import Verification


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


def test_a_file_without_its_key_says_where_the_key_was_looked_for(run):
    for command in (("audit", "verify", "x"), ("report", "x", "--from", "2026-11-01", "--to", "2026-11-30")):
        code, _, err = run(*command, "-c", "none.yaml")
        assert (code, err.startswith("without --key the key of x is the policy's, and that is none.yaml:\n")) == (
            2,
            True,
        )


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


def test_a_page_that_cannot_be_where_it_is_asked_for(run, recorded):
    figures = recorded / "out.json"
    code, _, err = reported(run, recorded, "2026-01-01", "2999-12-31", "--out", str(figures))
    assert (code, err) == (2, f"--out: {figures} is where the figures go: name the page, like {recorded}/out.html\n")
    assert not figures.exists()
    code, _, err = reported(run, recorded, "2026-01-01", "2999-12-31", "--out", "/dev/full")
    assert (code, err) == (2, "/dev/full: No space left on device\n")


def test_a_report_of_nothing(run, recorded):
    assert reported(run, recorded, "2026-11-02", "2026-11-01")[0::2] == (2, "--to is before --from\n")
    assert reported(run, recorded, "yesterday", "2026-11-01")[0] == 2
    (recorded / "var" / "audit.jsonl").unlink()
    code, _, err = reported(run, recorded, "2026-11-01", "2026-11-01")
    assert (code, "No such file" in err) == (2, True)
