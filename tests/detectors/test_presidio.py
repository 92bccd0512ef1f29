from __future__ import annotations

import logging

import pytest

from detectors.model import PAN, SECURITY_CODE, OutOfTime
from detectors.presidio import Presidio, RecognizerError
from detectors.recognizers import Recognized


@pytest.fixture(scope="module")
def presidio() -> Presidio:
    return Presidio()


def test_our_recognizers_run_in_the_engine(presidio):
    text = "cardNo: 4111111111111111 cvv=123"
    assert sorted((r.entity, text[r.start : r.end]) for r in presidio.ours(text)) == [
        (PAN, "4111111111111111"),
        (SECURITY_CODE, "123"),
    ]
    assert presidio.team(text) == []


def write(tmp_path, text):
    file = tmp_path / "recognizers.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_patterns_deny_lists_context_and_presidios_own(tmp_path):
    file = write(
        tmp_path,
        "recognizers:\n"
        "  - {name: member, supported_entity: MEMBER, supported_language: ja, context: [member],\n"
        "     patterns: [{name: m, regex: 'R-[0-9]{4}', score: 0.3}]}\n"
        "  - {name: words, supported_entity: WORD, deny_list: [himitsu]}\n"
        "  - {name: off, enabled: false, supported_entity: OFF, deny_list: [x]}\n"
        "  - CreditCardRecognizer\n",
    )
    presidio = Presidio([file])
    assert presidio.team_entities == ("CREDIT_CARD", "MEMBER", "WORD")
    text = "member R-1234, himitsu, 4111111111111111"
    assert sorted((r.entity, text[r.start : r.end], r.confidence) for r in presidio.team(text)) == [
        ("CREDIT_CARD", "4111111111111111", "high"), ("MEMBER", "R-1234", "high"), ("WORD", "himitsu", "high"),
    ]  # fmt: skip
    assert [(r.entity, r.confidence) for r in presidio.team("order R-1234")] == [("MEMBER", "low")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("recognizers: [", ":1:"),
        ("x: 1", "recognizers:"),
        ("recognizers: [3]", "recognizer 1"),
        ("recognizers:\n - {name: a, supported_entity: A, patterns: [{name: p, regex: '(', score: 1}]}", "(a)"),
        ("recognizers:\n - {name: NoSuch}", "no patterns"),
        ("recognizers:\n - {name: SpacyRecognizer}", "no patterns"),
    ],
)
def test_unusable_files_are_named(tmp_path, text, says):
    file = write(tmp_path, text)
    with pytest.raises(RecognizerError) as raised:
        Presidio([file])
    assert str(file) in str(raised.value)
    assert says in str(raised.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecognizerError, match=r"nowhere\.yaml"):
        Presidio([tmp_path / "nowhere.yaml"])


def test_a_pattern_that_runs_out_of_time_raises_and_logs_nothing(tmp_path, monkeypatch, caplog):
    file = write(
        tmp_path,
        "recognizers:\n - {name: slow, supported_entity: S, patterns: [{name: p, regex: '(.*?,){40}P', score: 1}]}",
    )
    presidio = Presidio([file])
    monkeypatch.setattr("presidio_analyzer.pattern_recognizer.REGEX_TIMEOUT_SECONDS", 0.05)
    with caplog.at_level(logging.DEBUG), pytest.raises(OutOfTime):
        presidio.team("a," * 300)
    assert "timed out" not in caplog.text


def test_each_of_our_recognizers_reads_a_text_once(monkeypatch):
    read = []

    def recognize(text):
        read.append(text)
        yield Recognized(PAN, 0, 2, "low")

    monkeypatch.setattr("detectors.presidio._OURS", (("PanRecognizer", (PAN,), recognize),))
    assert [(item.start, item.end, item.confidence) for item in Presidio().ours("41 11")] == [(0, 2, "low")]
    assert read == ["41 11"]
