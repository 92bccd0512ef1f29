"""Requests/s of 1 KB JSON POSTs through Sekisho, enforcing, against stock mitmdump and mitmdump calling Presidio.

Starts everything itself, on this machine; each proxy has one core, origin and load share another. Rounds are
interleaved, so that a machine that slows down slows all of them; figures are medians. Run it from the Makefile
(``make bench``) or as ``python benchmarks/http_throughput.py --rounds 5``. With ``--workers N`` it compares one process
on one core with N workers on N cores.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import load  # noqa: E402 - needs the path

from tests.published_numbers import luhn  # noqa: E402
from tests.sidecar import Sidecar, free_port, launch, policy_document  # noqa: E402

PROXY_CORE, LOAD_CORE = (0, 1) if (os.cpu_count() or 1) > 1 else (0, 0)
ALONE = "origin alone"
OURS = "sekisho run, enforcing"
ANSWER = '{"ok":true}'


PAYLOADS = {
    "log": "log events: clock, trace id, customer, amounts",
    "order": "order events: the same, and four 13-digit article codes (JAN), which begin like a Visa number",
}


def bodies(payload: str, count: int = 16, size: int = 1024) -> list[bytes]:
    """What a shop's log shipper sends, ``size`` bytes each, without a card.

    No article code passes Luhn by chance: Presidio would take it for a card, and refuse instead of forwarding.
    """
    dice = random.Random(20261122)

    def article() -> str:
        return next(jan for _ in range(100) if not luhn(jan := f"49{dice.randrange(10**11):011d}"))

    made = []
    for n in range(count):
        event = {
            "ts": f"2026-11-22T09:{n:02d}:{dice.randrange(60):02d}.{dice.randrange(1000):03d}+09:00",
            "level": dice.choice(["info", "info", "warn"]),
            "trace_id": f"{dice.getrandbits(128):032x}",
            "order_id": f"ORD-{dice.randrange(10**8):08d}",
            "customer": {"id": dice.randrange(10**6), "prefecture": dice.choice(["東京都", "大阪府", "福岡県"])},
            "prices": [dice.randrange(500, 20000) for _ in range(4)],
            "articles": [article() for _ in range(4)] if payload == "order" else [],
            "duration_ms": dice.randrange(2000),
            "message": "",
        }
        room = size - len(json.dumps(event, ensure_ascii=False).encode())
        event["message"] = " ".join(["order accepted and handed to the warehouse"] * 30)[:room]
        made.append(json.dumps(event, ensure_ascii=False).encode())
    return made


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident and proportional bytes of a process and its children."""

    rss: int
    pss: int


def memory(pid: int) -> Memory:
    """From /proc, of the process ``pid`` and all below it."""
    rss = pss = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        rss += int(rest.split()[0]) * 1024 if name == "Rss" else 0
        pss += int(rest.split()[0]) * 1024 if name == "Pss" else 0
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        below = memory(int(child))
        rss, pss = rss + below.rss, pss + below.pss
    return Memory(rss, pss)


def wait_for(port: int, seconds: float = 60) -> None:
    """Returns when something listens on ``port``."""
    until = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


@contextlib.contextmanager
def running(command: list[str], core: int, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process, pinned to ``core`` and listening on ``port``; ended at the end."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    os.sched_setaffinity(process.pid, {core})
    try:
        wait_for(port)
        yield process
    finally:
        process.terminate()
        process.wait(20)


NGINX = """daemon off; pid {base}/nginx.pid; worker_processes 1; error_log {base}/nginx.err;
events {{ worker_connections 256; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {base}/body;
  proxy_temp_path {base}/p; fastcgi_temp_path {base}/f; uwsgi_temp_path {base}/u; scgi_temp_path {base}/s;
  server {{ listen 127.0.0.1:{port}; default_type application/json; location / {{ return 200 '{answer}'; }} }}
}}
"""


def origin_command(base: Path, port: int) -> tuple[str, list[str]]:
    """Name and command of the origin: nginx where it is installed, this file's asyncio server elsewhere."""
    if nginx := shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        config = base / "nginx.conf"
        config.write_text(NGINX.format(base=base, port=port, answer=ANSWER))
        return "nginx", [nginx, "-e", str(base / "nginx.err"), "-c", str(config)]
    return "an asyncio server", [sys.executable, __file__, "--origin", str(port)]


async def serve_origin(port: int) -> None:
    """Answers every request, kept alive, as fast as a small asyncio server can."""
    answer = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(ANSWER)}\r\n\r\n{ANSWER}".encode()
    )

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                _, found, rest = head.partition(b"content-length:")
                await reader.readexactly(int(rest.split(b"\r\n", 1)[0]) if found else 0)
                writer.write(answer)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", port)
    await server.serve_forever()


def mitmdump(base: Path, port: int, origin: int, *options: str) -> list[str]:
    """Stock mitmdump in reverse mode, as quiet as it can be."""
    program = str(Path(sys.executable).with_name("mitmdump"))
    mode = ["--mode", f"reverse:http://127.0.0.1:{origin}", "--listen-host", "127.0.0.1", "-p", str(port)]
    return [program, "-q", *mode, "--set", f"confdir={base}", "--set", "flow_detail=0", *options]


def cores(count: int) -> set[int]:
    """``count`` cores for proxies; the load's only if there are no others."""
    others = [core for core in range(os.cpu_count() or 1) if core != LOAD_CORE]
    return set([*others, LOAD_CORE][:count])


