"""Sekisho, enforcing, against stock mitmdump, mitmdump calling Presidio, nginx + ModSecurity, and its own host blind.

Starts everything itself, on this machine; each proxy has one core, origin and load share another. Rounds are
interleaved, so that a machine that slows down slows all of them; figures are medians. Run it from the Makefile
(``make bench``) or as ``python benchmarks/http_throughput.py --rounds 5 --json figures.json --plot figures.svg``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import contestants as who  # noqa: E402 - needs the path
import load  # noqa: E402
import plot  # noqa: E402
import traffic  # noqa: E402
from contestants import Contestant  # noqa: E402

from tests.sidecar import Sidecar  # noqa: E402

CONNECTIONS, BATCH_CONNECTIONS = 16, 4
ONE, TWO = "sekisho run --workers 1", "sekisho run --workers 2"
AIMS = {
    ("log", who.STOCK): 2.2,
    ("log", who.PRESIDIO): 4.0,
    ("batch", who.MODSECURITY): 60.0,
    ("batch", who.BLIND): 0.8,
    ("workers", ONE): 1.8,
}
"""What Sekisho's rate shall be, in multiples of another's."""


@dataclass(frozen=True, slots=True)
class Row:
    """Medians of one contestant."""

    name: str
    requests_per_second: float
    lowest: float
    highest: float
    cpu_us: float
    """Processor time for each request."""
    p50_ms: float
    p99_ms: float
    errors: int


@dataclass(frozen=True, slots=True)
class Table:
    """One scenario. The first row is Sekisho's."""

    key: str
    title: str
    rows: list[Row]
    megabytes: float = 0.0
    """Of each request, where bytes are what counts."""
    baseline: str = ""
    """Whose latency is not the proxy's."""

    def ratio(self, row: Row) -> float:
        """Sekisho's rate in multiples of this one."""
        return self.rows[0].requests_per_second / row.requests_per_second if row.requests_per_second else float("inf")


def compete(
    field: dict[str, Contestant], bodies: Sequence[bytes], options: argparse.Namespace, **how: float
) -> list[Row]:
    """The rounds, interleaved, after one short round each to warm up."""
    connections, pause = int(how.get("connections", CONNECTIONS)), how.get("pause_ms", 0.0)
    cores = who.LOAD_CORES if not how.get("all_cores") else who.PROXY_CORES | who.LOAD_CORES
    rounds: dict[str, list[tuple[load.Round, float]]] = {name: [] for name in field}
    for turn in range(options.rounds + 1):
        for name, contestant in field.items():
            seconds = options.seconds if turn else 1
            before = contestant.cpu_seconds()
            got = load.measure(
                contestant.url, bodies, connections=connections, seconds=seconds, cores=cores, pause_ms=pause
            )
            spent = contestant.cpu_seconds() - before
            if turn:
                rounds[name].append((got, spent / max(1.0, got.requests_per_second * seconds) * 1e6))
                print(f"  {turn}  {name:<28} {got.requests_per_second:9.1f} requests/s", file=sys.stderr)
    return [_row(name, found) for name, found in rounds.items()]


def _row(name: str, found: list[tuple[load.Round, float]]) -> Row:
    middle: Callable[[list[float]], float] = statistics.median
    rates = [got.requests_per_second for got, _ in found]
    return Row(
        name,
        middle(rates),
        min(rates),
        max(rates),
        middle([cpu for _, cpu in found]),
        middle([got.p50_ms for got, _ in found]),
        middle([got.p99_ms for got, _ in found]),
        sum(got.errors for got, _ in found),
    )


# Scenarios.


def small(payload: str, field: dict[str, Contestant], options: argparse.Namespace) -> Table:
    """Events of 1 KB, as fast as each goes."""
    return Table(payload, traffic.PAYLOADS[payload], compete(field, traffic.events(payload), options))


def batch(field: dict[str, Contestant], options: argparse.Namespace) -> Table:
    """Documents of 1 MB, as fast as each goes."""
    bodies = traffic.batches()
    among = {name: field[name] for name in (who.SEKISHO, who.BLIND, who.MODSECURITY, who.ORIGIN) if name in field}
    rows = compete(among, bodies, options, connections=BATCH_CONNECTIONS)
    return Table("batch", traffic.BATCHES, rows, statistics.mean(map(len, bodies)) / 1e6)


def latency(field: dict[str, Contestant], options: argparse.Namespace) -> Table:
    """Events of 1 KB, at half of the rate that Sekisho can do."""
    names = (who.SEKISHO, who.BLIND, who.MODSECURITY, who.ORIGIN)
    bodies, ours = traffic.events("log"), {who.SEKISHO: field[who.SEKISHO]}
    (most,) = compete(ours, bodies, options)
    pause = max(1.0, 2e3 * CONNECTIONS / most.requests_per_second - most.p50_ms / CONNECTIONS)
    among = {name: field[name] for name in names if name in field}
    rows = compete(among, bodies, options, pause_ms=pause)
    title = f"1 KB log events at half of the saturating load: {most.requests_per_second / 2:.0f} requests/s"
    return Table("latency", title, rows, baseline=who.ORIGIN)


