from __future__ import annotations

import re

import pytest

from proxy.texts import TEXTS, language, say

JAPANESE = re.compile(r"[\u3041-\u30ff\u4e00-\u9fff]")


@pytest.mark.parametrize("name", TEXTS)
def test_each_text_is_there_in_both_languages(name):
    text = TEXTS[name]
    assert text.en.strip()
    assert JAPANESE.search(text.ja), name
    assert len(JAPANESE.findall(text.en)) < len(text.en) / 4, name


@pytest.mark.parametrize("name", TEXTS)
def test_both_languages_name_the_same_fields(name):
    text = TEXTS[name]
    assert sorted(re.findall(r"`[^`]+`|\{\w+\}", text.en)) == sorted(re.findall(r"`[^`]+`|\{\w+\}", text.ja))


def test_say():
    assert say("fix.gap").startswith("Send it in an encoding")
    assert "符号化" in say("fix.gap", "ja")
    assert say("unheard of", "ja", "as it is") == "as it is"
    with pytest.raises(KeyError):
        say("unheard of")


@pytest.mark.parametrize(
    ("chosen", "accepted", "lang"),
    [
        ("", "", "en"),
        ("ja", "en", "ja"),
        ("en", "ja", "en"),
        ("fr", "ja", "ja"),
        ("", "ja,en;q=0.8", "ja"),
        ("", "en-US,en;q=0.9,ja;q=0.8", "en"),
        ("", "fr, JA-JP;q=0.5, en; q=0.4", "ja"),
        ("", "en;q=0, ja;q=0.1", "ja"),
        ("", "de", "en"),
        ("", ";;q=x,ja;q=y,", "en"),
    ],
)
def test_language(chosen, accepted, lang):
    assert language(chosen, accepted) == lang
