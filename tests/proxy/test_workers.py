from __future__ import annotations

import asyncio
import threading

import pytest

from proxy.workers import Overloaded, Workers


@pytest.fixture
def workers():
    made = Workers(count=1, spare=1)
    yield made
    made.close()


async def test_result(workers):
    assert await workers.run(lambda n: n + 1, 41, 5) == 42


async def test_runs_away_from_the_event_loop(workers):
    assert await workers.run(lambda _: threading.current_thread().name, None, 5) == "sekisho-inspect"


@pytest.mark.parametrize("error", [ValueError("x"), TimeoutError(), MemoryError()])
async def test_exception(workers, error):
    def broken(_):
        raise error

    with pytest.raises(type(error)):
        await workers.run(broken, None, 5)
    assert await workers.run(lambda n: n, 1, 5) == 1


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), StopIteration(), asyncio.CancelledError()])
async def test_what_would_end_the_loop_is_an_ordinary_error(workers, error):
    def broken(_):
        raise error

    with pytest.raises(RuntimeError, match=type(error).__name__):
        await workers.run(broken, None, 5)


async def test_a_hung_job_loses_its_thread_and_the_next_one_has_another(workers):
    over = threading.Event()
    with pytest.raises(TimeoutError):
        await workers.run(lambda _: over.wait(30), None, 0.05)
    assert await workers.run(lambda n: n, 1, 5) == 1
    over.set()


async def test_threads_do_not_grow_without_end(workers):
    over = threading.Event()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await workers.run(lambda _: over.wait(30), None, 0.05)
    with pytest.raises(Overloaded):
        await workers.run(lambda n: n, 1, 5)
    over.set()


async def test_threads_that_come_back_serve_again(workers):
    over, back = threading.Event(), threading.Semaphore(0)

    def hangs(_):
        over.wait(30)
        back.release()

    for _ in range(2):
        with pytest.raises(TimeoutError):
            await workers.run(hangs, None, 0.05)
    over.set()
    for _ in range(2):
        assert await asyncio.to_thread(back.acquire, timeout=5)
    async with asyncio.timeout(5):
        while True:
            try:
                assert await workers.run(lambda n: n, 1, 5) == 1
                break
            except Overloaded:
                await asyncio.sleep(0)


async def test_a_job_whose_turn_never_came_is_not_run(workers):
    over, ran = threading.Event(), []
    first = asyncio.create_task(workers.run(lambda _: over.wait(30), None, 30))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await workers.run(ran.append, 1, 0.05)
    over.set()
    assert await first
    assert await workers.run(lambda n: n, 2, 5) == 2
    assert ran == []


async def test_cancelled_while_it_runs(workers):
    over, begun = threading.Event(), threading.Event()

    def hangs(_):
        begun.set()
        over.wait(30)

    task = asyncio.create_task(workers.run(hangs, None, 30))
    assert await asyncio.to_thread(begun.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await workers.run(lambda n: n, 1, 5) == 1
    over.set()
