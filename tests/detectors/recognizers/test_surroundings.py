from __future__ import annotations

import pytest

from detectors.recognizers.surroundings import Words, larger_thing, name_of, names_before

N = "4111111111111111"


@pytest.mark.parametrize(
    ("text", "first"),
    [
        (f'{{"cardNo": "{N}"}}', "cardno"),
        (f"card.number={N}", "number"),
        (f"カード番号は{N}", "カード番号"),
        (f"<pan>{N}</pan>", "pan"),
        (f"card number is {N}", "number"),
        (f"order #{N}", "order"),
        (f"no name\n{N}", None),
        (f"x) {N}", None),
    ],
)
def test_the_name_before_a_value(text, first):
    found = names_before(text, text.index(N))
    assert (found[0] if found else None) == first


@pytest.mark.parametrize(
    ("text", "card", "other"),
    [
        (f"card_number={N}", "cardnumber", ""),
        (f"card no. {N}", "cardno", ""),
        (f"お客様のクレジットカード番号：{N}", "お客様のクレジットカード番号", ""),
        (f"ポイントカード番号：{N}", "", "ポイントカード番号"),
        (f"order_id={N}", "", "orderid"),
        (f"order number {N}", "", "ordernumber"),
        (f"Order #{N}", "", "order"),
        (f"order {N}", "", ""),
        (f"user_id: {N}", "", "userid"),
        (f"someThingId={N}", "", ""),
        (f"sid={N}", "", ""),
        (f"paid: {N}", "", ""),
        (f"card.id={N}", "", ""),
        (f"GET /orders/{N}", "", "orders/"),
        (f"GET /cards/{N}", "", ""),
        (f"number={N}", "", ""),
    ],
)
def test_what_a_name_says(text, card, other):
    name = name_of(text, text.index(N))
    assert (name.card, name.other) == (card, other)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (f"Visa {N}", "visa"),
        (f"myCard {N}", "card"),
        (f"{N} (JCB)", "jcb"),
        (f"クレジット決済 {N}", "クレジット"),
        (f"discard company Japan webmaster {N}", ""),
        (f"card\n{N}", ""),
        (f"{N}\ncard", ""),
        (f"card{' ' * 60}{N}", ""),
    ],
)
def test_card_words_are_words_of_the_same_line(text, word):
    at = text.index(N)
    words = Words(text)
    assert {words.near(at, at + len(N)) for _ in range(40)} == {word}


@pytest.mark.parametrize(
    ("before", "after", "thing"),
    [
        ("a1b2c3d4", "e5f60718", "hash"),
        ("GB82 WEST ", "", ""),
        ("aB3dE5gH7jK9", "mN2pQ4rS6tU8", "token"),
        ("order/", "/shipped/to/the/customer", ""),
        ("Customer", "PaidInFull", ""),
    ],
)
def test_what_a_number_is_a_piece_of(before, after, thing):
    text = before + N + after
    assert larger_thing(text, len(before), len(before) + len(N)) == thing


def test_iban_and_uuid():
    iban = "FR14 2004 1010 0505 0001 3M02 606 EUR"
    assert larger_thing(iban, 5, 24) == "IBAN"
    assert larger_thing(iban.replace("606", "607"), 5, 24) == ""
    uuid = "41111111-1111-4111-8111-111111111111"
    assert larger_thing(uuid, 0, 18) == "UUID"
    assert larger_thing(uuid.replace("-4", "-0"), 0, 18) == ""


def test_of_a_long_number_any_name_of_an_identifier_is_believed():
    assert [name_of(f"{key}={N}", len(key) + 1).other_if_long for key in ("sid", "someThingId", "note", "card_id")] == [
        "sid", "somethingid", "", "",
    ]  # fmt: skip
