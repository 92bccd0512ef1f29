from __future__ import annotations

import asyncio

import pytest

from proxy.faults import place, unhandled

PAN = "4111111111111111"


def fail(error):
    raise error


@pytest.mark.parametrize("error", [ValueError(PAN), KeyError(PAN), OSError(5, PAN)])
def test_the_innermost_place_and_not_a_word_of_the_message(error):
    with pytest.raises(type(error)) as raised:
        fail(error)
    line = fail.__code__.co_firstlineno + 1
    assert place(raised.value) == f"{type(error).__name__} at test_faults.py:{line} in fail"


def test_an_error_that_nobody_raised_has_no_place():
    assert place(ValueError(PAN)) == "ValueError"


async def test_what_nobody_waits_for_is_told_without_its_message(caplog):
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(unhandled)
    loop.call_soon(fail, ValueError(PAN))
    await asyncio.sleep(0)
    unhandled(loop, {"message": PAN})
    line = fail.__code__.co_firstlineno + 1
    assert caplog.messages == [f"unhandled: ValueError at test_faults.py:{line} in fail", "unhandled: no exception"]
    assert PAN not in caplog.text
