"""What an inspection costs: beside Presidio's card recognizer and a bare Hyperscan scan, by size, by depth, at worst.

One process, one core; each figure is the best of several runs of processor time. Run it from the Makefile
(``make bench-inspect``) or as ``python benchmarks/inspect_bodies.py --plot docs/images/inspect.svg``.
"""

from __future__ import annotations

import argparse
import base64
import bz2
import gzip
import json
import lzma
import random
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import brotli  # noqa: E402 - needs the path
import hyperscan  # noqa: E402
import plot  # noqa: E402
import traffic  # noqa: E402
import zstandard  # noqa: E402
from presidio_analyzer.predefined_recognizers import CreditCardRecognizer  # noqa: E402

from detectors import Inspector, Limits  # noqa: E402
from detectors.patterns import PATTERNS  # noqa: E402

MB = 1024 * 1024
NUMBER = b"4111111111111111"  # a published test number
PROSE = b"Nobody in the village ever knew why the fox had to jump over the dog, and nobody dared to ask it again. "
ATTACK_BYTES = 8 * MB


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement. ``aim`` is what it shall be; with ``>=`` or ``<=``."""

    what: str
    value: float
    unit: str
    aim: str = ""

    @property
    def met(self) -> bool | None:
        """Whether it is; ``None`` if nothing was aimed at."""
        sign, _, bound = self.aim.partition(" ")
        return None if not self.aim else self.value >= float(bound) if sign == ">=" else self.value <= float(bound)


def seconds(work: Callable[[], object], rounds: int = 5) -> float:
    """Processor time of the best round."""
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


def lines(size: int, every: int = 0) -> bytes:
    """Log events, one JSON document a line; with a number in each ``every``-th."""
    events = traffic.events("log", 64, 500)
    made: list[bytes] = []
    total = 0
    while total < size:
        event = events[len(made) % len(events)]
        if every and len(made) % every == 0:
            event = event.replace(b'"message": "', b'"message": "' + NUMBER + b" ", 1)
        made.append(event)
        total += len(event) + 1
    return b"\n".join(made)


def clocks() -> bytes:
    """A batch that is mostly digits: clocks in nanoseconds, snowflakes, sizes. No card's issuer range begins so."""
    dice = random.Random(20261122)
    rows: list[bytes] = []
    while sum(map(len, rows)) < MB:
        rows += [
            b'{"time":%d,"id":"%d","parent":"%d","bytes":%d,"took_us":%d,"peer":"10.%d.%d.%d:%d"}'
            % (
                1_763_800_000_000_000_000 + dice.randrange(10**16),
                1_400_000_000_000_000_000 + dice.randrange(10**17),
                1_400_000_000_000_000_000 + dice.randrange(10**17),
                dice.randrange(10**7),
                dice.randrange(10**6),
                *(dice.randrange(256) for _ in range(3)),
                dice.randrange(1024, 65536),
            )
            for _ in range(256)
        ]
    return b'{"spans":[' + b",".join(rows) + b"]}"


def leaking_document(batch: bytes) -> bytes:
    """A batch of ``traffic.batches`` with a number in each hundredth of its events."""
    first, *events = batch.split(b'"message": "')
    strewn = (NUMBER + b" " + event if n % 100 == 0 else event for n, event in enumerate(events))
    return b'"message": "'.join([first, *strewn])


def bare() -> hyperscan.Database:
    """The sieve's own patterns, with nothing around them."""
    database = hyperscan.Database()
    flags = [hyperscan.HS_FLAG_CASELESS if row.caseless else 0 for row in PATTERNS]
    database.compile(expressions=[row.expression for row in PATTERNS], ids=list(range(len(PATTERNS))), flags=flags)
    return database


