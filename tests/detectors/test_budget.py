from __future__ import annotations

import pytest

from detectors.budget import Purse
from detectors.model import Limits, OutOfTime


def test_room_is_the_smaller_of_ratio_and_what_is_left():
    purse = Purse(Limits(expanded=10_000, ratio=10))
    assert purse.room(100) == 1000
    assert purse.room(1_000_000) == 10_000
    assert purse.spend(9_990)
    assert purse.room(100) == 10


def test_spending_past_the_limit_says_so():
    purse = Purse(Limits(expanded=10))
    assert purse.spend(10)
    assert not purse.spend(1)
    assert purse.room(1) == 0


def test_looks_are_paid_for_by_the_body_and_by_what_was_decompressed():
    purse = Purse(Limits(readings=2), 10_000)
    assert purse.look(19_000 - 128, 0)
    assert not Purse(Limits(readings=2), 9_000).look(19_000 - 128, 0)
    assert purse.look(100_000, 100_000)
    assert not purse.look(200_000, 0)


def test_a_short_body_counts_for_more():
    purse = Purse(Limits(readings=1), 10)
    assert purse.look(3_000, 0)
    assert not purse.look(1_000, 0)


def test_time_runs_out():
    with pytest.raises(OutOfTime):
        Purse(Limits(seconds=-1)).check_time()
    Purse(Limits(seconds=60)).check_time()
