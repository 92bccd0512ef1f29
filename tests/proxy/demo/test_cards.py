from __future__ import annotations

import pytest

from proxy.demo.cards import CARDS, masked
from tests.published_numbers import LITERALS


@pytest.mark.parametrize("card", CARDS, ids=repr)
def test_every_card_is_a_published_test_number(card):
    challenge = {"4100000000005000"}  # EMV 3-D Secure test laboratory: challenge, success
    assert card.number in LITERALS | challenge


@pytest.mark.parametrize("card", CARDS, ids=repr)
def test_a_card_is_shown_masked(card):
    assert card.number not in repr(card)
    assert len(masked(card.number)) == len(card.number)
    assert masked(card.number).count("*") == len(card.number) - 10


def test_codes_tell_the_cards_apart():
    assert len({card.code for card in CARDS}) == len(CARDS)
