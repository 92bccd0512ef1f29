import pytest

from detectors.decoders.pairing import NAMING, SAYS_NOTHING, is_card_field, tells


@pytest.mark.parametrize(
    "text",
    [
        "cvv",
        "CVV2",
        "card.number",
        "X-CVV",
        "Card No",
        "カード番号",
        "security code",
        "pinBlock",
        "expiry",
        "cardHolder",
        "track2",
    ],
)
def test_card_fields(text):
    assert is_card_field(text)
    assert tells(text)


@pytest.mark.parametrize("text", ["", "value", "Taro Yamada", "http.method", "123", "4111111111111111", "card" * 40])
def test_other_texts(text):
    assert not is_card_field(text)
    assert not tells(text)


def test_a_name_that_says_the_number_is_something_else_tells():
    assert tells("order_id")
    assert not is_card_field("order_id")


def test_no_member_names_and_says_nothing_at_once():
    assert not NAMING & SAYS_NOTHING
    assert all(word == word.lower() for word in NAMING | SAYS_NOTHING)
