"""What the sieve's hits are dropped for must be nothing that anybody would have found."""

from __future__ import annotations

import json
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.hopeless import _NAMES, hopeless
from detectors.keys import may_name_card
from detectors.model import OutOfTime
from detectors.recognizers import emv, pan, pin_block, security_code, track
from detectors.sieve import Sieve
from tests.detectors.decoders.peeling import Plenty
from tests.published_numbers import luhn

SIEVE = Sieve()
BAD = "4901234567890"


@pytest.mark.parametrize(
    ("text", "drops"),
    [
        (f"item {BAD} qty 3", True),
        (f'{{"jan":"{BAD}","n":1}}', True),
        (BAD, True),
        (f"商品 {BAD}。", True),
        ("trace 4901234567890123456789012345", True),
        ("4901234567894", False),
        ("4111111111111111", False),
        (f"card no: {BAD}", False),
        (f"cardNumber={BAD}", False),
        (f"c_a_r_d no {BAD}", False),
        (f"pan: {BAD}", False),
        (f"カード番号 {BAD}", False),
        (f"\\u0063ardNo {BAD}", False),
        (f"{BAD} 4", True),
        (f"4 {BAD}", True),
        (f"411111{' ' * 40}1111111111", False),
        (f"411111{'-' * 400}1111111111", False),
        (f"{BAD}{'-' * 40}1", True),
        (f"{BAD}{'-' * 400}1", False),
        (f"track2 {BAD}=30121010000", False),
        ("49012345678901234567890", True),
        ("41111111111111113012", False),
        ("4111 1111 1111 1112", True),
        ("4111 1111 1111 1111", False),
        ("2026-11-22 4111 1111 1111 1111", False),
        ("5002, 9767, 1152, 5005]", True),
        ('{"prices": [5002, 9767, 1152, 5005]}', True),
        ('["4111","1111","1111","1111"]', False),
        ("4111\n1111\n1111\n1111", False),
        ("4111\n1111\n1111\n1112", True),
        ("1152, 4111, 1111, 1111, 1111, 5004", False),
        ("5002/9767/1152/5005 4111/1111/1111/1111", False),
        ("card: 5002/9767/1152/5005", False),
        ("東京都 5002、9767、1152、5005 4111、1111、1111、1111", False),
        ("6200000000000000", False),
        ('{"prices": [4111, 1111, 1111, 1111]}', True),
        ('{"group": [4111, 1111, 1111, 1111]}', False),
        ('{"card": {"prices": [4111, 1111, 1111, 1111]}}', False),
        ("3111111111111111", False),
    ],
)
def test_digits_in_one_piece_that_can_be_no_card(text, drops):
    data = text.encode()
    hits = SIEVE.scan(data)
    assert hits is not None
    ends = hits.digits(0)
    assert bool(ends and len(hopeless(data, b"", ends, Plenty(), hits.grouped(0))) == len(ends)) is drops


def test_the_name_of_a_value_stands_before_it():
    data = f"{BAD} paid".encode()
    assert hopeless(data, b"", [13], Plenty()) == {13}
    assert hopeless(data, b"card.number: ", [13], Plenty()) == frozenset()
    assert hopeless(b"x " * 250 + data, b"card.number: ", [513], Plenty()) == {513}
    assert hopeless(data, b"", [], Plenty()) == hopeless(data, b"jan: ", [0, -3], Plenty()) == frozenset()


def test_a_hundred_thousand_hits_stop_at_the_limit():
    with pytest.raises(OutOfTime):
        hopeless(b"4901234567890 x " * 4, b"", [13] * 5000, Plenty(checks=2))


def test_prices_in_a_large_text_are_looked_into_all_the_same():
    line = b'{"prices": [5002, 9767, 1152, 5005], "n": "' + b"x" * 2048 + b'"}\n'
    data = line * 2100
    hits = SIEVE.scan(data)
    ends = hits.digits(0)
    assert len(ends) == 2100
    assert hopeless(data, b"", ends, Plenty(), hits.grouped(0)) == set(ends)


DIGIT = st.sampled_from("0123456789")
NUMBERS = st.one_of(
    st.text(DIGIT, min_size=1, max_size=26),
    st.builds(lambda n: f"4{n:015d}", st.integers(0, 10**15 - 1)),
    st.builds(lambda n: f"49{n:011d}", st.integers(0, 10**11 - 1)),
    st.builds(lambda n: f"62{n:014d}", st.integers(0, 10**14 - 1)),
    st.builds(lambda n, tail: next(f"4{n:014d}{d}" for d in range(10) if luhn(f"4{n:014d}{d}")) + tail,
              st.integers(0, 10**14 - 1), st.sampled_from(["", "", "3012", "=3012101", "D3012101", "0"])),
    st.sampled_from(["4111111111111111", "3111111111111111", "4.111111111111111E15", "00004111111111111111"]),
)  # fmt: skip
FOURS = st.one_of(
    st.lists(st.sampled_from(["4111", "1111", "1112", "5002", "822463", "3782", "10005"]), min_size=3, max_size=9),
    st.builds(lambda n: [f"{n:016d}"[at : at + 4] for at in (0, 4, 8, 12)], st.integers(4 * 10**15, 5 * 10**15)),
)
ROWS = st.builds(
    lambda groups, gap: gap.join(groups),
    FOURS,
    st.sampled_from([", ", ",", "\n", "/", '","', " ", "-", ".", ";", "、", " / "]),
)
WORDS = st.sampled_from(
    ["jan", "order_id", "card", "card no", "cardNumber", "pan", "fpan", "cc_num", "cc number", "account", "company",
     "primary account number", "カード番号", "商品コード", "クレカ番号", "track2", "%B", "visa", "x", "orders/", "a=1&b", "cvv"]
)  # fmt: skip
MARKS = st.sampled_from([" ", "-", ".", "_", ": ", "=", '"', '":"', ",", "\n", "/", "*", "+", "(", "", "", "　", "\t", "^", "|"])  # fmt: skip
TEXTS = st.lists(st.one_of(NUMBERS, ROWS, WORDS, MARKS), min_size=1, max_size=14).map("".join)
FIRST_LOOK = (pan.recognize, emv.recognize, security_code.recognize, track.recognize, pin_block.recognize)


