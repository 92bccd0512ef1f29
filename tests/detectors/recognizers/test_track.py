from __future__ import annotations

import pytest

from detectors.recognizers import track


@pytest.mark.parametrize("row", range(len(track.MUST_FIND)))
def test_must_find_whole(row):
    text, entity = track.MUST_FIND[row]
    assert [(item.entity, item.start, item.end) for item in track.recognize(f"x {text} y")] == [
        (entity, 2, 2 + len(text))
    ]


@pytest.mark.parametrize("row", range(len(track.MUST_NOT)))
def test_must_not(row):
    assert list(track.recognize(track.MUST_NOT[row])) == []
