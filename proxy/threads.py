"""Threads that run inspections with a deadline, away from the event loop, and in turns: no lane waits for another's.

Not the standard pool: its threads cannot be abandoned, so one hung inspection would hold a place for ever and keep the
process from ending, and whoever comes first is served first, however many of one kind are waiting.

What bounds what: ``MOST`` jobs run at once, of one lane ``LANE_MOST``, so the others always find a free thread.
``YOUNG`` of them may be in their first moments; a job that takes longer no longer keeps the next one from starting. A
*heavy* job may use memory by the hundred megabytes, so only ``HEAVY`` of those run at once, one of each lane. Whatever
waits takes turns by lane. A job that misses its deadline keeps its lane's place until its thread comes back, and that
of a heavy job, but no place of the others.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

MOST = 6
LANE_MOST = 4
YOUNG = 2
HEAVY = 2
YOUNG_SECONDS = 0.1
"""How long a job is young: almost all end sooner."""


class Overloaded(Exception):
    """Hung jobs hold every place that the lane may take."""


@dataclass(slots=True, eq=False)
class _Job:
    run: Callable[[], Any]
    lane: str
    heavy: bool
    done: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    deadline: asyncio.Timeout
    seconds: float
    timer: asyncio.TimerHandle | None = None
    """Set while it is young."""

    @property
    def abandoned(self) -> bool:
        """Nobody waits for it any more."""
        return self.done.cancelled()


class Threads:
    """The threads. All bookkeeping is done on the event loop; threads only take jobs and hand back results."""

    def __init__(self, most: int = MOST, lane_most: int = LANE_MOST, young: int = YOUNG, heavy: int = HEAVY) -> None:
        self._most, self._lane_most, self._young, self._heavy = most, lane_most, young, heavy
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._waiting: dict[tuple[str, bool], deque[_Job]] = {}
        self._running: set[_Job] = set()
        self._started = self._idle = 0

    async def run[T](
        self, function: Callable[[Any], T], argument: Any, seconds: float, *, lane: str = "", heavy: bool = False
    ) -> T:
        """What ``function(argument)`` returns or raises.

        Raises ``TimeoutError`` after ``seconds`` of waiting for its turn, or ``seconds`` after its turn has come, and
        ``Overloaded`` when hung jobs hold all places of the lane.
        """
        loop = asyncio.get_running_loop()
        if sum(job.abandoned and job.lane == lane for job in self._running) >= self._lane_most:
            raise Overloaded("too many inspections hang")
        async with asyncio.timeout(seconds) as deadline:
            job = _Job(lambda: function(argument), lane, heavy, loop.create_future(), loop, deadline, seconds)
            self._waiting.setdefault((lane, heavy), deque()).append(job)
            self._start_more()
            try:
                result: T = await job.done
            finally:
                if job.abandoned:
                    self._give_up(job)
        return result

    def close(self) -> None:
        """Ends idle threads. Those that hang are daemons and end with the process."""
        for _ in range(self._started):
            self._queue.put(None)

    def _start_more(self) -> None:
        while (job := self._next()) is not None:
            self._running.add(job)
            job.timer = job.loop.call_later(YOUNG_SECONDS, self._grew_old, job)
            job.deadline.reschedule(job.loop.time() + job.seconds)
            if self._idle:
                self._idle -= 1
            else:
                try:
                    threading.Thread(target=self._work, name="sekisho-inspect", daemon=True).start()
                except RuntimeError as error:  # the system gives no more threads
                    self._dropped(job, error)
                    continue
                self._started += 1
            self._queue.put(job)

    def _dropped(self, job: _Job, error: RuntimeError) -> None:
        self._running.discard(job)
        if job.timer is not None:
            job.timer.cancel()
        _settle(job.done, None, error)

    def _next(self) -> _Job | None:
        """The job whose turn it is; its lane then has its next turn after all others that wait."""
        running = self._running
        if sum(not job.abandoned for job in running) >= self._most:
            return None
        if sum(job.timer is not None for job in running) >= self._young:
            return None
        lanes = Counter(job.lane for job in running)
        heavy = [job.lane for job in running if job.heavy]
        for (lane, is_heavy), jobs in self._waiting.items():
            if lanes[lane] < self._lane_most and not (is_heavy and (lane in heavy or len(heavy) >= self._heavy)):
                job = jobs.popleft()
                del self._waiting[lane, is_heavy]
                if jobs:
                    self._waiting[lane, is_heavy] = jobs
                return job
        return None

    def _give_up(self, job: _Job) -> None:
        """Nobody waits for ``job`` any more: its turn never comes, or its place is free for another lane."""
        place = (job.lane, job.heavy)
        waiting = self._waiting.get(place)
        if waiting and job in waiting:
            waiting.remove(job)
            if not waiting:
                del self._waiting[place]
        self._start_more()

    def _grew_old(self, job: _Job) -> None:
        job.timer = None
        self._start_more()

    def _ended(self, job: _Job, result: Any, error: BaseException | None) -> None:
        self._running.discard(job)
        self._idle += 1
        if job.timer is not None:
            job.timer.cancel()
        _settle(job.done, result, error)
        self._start_more()

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            result, error = None, None
            try:
                result = job.run()
            except BaseException as failure:  # noqa: BLE001 - handed to the caller, who decides
                error = failure
            with suppress(RuntimeError):  # the loop has closed: nobody waits any more
                job.loop.call_soon_threadsafe(self._ended, job, result, error)
            job, result, error = None, None, None  # or an idle thread would keep a message in memory


def _settle(done: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(result)
    elif isinstance(error, Exception) and not isinstance(error, StopIteration):
        done.set_exception(error)
    else:
        # A future cannot carry StopIteration, and SystemExit in one would end the event loop.
        done.set_exception(RuntimeError(f"{type(error).__name__} in a thread"))
