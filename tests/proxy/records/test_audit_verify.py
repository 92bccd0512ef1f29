from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy.records.audit import JsonLinesAudit
from proxy.records.audit_verify import verify
from proxy.records.chain import GENESIS, chain_key, head_path, seal, seal_head

SECRET = b"a key that is only used in tests"
KEY = chain_key(SECRET)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An audit file of six lines."""
    file = tmp_path / "audit.jsonl"
    sink = JsonLinesAudit(file, SECRET)
    for number in range(6):
        sink.append({"kind": "gap", "lane": f"lane-{number}", "verdict": "block"})
    sink.close()
    return file


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_an_untouched_file_verifies(path):
    found = verify(path, SECRET)
    last = json.loads(lines_of(path)[-1])
    assert (found.ok, found.lines, found.line, found.why, found.repairs) == (True, 6, 0, "", 0)
    assert (found.last_seq, found.last_hash) == (6, last["hash"])


def test_every_line_names_the_one_before(path):
    records = [json.loads(line) for line in lines_of(path)]
    assert [record["seq"] for record in records] == [1, 2, 3, 4, 5, 6]
    assert [record["prev"] for record in records] == [GENESIS, *(record["hash"] for record in records[:-1])]


def swapped(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[3], lines[2], *lines[4:]]


def forged(lines: list[bytes], seq: int) -> bytes:
    """A line that fits in its place, by someone who does not have the key."""
    record = {**json.loads(lines[seq - 1]), "verdict": "allow"}
    del record["hash"]
    return seal(record, b"another key")[0]


TAMPERED = [
    ("removed", lambda at: [*at[:2], *at[3:]], 3, "lines removed before it: seq 3 to 3 are gone"),
    ("two removed", lambda at: [*at[:1], *at[3:]], 2, "lines removed before it: seq 2 to 3 are gone"),
    ("first removed", lambda at: at[1:], 1, "lines removed before it: seq 1 to 1 are gone"),
    ("last removed", lambda at: at[:-1], 6, "lines removed at the end: seq 6 to 6 are gone"),
    ("all removed", lambda at: [], 1, "lines removed at the end: seq 1 to 6 are gone"),
    (
        "altered",
        lambda at: [*at[:2], at[2].replace(b"block", b"allow"), *at[3:]],
        3,
        "altered: its hash does not match",
    ),
    ("last altered", lambda at: [*at[:5], at[5].replace(b"block", b"allow")], 6, "altered: its hash does not match"),
    ("hash altered", lambda at: [*at[:2], at[2][:-4] + b'x"}\n', *at[3:]], 3, "altered: its hash does not match"),
    ("space added", lambda at: [at[0].replace(b":", b": ", 1), *at[1:]], 1, "altered: its hash does not match"),
    (
        "key doubled",  # one reader takes the first "verdict", another the last
        lambda at: [at[0].replace(b'"verdict"', b'"verdict":"allow","verdict"'), *at[1:]],
        1,
        "altered: its hash does not match",
    ),
    ("re-sealed without the key", lambda at: [*at[:2], forged(at, 3), *at[3:]], 3, "altered: its hash does not match"),
    ("reordered", swapped, 3, "out of order: seq 4 stands where seq 3 belongs"),
    ("reversed", lambda at: at[::-1], 1, "out of order: seq 6 stands where seq 1 belongs"),
    ("inserted", lambda at: [*at[:2], forged(at, 3), *at[2:]], 3, "inserted: it was not written with this key"),
    ("blank line", lambda at: [*at[:2], b"\n", *at[2:]], 3, "inserted: it was not written with this key"),
    ("appended", lambda at: [*at, forged(at, 6)], 7, "altered: its hash does not match"),
    ("duplicated", lambda at: [*at[:3], at[2], *at[3:]], 4, "duplicated: line 3 has the same seq 3"),
    ("last duplicated", lambda at: [*at, at[5]], 7, "duplicated: line 6 has the same seq 6"),
    ("last cut short", lambda at: [*at[:5], at[5][:40]], 6, "cut short: the line has no end"),
    ("last line end cut", lambda at: [*at[:5], at[5][:-1]], 6, "cut short: the line has no end"),
    ("two joined", lambda at: [at[0][:-1], *at[1:]], 1, "altered: its hash does not match"),
]


@pytest.mark.parametrize(("tamper", "line", "why"), [row[1:] for row in TAMPERED], ids=[row[0] for row in TAMPERED])
def test_tampering_is_found_and_named(path, tamper, line, why):
    path.write_bytes(b"".join(tamper(lines_of(path))))
    found = verify(path, SECRET)
    assert (found.ok, found.line, found.why) == (False, line, why)


def test_lines_of_another_file_with_the_same_key_are_found(path, tmp_path):
    other = tmp_path / "other.jsonl"
    sink = JsonLinesAudit(other, SECRET)
    for _ in range(6):
        sink.append({"kind": "gap", "verdict": "allow"})
    sink.close()
    path.write_bytes(b"".join([*lines_of(path)[:3], *lines_of(other)[3:]]))
    found = verify(path, SECRET)
    assert (found.ok, found.line) == (False, 4)
    assert found.why == "of another chain: it does not follow the line before it"
    path.write_bytes(other.read_bytes())
    assert verify(path, SECRET).why == "lines may be missing at the end: audit.jsonl.head belongs to another file"


def test_the_wrong_key_says_so(path):
    found = verify(path, b"some other key, of another place")
    assert (found.ok, found.line) == (False, 1)
    assert found.why == "not written with this key: is it the right key file?"


def test_without_its_head_the_end_is_not_proven(path):
    head_path(path).unlink()
    found = verify(path, SECRET)
    assert (found.ok, found.line, found.lines) == (False, 7, 6)
    assert found.why == "lines may be missing at the end: audit.jsonl.head is gone"


def test_a_forged_head_is_found(path):
    path.write_bytes(b"".join(lines_of(path)[:4]))
    last = json.loads(lines_of(path)[-1])["hash"]
    head_path(path).write_bytes(seal_head(4, last, b"another key"))
    found = verify(path, SECRET)
    assert not found.ok
    assert found.why == "lines may be missing at the end: audit.jsonl.head was altered, or written with another key"


def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        verify(tmp_path / "missing.jsonl", SECRET)


@pytest.fixture
def days(tmp_path: Path) -> Path:
    """An audit file that has been closed for the day three times, with two records a day."""
    file, time = tmp_path / "audit.jsonl", datetime(2026, 11, 5, tzinfo=UTC)
    for day in range(4):
        sink = JsonLinesAudit(file, SECRET, now=lambda day=day: time + timedelta(days=day))
        sink.append({"kind": "gap"})
        sink.append({"kind": "gap"})
        sink.close()
    return file


def anchor_altered(base: Path) -> None:
    file = base / "audit-2026-11-06.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"seq":2', b'"seq":1', 1))


def anchor_removed(base: Path) -> None:
    file = base / "audit-2026-11-06.jsonl"
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[1:]))


def two_swapped(base: Path) -> None:
    one, other = base / "audit-2026-11-06.jsonl", base / "audit-2026-11-07.jsonl"
    one.rename(base / "x"), other.rename(one), (base / "x").rename(other)


DAYS = [
    ("first removed", lambda base: (base / "audit-2026-11-05.jsonl").unlink(), "audit-2026-11-06.jsonl", 1, "did not expire"),
    ("middle removed", lambda base: (base / "audit-2026-11-06.jsonl").unlink(), "audit-2026-11-07.jsonl", 1, "seq 3 to 5 are gone"),
    ("newest removed", lambda base: (base / "audit.jsonl").unlink(), "audit-2026-11-07.jsonl", 4, "seq 9 to 11 are gone"),
    ("newest emptied", lambda base: (base / "audit.jsonl").write_bytes(b""), "audit.jsonl", 1, "seq 9 to 11 are gone"),
    ("anchor altered", anchor_altered, "audit-2026-11-06.jsonl", 1, "altered"),
    ("anchor removed", anchor_removed, "audit-2026-11-06.jsonl", 1, "seq 3 to 3 are gone"),
    ("a day cut", lambda base: os.truncate(base / "audit-2026-11-06.jsonl", 700), "audit-2026-11-06.jsonl", 3, "cut short"),
]  # fmt: skip


@pytest.mark.parametrize(("tamper", "file", "line", "why"), [row[1:] for row in DAYS], ids=[row[0] for row in DAYS])
def test_tampering_with_a_chain_of_files_is_found(days, tamper, file, line, why):
    assert verify(days, SECRET).ok
    tamper(days.parent)
    found = verify(days, SECRET)
    assert (found.ok, found.file, found.line) == (False, file, line)
    assert why in found.why


def test_names_do_not_matter_and_copies_do_not_harm(days):
    two_swapped(days.parent)
    (days.parent / "audit.jsonl.bak").write_bytes(days.read_bytes())
    assert verify(days, SECRET).ok
