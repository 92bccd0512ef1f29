from __future__ import annotations

from dataclasses import replace

import pytest

from detectors.decoders.lines import peel
from detectors.redaction import redact
from tests.detectors.decoders.peeling import ask, fields, peels

N = "4012888888881881"

BLOCKS = {
    "yaml": f"order:\n  id: 1\n  card:\n    number: {N}\n    code: '123'\n    holder_name: TARO YAMADA\n  total: 5000\n",
    "yaml, item": f"cards:\n- number: {N}\n  code: 123\n  holder_name: TARO YAMADA\n",
    "properties": f"card.number={N}\r\ncard.code=123\r\ncard.holder_name=TARO YAMADA\r\n",
    "mail": f"Hi,\n\nCard number: {N}\nName on card: TARO YAMADA\nCode: 123\n\nthanks",
    "quoted mail": f"> Card number: {N}\n> Code: 123\n> Name on card: TARO YAMADA\n",
    "hash rockets": f"number => {N}\ncode => 123\nholder_name => TARO YAMADA\n",
}


@pytest.mark.parametrize("name", BLOCKS)
def test_what_stands_beside_a_number_counts(inspector, name):
    data = BLOCKS[name].encode()
    found = inspector.inspect(data).findings
    assert {(f.entity, data[f.start : f.end]) for f in found} == {
        ("PAN", N.encode()), ("SECURITY_CODE", b"123"), ("CARDHOLDER_NAME", b"TARO YAMADA"),
    }  # fmt: skip
    left = redact(data, found, "mask")
    assert left is not None
    assert b"123\n" not in left.replace(b"'", b"")
    assert inspector.inspect(left).findings == ()


@pytest.mark.parametrize(
    "text",
    [
        "fields:\n  - name: cvv\n    value: 123\n",
        "- name: cvv\n  value: '123'\n",
        'env:\n- name: CVV\n  value: "123"\n- name: X\n  value: 456\n',
    ],
)
def test_one_line_names_the_other(inspector, text):
    (found,) = inspector.inspect(text.encode()).findings
    assert (found.entity, text[found.start : found.end]) == ("SECURITY_CODE", "123")


def test_paths_follow_the_indentation():
    text = b"a:\n  b: 1\n  c:\n    - d: 2\n      e: 3\n    - d: 4\nf: 5"
    assert [(path, value) for path, _, value in fields(peel(text, ask()))] == [
        ("a.b", b"1"), ("a.c[0].d", b"2"), ("a.c[0].e", b"3"), ("a.c[1].d", b"4"), ("f", b"5"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "card: 4012888888881881",
        "2026-11-22 10:00:00 INFO card: 1\n2026-11-22 10:00:01 INFO code: 123\n",
        "a\nb: c\nd",
        "",
    ],
)
def test_a_line_alone_is_text(text):
    assert list(peel(text.encode(), ask())) == []


def test_a_value_is_put_back_where_it_stood():
    text = b"a: 'one'\nb: two \n"
    one, two = peels(peel(text, ask()))
    assert one.hook.locate(0, 3) == (4, 7)
    assert two.hook.locate(0, 3) == (12, 15)


def test_what_stands_beside_is_looked_for_in_the_block_only():
    text = b"code: 1\n" * 200 + f"card: {N}\ncode: 123\nother: 5\n".encode() + b"code: 2\n" * 200
    asked = replace(ask("", 1620), named=lambda name: name == "code")
    assert len(peels(peel(text, asked))) < 140
