"""Threads that run an inspection with a deadline, away from the event loop.

Not the standard pool: its threads cannot be abandoned, so one hung inspection would hold a place for ever and keep the
process from ending. Here a job that misses its deadline loses its thread, and a new one takes the place.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class Overloaded(Exception):
    """So many jobs hang that no thread may be added."""


@dataclass(slots=True, eq=False)
class _Job:
    run: Callable[[], Any]
    done: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    started: bool = False
    finished: bool = False
    abandoned: bool = False


class Workers:
    """``count`` threads; at most ``spare`` more to stand in for those that hang."""

    def __init__(self, count: int = 2, spare: int = 8) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._spare = spare
        self._count = count
        self._threads = 0
        self._hung = 0
        self._lock = threading.Lock()

    async def run[T](self, function: Callable[[Any], T], argument: Any, seconds: float) -> T:
        """What ``function(argument)`` returns or raises.

        Raises ``TimeoutError`` after ``seconds``, waiting for a free thread included, and ``Overloaded`` when all
        threads, the spare ones included, hang.
        """
        loop = asyncio.get_running_loop()
        job = _Job(lambda: function(argument), loop.create_future(), loop)
        self._ensure_threads()
        self._jobs.put(job)
        try:
            async with asyncio.timeout(seconds):
                result: T = await job.done
                return result
        finally:
            if not job.done.done() or job.done.cancelled():
                self._abandon(job)

    def close(self) -> None:
        """Ends idle threads. Those that hang are daemons and end with the process."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _ensure_threads(self) -> None:
        with self._lock:
            if self._hung > self._spare:
                raise Overloaded(f"{self._hung} inspections hang")
            while self._threads - self._hung < self._count:
                self._threads += 1
                threading.Thread(target=self._work, name="sekisho-inspect", daemon=True).start()

    def _abandon(self, job: _Job) -> None:
        with self._lock:
            job.abandoned = True
            if job.started and not job.finished:
                self._hung += 1

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not self._begin(job):
                continue
            result, error = None, None
            try:
                result = job.run()
            except BaseException as failure:  # noqa: BLE001 - handed to the caller, who decides
                error = failure
            if self._finish(job):
                _deliver(job, result, error)
            elif self._is_surplus():
                return

    def _begin(self, job: _Job) -> bool:
        with self._lock:
            job.started = not job.abandoned
            return job.started

    def _finish(self, job: _Job) -> bool:
        """Whether anybody still waits. If not, this thread is back from the dead."""
        with self._lock:
            job.finished = True
            if job.abandoned:
                self._hung -= 1
            return not job.abandoned

    def _is_surplus(self) -> bool:
        with self._lock:
            surplus = self._threads - self._hung > self._count
            self._threads -= surplus
            return surplus


def _deliver(job: _Job, result: Any, error: BaseException | None) -> None:
    def settle() -> None:
        if job.done.done():
            return
        if error is None:
            job.done.set_result(result)
        elif isinstance(error, Exception) and not isinstance(error, StopIteration):
            job.done.set_exception(error)
        else:
            # A future cannot carry StopIteration, and SystemExit in one would end the event loop.
            job.done.set_exception(RuntimeError(f"{type(error).__name__} in a worker"))

    try:
        job.loop.call_soon_threadsafe(settle)
    except RuntimeError:
        return  # the loop has closed: nobody waits any more
