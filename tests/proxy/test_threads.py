from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest

from proxy import threads as module
from proxy.threads import Overloaded, Threads


class Message:
    """Something to hold on to."""


@pytest.fixture
def threads():
    made = Threads(most=3, lane_most=2, young=1, heavy=2)
    yield made
    made.close()


@pytest.fixture
def over():
    """Set at the end, so that no thread is left hanging."""
    event = threading.Event()
    yield event
    event.set()


async def test_result(threads):
    assert await threads.run(lambda n: n + 1, 41, 5) == 42


async def test_runs_away_from_the_event_loop(threads):
    assert await threads.run(lambda _: threading.current_thread().name, None, 5) == "sekisho-inspect"


async def test_one_thread_serves_one_after_the_other(threads):
    idents = {await threads.run(lambda _: threading.get_ident(), None, 5) for _ in range(20)}
    assert len(idents) == 1


@pytest.mark.parametrize("error", [ValueError("x"), TimeoutError(), MemoryError()])
async def test_exception(threads, error):
    def broken(_):
        raise error

    with pytest.raises(type(error)):
        await threads.run(broken, None, 5)
    assert await threads.run(lambda n: n, 1, 5) == 1


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), StopIteration(), asyncio.CancelledError()])
async def test_what_would_end_the_loop_is_an_ordinary_error(threads, error):
    def broken(_):
        raise error

    with pytest.raises(RuntimeError, match=type(error).__name__):
        await threads.run(broken, None, 5)


async def test_a_hung_job_and_the_next_one_has_another_thread(threads, over):
    with pytest.raises(TimeoutError):
        await threads.run(over.wait, 30, 0.05)
    assert await threads.run(lambda n: n, 1, 5) == 1


async def test_a_lane_whose_jobs_hang_does_not_take_the_threads_of_others(threads, over):
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await threads.run(over.wait, 30, 0.15, lane="a")
    with pytest.raises(Overloaded):
        await threads.run(lambda n: n, 1, 5, lane="a")
    assert await threads.run(lambda n: n, 1, 5, lane="b") == 1


async def test_threads_that_come_back_serve_again(threads):
    over, back = threading.Event(), threading.Semaphore(0)

    def hangs(_):
        over.wait(30)
        back.release()

    for _ in range(2):
        with pytest.raises(TimeoutError):
            await threads.run(hangs, None, 0.15)
    over.set()
    for _ in range(2):
        assert await asyncio.to_thread(back.acquire, timeout=5)
    async with asyncio.timeout(60):
        while True:
            try:
                assert await threads.run(lambda n: n, 1, 5) == 1
                break
            except Overloaded:
                await asyncio.sleep(0)


async def test_a_job_whose_turn_never_came_is_not_run(threads, over, monkeypatch):
    monkeypatch.setattr(module, "YOUNG_SECONDS", 30)
    ran = []
    first = asyncio.create_task(threads.run(over.wait, 30, 30))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await threads.run(ran.append, 1, 0.05)
    over.set()
    assert await first
    assert await threads.run(lambda n: n, 2, 5) == 2
    assert ran == []


async def test_time_counts_anew_when_the_turn_has_come(threads, monkeypatch):
    """Waiting for a slow one ahead does not make the next one late."""
    monkeypatch.setattr(module, "YOUNG_SECONDS", 30)
    slow = threading.Event()
    jobs = [asyncio.create_task(threads.run(lambda _: slow.wait(0.3), None, 0.45)) for _ in range(2)]
    assert await asyncio.gather(*jobs) == [False, False]


