"""What is passed over is what the tokenizer would have said nothing of."""

import json
from dataclasses import dataclass
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.decoders import json_skip, json_text
from detectors.keys import may_stand_beside
from detectors.model import Ask
from detectors.recognition import Neighbourhood
from tests.detectors.decoders.peeling import NUMBER, Plenty, ask, fields

FILLER = [{"id": n, "list": [[n, {"a": "x" * 40}], "]}", '"'], "note": "\\" * (n % 3)} for n in range(40)]
BEFORE_AND_BEHIND = {
    "array of objects": lambda it: [*FILLER, it, *FILLER],
    "array of arrays": lambda it: [[[*row.values()] for row in FILLER], [it], *[[*row.values()] for row in FILLER]],
    "array of scalars": lambda it: {"a": [*range(300), "x" * 300, None], "b": [*["x"] * 300, it, *range(300)]},
    "members": lambda it: {**{f"m{n}": row for n, row in enumerate(FILLER)}, "here": it, **{f"n{n}": n for n in range(200)}},
    "deep": lambda it: {"a": {"b": [{"c": [FILLER, {"d": [FILLER, it, FILLER]}, FILLER]}]}, "z": FILLER},
    "deeper than an expression": lambda it: [json.loads("[" * 90 + json.dumps(FILLER) + "]" * 90), it, FILLER],
}  # fmt: skip


def all_of(data, asked):
    with patch.object(json_text, "skips", lambda *_: lambda *_: None):
        return fields(json_text.peel(data, asked))


@pytest.mark.parametrize(
    "layout", [{}, {"indent": 1}, {"separators": (",", ":")}], ids=["spaced", "indented", "compact"]
)
@pytest.mark.parametrize("name", BEFORE_AND_BEHIND)
def test_a_value_keeps_its_path_behind_what_is_passed_over(name, layout):
    data = json.dumps(BEFORE_AND_BEHIND[name]({"number": NUMBER, "cvv": "123"}), **layout).encode()
    asked = ask("", data.index(NUMBER.encode()) + 13)
    found = fields(json_text.peel(data, asked))
    assert NUMBER.encode() in [value for _, _, value in found]
    assert found == all_of(data, asked)


@pytest.mark.parametrize("name", BEFORE_AND_BEHIND)
def test_most_of_a_document_is_passed_over(name):
    data = json.dumps(BEFORE_AND_BEHIND[name](NUMBER)).encode()
    read = []
    tokens = json_text._tokens

    def counted(*given):
        for token in tokens(*given):
            read.append(token)
            yield token

    with patch.object(json_text, "_tokens", counted):
        list(json_text.peel(data, ask("", data.index(NUMBER.encode()) + 13)))
    assert len(read) < sum(1 for _ in json_text._TOKEN.finditer(data)) / 3


BROKEN = [
    b'{"a": 1, /* ] */ "b": [1, 2 // }\n, 3], "n": "%s"}',
    b'{"a": [1 2 3, {"x" "y"}], "n": "%s"}',
    b'[{"a": "x}, {"n": "%s"}]',
    b'[[1, 2}, {"n": "%s"}, 3]',
    b'[INFO] {"a": 1} [x] {"n": "%s"}',
    b'{"a": {"b": 1}}{"c": [1, {"n": "%s"}]}',
    b'["a\\\\", "\\"", {"n": "%s"}, "c',
    b'[,, 1, , {"n": "%s"},]',
]


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("between", [b"", b'[{"k": [1, "x"]}], ' * 40], ids=["short", "long"])
def test_what_is_no_json_reads_as_it_did(broken, between):
    data = broken[:1] + between + broken[1:] % NUMBER.encode()
    asked = ask("application/json", data.index(NUMBER.encode()) + 13)
    with patch.multiple(json_skip, _WORTH=1, _LARGE=0):
        assert fields(json_text.peel(data, asked)) == all_of(data, asked)


@dataclass
class Number:
    path: str


