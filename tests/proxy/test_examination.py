"""The time of a message is that of all its parts, and ends when nobody waits any more."""

from __future__ import annotations

import pytest

from detectors.model import Gap, Inspection, OutOfTime, View
from proxy.examination import Examination, GivenUp
from proxy.gmo.review import Review
from proxy.message import Part
from tests.proxy.guard_parts import FakeInspector, message

PARTS = tuple(Part("header:x", b"%d" % number) for number in range(5))
TOO_LATE = Inspection(gaps=(Gap("timeout", 0, 1),))


class Slow(FakeInspector):
    """Every look takes two seconds of its own clock, every field one."""

    def __init__(self):
        super().__init__()
        self.now = 100.0
        self.seconds = []

    def inspect(self, body, *given, limits=None, **named):
        self.seconds.append(limits.seconds)
        self.now += 2
        return super().inspect(body, *given, limits=limits, **named)

    def fields(self, *_):
        for number in range(100):
            self.now += 1
            yield View(b"1", key=f"k{number}")


def begin(inspector, wanted=lambda: True, **own):
    asked = message(*PARTS, **own)
    return Examination(inspector, asked, lambda: inspector.now, wanted), asked


def test_all_parts_share_the_time_of_the_message():
    """Three thousand cookies with five seconds each would be four hours."""
    inspector = Slow()
    examination, asked = begin(inspector)
    assert examination.inspections(asked.parts) == [Inspection()] * 3 + [TOO_LATE] * 2
    assert inspector.seconds == [5, 3, 1]
    assert examination.seconds == 6


def test_what_was_redacted_is_looked_at_in_the_time_that_is_left():
    inspector = Slow()
    examination, asked = begin(inspector)
    known = examination.inspections(asked.parts[:2])
    assert examination.inspections(asked.parts[:2], known, {1: b""}) == [known[0], Inspection()]
    assert inspector.inspected == [b"0", b"1", b"1"]
    assert examination.inspections(asked.parts[:2], known, {0: b""}) == [TOO_LATE, known[1]]


def test_a_thread_that_nobody_waits_for_ends_at_the_next_part():
    inspector = Slow()
    examination, asked = begin(inspector, lambda: len(inspector.inspected) < 2)
    with pytest.raises(GivenUp):
        examination.inspections(asked.parts)
    assert inspector.inspected == [b"0", b"1"]


def test_parameters_without_end_are_a_gap():
    inspector = Slow()
    examination, asked = begin(inspector, role="payment-gateway", host="p01.mul-pay.jp")
    asked = message(Part("body", b"a=1"), role="payment-gateway", path="/payment/ExecTran.idPass")
    assert examination.review(asked) == Review(gaps=("timeout",))
    assert inspector.now == 106


def test_an_inspector_without_time_for_parameters_is_a_gap():
    inspector = FakeInspector()
    asked = message(Part("body", b"a=1"), role="payment-gateway", path="/payment/ExecTran.idPass")

    def late(*_):
        raise OutOfTime
        yield

    inspector.fields = late
    assert Examination(inspector, asked, lambda: 0, lambda: True).review(asked) == Review(gaps=("timeout",))


@pytest.mark.parametrize("answer", [None, Inspection(gaps=(Gap("x", 0, 99),)), Inspection(gaps=(Gap("x", 1, 0),))])
def test_an_answer_that_cannot_be_true_is_an_error(answer):
    inspector = Slow()
    inspector.look = lambda _: answer
    examination, asked = begin(inspector)
    with pytest.raises((TypeError, ValueError)):
        examination.inspections(asked.parts)