async def test_cancelled_while_it_runs(threads, over):
    begun = threading.Event()

    def hangs(_):
        begun.set()
        over.wait(30)

    task = asyncio.create_task(threads.run(hangs, None, 30))
    assert await asyncio.to_thread(begun.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await threads.run(lambda n: n, 1, 5) == 1


async def test_slow_jobs_of_one_lane_leave_the_others_their_turn(threads, over):
    slow = [asyncio.create_task(threads.run(over.wait, 30, 30, lane="a")) for _ in range(8)]
    for lane in ("b", "c", "b"):
        assert await asyncio.wait_for(threads.run(lambda n: n, lane, 5, lane=lane), 2) == lane
    over.set()
    assert await asyncio.gather(*slow) == [True] * 8


async def test_lanes_take_turns(threads, monkeypatch):
    """A hundred of one lane were there first."""
    monkeypatch.setattr(module, "YOUNG_SECONDS", 30)
    order, gate = [], threading.Event()
    first = asyncio.create_task(threads.run(lambda _: gate.wait(30), None, 30, lane="a"))
    await asyncio.sleep(0)
    many = [asyncio.create_task(threads.run(order.append, "a", 30, lane="a")) for _ in range(100)]
    await asyncio.sleep(0)
    one = asyncio.create_task(threads.run(order.append, "b", 30, lane="b"))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *many, one)
    assert order.index("b") <= 1


async def test_heavy_jobs_run_one_at_a_time_in_a_lane_and_few_in_all(threads, monkeypatch):
    monkeypatch.setattr(module, "YOUNG_SECONDS", 0)
    now, most, lock = {"a": 0, "b": 0, "c": 0}, {"lane": 0, "all": 0}, threading.Lock()

    def job(lane):
        with lock:
            now[lane] += 1
            most["lane"] = max(most["lane"], now[lane])
            most["all"] = max(most["all"], sum(now.values()))
        threading.Event().wait(0.03)
        with lock:
            now[lane] -= 1

    await asyncio.gather(*[threads.run(job, lane, 30, lane=lane, heavy=True) for lane in "aaabbbccc"])
    assert most == {"lane": 1, "all": 2}


async def test_light_jobs_pass_heavy_ones(threads, over):
    heavy = [asyncio.create_task(threads.run(over.wait, 30, 30, lane="a", heavy=True)) for _ in range(3)]
    assert await threads.run(lambda n: n, 1, 5, lane="a") == 1
    over.set()
    await asyncio.gather(*heavy)


async def test_an_idle_thread_keeps_no_message(threads):
    asked = Message()
    gone = weakref.ref(asked)
    await threads.run(lambda _: None, asked, 5)
    del asked
    for _ in range(100):
        gc.collect()
        if gone() is None:
            break
        await asyncio.sleep(0.01)
    assert gone() is None


async def test_hung_jobs_of_other_lanes_take_no_place_of_a_lane(threads, over):
    """Six hang, twice as many as may run."""
    for lane in "aabbcc":
        with pytest.raises(TimeoutError):
            await threads.run(over.wait, 30, 0.15, lane=lane)
    assert await threads.run(lambda n: n, 1, 5, lane="d") == 1


async def test_a_job_that_ends_just_when_it_is_given_up(threads):
    """Both are told to the loop in one turn of it."""
    task = asyncio.create_task(threads.run(lambda _: None, None, 5))
    await asyncio.sleep(0)
    (job,) = threads._running
    task.cancel()
    threads._ended(job, None, None)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert threads._waiting == {}


async def test_what_waits_and_is_given_up_is_not_kept(threads, over, monkeypatch):
    monkeypatch.setattr(module, "YOUNG_SECONDS", 30)
    first = asyncio.create_task(threads.run(over.wait, 30, 30))
    await asyncio.sleep(0)
    asked = Message()
    gone = weakref.ref(asked)
    task = asyncio.create_task(threads.run(lambda _: None, asked, 0.05))
    await asyncio.wait({task})
    assert isinstance(task.exception(), TimeoutError)
    del asked, task
    gc.collect()
    assert gone() is None
    over.set()
    await first


async def test_threads_that_cannot_be_started_take_no_place(threads, monkeypatch):
    def start(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        for _ in range(6):
            with pytest.raises(RuntimeError, match="start new thread"):
                await threads.run(str, 1, 5)
    assert await threads.run(str, 1, 5) == "1"
