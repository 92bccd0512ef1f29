"""Many expressions, one pass."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from detectors.compiled import CASELESS, MAX_HITS, ONCE, Compiled

ROWS = Compiled([(rb"ab+", 0), (rb"CD", CASELESS), (rb"x", ONCE)])


def test_every_match_with_its_row_and_end():
    assert ROWS.run(b"abb cd x x") == [(0, 2), (0, 3), (1, 6), (2, 8)]
    assert ROWS.run(b"") == ROWS.run(b"nothing") == []


def test_whether_anything_matches():
    assert ROWS.any(b"-- cD")
    assert not ROWS.any(b"-- c D")


def test_a_pass_ends_at_the_limit():
    assert len(ROWS.run(b"a" + b"b" * (MAX_HITS + 10))) == MAX_HITS


def test_threads_have_scratch_space_of_their_own():
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda n: ROWS.any(b" " * n + b"cd"), range(2000))) == {True}
