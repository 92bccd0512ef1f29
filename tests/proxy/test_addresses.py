from __future__ import annotations

import errno

import pytest

from proxy.addresses import why_not_bound


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError(errno.EADDRINUSE, "a text of Python's own"), "Address already in use"),
        (OSError("could not bind on any address out of [('192.0.2.1', 1)]"), "Cannot assign requested address"),
        (OSError(-2, "Name or service not known"), "[Errno -2] Name or service not known"),
        (ValueError("odd"), "odd"),
        (None, "unknown"),
    ],
)
def test_the_systems_words(error, why):
    assert why_not_bound(error) == why
