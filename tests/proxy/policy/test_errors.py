"""Nothing an error says may show a number that someone pasted into the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.policy.errors import HIDDEN, Mark, PolicyError, Problem, did_you_mean, has_long_number, scrub, show


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        pytest.param("12345678", HIDDEN, id="eight-in-a-row"),
        pytest.param("1234567", "1234567", id="seven-in-a-row"),
        pytest.param("x4111111111111111y", f"x{HIDDEN}y", id="inside-a-word"),
        pytest.param("4111 1111 1111 1111", HIDDEN, id="in-groups"),
        pytest.param("4111-1111-1111-1111", HIDDEN, id="with-hyphens"),
        pytest.param("4111.1111.1111.1111", HIDDEN, id="with-dots"),
        pytest.param("４１１１１１１１１１１１１１１１", HIDDEN, id="full-width"),
        pytest.param("2027-03-31", "2027-03-31", id="a-date"),
        pytest.param("192.168.100.200:9200", "192.168.100.200:9200", id="an-address"),
        pytest.param("411.111.111.111", HIDDEN, id="no-address"),
        pytest.param("127.0.0.1:3100, 127.0.0.1:3101", "127.0.0.1:3100, 127.0.0.1:3101", id="two-addresses"),
    ],
)
def test_long_numbers_are_hidden_and_nothing_else(text, scrubbed):
    assert scrub(text) == scrubbed
    assert has_long_number(text) == (text != scrubbed)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("blok", '"blok"', id="text"),
        pytest.param(True, "true", id="true"),
        pytest.param(False, "false", id="false"),
        pytest.param(7, "7", id="number"),
        pytest.param({"a": 1}, "a mapping", id="mapping"),
        pytest.param((1, 2), "a list", id="list"),
        pytest.param(4111111111111111, f"a value of 16 characters {HIDDEN}", id="long-number"),
        pytest.param("card 4111111111111111", f"a value of 21 characters {HIDDEN}", id="text-with-one"),
        pytest.param("x" * 61, f'"{"x" * 60}…"', id="long-text"),
        pytest.param("a\x1b[31m\n", r'"a\x1b[31m\n"', id="terminal-control"),
        pytest.param("a\u202eb", r'"a\u202eb"', id="right-to-left-override"),
    ],
)
def test_a_value_is_shown_short_and_harmless(value, shown):
    assert show(value) == shown


def test_the_nearest_word_comes_first():
    assert did_you_mean("blok", ("block", "report")) == 'did you mean "block"? allowed: block, report'
    assert did_you_mean("zzz", ("block", "report")) == "allowed: block, report"


def test_an_error_has_every_problem_once_in_file_order():
    late, early = Problem(Mark(9, 1), "late"), Problem(Mark(2, 3), "early", "do this")
    error = PolicyError(Path("p.yaml"), [late, early, late])
    assert error.problems == (early, late)
    assert (error.path, error.line, error.column, error.why, error.hint) == (Path("p.yaml"), 2, 3, "early", "do this")
    assert str(error) == "p.yaml:2:3: early (do this)\np.yaml:9:1: late"


def test_an_error_hides_numbers_however_they_got_in():
    error = PolicyError(Path("p.yaml"), [Problem(Mark(1, 1), "bad 4111111111111111", "not 4111 1111 1111 1111")])
    assert str(error) == f"p.yaml:1:1: bad {HIDDEN} (not {HIDDEN})"
    assert "1111" not in repr(error) + repr(error.problems) + error.why + error.hint
