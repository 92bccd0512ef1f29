"""Every row of the corpus: what must be found, where exactly, and what must not be. Prints the score with ``-s``."""

from __future__ import annotations

import base64

import pytest
from rich.console import Console

from detectors import Inspector
from detectors.luhn import luhn
from detectors.redaction import redact
from tests.corpus import score
from tests.corpus.ordinary import lines, luhn_complete, mod7, mod10
from tests.corpus.rows import HERE, Row, load

ROWS = load()
GROUPS = sorted({row.group for row in ROWS})


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    return Inspector(fingerprint_key=bytes(32))


@pytest.fixture(scope="module")
def results(inspector):
    by_group, outcomes = score.scores(inspector, ROWS)
    Console().print(score.table(by_group))
    return by_group, outcomes


def test_every_row_ran(results):
    by_group, outcomes = results
    ran = [outcome.row.id for outcome in outcomes]
    assert len(ran) == len(ROWS) == sum(item.rows for item in by_group.values())
    assert len(set(ran)) == len(ran)


def test_the_corpus_is_large_enough():
    positive = sum(row.positive for row in ROWS)
    assert positive >= 400
    assert len(ROWS) - positive >= 800


@pytest.mark.parametrize("group", GROUPS)
def test_group(results, group):
    _, outcomes = results
    wrong = {outcome.row.id: outcome.wrong for outcome in outcomes if outcome.row.group == group and outcome.wrong}
    assert wrong == {}


def test_the_readme_names_every_file_and_group():
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    assert [name for name in {row.file for row in ROWS} if f"`{name}.yaml`" not in readme] == []
    assert [group for group in GROUPS if group not in readme] == []


def test_ids_and_reasons_hold_no_numbers():
    assert [row.file for row in ROWS if sum(c.isdigit() for c in row.id) > 9] == []
    assert [row.id for row in ROWS if not row.why.strip()] == []


@pytest.mark.parametrize("style", ["mask", "last4", "remove", "fingerprint"])
def test_what_was_found_can_be_taken_out_again(inspector, style):
    """Redacted or refused; and what redaction leaves holds nothing that would be acted on."""
    left: list[str] = []
    for row in (row for row in ROWS if row.positive):
        found = inspector.inspect(row.body, row.content_type, row.content_encoding, key=row.key).findings
        body = redact(row.body, found, style)
        if body is None:
            continue
        again = inspector.inspect(body, row.content_type, row.content_encoding, key=row.key).findings
        if [item for item in again if item.confidence == "high"]:
            left.append(row.id)
    assert left == []


def test_ordinary_log_lines_raise_no_alarm(inspector):
    high, low, presidio, plain = score.on_ordinary_lines(inspector)
    print(f"ordinary lines: ours {high} high, {low} low; Presidio {presidio}; regex and Luhn {plain}")  # noqa: T201 - the score
    assert high <= 3  # sixteen-digit order numbers in an SQL tuple, without their name: one in thirty is a card's equal
    assert presidio > 50 * max(high, 1)


def test_ordinary_lines_are_the_same_each_time():
    assert lines(50) == lines(50)
    assert lines(50, 1) != lines(50, 2)
    assert len({line[:4] for line in lines(400)}) > 20


def test_check_digits_of_the_generator():
    assert luhn(luhn_complete("411111111111111").encode())
    assert mod10("490123456789") == "4901234567894"  # the example number of every JAN code explanation
    assert mod7("12345678901") == "123456789013"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- {id: a, group: g, text: x, expect: [], why: w, typo: 1}", "unknown keys"),
        ("- {id: a, group: g, expect: [], why: w}", "needs one of"),
        ("- {id: a, group: g, text: x, expect: []}", "lacks"),
        ("- {id: a, group: g, text: x, expect: [[PAN, visa, high, 0, 1]], why: w, low: true}", "low is for rows"),
        ("- {id: a, group: g, text: x, expect: [], why: w}\n" * 2, "used twice"),
    ],
)
def test_a_row_that_says_nothing_clear_is_refused(tmp_path, text, says):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ValueError, match=says):
        load(tmp_path)


def test_bodies_are_bytes(tmp_path):
    (tmp_path / "x.yaml").write_text(
        '- {id: a, group: g, text: "é", expect: [], why: w}\n'
        '- {id: b, group: g, bytes: "\\xe9\\x00", expect: [], why: w}\n'
        f"- {{id: c, group: g, b64: {base64.b64encode(bytes(3)).decode()}, expect: [], why: w}}\n"
    )
    assert [row.body for row in load(tmp_path)] == ["é".encode(), b"\xe9\x00", bytes(3)]


def test_a_wrong_outcome_is_told_without_the_digits():
    row = Row("a", "g", b"4111111111111111", (), "w")
    outcome = score.Outcome(row, (score_item("high"),), ())
    assert outcome.wrong.startswith("a false alarm")
    assert "4111" not in outcome.wrong + repr(row)
    assert score.score_of(outcome, 1, 0) == score.Score(
        rows=1, negative=1, high=1, low=0, presidio_false=1, plain_false=0
    )


def score_item(confidence):
    from tests.corpus.rows import Expected

    return Expected("PAN", "visa", confidence, 0, 16)
