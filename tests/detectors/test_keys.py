from __future__ import annotations

import pytest

from detectors.keys import (
    CARD_KEY_SET,
    EXPIRY_KEY_SET,
    HOLDER_KEY_SET,
    OTHER_KEY_SET,
    PIN_BESIDE_SET,
    SECURITY_CODE_BESIDE_SET,
    SECURITY_CODE_KEY_SET,
    card_key,
    fold,
    may_stand_beside,
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


_BESIDE = EXPIRY_KEY_SET | HOLDER_KEY_SET | PIN_BESIDE_SET | SECURITY_CODE_BESIDE_SET


@pytest.mark.parametrize("name", sorted(_BESIDE))
def test_what_counts_beside_a_number_is_told_by_the_key_alone(name):
    for cut in range(len(name)):
        parent, key = name[:cut], name[cut:]
        if key.isdigit():  # an index, to whoever names values
            continue
        for path, called in ((f"$.{parent}.{key}", key), (f"$.a.{key}", f"{parent}[{key}]"), (f"$.{parent}.{key}", "")):
            assert name in names(path, called)
            assert may_stand_beside(called)
    assert may_stand_beside(f"X-{name.upper()}")


def test_most_keys_name_nothing_that_counts_beside_a_number():
    assert not [key for key in ("msg", "orderId", "level", "trace_id", "x-request-id") if may_stand_beside(key)]