def workers(base: Path, origin_port: int, options: argparse.Namespace) -> Table:
    """Two workers against one; each, the origin and the load may use all cores."""
    cores = who.PROXY_CORES | who.LOAD_CORES
    with contextlib.ExitStack() as stack:
        field = {}
        for name, count in ((TWO, "2"), (ONE, "1")):
            found = stack.enter_context(
                who.sidecar(base / f"workers-{count}", origin_port, "--workers", count, cores=cores)
            )
            field[name] = Contestant(found.url("bench", "/"), found.process.pid)
        rows = compete(field, traffic.events("log"), options, all_cores=1, connections=2 * CONNECTIONS)
    return Table("workers", f"1 KB log events, two workers against one, {2 * CONNECTIONS} connections", rows)


# The report.


def shown(table: Table) -> str:
    """The figures as text, each contestant's ratio to Sekisho's rate last."""
    rate = "MB/s" if table.megabytes else "requests/s"
    last = f"{'added p50':>11} {'added p99':>10}" if table.baseline else f"{'sekisho is':>11}"
    head = f"{'':<26} {rate:>10} {'min - max':>17} {'CPU us':>9} {'p50 ms':>8} {'p99 ms':>8} {'errors':>6} {last}"
    return "\n".join([table.title, head, *(_line(table, row) for row in table.rows)])


def _line(table: Table, row: Row) -> str:
    scale = table.megabytes or 1.0
    spread = f"{row.lowest * scale:.0f} - {row.highest * scale:.0f}"
    line = f"{row.name:<26} {row.requests_per_second * scale:>10.0f} {spread:>17} {row.cpu_us:>9.0f}"
    line += f" {row.p50_ms:>8.2f} {row.p99_ms:>8.2f} {row.errors:>6}"
    if table.baseline:
        (base,) = (other for other in table.rows if other.name == table.baseline)
        return f"{line} {row.p50_ms - base.p50_ms:>8.2f} ms {row.p99_ms - base.p99_ms:>7.2f} ms"
    if row is table.rows[0] or row.name == who.ORIGIN:
        return line
    aim = AIMS.get((table.key, row.name))
    return f"{line} {table.ratio(row):>9.2f} x" + (f"  (aim {aim:g} x)" if aim else "")


@contextlib.contextmanager
def started(base: Path) -> Iterator[tuple[dict[str, Contestant], Sidecar]]:
    """Everybody who can be started here, by name, the origin last; and Sekisho's process."""
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(who.origin(base))
        port = who.port_of(origin)
        ours = stack.enter_context(who.sidecar(base / "sekisho", port))
        field = {who.SEKISHO: Contestant(ours.url("bench", "/"), ours.process.pid)}
        field[who.BLIND] = stack.enter_context(who.blind(base / "blind", port))
        field[who.STOCK] = stack.enter_context(who.mitmdump(base, port))
        field[who.PRESIDIO] = stack.enter_context(who.mitmdump(base, port, "-s", str(HERE / "presidio_addon.py")))
        if who.nginx() and who.MODULE.exists():
            field[who.MODSECURITY] = stack.enter_context(who.modsecurity(base, port))
        else:
            print(f"{who.MODSECURITY} is left out: {who.HOW_TO_INSTALL}", file=sys.stderr)
        yield field | {who.ORIGIN: origin}, ours


def run(options: argparse.Namespace) -> int:
    """Prints the tables; 1 when any answer was an error, for then the figures mean nothing."""
    tables: list[Table] = []
    with tempfile.TemporaryDirectory() as place, started(Path(place)) as (field, ours):
        idle = who.memory(ours.process.pid)
        scenarios: dict[str, Callable[[], Table]] = {
            "log": lambda: small("log", field, options),
            "order": lambda: small("order", field, options),
            "latency": lambda: latency(field, options),
            "batch": lambda: batch(field, options),
            "workers": lambda: workers(Path(place), who.port_of(field[who.ORIGIN]), options),
        }
        print(f"{CONNECTIONS} connections (batches: {BATCH_CONNECTIONS}), medians of {options.rounds}", end=" ")
        print(f"interleaved rounds of {options.seconds:g} s; driven by {load.driver()};")
        print("one core for the proxy, one for load and origin")
        for name in options.only or scenarios:
            tables.append(scenarios[name]())
            print(f"\n{shown(tables[-1])}", flush=True)
        busy = who.memory(ours.process.pid)
    print(f"\nsekisho run: ready after {ours.ready_after:.2f} s; idle {idle.rss / 1e6:.0f} MB resident", end="")
    print(f" ({idle.pss / 1e6:.0f} MB proportional); after the load {busy.rss / 1e6:.0f} MB")
    if options.json:
        figures = {"tables": [asdict(table) for table in tables], "ready_after": ours.ready_after, "idle": asdict(idle)}
        Path(options.json).write_text(json.dumps(figures, indent=1) + "\n")
    if options.plot:
        Path(options.plot).write_text(plot.svg([_bars(table) for table in tables]))
    return 1 if any(row.errors for table in tables for row in table.rows) else 0


def _bars(table: Table) -> plot.Group:
    """Rates, but the origin's: it is so much faster than all others that their bars would vanish."""
    scale = table.megabytes or 1.0
    bars = [(row.name, row.requests_per_second * scale) for row in table.rows if row.name != who.ORIGIN]
    return f"{table.title} ({'MB/s' if table.megabytes else 'requests/s'})", bars


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--only", nargs="+", choices=["log", "order", "latency", "batch", "workers"])
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    parser.add_argument("--plot", metavar="FILE", help="draw the rates there, as SVG")
    return run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