@contextlib.contextmanager
def sidecar(base: Path, origin: int, workers: int = 1) -> Iterator[Sidecar]:
    """``sekisho run``, enforcing, with one logging lane, on as many cores as workers."""
    base.mkdir()
    lanes = [{"name": "bench", "upstream": f"http://127.0.0.1:{origin}", "role": "logging"}]
    arguments = ("--workers", str(workers)) if workers > 1 else ()
    process = launch(base, policy_document(base, lanes), arguments=arguments, cores=cores(workers))
    try:
        yield process
    finally:
        process.stop()


@dataclass(frozen=True, slots=True)
class Row:
    """Medians of one contestant."""

    name: str
    requests_per_second: float
    lowest: float
    highest: float
    p50_ms: float
    p99_ms: float
    errors: int


def compete(urls: dict[str, str], payload: str, arguments: argparse.Namespace) -> list[Row]:
    """The rounds, interleaved, after one short round each to warm up."""
    sent = bodies(payload)
    rounds: dict[str, list[load.Round]] = {name: [] for name in urls}
    for turn in range(arguments.rounds + 1):
        for name, url in urls.items():
            seconds = arguments.seconds if turn else 1
            got = load.measure(url, sent, connections=arguments.connections, seconds=seconds, core=LOAD_CORE)
            if turn:
                rounds[name].append(got)
                print(f"  {payload} {turn}  {name:<28} {got.requests_per_second:8.0f} requests/s", file=sys.stderr)
    return [
        Row(
            name,
            statistics.median(r.requests_per_second for r in all_),
            min(r.requests_per_second for r in all_),
            max(r.requests_per_second for r in all_),
            statistics.median(r.p50_ms for r in all_),
            statistics.median(r.p99_ms for r in all_),
            sum(r.errors for r in all_),
        )
        for name, all_ in rounds.items()
    ]


def table(rows: list[Row]) -> str:
    """The figures as text, each contestant's ratio to Sekisho's rate (of several, the last one's) last."""
    *_, ours = (row for row in rows if row.name.startswith("sekisho"))
    lines = [
        f"{'':<28} {'requests/s':>10} {'min - max':>15} {'p50 ms':>8} {'p99 ms':>8} {'errors':>7} {'sekisho is':>11}"
    ]
    for row in rows:
        spread = f"{row.lowest:.0f} - {row.highest:.0f}"
        ratio = (
            "" if row is ours or row.name == ALONE else f"{ours.requests_per_second / row.requests_per_second:.2f} x"
        )
        lines.append(
            f"{row.name:<28} {row.requests_per_second:>10.0f} {spread:>15} {row.p50_ms:>8.2f} {row.p99_ms:>8.2f} "
            f"{row.errors:>7} {ratio:>11}"
        )
    return "\n".join(lines)


def machine(workers: int) -> str:
    """Who has which cores."""
    if workers == 1:
        return "one core for the proxy, one for load and origin"
    shared = ", which load and origin share" if LOAD_CORE in cores(workers) else ", another one for load and origin"
    return f"one core for one process, {workers} for {workers} workers{shared}"


def run(arguments: argparse.Namespace) -> int:
    """Prints the table; 1 when any answer was an error, for then the figures mean nothing."""
    with contextlib.ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        origin = free_port()
        origin_name, command = origin_command(base, origin)
        stack.enter_context(running(command, LOAD_CORE, origin, base / "origin.log"))
        several = f" --workers {arguments.workers}" if arguments.workers > 1 else ""
        ours = stack.enter_context(sidecar(base / "sekisho", origin))
        urls = {OURS: ours.url("bench", "/")}
        if several:
            ours = stack.enter_context(sidecar(base / "several", origin, arguments.workers))
            urls[f"sekisho run{several}"] = ours.url("bench", "/")
        else:
            addon = ["-s", str(HERE / "presidio_addon.py")]
            for name, options in (("mitmdump, no addon", []), ("mitmdump + Presidio addon", addon)):
                port = free_port()
                command = mitmdump(base, port, origin, *options)
                stack.enter_context(running(command, PROXY_CORE, port, base / f"{port}.log"))
                urls[name] = f"http://127.0.0.1:{port}/"
        idle = memory(ours.process.pid)
        urls[ALONE] = f"http://127.0.0.1:{origin}/"
        tables = {payload: compete(urls, payload, arguments) for payload in PAYLOADS}
        busy = memory(ours.process.pid)
    print(f"1 KB JSON POSTs, {arguments.connections} connections,", end=" ")
    print(f"medians of {arguments.rounds} interleaved rounds of {arguments.seconds:g} s;")
    print(f"driven by {load.driver()}, origin {origin_name}; {machine(arguments.workers)}")
    for payload, rows in tables.items():
        print(f"\n{PAYLOADS[payload]}\n{table(rows)}")
    print(
        f"\nsekisho run{several}: ready after {ours.ready_after:.2f} s; idle {idle.rss / 1e6:.0f} MB resident", end=""
    )
    print(f" ({idle.pss / 1e6:.0f} MB proportional); after the load {busy.rss / 1e6:.0f} MB")
    if arguments.json:
        found = {payload: [asdict(row) for row in rows] for payload, rows in tables.items()}
        figures = {"tables": found, "ready_after": ours.ready_after, "idle": asdict(idle)}
        Path(arguments.json).write_text(json.dumps(figures, indent=1) + "\n")
    return 1 if any(row.errors for rows in tables.values() for row in rows) else 0


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--workers", type=int, default=1, help="compare so many with one, instead of with others")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    parser.add_argument("--origin", type=int, metavar="PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.origin:
        asyncio.run(serve_origin(arguments.origin))
        return 0
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
