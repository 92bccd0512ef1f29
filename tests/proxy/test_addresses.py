from __future__ import annotations

import errno
import socket

import pytest

from proxy.addresses import has_no_such_family, try_bind, try_bind_all, why_not_bound
from proxy.policy.values import Address


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (
            OSError(errno.EADDRINUSE, "a text of Python's own"),
            "Address already in use: stop what listens there, or choose another address",
        ),
        (
            OSError("could not bind on any address out of [('192.0.2.1', 1)]"),
            "Cannot assign requested address: choose an address of this machine",
        ),
        (OSError(-2, "Name or service not known"), "the host name does not resolve: choose an address of this machine"),
        (OSError(errno.EMFILE, "Too many"), "Too many open files"),
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


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.EADDRNOTAVAIL, "x"), True),
        (OSError(errno.EAFNOSUPPORT, "x"), True),
        (OSError("could not bind on any address out of [('::1', 1)]"), True),
        (OSError(errno.EADDRINUSE, "x"), False),
        (OSError("odd"), False),
    ],
)
def test_a_machine_without_a_family(error, says):
    assert has_no_such_family(error) is says


def test_the_second_address_is_for_machines_that_have_it(free_port):
    """192.0.2.1 is none of this machine's (RFC 5737)."""
    here, nowhere = Address("127.0.0.1", free_port()), Address("192.0.2.1", 9)
    try_bind_all((here, nowhere))
    with pytest.raises(OSError, match="assign"):
        try_bind_all((nowhere, here))
    with socket.create_server((here.host, here.port)), pytest.raises(OSError, match="in use"):
        try_bind_all((Address("127.0.0.1", free_port()), here))
