from __future__ import annotations

import json
import random
import urllib.parse

import pytest

from detectors.luhn import luhn
from detectors.redaction import redact
from detectors.split import Value, digits_of, in_named_list, in_text, join

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
PIECES = ["4111", "1111", "1111", "1111"]
MASKED = ["4111", "11**", "****", "1111"]

SPLIT = {
    "form": (urllib.parse.urlencode([(f"card{n}", piece) for n, piece in enumerate(PIECES, 1)]).encode(), FORM),
    "form, zero-based": (urllib.parse.urlencode([(f"cc_no_{n}", piece) for n, piece in enumerate(PIECES)]).encode(), FORM),
    "form, indexed": (urllib.parse.urlencode([(f"card_no[{n}]", piece) for n, piece in enumerate(PIECES)]).encode(), FORM),
    "form, list": (urllib.parse.urlencode([("cardno[]", piece) for piece in PIECES]).encode(), FORM),
    "form, repeated": (urllib.parse.urlencode([("cardNumber", piece) for piece in PIECES]).encode(), FORM),
    "form, any order": (b"card2=1111&x=1&card4=1111&card1=4111&y=2&card3=1111", FORM),
    "form, nobody declares": (b"a=1&card1=4111&card2=1111&card3=1111&card4=1111", ""),
    "japanese": (urllib.parse.urlencode([(f"カード番号{n}", piece) for n, piece in enumerate(PIECES, 1)]).encode(), FORM),
    "json": (json.dumps({f"cc{n}": piece for n, piece in enumerate(PIECES, 1)}).encode(), JSON),
    "json numbers": (json.dumps({f"cardNumber{n}": int(piece) for n, piece in enumerate(PIECES, 1)}).encode(), JSON),
    "json list": (json.dumps({"card_number": PIECES}, indent=2).encode(), JSON),
    "json list of digits": (json.dumps({"card_no": list("".join(PIECES))}).encode(), JSON),
    "json, in an object": (json.dumps({"card": {f"number{n}": piece for n, piece in enumerate(PIECES, 1)}}).encode(), JSON),
    "json, parts": (json.dumps({"payment": {"card": {f"part_{n}": piece for n, piece in enumerate(PIECES, 1)}}}).encode(), JSON),
    "json in json": (json.dumps({"m": json.dumps({f"card{n}": piece for n, piece in enumerate(PIECES, 1)})}).encode(), JSON),
    "xml": (b"<r>" + b"".join(b"<card_no%d>%s</card_no%d>" % (n, piece.encode(), n) for n, piece in enumerate(PIECES, 1)) + b"</r>", "text/xml"),
    "xml attributes": (b"<card " + b" ".join(b'no%d="%s"' % (n, piece.encode()) for n, piece in enumerate(PIECES, 1)) + b"/>", "text/xml"),
    "html form": (b"".join(b'<input name="card%d" value="%s">' % (n, piece.encode()) for n, piece in enumerate(PIECES, 1)), "text/html"),
    "csv": (b"id,card1,card2,card3,card4\n7,4111,1111,1111,1111\n8,x,,,\n", "text/csv"),
    "log line": (b"2026-11-22 saved card1=4111 card2=1111 card3=1111 card4=1111 in 3 ms", ""),
    "object dump": (b"Card{card1='4111', card2='1111', card3='1111', card4='1111'}", ""),
    "multipart": (b"".join(b'--b\r\nContent-Disposition: form-data; name="card%d"\r\n\r\n%s\r\n' % (n, piece.encode()) for n, piece in enumerate(PIECES, 1)) + b"--b--\r\n", "multipart/form-data; boundary=b"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPLIT)
def test_found_in_pieces_and_taken_out(inspector, name):
    data, content_type = SPLIT[name]
    (finding,) = inspector.inspect(data, content_type).findings
    assert (finding.entity, finding.brand, finding.confidence, finding.masked) == (
        "PAN",
        "visa",
        "high",
        "411111******1111",
    )
    assert finding.fingerprint == inspector.fingerprint(b"4111111111111111")
    assert any("pieces" in why for why in finding.why)
    assert data[finding.start : finding.end].startswith(b"4") or name == "form, any order"
    left = redact(data, [finding], "mask")
    assert left.count(b"*") == 6
    assert inspector.inspect(left, content_type).findings == ()
    if content_type == JSON:
        json.loads(left)
    assert redact(data, [finding], "remove").count(b"1111") == 0
    assert redact(data, [finding], "fingerprint").count(b"pan-") == 1


def test_every_piece_shows_its_part_of_the_mask(inspector):
    data = b"card1=4111&card2=1111&card3=1111&card4=1111"
    found = inspector.inspect(data, FORM).findings
    assert redact(data, found, "mask") == b"card1=4111&card2=11**&card3=****&card4=1111"
    assert redact(data, found, "last4") == b"card1=****&card2=****&card3=****&card4=1111"
    assert redact(data, found, "remove") == b"card1=&card2=&card3=&card4="
    data = b'{"cc1":4111,"cc2":1111,"cc3":1111,"cc4":1111}'
    found = inspector.inspect(data, JSON).findings
    assert redact(data, found, "mask", "zero") == b'{"cc1":0,"cc2":0,"cc3":0,"cc4":0}'
    assert redact(data, found, "mask") == b'{"cc1":"4111","cc2":"11**","cc3":"****","cc4":"1111"}'


@pytest.mark.parametrize("sizes", [(4, 6, 5), (4, 4, 4, 3), (8, 7)])
def test_other_lengths(inspector, sizes):
    number, at, fields = "378282246310005", 0, {}
    for n, size in enumerate(sizes, 1):
        fields[f"card_number{n}"] = number[at : at + size]
        at += size
    assert [f.brand for f in inspector.inspect(json.dumps(fields).encode(), JSON).findings] == ["amex"]


def test_zeros_in_front_come_back():
    (number,) = join(Value("$.cc", f"cc{n}", text, number=True) for n, text in enumerate(["4000", "0", "0", "2"], 1))
    assert number.digits == b"4000000000000002"


def test_two_numbers_in_one_list():
    values = [
        Value(f"$.card_no[{n}]", "card_no", text) for n, text in enumerate([*PIECES, "5555", "5555", "5555", "4444"])
    ]
    assert [number.brand for number in join(values)] == ["visa", "mastercard"]


def test_the_code_beside_the_pieces_counts(inspector):
    data = b"card1=4111&card2=1111&card3=1111&card4=1111&code=123&exp=12%2F30"
    assert [f.entity for f in inspector.inspect(data, FORM).findings] == ["PAN", "SECURITY_CODE", "EXPIRY"]


OTHERS = [
    {"q1": "4111", "q2": "1111", "q3": "1111", "q4": "1111"}, {"values": [4111, 1111, 1111, 1111]}, {"year1": 4111, "year2": 1111, "year3": 1111, "year4": 1111},
    {"cards": [4111, 1111, 1111, 1111]}, {"card_count1": 4111, "card_count2": 1111, "card_count3": 1111, "card_count4": 1111},
    {"discard1": 4111, "discard2": 1111, "discard3": 1111, "discard4": 1111}, {"cc": ["a@b.example"], "n": [4111, 1111, 1111, 1111]},
    {"card1": "4111", "card2": "1111"}, {"card1": "4111", "card2": "1112", "card3": "1111", "card4": "1111"}, {"card_last4": "1111", "card1": "4111"},
    {"a": {"card1": "4111"}, "b": {"card2": "1111"}, "c": {"card3": "1111"}, "d": {"card4": "1111"}},
]  # fmt: skip


@pytest.mark.parametrize("row", range(len(OTHERS)))
def test_columns_of_other_small_numbers_are_not_joined(inspector, row):
    assert inspector.inspect(json.dumps(OTHERS[row]).encode(), JSON).findings == ()


def test_a_thousand_columns_of_numbers_raise_nothing(inspector):
    dice = random.Random(7)
    rows = [
        {f"port{n}": dice.randrange(1000, 9999) for n in range(1, 5)}
        | {"sizes": [dice.randrange(1000, 9999) for _ in range(4)]}
        for _ in range(1000)
    ]
    assert sum(luhn("".join(str(n) for n in row["sizes"]).encode()) for row in rows) > 50
    assert inspector.inspect(json.dumps(rows).encode(), JSON).findings == ()


def test_pieces_under_a_card_key_that_fail_the_check_digit_are_doubtful(inspector):
    (finding,) = inspector.inspect(b'{"card_no":["4012","8888","8888","1882"]}', JSON).findings
    assert (finding.confidence, finding.brand) == ("low", "visa")


def test_what_is_a_piece():
    assert digits_of(" 4111 ") == (1, 5)
    assert digits_of("411111111") is None
    assert digits_of("41-11") is None
    assert list(in_text("card1=4111 card2: '1111', n=12.5 x => 123456789")) == [("card1", 6, 10), ("card2", 19, 23)]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"prices": [4111, 1|111, 1111, 1111]}', True),
        ('{"prices":[|4111,1111,1111,1111],"a":1}', True),
        ('{"prices": [4111, 1111, 1111, 1111|]}', True),
        ('{"x": {"prices": [\n  4111,\n  1111,\n  1111,\n  111|1\n]}}', True),
        ('{"card": [4111, 1|111, 1111, 1111]}', False),
        ('{"card_no": [4111, 1|111, 1111, 1111]}', False),
        ('{"numbers": [4111, 1|111, 1111, 1111]}', False),
        ('{"": [4111, 1|111, 1111, 1111]}', False),
        ("[4111, 1|111, 1111, 1111]", False),
        ('{"prices": ["4111", "1|111", "1111", "1111"]}', False),
        ('{"prices": [4111, 1|111, 1111, 1111', False),
        ('{"prices": [[4111, 1|111, 1111, 1111]]}', False),
        ('{"prices": [4111, 1|111, 1111.5, 1111]}', False),
        ('{"p\\u0061n": [4111, 1|111, 1111, 1111]}', False),
        ("prices: [4111, 1|111, 1111, 1111]", False),
    ],
)
def test_lists_of_numbers_whose_name_says_that_they_are_something_else(text, named):
    before, after = text.split("|")
    assert in_named_list(before, after) is named
