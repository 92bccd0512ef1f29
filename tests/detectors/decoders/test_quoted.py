from __future__ import annotations

import json

import pytest

from detectors.decoders.quoted import SENTENCES, peel
from detectors.redaction import redact
from tests.detectors.decoders.peeling import Plenty, ask, fields

CODE = "SECURITY_CODE"
SAID = {
    "pydantic": "1 validation error for Card\ncvv\n  String should have at most 2 characters [type=x, input_value='123', input_type=str]",
    "pydantic, nested": "1 validation error\ncard.cvv\n  Input should be a valid string [type=string_type, input_value=123, input_type=int]",
    "graphql-js": 'Variable "$cvv" got invalid value "123"; Expected type Int',
    "elasticsearch": "failed to parse field [cvv] of type [date] in document with id 'x'. Preview of field's value: '123'",
    "asp.net": "The value '123' is not valid for Cvv.",
    "jackson": 'from String "123": not a valid value (through reference chain: shop.Card["cvv"])',
    "playwright locator": "locator('#cvv').fill('123')",
    "playwright page": "page.fill('#cvv', '123')",
    "selenium": 'driver.find_element(By.NAME, "cvv").send_keys("123")',
    "cypress": "cy.get('[name=cvv]').type('123')",
    "hibernate": "ConstraintViolationImpl{interpolatedMessage='size', propertyPath=cvv, rootBeanClass=class Card, value='123'}",
    "postgresql": "DETAIL:  Key (card_id, cvv)=(7, 123) already exists.",
    "yaml": "- value: '123'\n  name: cvv\n",
    "redis": "*4\r\n$4\r\nHSET\r\n$6\r\ncard:1\r\n$3\r\ncvv\r\n$3\r\n123\r\n",
    "memcached": "set cvv 0 0 3\r\n123\r\n",
}
INNOCENT = (
    "qty\n  Input should be valid [type=int_parsing, input_value='123', input_type=str]",
    'Variable "$page" got invalid value "123"',
    "The value '123' is not valid for Quantity.",
    "locator('#qty').fill('123')",
    "Key (order_id, line)=(123, 456) already exists.",
    "set session 0 0 3\r\n123\r\n",
    "$('#cvv').css('width', 100)",
    "cvv\n  Field required [type=missing, input_value={}, input_type=dict]",
)


@pytest.mark.parametrize("name", SAID)
def test_a_quoted_value_is_found_and_taken_out(inspector, name):
    for text in (SAID[name], f"2026-11-22 ERROR {SAID[name]} in 3 ms", json.dumps({"msg": SAID[name]})):
        data = text.encode()
        found = inspector.inspect(data).findings
        assert [(f.entity, f.confidence, data[f.start : f.end]) for f in found] == [(CODE, "high", b"123")]
        left = redact(data, found, "mask")
        assert inspector.inspect(left).findings == ()


@pytest.mark.parametrize("text", INNOCENT)
def test_other_values_are_nobodys(inspector, text):
    assert inspector.inspect(text.encode()).findings == ()


def test_every_sentence_is_said():
    for sentence in SENTENCES:
        assert any(sentence.search(text.encode()) for text in SAID.values()), sentence.pattern


def test_names_and_values():
    assert fields(peel(b"page.fill('#cvv', '123')", ask())) == [(".cvv", "cvv", b"123")]


def test_looks_at_the_clock():
    budget = Plenty()
    list(peel(SAID["yaml"].encode(), ask(budget=budget)))
    assert budget.seen >= len(SENTENCES)
