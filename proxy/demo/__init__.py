"""``sekisho demo``: the whole story on one machine, with embedded parts and the real sidecar between them."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time

from proxy.demo.report import addresses, console, show
from proxy.demo.scenarios import SCENARIOS
from proxy.demo.stage import Stage, StageError, open_stage
from proxy.demo.story import play, play_one
from proxy.terminal import BAD_INPUT, BROKEN, INTERRUPTED, NO_START, OK

SERVE_SECONDS = 2.0
_KEEP_RECORDS = 200


def main(mode: str = "enforce", serve: bool = False) -> int:
    """Plays the story and returns the exit code: 0 when the promise held, 1 when it was broken.

    ``mode`` is the policy's. In ``enforce`` no card number may be in any sink and every clean step must have passed;
    in ``monitor`` card numbers must be there, or the demo proves nothing. With ``serve`` everything stays up, with
    some traffic every few seconds, until Ctrl-C. 2: no such mode. 3: the sidecar did not start.
    """
    if mode not in ("enforce", "monitor"):
        print(f"no such mode: {mode} (enforce or monitor)", file=sys.stderr)
        return BAD_INPUT
    result = [INTERRUPTED]
    try:
        asyncio.run(_run(mode, serve, result))
    except StageError as error:
        print(f"could not start: {error}", file=sys.stderr)
        return NO_START
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("stopped", flush=True)
    return result[0]


async def _run(mode: str, serve: bool, result: list[int]) -> None:
    """The story; ``result[0]`` is its exit code as soon as there is one, also when serving is interrupted later."""
    task = asyncio.current_task()
    if task is not None and threading.current_thread() is threading.main_thread():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    out, began = console(), time.monotonic()
    out.print(f"starting shop, sinks, GMO emulator and the sidecar (mode {mode}) …")
    async with open_stage(mode) as ready:
        out.print(f"ready after {time.monotonic() - began:.1f} s")
        ending = await play(ready, lambda line: out.print(line, markup=False))
        show(out, ending, mode)
        result[0] = BROKEN if ending.broken(mode) else OK
        if serve:
            addresses(out, ready)
            await _traffic(ready)


async def _traffic(ready: Stage) -> None:
    """Orders, and now and then somebody's mistake, until the task is cancelled."""
    order, mistakes = SCENARIOS[0], [scenario for scenario in SCENARIOS if scenario.expect == "stopped"]
    for turn in range(sys.maxsize):
        await asyncio.sleep(SERVE_SECONDS)
        await play_one(ready, order)
        if turn % 5 == 4:
            await play_one(ready, mistakes[turn // 5 % len(mistakes)])
        for sink in ready.sinks.values():
            del sink.records[:-_KEEP_RECORDS]