def beside(inspector: Inspector) -> list[Figure]:
    """Clean and leaking batches, prose and a small body."""
    batch, small = traffic.batches(1)[0], traffic.events("log", 1)[0]
    clean, leaking = lines(MB), lines(MB, every=100)
    prose = PROSE * (4 * MB // len(PROSE))
    presidio, text, database = CreditCardRecognizer(), batch.decode(), bare()
    ours = seconds(lambda: inspector.inspect(batch, "application/json"))
    theirs = seconds(lambda: presidio.analyze(text, ["CREDIT_CARD"]), 2)
    scan = seconds(lambda: database.scan(batch, match_event_handler=lambda *_: None))
    ratio = seconds(lambda: inspector.inspect(leaking)) / seconds(lambda: inspector.inspect(clean))
    dense = lines(MB // 8, every=1)
    finding = seconds(lambda: inspector.inspect(dense), 2) / (dense.count(b"\n") + 1)
    digits = clocks()
    busy = seconds(lambda: inspector.inspect(digits, "application/json"))
    slow = seconds(lambda: presidio.analyze(digits.decode(), ["CREDIT_CARD"]), 2)
    strewn = leaking_document(batch)
    within = seconds(lambda: inspector.inspect(strewn, "application/json")) / ours
    fast = len(prose) / seconds(lambda: inspector.inspect(prose, "text/plain")) / 1e9
    tiny = seconds(lambda: [inspector.inspect(small, "application/json") for _ in range(100)]) / 100
    return [
        Figure("clean 1 MB JSON batch", len(batch) / ours / 1e6, "MB/s"),
        Figure("  beside Presidio's CreditCardRecognizer", theirs / ours, "x", ">= 25"),
        Figure("  the same of a batch that is mostly digits", slow / busy, "x", ">= 25"),
        Figure("  beside a bare Hyperscan scan with the same patterns", scan / ours, "x", ">= 0.7"),
        Figure("prose", fast, "GB/s", ">= 1"),
        Figure("a 1 KB body", tiny * 1e6, "us", "<= 15"),
        Figure("a number in every hundredth line, beside none", ratio, "x", "<= 3"),
        Figure("  in every hundredth object of one document", within, "x", "<= 3"),
        Figure("a number in every line, each", finding * 1e3, "ms", "<= 1"),
    ]


def by_size(inspector: Inspector) -> list[Figure]:
    """The same log lines, more of them."""
    found = []
    for size in (MB // 64, MB // 4, MB, 4 * MB, 16 * MB, 63 * MB):
        body = lines(size)
        took = seconds(lambda body=body: inspector.inspect(body, limits=Limits(body=64 * MB)), 2)  # type: ignore[misc]
        found.append(Figure(f"{len(body) / MB:.2f} MB of log lines", took * 1e3, "ms"))
    return found


def by_depth(inspector: Inspector) -> list[Figure]:
    """A JSON document in a string of a document in a string …, with a number at the bottom."""
    found, body = [], json.dumps({"card": NUMBER.decode(), "note": "x" * 2000}).encode()
    for depth in range(1, 7):
        if not inspector.inspect(body, "application/json").findings:
            raise RuntimeError("the number at the bottom was not found")
        took = seconds(lambda body=body: inspector.inspect(body, "application/json"))  # type: ignore[misc]
        found.append(Figure(f"nested {depth} deep, {len(body)} bytes", took * 1e3, "ms"))
        body = json.dumps({"inner": body.decode()}).encode()
    return found


def mixed(size: int) -> bytes:
    """Lines in which every encoding of text stands, alone and around others: they decode in any order."""
    spelled = "".join(form % code for form in ("%%%02x", "&#%d;", "\\u%04x", "=%02X") for code in NUMBER)
    wide = "".join(chr(0xFEE0 + code) for code in NUMBER)
    rows = (f"{n} pan%3D&#38;#52;&amp;#49; %255Cu0034%26%2349; =25=34 {spelled} {wide}\n" for n in range(size // 300))
    return "".join(rows).encode()[:size]


ZEROS = bytes(100 * MB)
WORST: dict[str, Callable[[], tuple[bytes, str]]] = {
    "digits": lambda: (b"4" * ATTACK_BYTES, ""),
    "digits and spaces": lambda: (b"4 " * (ATTACK_BYTES // 2), ""),
    "separators": lambda: (b"- . _ /" * (ATTACK_BYTES // 7), ""),
    "percent signs": lambda: (b"%34" * (ATTACK_BYTES // 3), ""),
    "bare percent signs": lambda: (b"%" * ATTACK_BYTES, ""),
    "base64": lambda: (base64.b64encode(bytes(range(256)) * (ATTACK_BYTES // 350)), ""),
    "backslashes": lambda: (b"\\u0034" * (ATTACK_BYTES // 6), ""),
    "references": lambda: (b"&#52;" * (ATTACK_BYTES // 5), ""),
    "8 KB of mixed encodings": lambda: (mixed(8 * 1024), ""),
    "64 KB of mixed encodings": lambda: (mixed(64 * 1024), ""),
    "10,000 brackets": lambda: (b"[" * 10_000 + b"4111" + b"]" * 10_000, ""),
    "gzip bomb": lambda: (gzip.compress(ZEROS), "gzip"),
    "deflate bomb": lambda: (zlib.compress(ZEROS), "deflate"),
    "br bomb": lambda: (brotli.compress(ZEROS, quality=5), "br"),
    "zstd bomb": lambda: (zstandard.compress(ZEROS), "zstd"),
    "bzip2 bomb": lambda: (bz2.compress(ZEROS), ""),
    "xz bomb": lambda: (lzma.compress(ZEROS), ""),
}


def _status(field: str) -> int:
    """Bytes, of this process, from /proc: ``VmRSS`` now, ``VmHWM`` at the most so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def worst(body: bytes, coding: str) -> dict[str, float | str]:
    """One attack, in this process: time, memory above what it had before, and what came of it."""
    inspector = Inspector()
    inspector.inspect(b'{"a": 1}', "application/json")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew (proc_pid_clear_refs(5))
    before = _status("VmRSS")
    began = time.process_time()
    result = inspector.inspect(body, "", coding)
    took = time.process_time() - began
    more = max(0, _status("VmHWM") - before) / MB
    outcome = ", ".join(sorted({gap.reason for gap in result.gaps})) or f"{len(result.findings)} findings"
    return {"seconds": took, "memory": more, "outcome": outcome}


def attacks() -> list[tuple[str, dict[str, float | str]]]:
    """Each in a process of its own, which is given the body and has never held more."""
    found = []
    for name, make in WORST.items():
        body, coding = make()
        command = [sys.executable, __file__, "--worst", coding]
        out = subprocess.run(command, input=body, capture_output=True, check=True)
        found.append((name, json.loads(out.stdout)))
    return found


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--plot", type=Path, help="draw them there, as SVG")
    parser.add_argument("--worst", metavar="CODING", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worst is not None:
        print(json.dumps(worst(sys.stdin.buffer.read(), options.worst)))
        return 0
    inspector = Inspector()
    groups = {"beside others": beside(inspector), "by size": by_size(inspector), "by depth": by_depth(inspector)}
    for title, figures in groups.items():
        print(f"\n{title}")
        for figure in figures:
            verdict = "" if figure.met is None else f"   aim {figure.aim}: {'met' if figure.met else 'MISSED'}"
            print(f"  {figure.what:56} {figure.value:10.2f} {figure.unit}{verdict}")
    print("\nat its worst (8 MB of it; limits as by default)")
    evil = attacks()
    for name, got in evil:
        print(f"  {name:24} {got['seconds']:6.2f} s  {got['memory']:6.0f} MB more  {got['outcome']}")
    if options.json:
        document = {title: [asdict(figure) for figure in figures] for title, figures in groups.items()}
        options.json.write_text(json.dumps({**document, "worst": dict(evil)}, indent=1) + "\n")
    if options.plot:
        bars = [(title, [(f.what.strip(), f.value) for f in groups[title]]) for title in ("by size", "by depth")]
        bars.append(("at its worst, seconds", [(name, float(got["seconds"])) for name, got in evil]))
        options.plot.write_text(plot.svg(bars))
    return 0


if __name__ == "__main__":
    sys.exit(main())
