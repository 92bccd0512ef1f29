"""Drives one URL with POSTs over kept-alive connections: wrk where it is installed, a small asyncio client elsewhere.

As a script (``load.py URL CONNECTIONS SECONDS PAUSE``, bodies as JSON on stdin) it is that client, in a process of its
own; with ``--origin PORT`` it is an origin for where there is no nginx.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

import contestants  # noqa: E402 - needs the path

UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    errors: int
    """Answers that were not 2xx or 3xx, and socket errors."""


def measure(
    url: str, bodies: Sequence[bytes], *, connections: int, seconds: float, cores: set[int], pause_ms: float = 0
) -> Round:
    """What ``connections`` clients on ``cores`` reach against ``url``, sending ``bodies`` in turn. Each pauses before
    each request for ``pause_ms`` on average."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua", encoding="utf-8") as script:
        if shutil.which("wrk"):
            script.write(_lua(bodies, pause_ms))
            script.flush()
            size = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "60s"]
            command, text = ["wrk", *size, "--latency", "-s", script.name, url], ""
        else:
            command = [sys.executable, str(Path(__file__)), url, str(connections), str(seconds), str(pause_ms)]
            text = json.dumps([body.decode() for body in bodies])
        with contestants.pinned(cores):
            answer = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    if command[0] != "wrk":
        return Round(**json.loads(answer.stdout))
    if answer.stderr:  # a script that does not load makes wrk send plain GETs, and succeed
        raise ValueError(f"wrk: {answer.stderr}")
    return _read_wrk(answer.stdout)


def driver() -> str:
    """Name of what ``measure`` drives with."""
    return "wrk" if shutil.which("wrk") else "an asyncio client"


def _lua(bodies: Sequence[bytes], pause_ms: float) -> str:
    pause = f"function delay() return math.random(0, {round(2 * pause_ms)}) end\n" if pause_ms else ""
    listed = ",\n".join(f"[==[{body.decode()}]==]" for body in bodies)
    return (
        'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
        f"local bodies = {{{listed}}}\nlocal i = 0\n"
        f"request = function()\n  i = i % #bodies + 1\n  return wrk.format(nil, nil, nil, bodies[i])\nend\n{pause}"
    )


def _read_wrk(text: str) -> Round:
    def milliseconds(percentile: str) -> float:
        match = re.search(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s)\b", text, re.MULTILINE)
        return float(match[1]) * UNITS[match[2]] if match else float("nan")

    bad = sum(int(n) for n in re.findall(r"Non-2xx or 3xx responses: (\d+)", text))
    if match := re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text):
        bad += sum(map(int, match.groups()))
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if rate is None:
        raise ValueError("wrk printed no rate")
    return Round(float(rate[1]), milliseconds("50"), milliseconds("99"), bad)


async def _client(url: str, bodies: Sequence[bytes], until: float, pause: float, times: list[float]) -> int:
    """One connection's share; its number of bad answers."""
    target = urlsplit(url)
    reader, writer = await asyncio.open_connection(target.hostname, target.port)
    head = f"POST {target.path or '/'} HTTP/1.1\r\nHost: {target.netloc}\r\nContent-Type: application/json\r\n"
    requests = [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
    bad = turn = 0
    try:
        while time.monotonic() < until:
            if pause:
                await asyncio.sleep(random.uniform(0, 2 * pause))
            began = time.monotonic()
            writer.write(requests[turn % len(requests)])
            answer = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", answer)
            await reader.readexactly(int(length[1]) if length else 0)
            times.append(time.monotonic() - began)
            bad += answer.split(b" ", 2)[1][:1] != b"2"
            turn += 1
    except (OSError, asyncio.IncompleteReadError):
        bad += 1
    finally:
        writer.close()
    return bad


async def _drive(url: str, bodies: Sequence[bytes], connections: int, seconds: float, pause: float) -> Round:
    times: list[float] = []
    began = time.monotonic()
    bad = await asyncio.gather(*(_client(url, bodies, began + seconds, pause, times) for _ in range(connections)))
    passed = time.monotonic() - began
    times.sort()
    p50, p99 = (times[int(len(times) * share)] * 1e3 if times else float("nan") for share in (0.5, 0.99))
    return Round(len(times) / passed, p50, p99, sum(bad))


async def _serve_origin(port: int) -> None:
    """Answers every request, kept alive, as fast as a small asyncio server can."""
    body = contestants.ANSWER
    answer = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()

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


def _main(arguments: list[str]) -> None:
    if arguments[0] == "--origin":
        asyncio.run(_serve_origin(int(arguments[1])))
        return
    url, connections, seconds, pause_ms = arguments
    sent = [body.encode() for body in json.load(sys.stdin)]
    result = asyncio.run(_drive(url, sent, int(connections), float(seconds), float(pause_ms) / 1e3))
    json.dump(asdict(result), sys.stdout)


if __name__ == "__main__":
    _main(sys.argv[1:])
