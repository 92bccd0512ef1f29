from __future__ import annotations

import pytest

from detectors import Inspector


@pytest.fixture(scope="session")
def inspector() -> Inspector:
    return Inspector(fingerprint_key=bytes(32))
