import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.json_nest import escape
from detectors.decoders.json_text import peel
from detectors.model import SECURITY_CODE
from detectors.redaction import redact
from tests.detectors.decoders.peeling import (
    MASKED,
    NUMBER,
    ask,
    few,
    fields,
    holding,
    located,
    numbers,
    peels,
    put,
    words,
)

JSON = "application/json"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"a": {"b": ["x", {"c": 1}, 2.5e3]}, "d": null}', [
            ("$.a", "", b"a"), ("$.a.b", "", b"b"), ("$.a.b[0]", "b", b"x"), ("$.a.b[1].c", "", b"c"),
            ("$.a.b[1].c", "c", b"1"), ("$.a.b[2]", "b", b"2.5e3"), ("$.d", "", b"d"),
        ]),
        (b'[[1,[]],"x",{},true,-3]', [("$[0][0]", "", b"1"), ("$[1]", "", b"x"), ("$[4]", "", b"-3")]),
        (b'{"card no": "1", "it\'s": 2, "": 3}', [
            ("$['card no']", "", b"card no"), ("$['card no']", "card no", b"1"), ("$['it\\'s']", "", b"it's"),
            ("$['it\\'s']", "it's", b"2"), ("$['']", "", b""), ("$['']", "", b"3"),
        ]),
        (b'{"4111111111111111": 0}', [("$['****************']", "", b"4111111111111111"),
                                      ("$['****************']", "4111111111111111", b"0")]),
        ('{"カード": "番号"}'.encode(), [("$.カード", "", "カード".encode()), ("$.カード", "カード", "番号".encode())]),
        (rb'{"\u0063ard": "\u0034\/\n"}', [("$.card", "", b"card"), ("$.card", "card", b"4/\n")]),
        (b'"4111"', [("$", "", b"4111")]),
        (b"", []),
        (b"[" * 3, []),
        (b"[4111111111111111.0, 4.111111111111111e15]", [("$[0]", "", b"4111111111111111.0"), ("$[1]", "", b"4.111111111111111e15")]),
    ],
)  # fmt: skip
def test_keys_and_values(data, expected):
    assert fields(peel(data, ask(JSON))) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"a":1}\n{"a":2}\n', ["[0].$.a", "[1].$.a"]),
        (b'{"a":1}\n\n{"a":2}', ["[0].$.a", "[2].$.a"]),
        (b'{"a":1}{"a":2} {"a":3}', ["$.a", "[1].$.a", "[2].$.a"]),
        (b'{"index":{}}\n{"a":1}\n', ["[0].$.index", "[1].$.a"]),
        (b'{\n "a":1\n}\n{\n "a":2}', ["$.a", "[1].$.a"]),
        (b'{"a":1}\n', ["$.a"]),
        (b'\xef\xbb\xbf {"a":1}', ["$.a"]),
        (b'2026 INFO {"a":1}', ["$.a"]),
        (b'x {"a":1}\nno json\ny {"a":2}', ["[0].$.a", "[2].$.a"]),
        (b')]}\',\n{"a":1}', ["$.a"]),
        (b'callback({"a":1});', ["$.a"]),
    ],
)
def test_several_documents_and_documents_in_text(data, expected):
    assert [path for path, key, _ in fields(peel(data, ask())) if not key] == expected


@pytest.mark.parametrize("data", [b"plain text", b"4111111111111111", b"a=1&b=2", b"<a>{}</a>", b"{a: 1}"[1:]])
def test_text_without_json_gives_nothing(data):
    assert fields(peel(data, ask())) == []


def test_declared_json_need_not_look_like_it():
    assert fields(peel(b" 4111 ", ask(JSON))) == [("$", "", b"4111")]


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (b'{"a": "41', [b"a", b"41"]),
        (b'{"a" "b": 1]}', [b"b", b"1"]),
        (b'{"a": 41 11, x"z"}}}} "y"', [b"a"]),
        (b'["a\\', [b"a"]),
        (b'[1, "a": 2, "b"]', [b"1", b"a", b"b"]),
        (b'{"a\nb": "c\x00d"}', [b"a\nb", b"c\x00d"]),
        (b'["\\ud800", "\\udc00\\ud83d\\ude00", "\\q\\u12"]', ["\ufffd".encode(), "\ufffd😀".encode(), rb"\q\u12"]),
    ],
)
def test_broken_json_gives_what_it_can(data, values):
    assert [data for _, _, data in fields(peel(data, ask(JSON)))] == values


