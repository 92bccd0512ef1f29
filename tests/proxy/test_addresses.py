from __future__ import annotations

import errno
import socket

import pytest

from proxy.addresses import try_bind, why_not_bound


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


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_free_address(host, free_port):
    port = free_port()
    try_bind(host, port)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as again:  # nothing is left of the first time
        again.bind((host, port))
        assert again.getsockname()[1] == port


@pytest.mark.parametrize("shares", [False, True])
def test_an_address_that_is_taken_is_not_free_though_it_could_be_shared(shares):
    with socket.create_server(("127.0.0.1", 0), reuse_port=shares) as listening:
        with pytest.raises(OSError, match="in use") as caught:
            try_bind("127.0.0.1", listening.getsockname()[1])
        assert caught.value.errno == errno.EADDRINUSE
