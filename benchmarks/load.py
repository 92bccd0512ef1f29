"""Drives one URL with POSTs over kept-alive connections: wrk where it is installed, a small asyncio client elsewhere.

As a script (``load.py URL CONNECTIONS SECONDS``, bodies as JSON on stdin) it is that client, in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    errors: int
    """Answers that were not 2xx or 3xx, and socket errors."""


def measure(url: str, bodies: Sequence[bytes], *, connections: int, seconds: float, core: int) -> Round:
    """What ``connections`` clients on one core reach against ``url``, sending ``bodies`` in turn."""
    pin = ["taskset", "-c", str(core)] if shutil.which("taskset") else []
    if shutil.which("wrk"):
        with tempfile.NamedTemporaryFile("w", suffix=".lua", encoding="utf-8") as script:
            script.write(_lua(bodies))
            script.flush()
            command = [
                "wrk",
                "-t1",
                f"-c{connections}",
                f"-d{max(1, round(seconds))}s",
                "--latency",
                "-s",
                script.name,
                url,
            ]
            answer = subprocess.run([*pin, *command], capture_output=True, text=True, check=True)
            if answer.stderr:  # a script that does not load makes wrk send plain GETs, and succeed
                raise ValueError(f"wrk: {answer.stderr}")
            return _read_wrk(answer.stdout)
    command = [sys.executable, str(Path(__file__)), url, str(connections), str(seconds)]
    text = json.dumps([body.decode() for body in bodies])
    answer = subprocess.run([*pin, *command], input=text, capture_output=True, text=True, check=True)
    return Round(**json.loads(answer.stdout))


def driver() -> str:
    """Name of what ``measure`` drives with."""
    return "wrk" if shutil.which("wrk") else "an asyncio client"


def _lua(bodies: Sequence[bytes]) -> str:
    listed = ",\n".join(f"[==[{body.decode()}]==]" for body in bodies)
    return (
        'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
        f"local bodies = {{{listed}}}\nlocal i = 0\n"
        "request = function()\n  i = i % #bodies + 1\n  return wrk.format(nil, nil, nil, bodies[i])\nend\n"
    )


def _read_wrk(text: str) -> Round:
    def milliseconds(percentile: str) -> float:
        match = re.search(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s)\b", text, re.MULTILINE)
        return float(match[1]) * UNITS[match[2]] if match else float("nan")

    errors = sum(int(n) for n in re.findall(r"Non-2xx or 3xx responses: (\d+)", text))
    if match := re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text):
        errors += sum(map(int, match.groups()))
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if rate is None:
        raise ValueError("wrk printed no rate")
    return Round(float(rate[1]), milliseconds("50"), milliseconds("99"), errors)


async def _client(url: str, bodies: Sequence[bytes], until: float, times: list[float]) -> int:
    """One connection's share; its number of bad answers."""
    target = urlsplit(url)
    reader, writer = await asyncio.open_connection(target.hostname, target.port)
    head = f"POST {target.path or '/'} HTTP/1.1\r\nHost: {target.netloc}\r\nContent-Type: application/json\r\n"
    requests = [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
    bad = turn = 0
    try:
        while (began := time.monotonic()) < until:
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


async def _drive(url: str, bodies: Sequence[bytes], connections: int, seconds: float) -> Round:
    times: list[float] = []
    began = time.monotonic()
    bad = await asyncio.gather(*(_client(url, bodies, began + seconds, times) for _ in range(connections)))
    passed = time.monotonic() - began
    times.sort()
    p50, p99 = (times[int(len(times) * share)] * 1e3 if times else float("nan") for share in (0.5, 0.99))
    return Round(len(times) / passed, p50, p99, sum(bad))


if __name__ == "__main__":
    result = asyncio.run(
        _drive(sys.argv[1], [body.encode() for body in json.load(sys.stdin)], int(sys.argv[2]), float(sys.argv[3]))
    )
    json.dump({name: getattr(result, name) for name in Round.__slots__}, sys.stdout)