def neighbours(path):
    return Neighbourhood([Number(path)])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("text", "number", "there"),
    [
        ('{"exp": {"exp": "a"}, "card": {"exp": "b", "n": "4", "deep": [{"exp": "c"}]}, "exp": "d"}', "$.card.n", "bcd"),
        ('[{"exp": "a"}, {"n": "4", "exp": "b"}, {"exp": "c"}]', "$[1].n", "b"),
        ('{"a": [{"n": "4"}], "a": [{"exp": "a"}, {"exp": "b"}]}', "$.a[0].n", "a"),
        ('{"name": ["cvv"], "value": "1", "card": {"n": "4"}}', "$.card.n", "1"),
        ('{"exp":"a"}\n{"n":"4","exp":"b"}\n{"exp":"c"}', "[1].$.n", "b"),
        ('{"exp":"a"} {"n":"4"}\n{"exp":"b"} {"exp":"c"}', "[0].$.n", "a"),
    ],
)  # fmt: skip
def test_values_beside_a_number_are_not_passed_over(text, number, there):
    around = neighbours(number)
    asked = Ask("", (), Plenty(), named=may_stand_beside, beside=around)
    with patch.multiple(json_skip, _WORTH=1, _LARGE=0):
        found = fields(json_text.peel(text.encode(), asked))
    assert "".join(value.decode() for path, key, value in found if path in around and key != "n") == there


KEYS = st.sampled_from(["a", "b", "card", "cvv", "name", "value", "exp", "number", "S", "a.b", "日本", "key", "values"])
SCALARS = st.sampled_from(
    [1, 123, "cvv", "123", NUMBER, int(NUMBER), True, None, "x" * 90, 'a"b\\', "/", "//", " ]}", "card_no", "12/30", 1.5]
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=7) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=40
)
SPOILT = st.sampled_from([b'"', b"[", b"]", b"{", b"}", b"//", b"/* x */", b"\\", b",", b":", b" 5 ", b"\n", b'"k":', b"\xff"])  # fmt: skip


@st.composite
def documents(draw):
    between = draw(st.sampled_from(["", "\n", " "]))
    layout = draw(st.sampled_from([{}, {"indent": 1}, {"separators": (",", ":")}]))
    data = bytearray(
        between.join(json.dumps(value, **layout) for value in draw(st.lists(VALUES, min_size=1, max_size=4))).encode()
    )
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 2))] = draw(SPOILT)
    return bytes(data)


@settings(max_examples=250, deadline=None)
@given(
    data=documents(),
    where=st.lists(st.floats(0, 1), min_size=1, max_size=4),
    plain=st.integers(0, 4),
    nameless=st.booleans(),
)
def test_nothing_that_was_asked_for_is_passed_over(data, where, plain, nameless):
    hits = sorted({int(at * len(data)) for at in where})
    asked = Ask(
        "application/json",
        tuple(hits),
        Plenty(),
        digits=tuple(hits[:plain]),
        hopeless=tuple(hits[: plain // 2]),
        nameless=nameless,
    )
    with patch.multiple(json_skip, _WORTH=1, _LARGE=0):
        assert fields(json_text.peel(data, asked)) == all_of(data, asked)


@settings(max_examples=250, deadline=None)
@given(data=documents(), which=st.integers(0, 1000))
def test_no_neighbour_of_a_number_is_passed_over(data, which):
    values = fields(json_text.peel(data, ask("application/json")))
    if not values:
        return
    around = neighbours(values[which % len(values)][0])
    asked = Ask("application/json", (), Plenty(), named=may_stand_beside, beside=around)
    with patch.multiple(json_skip, _WORTH=1, _LARGE=0):
        found = fields(json_text.peel(data, asked))
    assert [row for row in found if row[0] in around] == [row for row in all_of(data, asked) if row[0] in around]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('{"pan": 4, "level": "cvv", "zq": {"qz": "}"}}', []),
        ('{"pan": 4, "cvv": "123"}', [b"123"]),
        ('{"pan": 4, "zq": {"cvv": "123"}}', [b"123"]),
        ('{"pan": 4, "zq": ["cvv", "123"]}', [b"123"]),
        ('{"pan": 4, "name": "cvv", "value": "123"}', [b"cvv", b"123"]),
        ('{"pan": 4, "value": {"zq": "1"}, "c\\u0076v": "123"}', [b"123"]),
        ('{"pan": 4, "zq": "\\"cvv\\": 1"}', []),
        ('{"pan": 4, "zq": 1 /* " */, "cvv": "123"}', [b"123"]),
    ],
)
def test_an_object_in_which_no_name_is_wanted_is_passed_over(text, read):
    data = (text + "\n" + text).encode()
    beside = Neighbourhood([Number("[0].$.pan"), Number("[1].$.pan")])
    asked = Ask("", (), Plenty(), named=may_stand_beside, beside=beside)
    assert [value for _, _, value in fields(json_text.peel(data, asked))] == 2 * read
    assert fields(json_text.peel(data, asked)) == all_of(data, asked)
