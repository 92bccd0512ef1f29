from __future__ import annotations

import re

import pytest

from proxy.texts import TEXTS, say

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
