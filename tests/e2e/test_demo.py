"""``sekisho demo`` as a user starts it: its last line in both modes, its exit code, and what it leaves behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import aiohttp
import pytest

from proxy.demo import main
from proxy.demo.cards import CARDS
from proxy.demo.scenarios import SCENARIOS
from proxy.demo.search import card_numbers
from proxy.demo.shop import Lanes
from proxy.demo.stage import Stage, StageError, open_parts
from tests.published_numbers import card_numbers_in

ROOT = Path(__file__).resolve().parents[2]


def environment(tmp_path: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1", "COLUMNS": "150"}


@dataclass(frozen=True)
class Ended:
    """A demo that has run: its words, its exit code, and the directory it was to leave as it found it."""

    place: Path
    code: int
    out: str
    err: str


@lru_cache(maxsize=2)
def demo(mode: str, place: Path) -> Ended:
    """One run for all tests of a mode: it takes seconds, and they look at different sides of it."""
    place.mkdir()
    ended = subprocess.run(
        [sys.executable, "-m", "proxy", "demo", "--mode", mode],
        cwd=place,
        env=environment(place),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        timeout=280,
    )
    return Ended(place, ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Ended]:
    base = tmp_path_factory.mktemp("demo")
    return lambda mode: demo(mode, base / mode)


def processes_about(place: Path) -> list[int]:
    """Processes that name ``place`` on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and str(place).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def steps(output: str) -> dict[str, str]:
    """Title → verdict, out of the progress lines."""
    return dict(re.findall(r"^\[ *\d+/\d+\] (.*) … (.*)$", output, re.MULTILINE))


def test_in_enforce_mode_no_sink_holds_a_card(ran: Callable[[str], Ended]):
    ended = ran("enforce")
    assert ended.code == 0, ended.out + ended.err
    assert ended.out.splitlines()[-1] == "card numbers in all sinks: 0"
    verdicts = steps(ended.out)
    assert set(verdicts) == {scenario.title for scenario in SCENARIOS}
    for scenario in SCENARIOS:
        allowed = {"passed"} if scenario.expect == "passes" else {"redacted", "blocked 403"}
        assert verdicts[scenario.title] in allowed, scenario.title


def test_in_monitor_mode_the_cards_get_through_and_nothing_is_refused(ran: Callable[[str], Ended]):
    ended = ran("monitor")
    assert ended.code == 0, ended.out + ended.err
    count = re.fullmatch(r"card numbers in all sinks: (\d+)", ended.out.splitlines()[-1])
    assert count is not None
    verdicts = steps(ended.out)
    expected = {row.title: "passed" if row.expect == "passes" else "reported" for row in SCENARIOS}
    assert verdicts == expected
    assert int(count.group(1)) >= list(expected.values()).count("reported")


@pytest.mark.parametrize("mode", ["enforce", "monitor"])
def test_its_words_hold_no_card_and_nothing_is_left_behind(ran: Callable[[str], Ended], mode: str):
    ended = ran(mode)
    assert ended.err == ""
    assert card_numbers_in(ended.out) == []
    assert card_numbers(ended.out.encode()) == set()
    assert "411111******1111" in ended.out  # the search would have seen it: this is where the number would stand
    assert list(ended.place.iterdir()) == []
    assert processes_about(ended.place) == []


@contextlib.contextmanager
def serving(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A demo that serves, with the addresses it printed."""
    log = tmp_path / "out"
    work = tmp_path / "work"
    work.mkdir()
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "proxy", "demo", "--serve"],
            cwd=work,
            env=environment(work),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            text=True,
        )
    try:
        deadline = time.monotonic() + 120
        while not re.search(r"^  audit +\S+audit\.jsonl$", log.read_text(), re.MULTILINE):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield process, dict(re.findall(r"^  (metrics|ready|lane \S+) +(http://\S+)$", log.read_text(), re.MULTILINE))
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_stopped_and_then_leaves_nothing(tmp_path: Path, number: signal.Signals):
    with serving(tmp_path) as (process, addresses):
        with urllib.request.urlopen(addresses["metrics"], timeout=60) as answer:
            assert "sekisho_violations_total{" in answer.read().decode()
        push = json.dumps({"streams": [{"stream": {}, "values": [["1", f"card {CARDS[0].number}"]]}]}).encode()
        request = urllib.request.Request(
            addresses["lane app-logs"] + "/loki/api/v1/push", push, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 204  # redacted, and Loki could read it
        assert len(processes_about(tmp_path)) == 1  # the sidecar
        process.send_signal(number)
        assert process.wait(60) == 0
    assert list((tmp_path / "work").iterdir()) == []
    assert processes_about(tmp_path) == []


def test_ctrl_c_in_the_middle_leaves_nothing(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy", "demo"],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not processes_about(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert list(tmp_path.iterdir()) == []
    assert processes_about(tmp_path) == []


@contextlib.asynccontextmanager
async def no_sidecar(_mode: str) -> AsyncIterator[Stage]:
    """The stage with every lane leading straight to what stands behind it: a sidecar that stops nothing."""
    async with contextlib.AsyncExitStack() as stack:
        parts = await open_parts(stack, Lanes("", "", "", ""))
        urls = {name: f"http://{address}" for name, address in parts.addresses.items()}
        parts.shop.lanes = Lanes(urls["app-logs"], urls["search"], urls["sessions"], urls["gmo"], urls["front"])
        browser = await stack.enter_async_context(aiohttp.ClientSession())
        audit = Path("no-such-file")
        yield Stage(urls, "", f"http://{parts.token_server}", parts.shop, parts.sinks, browser, audit)


def test_a_sidecar_that_stops_nothing_breaks_the_promise(monkeypatch, capsys):
    monkeypatch.setattr("proxy.demo.open_stage", no_sidecar)
    assert main("enforce") == 1
    out = capsys.readouterr().out
    assert "the promise is broken: card data reached a sink" in out
    assert re.fullmatch(r"card numbers in all sinks: [1-9]\d*", out.splitlines()[-1])
    assert card_numbers_in(out) == []


def test_a_monitor_run_without_a_card_proves_nothing(monkeypatch, capsys):
    monkeypatch.setattr("proxy.demo.open_stage", no_sidecar)
    monkeypatch.setattr("proxy.demo.story.SCENARIOS", [row for row in SCENARIOS if row.expect == "passes"])
    assert main("monitor") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "card numbers in all sinks: 0"
    assert "no card number reached any sink unhindered: the demo proves nothing" in lines


def test_a_sidecar_that_does_not_start_is_said_so(monkeypatch, capsys):
    @contextlib.asynccontextmanager
    async def none(_mode: str) -> AsyncIterator[Stage]:
        raise StageError("the sidecar ended with exit code 3:\nport taken")
        yield

    monkeypatch.setattr("proxy.demo.open_stage", none)
    assert main("enforce") == 3
    assert "could not start: the sidecar ended with exit code 3" in capsys.readouterr().err


def test_it_needs_no_terminal_that_knows_unicode(tmp_path: Path):
    code = "import sys, proxy.demo.report as r; out = r.console(); out.print('通過型 … done')"
    plain = environment(tmp_path) | {"PYTHONIOENCODING": "ascii"}
    ended = subprocess.run([sys.executable, "-c", code], env=plain, capture_output=True, text=True, check=True)
    assert ended.stdout.endswith("? done\n")


def test_an_unknown_mode(capsys):
    assert main("lenient") == 2
    assert "no such mode: lenient" in capsys.readouterr().err
