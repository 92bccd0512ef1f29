from __future__ import annotations

import pytest

from proxy.records.segments import audit_file, closed, name_for

OF_THE_CHAIN = [
    *("audit-2026-11-05.jsonl", "audit-2026-11-05.2.jsonl"),
    *("audit.jsonl.1", "audit.jsonl-20261105", "audit.jsonl-20261105-1700000000"),
]
OTHERS = [
    *("audit.jsonl", "audit.jsonl.head", "audit.jsonl.new", "audit.jsonl.bak", "audit.jsonl.1.gz"),
    *("audit-notes.jsonl", "other-2026-11-05.jsonl", "audit-2026-11-05.json"),
]


def test_which_files_belong_to_a_chain(tmp_path):
    for name in OF_THE_CHAIN + OTHERS:
        (tmp_path / name).touch()
    (tmp_path / "audit.jsonl.7").mkdir()
    assert {path.name for path in closed(tmp_path / "audit.jsonl")} == set(OF_THE_CHAIN)


def test_a_name_that_is_taken_gets_a_number(tmp_path):
    path = tmp_path / "audit.jsonl"
    names = []
    for _ in range(3):
        found = name_for(path, "2026-11-05")
        found.touch()
        names.append(found.name)
    assert names == ["audit-2026-11-05.jsonl", "audit-2026-11-05.2.jsonl", "audit-2026-11-05.3.jsonl"]
    assert {file.name for file in closed(path)} == set(names)


def test_a_directory_stands_for_its_only_audit_file(tmp_path):
    path = tmp_path / "audit.jsonl"
    with pytest.raises(FileNotFoundError, match="holds no audit files"):
        audit_file(tmp_path)
    (tmp_path / "audit.jsonl.head").touch()
    assert audit_file(tmp_path) == audit_file(path) == path
    (tmp_path / "other.jsonl.head").touch()
    with pytest.raises(FileNotFoundError, match="holds 2 audit files, name one"):
        audit_file(tmp_path)
