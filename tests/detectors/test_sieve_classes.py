from __future__ import annotations

import base64
import random
import re

from detectors.sieve_classes import base64_patterns, through_base64

DIGITS = frozenset(b"0123456789")


def test_three_digits_have_the_four_classes_known_from_the_alphabet():
    classes = [bytes(sorted(letters)) for letters in through_base64([DIGITS] * 3, 0)]
    assert classes == [b"MNO", b"DTjz", b"AEIMQUYcgk", b"012345wxyz"]


def test_classes_hold_for_random_text_at_every_position():
    rng = random.Random(7)
    for _ in range(300):
        before = rng.randrange(3)
        digits = bytes(rng.choice(b"0123456789") for _ in range(14))
        text = bytes(rng.randrange(256) for _ in range(before)) + digits
        coded = base64.b64encode(text)
        classes = through_base64([DIGITS] * 14, before)
        assert all(coded[i] in letters for i, letters in enumerate(classes))


def test_the_expressions_compile_as_ordinary_ones_too():
    assert all(re.compile(expression) for expression in base64_patterns())
