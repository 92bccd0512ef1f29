from __future__ import annotations

import pytest

from detectors.keys import CARD_KEY_SET, HOLDER_KEY_SET, OTHER_KEY_SET, SECURITY_CODE_KEY_SET, fold, names


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
