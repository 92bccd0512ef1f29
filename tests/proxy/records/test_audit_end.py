from __future__ import annotations

import pytest

from proxy.records.audit_end import end_of_file, torn
from proxy.records.chain import chain_key, digest, seal

KEY = chain_key(b"a key that is only used in tests")
ONE, _ = seal({"seq": 1, "prev": "0" * 64, "kind": "gap", "gaps": []}, KEY)
TWO, _ = seal({"seq": 2, "prev": "1" * 64, "kind": "gap", "gaps": []}, KEY)

ENDS = {
    "empty": (b"", 0, 0, b""),
    "one line": (ONE, 1, len(ONE), b""),
    "two lines": (ONE + TWO, 2, len(ONE + TWO), b""),
    "no line end": (ONE + TWO[:-1], 2, len(ONE + TWO), b""),
    "half a line": (ONE + TWO[:9], 1, len(ONE), TWO[:9]),
    "two halves": (ONE + b"x\n" + TWO[:9], 1, len(ONE), b"x\n" + TWO[:9]),
    "nothing good": (b"x\ny\n", 0, 0, b""),
}


@pytest.mark.parametrize("name", ENDS)
def test_where_a_file_ends(tmp_path, name):
    data, seq, good, left = ENDS[name]
    path = tmp_path / "audit.jsonl"
    path.write_bytes(data)
    end = end_of_file(path, KEY)
    assert (end.seq, end.good, end.size, end.left) == (seq, good, len(data), left)


def test_only_the_tail_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("proxy.records.audit_end.TAIL", len(TWO) + 5)
    path = tmp_path / "audit.jsonl"
    path.write_bytes(ONE * 9 + TWO)
    assert (end_of_file(path, KEY).seq, end_of_file(path, KEY).good) == (2, len(ONE * 9 + TWO))


def test_what_is_said_of_torn_bytes():
    for left in (b"half", b"half\n"):
        assert torn(10, left, KEY) == {"reason": "torn-line", "start": 10, "end": 14, "digest": digest(b"half", KEY)}
