"""Clocks beside ours."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from proxy.doctor import clock

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("ahead", "state", "seen"),
    [
        (0, "ok", "agrees with ours"),
        (-1, "ok", "agrees with ours"),
        (4, "ok", "4 s ahead of the clock here"),
        (-4, "ok", "3 s behind the clock here"),
        (6, "warning", "6 s ahead of the clock here"),
        (-61, "warning", "60 s behind the clock here"),
        (61, "broken", "61 s ahead of the clock here"),
        (-3600, "broken", "3599 s behind the clock here"),
    ],
)
def test_how_far_apart(ahead, state, seen):
    (row,) = clock.rows("es:9200", formatdate(NOW + ahead, usegmt=True), NOW)
    assert (row.name, row.state, row.seen) == ("clock es:9200", state, seen)
    assert row.fix == ("" if state == "ok" else clock.FIX)


def test_half_a_second_is_rounded_by_the_header_itself():
    assert clock.skew(formatdate(NOW, usegmt=True), NOW + 0.9) == 0


@pytest.mark.parametrize("date", ["", "yesterday", "Thu, 99 Jan 2026 00:00:00 GMT"])
def test_no_date(date):
    (row,) = clock.rows("es:9200", date, NOW)
    assert (row.state, row.seen) == ("skipped", "its answers have no Date")