def test_trail_and_numbers():
    found = peels(peel(rb'{"a": "\u0034", "b": 4111, "c": "d"}', ask(JSON)))
    assert [(peel.codec, peel.number) for peel in found] == [
        ("", False), ("json-escape", False), ("", False), ("", True), ("", False), ("", False),
    ]  # fmt: skip


def test_only_what_the_hits_ask_for():
    filler = b'"%s"' % (b"x" * 100)
    data = b'{"a":%s,"card":"4111","b":%s,"c":{"d":%s}}' % (filler, filler, filler)
    assert fields(peel(data, ask(JSON, data.index(b"4111") + 4))) == [
        ("$.card", "", b"card"), ("$.card", "card", b"4111"), ("$.b", "", b"b"), ("$.b", "b", b"x" * 100),
    ]  # fmt: skip
    lines = b'{"a":1}\n' * 1000
    assert {path for path, _, _ in fields(peel(lines, ask(JSON, 8 * 500 + 5)))} == {
        f"[{n}].$.a" for n in range(493, 509)
    }


def test_a_value_is_asked_for_by_a_hit_in_its_name():
    data = b'{"cvv' + b" " * 200 + b'":' + b" " * 200 + b'"123"}'
    assert [value for _, _, value in fields(peel(data, ask(JSON, 5)))] == [b"cvv" + b" " * 200, b"123"]


def test_depth_costs_no_stack():
    data = b"[" * 100_000 + b'"4111",' * 50 + b"]" * 100_000
    found = fields(peel(data, ask(JSON)))
    assert [value for _, _, value in found] == [b"4111"] * 50
    assert found[-1][0] == "$" + "[0]" * 32 + "." + "[0]" * 31 + "[49]"


def test_a_long_name_over_many_values_does_not_multiply():
    data = b'{"' + b"k" * 500_000 + b'": [' + b"1," * 20_000 + b"1]}"
    found = fields(peel(data, ask(JSON)))
    assert len(found) == 20_002
    assert {len(key) for _, key, _ in found} == {0, 1024}
    assert {len(path) < 80 for path, _, _ in found} == {True}


def test_each_escape_is_located():
    data = rb'{"a": "\u30ab 4\u0031\u0031\/\ud83d\ude00\n4"}'
    child = holding(peel(data, ask(JSON)), b"411")
    assert located(data, child, b"411") == rb"4\u0031\u0031"
    assert located(data, child, b"/") == rb"\/"
    assert located(data, child, "カ".encode()) == rb"\u30ab"
    assert located(data, child, "😀\n".encode()) == rb"\ud83d\ude00\n"


def test_replacement_text_stays_inside_its_string():
    data = b'{"a": "x4111y"}'
    changed = put(data, holding(peel(data, ask(JSON)), b"4111"), b"4111", b'"\\\n\x7f')
    assert json.loads(changed) == {"a": 'x"\\\n\x7fy'}
    assert escape("é\x00".encode()) == "é\\u0000".encode()


documents = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), words),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=3)),
    max_leaves=8,
)


def edited(document, old, new):
    if isinstance(document, dict):
        return {key: edited(value, old, new) for key, value in document.items()}
    if isinstance(document, list):
        return [edited(value, old, new) for value in document]
    return document.replace(old, new) if isinstance(document, str) else document


@few
@given(documents, words, numbers, st.booleans(), st.sampled_from((None, 1)))
def test_round_trip(document, word, number, every, indent):
    whole = {"x": [document, {"card": f"{word}<{number}>"}]}
    data = json.dumps(whole, ensure_ascii=every, indent=indent)
    if every:
        data = data.replace(number, "".join(f"\\u{ord(digit):04x}" for digit in number))
    wire = data.encode()
    child = holding(peel(wire, ask(JSON)), f"<{number}>".encode())
    assert (child.path, child.key, child.data.decode()) == ("$.x[1].card", "card", f"{word}<{number}>")
    assert child.codec == ("json-escape" if every or "\\" in json.dumps(word, ensure_ascii=False) else "")
    changed = put(wire, child, f"<{number}>".encode(), f"<{MASKED}>".encode())
    assert json.loads(changed) == edited(whole, f"<{number}>", f"<{MASKED}>")


@few
@given(st.lists(documents, min_size=2, max_size=4), st.data())
def test_every_leaf_of_ndjson_is_found(lines, data):
    lines = [{"line": line} for line in lines]
    wire = "".join(json.dumps(line) + "\n" for line in lines).encode()
    found = [(path, value.decode()) for path, key, value in fields(peel(wire, ask())) if key]
    for n in range(len(lines)):
        expected = [leaf if isinstance(leaf, str) else repr(leaf) for leaf in leaves(lines[n])]
        assert [value for path, value in found if path.startswith(f"[{n}].")] == expected


