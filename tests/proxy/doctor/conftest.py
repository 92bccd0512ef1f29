"""The inspector, once for all of these tests."""

from __future__ import annotations

import pytest

from detectors import Inspector


@pytest.fixture(scope="session")
def inspector():
    return Inspector(fingerprint_key=b"k" * 32)
