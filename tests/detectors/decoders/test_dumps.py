import pytest

from detectors.decoders.dumps import peel, peel_pairs
from detectors.redaction import redact
from tests.detectors.decoders.peeling import ask, fields, peels

PAN, CODE = "PAN", "SECURITY_CODE"

WRAPPED = {
    "python bytes": "{'card_no': b'1234567890', 'cvv': b'123'}",
    "python unicode": "{u'card_no': u'1234567890', u'cvv': u'123'}",
    "var_dump": 'array(2) {\n  ["card_no"]=>\n  string(10) "1234567890"\n  ["cvv"]=>\n  string(3) "123"\n}',
    "var_dump of numbers": 'array(2) {\n  ["card_no"]=>\n  int(1234567890)\n  ["cvv"]=>\n  int(123)\n}',
    "var_dump of an object": 'object(Card)#1 (2) {\n  ["card_no":protected]=>\n  string(10) "1234567890"\n  ["cvv":"Card":private]=>\n  string(3) "123"\n}',
    "rust": 'Card { card_no: Some("1234567890"), cvv: Some("123") }',
    "scala": "Card(card_no = Some(1234567890), cvv = Some(123))",
    "swift": 'Card(card_no: Optional("1234567890"), cvv: Optional("123"))',
    "java": "Card{card_no=Optional[1234567890], cvv=Optional[123]}",
    "go null string": "{card_no:{String:1234567890 Valid:true} cvv:{String:123 Valid:true}}",
    "spew": '(main.Card) {\n card_no: (string) (len=10) "1234567890",\n cvv: (string) (len=3) "123"\n}',
    "spew of pointers": '{ card_no: (*string)(0xc000012340)((len=10) "1234567890"), cvv: (*string)(0xc000012350)((len=3) "123") }',
}
PLAIN = {
    "python": "{'card_no': '1234567890', 'cvv': '123'}",
    "python object": "Card(card_no='1234567890', cvv='123')",
    "java": "Card{card_no=1234567890, cvv=123}",
    "lombok": "Card(card_no=1234567890, cvv=123)",
    "ruby": '{:card_no=>"1234567890", :cvv=>"123"}',
    "ruby strings": '{"card_no"=>"1234567890", "cvv"=>"123"}',
    "ruby object": '#<Card:0x000055d0 @card_no="1234567890", @cvv="123">',
    "elixir": '%{card_no: "1234567890", cvv: "123"}',
    "print_r": "Array\n(\n    [card_no] => 1234567890\n    [cvv] => 123\n)",
    "var_export": "array (\n  'card_no' => '1234567890',\n  'cvv' => '123',\n)",
    "data dumper": "$VAR1 = {\n  'card_no' => '1234567890',\n  'cvv' => 123\n};",
    "go": "{card_no:1234567890 cvv:123}",
    "go map": "map[card_no:1234567890 cvv:123]",
    "javascript": "{ card_no: '1234567890', cvv: '123' }",
    "c#": "Card { card_no = 1234567890, cvv = 123 }",
    "logfmt": 'level=info msg="paid" card_no=1234567890 cvv=123',
    "syslog": '<34>1 2026-11-22T00:00:00Z h app 1 ID [x@1 card_no="1234567890" cvv="123"] m',
    "yaml": "card_no: 1234567890\ncvv: '123'\n",
    "toml": 'card_no = "1234567890"\ncvv = 123\n',
    "properties": "card_no=1234567890\ncvv=123\n",
    "environment": "CARD_NO=1234567890\nexport CVV=123\n",
}


@pytest.mark.parametrize(
    "text", [*WRAPPED.values(), *PLAIN.values()], ids=[*WRAPPED, *(f"plain {name}" for name in PLAIN)]
)
@pytest.mark.parametrize("frame", ["%s", "2026-11-22 INFO saved %s in 3 ms", "[2026-11-22 10:00:00] local.INFO: %s"])
def test_printed_objects(inspector, text, frame):
    data = (frame % text).encode()
    found = inspector.inspect(data).findings
    assert sorted((f.entity, data[f.start : f.end]) for f in found) == [(PAN, b"1234567890"), (CODE, b"123")]
    left = redact(data, found, "mask")
    assert left[: found[0].start] == data[: found[0].start]
    assert len(left) == len(data)
    assert inspector.inspect(left).findings == ()


@pytest.mark.parametrize(
    "text",
    [
        "cvv: None, retries: Some(123)",
        "{'cvv': b'', 'n': b'123'}",
        "Result { code: Some(123) }",
        'string(3) "123"',
        "cvv_result: Some(123)",
    ],
)
def test_other_values_stay_what_they_are(inspector, text):
    assert inspector.inspect(text.encode()).findings == ()


def test_values_have_their_names():
    assert fields(peel(b'Card { cvv: Some("123"), card_no: Some("4111 1111 1111 1111") }', ask())) == [
        (".cvv", "cvv", b"123"), (".card_no", "card_no", b"4111 1111 1111 1111"),
    ]  # fmt: skip


def test_only_what_the_hits_ask_for():
    data = b"cvv: Some(123)" + b"." * 1000 + b"cvv: Some(456)"
    assert [child.data for child in peels(peel(data, ask("", 11)))] == [b"123"]


@pytest.mark.parametrize(
    "text",
    [
        'x [{"name":"cvv","value":"123"}]',
        "x [{'name': 'cvv', 'value': '123'}]",
        '[{:name=>"cvv", :value=>"123"}]',
        "x <name>cvv</name><value>123</value>",
        "row <th>CVV</th><td>123</td>",
    ],
)
def test_pairs_in_text(inspector, text):
    (found,) = inspector.inspect(text.encode()).findings
    assert (found.entity, text[found.start : found.end]) == ("SECURITY_CODE", "123")


def test_pairs_of_other_names_stay():
    assert list(peel_pairs(b"x {'name': 'size', 'value': '123'} cvv n: 456", ask())) == []
