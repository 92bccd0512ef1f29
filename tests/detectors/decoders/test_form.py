from http.cookies import SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.form import looks_like, peel, peel_cookies
from tests.detectors.decoders.peeling import MASKED, ask, few, fields, holding, located, numbers, peels, put, words

FORM = "application/x-www-form-urlencoded; charset=Windows-31J"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"CardNo=4111&Expire=", [("CardNo", "", b"CardNo"), ("CardNo", "CardNo", b"4111"),
                                  ("Expire", "", b"Expire"), ("Expire", "Expire", b"")]),
        (b"card%5Bnumber%5D=%34+%2B1", [("card[number]", "", b"card[number]"), ("card[number]", "card[number]", b"4 +1")]),
        (b"k=1&k=2&k", [("k", "", b"k"), ("k", "k", b"1"), ("k[1]", "", b"k"), ("k[1]", "k", b"2"), ("k[2]", "", b"k")]),
        (b"4111111111111111=", [("****************", "", b"4111111111111111"), ("****************", "4111111111111111", b"")]),
        (b"=v&&a==b%zz", [("", "", b"v"), ("a", "", b"a"), ("a", "a", b"=b%zz")]),
        ("番号=1".encode("cp932"), [("\ufffdԍ\ufffd", "", "番号".encode("cp932")), ("\ufffdԍ\ufffd", "\ufffdԍ\ufffd", b"1")]),
        (b"", []),
    ],
)  # fmt: skip
def test_names_and_values(data, expected):
    assert fields(peel(data, ask(FORM))) == expected


def test_only_decoded_values_enter_the_trail():
    assert [peel.codec for peel in peels(peel(b"a=1&b=%31&c=+&%64=1", ask(FORM)))] == [
        "", "", "", "percent", "", "percent", "percent", "",
    ]  # fmt: skip


def test_only_what_the_hits_ask_for():
    data = b"a=1&" + b"b=" + b"x" * 200 + b"&c=4111&d=" + b"y" * 200 + b"&e=5"
    assert [path for path, key, _ in fields(peel(data, ask(FORM, data.index(b"4111") + 4))) if key] == ["c", "d"]
    assert fields(peel(data, ask(FORM, 1))) == [
        ("a", "", b"a"), ("a", "a", b"1"), ("b", "", b"b"), ("b", "b", b"x" * 200),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "is_form"),
    [
        (b"a=1&b=2", True),
        (b"card[no]=4111&x", True),
        (b"a=1", False),
        (b"a=a=a=a", False),
        (b"a=1 & b=2", False),
        (b'{"a":"b=1&c=2"}', False),
        (b"hello & goodbye = x", False),
        (b"", False),
    ],
)
def test_a_form_inside_something_else_is_known_by_its_shape(data, is_form):
    assert looks_like(data) is is_form
    assert bool(peels(peel(data, ask()))) is is_form


def test_a_replacement_is_spelled_as_forms_do():
    data = b"a=%34%31%31%31+1111&b=2"
    child = holding(peel(data, ask(FORM)), b"4111 1111")
    assert located(data, child, b"4111 ") == b"%34%31%31%31+"
    assert put(data, child, b"4111 1111", b"4* &=") == b"a=4*+%26%3D&b=2"


@few
@given(st.lists(st.tuples(words, words), max_size=4), numbers, st.integers(0, 4), st.sampled_from((quote, None)))
def test_round_trip(pairs, number, place, quoting):
    pairs.insert(place, ("card", f"{number}é"))
    data = urlencode(pairs, **({"quote_via": quoting} if quoting else {})).encode()
    data = data.replace(number.encode(), "".join(f"%{ord(digit):X}" for digit in number).encode())
    child = holding(peel(data, ask(FORM)), number.encode())
    assert (child.key, child.data) == ("card", f"{number}é".encode())
    changed = put(data, child, number.encode(), MASKED.encode())
    assert parse_qsl(changed.decode(), keep_blank_values=True) == [
        (name, f"{MASKED}é" if name == "card" else value) for name, value in pairs
    ]


def test_cookies():
    data = b'sid=abc; card="4111 1111"; p=%34%31+1; sid=d; flag'
    assert [field for field in fields(peel_cookies(data, ask())) if field[1]] == [
        ("sid", "sid", b"abc"), ("card", "card", b"4111 1111"), ("p", "p", b"41+1"), ("sid[1]", "sid", b"d"),
    ]  # fmt: skip
    assert [path for path, key, _ in fields(peel_cookies(data, ask())) if not key] == [
        "sid",
        "card",
        "p",
        "sid[1]",
        "flag",
    ]


@few
@given(numbers, st.booleans())
def test_a_cookie_survives(number, quoted):
    value = f'"{number}"' if quoted else quote(number + "%")
    data = f"a=1; card={value}; b=2".encode()
    child = holding(peel_cookies(data, ask()), number.encode())
    changed = SimpleCookie(put(data, child, number.encode(), MASKED.encode()).decode())
    assert {name: morsel.value for name, morsel in changed.items()} == {
        "a": "1", "card": MASKED if quoted else quote(MASKED + "%", safe="*"), "b": "2",
    }  # fmt: skip
