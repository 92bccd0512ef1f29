"""Who may read and write the files of a set-up, and room for records."""

from __future__ import annotations

import os

import pytest

from proxy.doctor import files
from proxy.doctor.files import User
from proxy.doctor.process import Owner, Process
from tests.e2e.plane import policy

US = os.geteuid()
STRANGER = 64_000
"""A user id that owns nothing here."""


@pytest.fixture
def rules(tmp_path):
    made = policy(tmp_path, {"upstream": "http://127.0.0.1:1"})
    made.path.chmod(0o644)
    return made


def row_of(check, rules, uid=STRANGER):
    return [row for row in files.rows(rules, Owner(uid)) if row.check == check]


def test_a_good_one(rules):
    rows = list(files.rows(rules, Owner(US)))
    assert [(row.name, row.state) for row in rows] == [
        ("file plane.yaml", "ok"),
        ("file fingerprint.key", "ok"),
        ("audit-file audit.jsonl", "ok"),
        (f"disk {rules.path.parent}", "ok"),
    ]
    assert rows[1].seen == f"readable by the sidecar's user {US}, mode 0600"


def test_without_a_sidecar_it_is_our_own_user(rules):
    _, key, *_ = files.rows(rules, Owner())
    assert key.seen == f"readable by user {US} (the sidecar does not run), mode 0600"


def test_a_policy_that_others_can_change(rules):
    rules.path.chmod(0o664)
    row, *_ = files.rows(rules, Owner(US))
    assert (row.state, row.seen) == ("warning", "others can change the policy (mode 0664)")
    assert row.fix == f"chmod go-w {rules.path}"


def test_a_key_that_the_sidecar_cannot_read(rules):
    key = rules.audit.fingerprint_key_file
    (row,) = (row for row in row_of("file", rules) if row.about == "fingerprint.key")
    assert row.state == "broken"
    assert row.seen.startswith(f"the sidecar's user {STRANGER} cannot read it (owner {US}, mode 0600)")
    assert row.fix == f"chown {STRANGER} {key}"


def test_a_file_that_others_can_change(rules):
    rules.audit.fingerprint_key_file.chmod(0o622)
    (row,) = (row for row in row_of("file", rules, US) if row.about == "fingerprint.key")
    assert (row.state, row.seen) == ("warning", "others can change it (mode 0622)")


@pytest.mark.parametrize(
    ("mode", "file_mode", "state", "seen"),
    [
        (0o700, None, "broken", f"the sidecar's user {STRANGER} cannot write in "),
        (0o777, None, "ok", f"the sidecar's user {STRANGER} can write in "),
        (0o777, 0o600, "broken", f"the sidecar's user {STRANGER} cannot write it"),
        (0o777, 0o646, "warning", "anybody here can open it (mode 0646)"),
    ],
)
def test_the_audit_file(rules, mode, file_mode, state, seen):
    file = rules.audit.path
    file.parent.mkdir()
    if file_mode is not None:
        file.touch()
        file.chmod(file_mode)
    file.parent.chmod(mode)
    (row,) = row_of("audit-file", rules)
    assert row.state == state
    assert row.seen.startswith(seen)
    assert bool(row.fix) == (state != "ok")


FILESYSTEM = {"f_flag": 0, "f_frsize": 4096, "f_files": 1000, "f_favail": 500, "f_bavail": 10 * files.GIB // 4096}


@pytest.mark.parametrize(
    ("changes", "state", "seen"),
    [
        ({}, "ok", "10.0 GiB free"),
        ({"f_bavail": 500 * files.MIB // 4096}, "warning", "500 MiB free"),
        ({"f_bavail": 99 * files.MIB // 4096}, "broken", "99 MiB free"),
        ({"f_favail": 0}, "broken", "10.0 GiB free, but no file can be made (no inodes)"),
        ({"f_files": 0, "f_favail": 0}, "ok", "10.0 GiB free"),
    ],
)
def test_room_for_records(rules, monkeypatch, changes, state, seen):
    made = type("Filesystem", (), FILESYSTEM | changes)
    monkeypatch.setattr(os, "statvfs", lambda _: made)
    (row,) = row_of("disk", rules, US)
    assert (row.state, row.seen) == (state, seen)


def test_a_read_only_place(rules, monkeypatch):
    made = type("Filesystem", (), FILESYSTEM | {"f_flag": os.ST_RDONLY})
    monkeypatch.setattr(os, "statvfs", lambda _: made)
    (row,) = row_of("audit-file", rules, US)
    assert (row.state, row.fix) == ("broken", "mount it writable, or change audit.path")


@pytest.mark.parametrize(
    ("uid", "groups", "mode", "may"),
    [
        (0, set(), 0o000, True),
        (US or 1, set(), 0o400, US != 0),
        (STRANGER, {os.getegid()}, 0o040, True),
        (STRANGER, {os.getegid()}, 0o404, False),
        (STRANGER, set(), 0o004, True),
        (STRANGER, set(), 0o440, False),
    ],
)
def test_who_may(tmp_path, uid, groups, mode, may):
    path = tmp_path / "file"
    path.touch()
    path.chmod(mode)
    assert User(uid, groups, "").may(4, path) is may


def test_the_groups_of_the_process_count():
    one = Process(7, STRANGER, frozenset({5, 6}), 0)
    assert set(User.of(Owner(STRANGER, (one,))).groups) == {5, 6}
    assert set(User.of(Owner(0)).groups) >= {0}
