"""The first look may see too much, never too little: where it is silent, the sieve is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.compiled import CASELESS, Compiled
from detectors.first_look import MARKS, asks_for_mark, first_look
from detectors.patterns import PATTERNS
from detectors.sieve import Sieve

ROWS = [(row.expression, CASELESS if row.caseless else 0) for row in PATTERNS]
LOOK, SIEVE = Compiled(first_look(ROWS)), Compiled(ROWS)


@pytest.mark.parametrize(
    ("expression", "asks"),
    [
        (rb"[0-9]{3}", True),
        (rb"a[0-9]*", False),
        (rb"a(?:1|b2)", True),
        (rb"a(?:1|b)", False),
        (rb"(?:x1)?", False),
        (rb"(?:x1)+", True),
        (rb"[0-9a]", False),
        (rb"[^\x01-\x7f]", True),
        (rb"[^a]", False),
        (rb"a\s=", True),
        (rb"a\d", True),
        (rb"a\w", False),
        (rb"a\xe3", True),
        (rb".", False),
        (rb"^$", False),
    ],
)
def test_rows_that_ask_for_a_mark(expression, asks):
    assert asks_for_mark(expression) is asks


def test_marks_have_no_case():
    assert not any(bytes([byte]).isalpha() for byte in MARKS)


def test_every_row_is_there_or_asks_for_a_mark():
    kept = {expression for expression, _ in first_look(ROWS)}
    left_out = [expression for expression, _ in ROWS if expression not in kept]
    assert len(left_out) > 300
    for expression in left_out:
        row = Compiled([(expression, 0)])
        assert not any(row.any(text) for text in NO_MARKS)


NO_MARKS = tuple(
    text.translate(None, bytes(MARKS))
    for text in (
        b'card number: pan, cvv is, security code no, "card_no", ["cvv", "a"] byte[, Buffer"data":[',
        b"TWpNMEkxTWpNTVRFeE1URXhNVEV4 MDEyMzQ1 NDExMTExMTExMTExMTEx GEYTCMJRGEYTCMJR H4sIAAAA eJwKKKKKKKKKKK",
        b"pin block: ABCDEFABCDEF <!ENTITY -- a | card_no | cvv |\ncard no,cvv\n",
    )
)

TEXTS = st.lists(
    st.one_of(
        st.binary(max_size=8),
        st.text(st.characters(codec="ascii"), max_size=20).map(str.encode),
        st.sampled_from(
            [b"card no: ", b"cvv", b'"card_no":"', b"4111", b"1111", b"NDExMTExMTExMTExMTEx", b"GQYTCMJR", b"pin block: ",
             b"ABCDEF", b"<!ENTITY", b"H4sIAAAA", b"eJwrKKKKKKKKKK", b"%34", b"&#52;", b"\\u0034", b"34313131", b"byte[", b"|"]
        ),
    ),
    max_size=12,
).map(b"".join)  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(text=TEXTS)
def test_where_it_is_silent_the_sieve_is(text):
    assert LOOK.any(text) >= SIEVE.any(text)


def test_a_long_text_is_scanned_in_full():
    sieve = Sieve()
    for hidden in (b"4111111111111111", b"NDExMTExMTExMTExMTExMQ==", b'"card_no": "cvv"'):
        text = b"nothing to see here " * 500
        assert sieve.scan(text) is None
        assert (sieve.scan(text + hidden) is None) == (sieve.scan(hidden) is None)