@settings(max_examples=1500, deadline=None)
@given(text=TEXTS, label=st.sampled_from(["", "jan: ", "card.number: ", "pan: ", "order.id: "]))
def test_nothing_that_a_recognizer_finds_is_dropped(text, label):
    data = text.encode()
    hits = SIEVE.scan(label.encode() + data)
    whole = label + text
    seen = {end for ends in hits.behind(len(label)).values() for end in ends} if hits else set()
    at = len(label)
    dropped = hopeless(data, label.encode(), hits.digits(at), Plenty(), hits.grouped(at)) if hits else frozenset()
    for found in (found for look in FIRST_LOOK for found in look(whole)):
        first, last = (len(whole[:at].encode()) - len(label) for at in (found.start, found.end))
        inside = {end for end in seen if first < end <= last}
        assert inside - dropped or not inside


KEYS = st.sampled_from(
    [
        "jan",
        "no",
        "number",
        "card",
        "cardNo",
        "pan",
        "items",
        "value",
        "name",
        "key",
        "cc_number",
        "カード番号",
        "n",
        "x y",
    ]
)
DOCUMENTS = st.recursive(
    st.one_of(
        NUMBERS,
        FOURS.map(lambda groups: [int(each) for each in groups]),
        FOURS,
        NUMBERS.filter(lambda n: n.isdigit() and n[0] != "0").map(int),
        KEYS,
        TEXTS,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.one_of(KEYS, NUMBERS), inner, max_size=4)),
    max_leaves=12,
)


@settings(max_examples=600, deadline=None)
@given(text=st.one_of(TEXTS, TEXTS.map(str.upper)))
def test_a_name_is_seen_in_a_text_of_any_length(text):
    assert _NAMES.any(text.encode()) >= may_name_card(text.encode())


@settings(max_examples=400, deadline=None)
@given(documents=st.lists(DOCUMENTS.map(lambda each: [each]), min_size=1, max_size=3), escaped=st.booleans())
def test_json_is_found_the_same_without_dropping_anything(inspector, documents, escaped):
    body = "\n".join(json.dumps(each, ensure_ascii=escaped) for each in documents).encode()
    quick = inspector.inspect(body, "application/x-ndjson")
    nothing = patch("detectors.sieve.Hits.digits", lambda hits, label: [])
    with nothing, patch("detectors.sieve.Hits.only_digits", new=False):
        thorough = inspector.inspect(body, "application/x-ndjson")
    assert _by_themselves(quick) == _by_themselves(thorough)


def _by_themselves(found):
    """Where findings stand, but for those that the sieve does not point at, which are found when text near by is read:
    beside a number, or by a name alone that stands far from them."""
    unseen = {"beside a card number", "zero-padded"}
    by_name = {("card key",), ("card key", "luhn")}
    told = [each for each in found.findings if unseen.isdisjoint(each.why) and each.why not in by_name]
    return {(each.entity, each.brand, each.confidence, each.start, each.end) for each in told}, found.gaps


@settings(max_examples=400, deadline=None)
@given(documents=st.lists(DOCUMENTS, min_size=1, max_size=3), escaped=st.booleans())
def test_what_is_quiet_holds_nothing(inspector, documents, escaped):
    body = "\n".join(json.dumps(each, ensure_ascii=escaped) for each in documents).encode()
    found = inspector.inspect(body, "application/x-ndjson")
    assert not inspector.quiet(body, "application/x-ndjson") or not (found.findings or found.gaps)


@pytest.mark.parametrize(
    ("body", "quiet"),
    [
        ({"jan": BAD, "at": 1763800000000}, True),
        ({"items": [BAD] * 60}, True),
        ({"items": [BAD] * 70}, True),
        ({"jan": BAD, "note": "x" * 20_000}, True),
        ({"card": {"note": "x" * 2000, "jan": BAD}}, False),
        ({"カード番号": BAD}, False),
        ({"jan": "4901234567894"}, False),
        ({"jan": BAD, "cvv": "123"}, False),
    ],
)
def test_codes_that_are_no_cards_are_quiet(inspector, body, quiet):
    data = json.dumps(body, ensure_ascii=False).encode()
    assert inspector.quiet(data, "application/json") is quiet
