from __future__ import annotations

import pytest

from detectors.recognizers import pin_block


@pytest.mark.parametrize("row", range(len(pin_block.MUST_FIND)))
def test_must_find(row):
    text, block = pin_block.MUST_FIND[row]
    assert [text[item.start : item.end] for item in pin_block.recognize(text)] == [block]


@pytest.mark.parametrize("row", range(len(pin_block.MUST_NOT)))
def test_must_not(row):
    assert list(pin_block.recognize(pin_block.MUST_NOT[row])) == []
