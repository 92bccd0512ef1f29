"""Mixed traffic with random faults through a real ``sekisho run``, for as long as asked; says whether all is well.

``python benchmarks/soak.py --minutes 10 --seed 1``. Ends with 1 if a number reached a sink, a clean message was refused
or lost, memory grew, or connections or threads stayed behind.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import soak_sink  # noqa: E402 - needs the path
from soak_traffic import Tally, Traffic  # noqa: E402

from tests.published_numbers import luhn  # noqa: E402
from tests.sidecar import Sidecar, free_port, launch, policy_document  # noqa: E402

CLIENTS = 8
EVERY = 5.0
"""Seconds between two looks at the process."""
GROWTH_BYTES, GROWTH_SHARE = 12e6, 0.08
"""Memory is flat if its last quarter is within this of its second one: the first warms up."""
SPARE_FDS = 6


@dataclass(frozen=True, slots=True)
class Look:
    """The process at one moment."""

    at: float
    rss: int
    fds: int
    threads: int


def look(pid: int, began: float) -> Look:
    """From /proc."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    rss = int(fields["VmRSS"].split()[0]) * 1024
    return Look(time.monotonic() - began, rss, len(list(Path(f"/proc/{pid}/fd").iterdir())), int(fields["Threads"]))


def numbers(dice: random.Random, count: int = 64) -> list[bytes]:
    """Card numbers of nobody: a valid issuer, length and check digit."""
    stems = (f"4{dice.randrange(10**14):014d}" for _ in range(count))
    return [next(f"{stem}{d}" for d in range(10) if luhn(f"{stem}{d}")).encode() for stem in stems]


def slope(looks: list[Look]) -> float:
    """Bytes an hour, of the second half."""
    half = looks[len(looks) // 2 :]
    if len(half) < 3:
        return 0.0
    return statistics.linear_regression([one.at for one in half], [one.rss for one in half]).slope * 3600


def grown(looks: list[Look]) -> float:
    """Bytes by which the last quarter is above the second."""
    quarter = len(looks) // 4
    if not quarter:
        return 0.0
    early, late = looks[quarter : 2 * quarter], looks[-quarter:]
    return statistics.median(one.rss for one in late) - statistics.median(one.rss for one in early)


def start(base: Path, http_port: int, grpc_port: int) -> Sidecar:
    """Three lanes in enforce mode, with small limits, so that bodies pass in pieces."""
    common = {"role": "logging", "limits": {"body": "64KiB"}}
    lanes = [
        {"name": "logs", "upstream": f"http://127.0.0.1:{http_port}", **common},
        {"name": "redacts", "upstream": f"http://127.0.0.1:{http_port}", "on_violation": "redact", **common},
        {"name": "calls", "upstream": f"http://127.0.0.1:{grpc_port}", **common},
    ]
    return launch(base, policy_document(base, lanes))


async def watch(sidecar: Sidecar, tally: Tally, sink: soak_sink.Sink, looks: list[Look]) -> None:
    """Looks at the process every few seconds, and prints what it sees."""
    began = time.monotonic()
    while True:
        looks.append(now := look(sidecar.process.pid, began))
        print(
            f"{now.at:7.0f} s  {sum(tally.sent.values()):8d} sent  {now.rss / 1e6:6.1f} MB  {now.fds:4d} fds  "
            f"{now.threads:3d} threads  leaks {sum(sink.leaked.values()) + sum(tally.passed.values())}  "
            f"false blocks {sum(tally.refused.values())}  lost {sum(tally.lost.values())}",
            flush=True,
        )
        await asyncio.sleep(EVERY)


async def settled(sidecar: Sidecar, fds: int) -> Look:
    """The process after the load, as soon as its descriptors are as before it, or when it has had time enough."""
    for _ in range(80):
        if look(sidecar.process.pid, 0).fds <= fds + SPARE_FDS:
            break
        await asyncio.sleep(0.5)
    return look(sidecar.process.pid, 0)


async def soak(options: argparse.Namespace, base: Path) -> int:
    """The whole run; the exit code."""
    dice = random.Random(options.seed)
    cards, tally, looks = numbers(dice), Tally(), list[Look]()
    upstream = await soak_sink.start(cards, free_port(), free_port())
    sidecar = await asyncio.to_thread(start, base, upstream.http_port, upstream.grpc_port)
    try:
        before = look(sidecar.process.pid, 0)
        traffic = Traffic({name: sidecar.port(name) for name in ("logs", "redacts", "calls")}, cards, tally)
        watching = asyncio.create_task(watch(sidecar, tally, upstream.sink, looks))
        until = asyncio.get_running_loop().time() + options.minutes * 60
        await asyncio.gather(*(traffic.run(random.Random(f"{options.seed}.{n}"), until) for n in range(CLIENTS)))
        watching.cancel()
        await traffic.close()
        after = await settled(sidecar, before.fds)
        metrics = await asyncio.to_thread(sidecar.admin, "/metrics")
        code = await asyncio.to_thread(sidecar.stop)
    finally:
        sidecar.stop()
        await upstream.stop()
    return report(Run(tally, upstream.sink, looks, before, after, metrics, code, sidecar.output()))


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that was seen."""

    tally: Tally
    sink: soak_sink.Sink
    looks: list[Look]
    before: Look
    after: Look
    metrics: str
    code: int
    output: bytes


def report(run: Run) -> int:
    """Prints the balance; 1 if anything is wrong with it."""
    tally, looks = run.tally, run.looks
    missing = tally.owed - set(run.sink.arrived)
    errors = [
        line
        for line in run.metrics.splitlines()
        if line.startswith(("sekisho_internal_errors_total", "sekisho_audit_errors_total"))
        and not line.endswith(" 0.0")
    ]
    print("\n" + ", ".join(f"{name} {number}" for name, number in sorted(tally.sent.items())))
    start, most = run.before.rss, max(one.rss for one in looks)
    print(f"memory: {start / 1e6:.1f} MB at the start, {most / 1e6:.1f} at most, {run.after.rss / 1e6:.1f} after;")
    print(f"        second to last quarter {grown(looks) / 1e6:+.1f} MB, slope {slope(looks) / 1e6:+.1f} MB/h")
    print(f"descriptors: {run.before.fds} before, {max(one.fds for one in looks)} at most, {run.after.fds} after")
    print(f"threads: {run.before.threads} before, {run.after.threads} after")
    print(f"clean messages taken: {len(tally.owed)}, of these at the sinks: {len(tally.owed) - len(missing)}")
    wrong = {
        "numbers at a sink": dict(run.sink.leaked),
        "numbers at a client, or leaks answered as taken": +tally.passed,
        "false blocks": dict(tally.refused),
        "lost clean messages": dict(tally.lost),
        "taken, and not at the sink": len(missing),
        "internal errors": errors,
        "numbers in its own output": sum(number in run.output for number in run.sink.numbers),
        "memory grows": grown(looks) > max(GROWTH_BYTES, GROWTH_SHARE * start),
        "descriptors stay": run.after.fds > run.before.fds + SPARE_FDS,
        "exit code": run.code,
    }
    for name, found in wrong.items():
        print(f"{'FAIL' if found else 'ok  '}  {name}: {found or 0}")
    return 1 if any(wrong.values()) else 0


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        return asyncio.run(soak(options, Path(place)))


if __name__ == "__main__":
    sys.exit(main())
