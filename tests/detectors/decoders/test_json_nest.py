import json

import pytest

from detectors.decoders.json_nest import escape
from detectors.decoders.json_text import peel
from detectors.redaction import redact
from tests.detectors.decoders.peeling import ask, fields

TEXTS = {
    "otlp": {"attributes": [{"key": "card.number", "value": {"stringValue": "1234567890"}}, {"key": "cvv", "value": {"intValue": "123"}}]},
    "otlp, value first": {"attributes": [{"value": {"stringValue": "1234567890"}, "key": "card.number"}, {"value": {"intValue": 123}, "key": "cvv"}]},
    "otlp, nested": {"key": "x", "value": {"kvlistValue": {"values": [{"key": "cvv", "value": {"stringValue": "123"}}, {"key": "card_no", "value": {"stringValue": "1234567890"}}]}}},
    "aws": [{"Name": "cardNo", "Value": "1234567890"}, {"Name": "cvv", "Value": "123"}],
    "aws, value first": [{"Value": "1234567890", "Name": "cardNo"}, {"Value": "123", "Name": "cvv"}],
    "har": {"params": [{"name": "securityCode", "value": "123"}, {"name": "cardnumber", "value": "1234567890"}]},
    "dynamodb": {"Item": {"cvv": {"S": "123"}, "card_no": {"N": "1234567890"}}},
    "form builder": {"fields": [{"id": 1, "label": "CVV", "type": "text", "value": "123"}, {"id": 2, "label": "Card number", "type": "text", "value": 1234567890}]},
    "audit": {"changes": [{"field": "cvv", "old": None, "new": "123"}, {"field": "card_no", "old": "1234567890", "new": None}]},
    "header list": {"headers": [["Host", "x"], ["X-CVV", "123"], ["X-Card-Number", "1234567890"]]},
    "flat header list": {"rawHeaders": ["Host", "x", "X-CVV", "123", "Card-Number", "1234567890"]},
    "xml as json": {"card": {"cvv": {"$t": "123"}, "cardNo": {"#text": "1234567890"}}},
    "japanese": [{"name": "カード番号", "value": "1234567890"}, {"name": "セキュリティコード", "value": "123"}],
    "many": [{"key": "cvv", "value": {"arrayValue": {"values": [{"stringValue": "123"}]}}}, {"key": "card_no", "value": "1234567890"}],
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(
    "layout",
    [{}, {"indent": 2}, {"separators": (",", ":")}, {"twice": True}],
    ids=["spaced", "indented", "compact", "in a string"],
)
def test_a_name_beside_the_value_counts(inspector, name, layout):
    text = json.dumps(
        {"m": json.dumps(TEXTS[name])} if layout.get("twice") else TEXTS[name],
        **({} if layout.get("twice") else layout),
    ).encode()
    found = inspector.inspect(text, "application/json").findings
    assert sorted(finding.entity for finding in found) == ["PAN", "SECURITY_CODE"]
    left = redact(text, found, "mask")
    assert inspector.inspect(left, "application/json").findings == ()
    assert b"******7890" in left
    json.loads(left)


@pytest.mark.parametrize(
    "text",
    [
        {"key": "retries", "value": {"intValue": "123"}}, [{"name": "port", "value": 8080}], {"cvv": None, "amount": 1234, "value": 123},
        {"fields": ["cvv", "expiry"], "amount": 123}, [{"name": "cvv", "required": True}, {"name": "amount", "value": 123}], {"value": 123, "nested": {"key": "cvv"}},
        {"values": [{"v": "123"}, {"key": "cvv"}]}, ["cvv", "x", "123"],
    ],
)  # fmt: skip
def test_other_numbers_stay_what_they_are(inspector, text):
    assert inspector.inspect(json.dumps(text).encode(), "application/json").findings == ()


def test_a_name_that_says_otherwise_lowers_the_confidence(inspector):
    (finding,) = inspector.inspect(b'{"name":"order_id","value":"4012001037141112"}').findings
    assert finding.confidence == "low"


def test_a_value_whose_name_never_comes_is_given_all_the_same():
    assert fields(peel(b'{"value": "x", "a": {"value": 1}, "value": [{"s": "y"}', ask())) == [
        ("$.value", "", b"value"), ("$.a", "", b"a"), ("$.a.value", "", b"value"), ("$.a.value", "value", b"1"), ("$.value", "", b"value"),
        ("$.value[0].s", "", b"s"), ("$.value", "value", b"x"), ("$.value[0].s", "s", b"y"),
    ]  # fmt: skip


def test_replacement_text_is_valid_inside_a_string():
    assert json.loads(b'"' + escape(b'a"\\\n\x00\xc3\xa9') + b'"') == 'a"\\\n\x00é'
