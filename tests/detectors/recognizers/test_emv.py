from __future__ import annotations

import json

import pytest

from detectors.recognizers import emv


@pytest.mark.parametrize("row", range(len(emv.MUST_FIND)))
def test_must_find(row):
    text, entity, part = emv.MUST_FIND[row]
    assert [(item.entity, text[item.start : item.end]) for item in emv.recognize(text)] == [(entity, part)]


@pytest.mark.parametrize("row", range(len(emv.MUST_NOT)))
def test_must_not(row):
    assert list(emv.recognize(emv.MUST_NOT[row])) == []


def test_chip_data_of_a_terminal_is_found(inspector):
    tags = "9F2608ABCDEF01234567895713" + "4012888888881881D25121010000012300000F" + "9F360200FF"
    data = json.dumps({"emv": tags}).encode()
    (found,) = inspector.inspect(data, "application/json").findings
    assert (found.entity, found.brand, found.confidence) == ("TRACK_2", "visa", "high")
    assert data[found.start : found.end] == b"4012888888881881D25121010000012300000F"
