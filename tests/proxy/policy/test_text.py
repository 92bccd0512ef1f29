"""The YAML a policy may be written in: values with their places, and everything else refused."""

from __future__ import annotations

from datetime import date

import pytest

from proxy.policy.errors import Mark
from proxy.policy.text import MAX_BYTES, at, read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("a: 1", {"a": 1}, id="integer"),
        pytest.param("a: -1", {"a": -1}, id="negative"),
        pytest.param("a: 010", {"a": 10}, id="no-octal"),
        pytest.param("a: 0x10", {"a": "0x10"}, id="no-hex"),
        pytest.param("a: 1.5", {"a": 1.5}, id="float"),
        pytest.param("a: .inf", {"a": ".inf"}, id="no-infinity"),
        pytest.param("a: 12:30:45", {"a": "12:30:45"}, id="no-sexagesimal"),
        pytest.param("a: yes", {"a": "yes"}, id="yes-is-text"),
        pytest.param("a: true", {"a": True}, id="true"),
        pytest.param("a: False", {"a": False}, id="false"),
        pytest.param("a: 2027-03-31", {"a": date(2027, 3, 31)}, id="date"),
        pytest.param("a: '2027-03-31'", {"a": "2027-03-31"}, id="quoted-is-text"),
        pytest.param('a: "null"', {"a": "null"}, id="quoted-null-is-text"),
        pytest.param("a: [1, {b: c}]", {"a": (1, {"b": "c"})}, id="flow"),
        pytest.param("a:\n  - 1\n  - 2", {"a": (1, 2)}, id="block"),
        pytest.param('{"a": ["x", true]}', {"a": ("x", True)}, id="json"),
        pytest.param("\ufeffa: 1", {"a": 1}, id="byte-order-mark"),
        pytest.param("a: " + "9" * 5000, {"a": "9" * 5000}, id="number-beyond-any-integer"),
        pytest.param("a: |\n  x\n  y\n", {"a": "x\ny\n"}, id="literal-text"),
    ],
)
def test_values(text, value):
    document = read(text.encode())
    assert (document.value, document.problems) == (value, [])


def test_every_value_and_key_has_its_place():
    document = read(b"mode: x\nlanes:\n  - {name: a, listen: b}\n  - name: c\n")
    assert document.place("mode") == Mark(1, 7)
    assert document.key("mode") == Mark(1, 1)
    assert document.place("lanes", 0, "listen") == Mark(3, 23)
    assert document.key("lanes", 0, "listen") == Mark(3, 15)
    assert document.place("lanes", 1) == Mark(4, 5)
    assert document.place("lanes", 1, "role") == Mark(4, 5), "what is not there is pointed at where it would be"
    assert document.place("audit", "path") == Mark(1, 1)


@pytest.mark.parametrize(
    ("data", "line", "column", "why"),
    [
        pytest.param(b"", 1, 1, "the file is empty", id="empty"),
        pytest.param(b"# nothing\n", 1, 1, "the file is empty", id="only-a-comment"),
        pytest.param(
            b"a: 1\nb: [1, 2\n", 3, 1, "not YAML: expected ',' or ']', but got '<stream end>'", id="open-list"
        ),
        pytest.param(b"a:1\nb: 2\n", 2, 2, "not YAML: mapping values are not allowed here", id="no space"),
        pytest.param(b"a: 1\n\tb: 1\n", 2, 1, "not YAML: found character '\\t' that cannot start any token", id="tab"),
        pytest.param(b"a: &x 1\nb: *x\n", 1, 4, "anchors and aliases are not allowed", id="anchor"),
        pytest.param(b"b: *x\n", 1, 4, "anchors and aliases are not allowed", id="alias"),
        pytest.param(b"&x a: 1\n", 1, 1, "anchors and aliases are not allowed", id="anchor-on-a-key"),
        pytest.param(b"a: !!python/object:os.system 1\n", 1, 4, "tags are not allowed", id="tag"),
        pytest.param(b"a: !!str 1\n", 1, 4, "tags are not allowed", id="harmless-tag"),
        pytest.param(b"!!str a: 1\n", 1, 1, "tags are not allowed", id="tag-on-a-key"),
        pytest.param(b"a: 1\n---\nb: 1\n", 2, 1, "a second document", id="second-document"),
        pytest.param(b"? [a]\n: 1\n", 1, 3, "a key must be a word", id="list-as-key"),
        pytest.param(b"a:\n", 1, 1, '"a" has no value', id="no-value"),
        pytest.param(b"x: 1\na: [1, ~]\n", 2, 8, "this entry has no value", id="null-in-a-list"),
        pytest.param(b"a: 2027-02-31\n", 1, 4, '"2027-02-31" is not a day of the calendar', id="no-such-day"),
        pytest.param(b"a: 1\nb: 2\na: 3\n", 3, 1, '"a" is already set on line 1', id="duplicate-key"),
        pytest.param(b"a: " + b"[" * 50 + b"]" * 50, 1, 16, "nested deeper than 12", id="too-deep"),
        pytest.param(b"a: x\xffy\n", 1, 5, "not UTF-8 text", id="not-utf8"),
        pytest.param(b"b: 1\na: x\x00y\n", 2, 5, "a control character, which YAML does not allow", id="nul"),
        pytest.param(b"a: 1 # x\n" * 40_000, 1, 1, "the file has more than 262144 bytes", id="too-large"),
    ],
)
def test_what_is_refused_is_refused_at_its_place(data, line, column, why):
    (problem,) = read(data).problems
    assert problem.mark == Mark(line, column)
    assert problem.why.startswith(why)
    assert problem.hint


def test_aliases_cannot_expand():
    bomb = b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (c, c, c - 1, c - 1) for c in range(98, 122))
    assert read(bomb).value is None


def test_deep_nesting_does_not_overflow():
    (problem,) = read(b"[" * (MAX_BYTES - 1)).problems
    assert problem.why == "nested deeper than 12"


def test_of_a_duplicate_the_first_is_kept_and_others_are_read_on():
    document = read(b"a: 1\na: {b: [2]}\nc: 3\n")
    assert document.value == {"a": 1, "c": 3}
    assert document.place("a") == Mark(1, 4)


def test_a_syntax_error_does_not_quote_the_line():
    (problem,) = read(b"card: 4111111111111111: 5\n").problems
    assert "4111" not in problem.why + problem.hint


@pytest.mark.parametrize(
    ("loc", "value"),
    [
        ((), {"a": (1, "x")}),
        (("a", 1), "x"),
        (("a", 2), None),
        (("b",), None),
        (("a", "x"), None),
        (("a", 1, "y"), None),
    ],
)
def test_at_gives_the_value_or_none(loc, value):
    assert at({"a": (1, "x")}, loc) == value
