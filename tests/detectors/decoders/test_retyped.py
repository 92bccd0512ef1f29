import json

import pytest

from detectors.decoders.retyped import peel
from detectors.redaction import redact
from tests.detectors.decoders.peeling import ask, fields

SURE = {
    "card_number: 4,012,888,888,881,881": "4,012,888,888,881,881",
    "card_number: 4'012'888'888'881'881": "4'012'888'888'881'881",
    "カード番号：4,012,888,888,881,881": "4,012,888,888,881,881",
    "card number 4O12888888881881": "4O12888888881881",
    "Card No. 4OI2 8888 8888 l88I ok": "4OI2 8888 8888 l88I",
    "card: 4012 8888\n8888 1881": "4012 8888\n8888 1881",
    "card number 4012-8888-\r\n8888-1881 exp 12/30": "4012-8888-\r\n8888-1881",
    "Card no.\n4012 8888 8888\n1881": "4012 8888 8888\n1881",
    "> my visa: 4012\n> 8888 8888 1881": "4012\n> 8888 8888 1881",
    "amex 3782 822463\n10005": "3782 822463\n10005",
    "amex 3782\n822463-10005": "3782\n822463-10005",
    "カードは4012 8888\n8888 1881です": "4012 8888\n8888 1881",
}
DOUBTFUL = {"my visa 4O12-8888-8888-1881": "4O12-8888-8888-1881"}


@pytest.mark.parametrize("text", [*SURE, *DOUBTFUL])
@pytest.mark.parametrize("before", ["", "x" * 4000 + "\n"], ids=["short", "long"])
def test_what_was_mangled_is_found_and_redacted_whole(inspector, text, before):
    data = (before + text).encode()
    found = inspector.inspect(data).findings
    written = (SURE | DOUBTFUL)[text].encode()
    cards = [f for f in found if f.entity == "PAN"]
    assert [(f.confidence, data[f.start : f.end]) for f in cards] == [("low" if text in DOUBTFUL else "high", written)]
    left = redact(data, cards, "mask")
    assert left == data.replace(written, cards[0].masked.encode())


@pytest.mark.parametrize("text", SURE)
def test_in_a_string_of_json(inspector, text):
    data = json.dumps({"message": text}, ensure_ascii=False).encode()
    assert [f.confidence for f in inspector.inspect(data, "application/json").findings if f.entity == "PAN"] == ["high"]


@pytest.mark.parametrize("value", ["4,012,888,888,881,881", "4O12 8888 8888 I88I"])
def test_the_key_of_a_value_counts(inspector, value):
    for body, kind in ((json.dumps({"cardNumber": value}), "application/json"), (f"cardNumber={value}&a=1", "")):
        (found,) = inspector.inspect(body.encode(), kind).findings
        assert (found.entity, found.confidence) == ("PAN", "high")


@pytest.mark.parametrize(
    "text",
    [
        "card_number: 4,012,888,888,881,882", "card_number: 1,234,567,890,123,456", "total of cards: 4,012,888,888,881,881",
        "card_balance: 4,012,888,888,881,881", "discard 4O12888888881881", "build 4O12888888881881", "card 4OO2OOOOlOOlOOOl",
        "card_id: a4O12888888881881", "card\n40128888\n88881881", "cards\n4012 8888\n8888 1882", "card\n4012 8888\n8888 1881\n1234 5678",
        "card\n7 4012 8888\n8888 1881", "card\n12.5\n4012 8888\n8888 1881", "order\n4012 8888\n8888 1881",
        "card\n4012 88\n88 8888 1881", "card 4012 8888\n\n8888 1881", "card: 4,012,888", "card_number: 1,763,800,000,123",
    ],
)  # fmt: skip
def test_other_numbers_stay(inspector, text):
    assert inspector.inspect(text.encode()).findings == ()


def test_the_digits_alone_are_handed_on():
    assert fields(peel(b"card_number: 4,012,888,888,881,881", ask())) == [("", "", b"4012888888881881")]