def leaves(value, key=True):
    if isinstance(value, dict):
        return [leaf for name, inner in value.items() for leaf in leaves(inner, name)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner, key)]
    return [value] if key and not isinstance(value, bool | None) else []


def test_a_number_may_stand_anywhere():
    wire = json.dumps({"n": int(NUMBER), "e": 4.5e15}).encode()
    child = holding(peel(wire, ask(JSON)), NUMBER.encode())
    assert child.number
    assert put(wire, child, NUMBER.encode(), b'"x"') == wire.replace(NUMBER.encode(), b'"x"')


@pytest.mark.parametrize(
    "data",
    [
        b"[INFO] cardNo=4111111111111111 ok",
        b'[2026-11-22 10:20:30] card "4111111111111111"',
        b"[4111 1111 1111 1111]",
        b"{cardNo=4111111111111111, name=x}",
        b"{cardNo: '4111111111111111'}",
        b'[1, 2] 4111111111111111 "4111111111111111"',
    ],
)
def test_text_that_begins_like_json_keeps_its_words_together(data):
    assert not [text for _, _, text in fields(peel(data, ask(JSON))) if b"4111" in text]


def test_only_values_by_a_wanted_name_where_names_are_asked_for():
    data = b'{"msg": "paid", "exp": "1230", "total": 1, "card": {"exp": [1, 2]}, "m": {"value": "1230", "name": "exp"}}'
    asked = replace(ask(JSON), named=frozenset({"exp"}).__contains__)
    got = fields(peel(data, asked))
    assert set(got) >= {("$.exp", "exp", b"1230"), ("$.card.exp[0]", "exp", b"1"), ("$.card.exp[1]", "exp", b"2")}
    assert ("$.m.value", "exp", b"1230") in got
    assert not [field for field in got if field[1] in {"", "msg", "total"}]


COMMENTS = {
    b'{"cvv": /* card\'s "code */ "123"}': (28, 31),
    b'{"cvv" /* x */ : "123"}': (18, 21),
    b'{"cvv": // the "code, {\n "123"}': (26, 29),
    b'{"a": 1, /* " */ "cvv": 123 // end\n}': (24, 27),
    b'{"card": [/* one */ 1, // two\n {"cvv": "123"}]}': (40, 43),
    b'{"url": "http://x/*", "cvv": "123"}': (30, 33),
    b'{"a": http://x, "cvv": "123"}': (24, 27),
    b'{"cvv": "123"} /* never ends': (9, 12),
    b"{'cvv': '123',}": (9, 12),
    b"{cvv: 123}": (6, 9),
    b'{"a": NaN, "b": -Infinity, "cvv": "123",}': (35, 38),
    b'{"cvv": "x", "cvv": "123"}': (21, 24),
    b'{"cvv": "123", "cvv": "x"}': (9, 12),
    b'\xef\xbb\xbf{"cvv": "123"}': (12, 15),
    b'{"a":1}\r\n{"cvv":"123"}\r\n': (17, 20),
    b'{"a":1}{"cvv":"123"}': (15, 18),
    b')]}\',\n{"cvv":"123"}': (14, 17),
    b'{"c\\u0076v": "123"}': (14, 17),
}


@pytest.mark.parametrize("body", COMMENTS)
def test_what_lenient_readers_take_for_json(inspector, body):
    """JSON5, JSONC, JSON Lines of Windows, and documents in a row."""
    for data, width in ((body, 1), *((body.decode("utf-8-sig").encode(codec), int(codec[4:6]) // 8) for codec in WIDE)):
        start, end = (offset * width for offset in COMMENTS[body])
        if width > 1 and body.startswith(b"\xef"):
            start, end = start - 3 * width, end - 3 * width
        (finding,) = inspector.inspect(data, "application/json").findings
        assert (finding.entity, finding.start, finding.end) == (SECURITY_CODE, start, end)
        assert not inspector.quiet(data, "application/json")


WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")


def test_a_number_behind_comments_stays_a_number(inspector):
    body = b'{"cardNo": /* a */ 4111111111111112 /* b */, "x": [// c\n 1]}'
    out = redact(body, inspector.inspect(body, "application/json").findings, "mask")
    assert out == b'{"cardNo": /* a */ "411111******1112" /* b */, "x": [// c\n 1]}'
