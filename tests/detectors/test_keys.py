from __future__ import annotations

import pytest

from detectors.keys import (
    CARD_KEY_SET,
    HOLDER_KEY_SET,
    OTHER_KEY_SET,
    SECURITY_CODE_KEY_SET,
    card_key,
    fold,
    names,
    other_key,
)


@pytest.mark.parametrize("spelling", ["CardNo", "card_no", "card-no", "CARD NO", "card[no]", "card.no", "'cardNo'"])
def test_case_and_separators_do_not_tell_names_apart(spelling):
    assert fold(spelling) == "cardno"


@pytest.mark.parametrize(
    ("path", "key", "expected"),
    [
        ("$.card.number", "number", ("number", "cardnumber")),
        ("card[number]", "", ("number", "cardnumber")),
        ("$.items[3].cvv", "cvv", ("cvv", "itemscvv")),
        ("CardNo", "CardNo", ("cardno",)),
        ("", "X-CVV", ("cvv",)),
        ("order[card][no]", "order[card][no]", ("no", "cardno")),
        ("/card/@number", "number", ("number", "cardnumber")),
        ("$.card/$.number", "number", ("number", "cardnumber")),
        ("$.a", "b", ("b", "ab")),
        ("", "", ()),
    ],
)
def test_names_of_a_place(path, key, expected):
    assert names(path, key) == expected


def test_no_name_says_two_things():
    assert not CARD_KEY_SET & OTHER_KEY_SET
    assert not CARD_KEY_SET & SECURITY_CODE_KEY_SET
    assert not SECURITY_CODE_KEY_SET & OTHER_KEY_SET
    assert not HOLDER_KEY_SET & OTHER_KEY_SET
    assert "cardname" not in HOLDER_KEY_SET  # at GMO it is the card's nickname


@pytest.mark.parametrize(
    ("name", "card", "other"),
    [
        ("cardno", True, False),
        ("お客様カード番号", True, False),
        ("会員カード番号", False, True),
        ("ordernumber", False, True),
        ("createdat", False, True),
        ("cardid", False, False),
        ("paid", False, False),
        ("number", False, False),
        ("value", False, False),
    ],
)
def test_what_a_name_says(name, card, other):
    assert (bool(card_key((name,))), bool(other_key((name,)))) == (card, other)


def test_the_word_before_says_less_than_a_key():
    assert other_key(("order",))
    assert not other_key(("order",), certain=False)
    assert not other_key(("somethingid",))
    assert other_key(("somethingid",), long=True)
    assert not other_key(("somethingid",), certain=False, long=True)
    assert other_key(("ordernumber",), certain=False)
