"""What every test gets: a watch on its output for card numbers, ports, policies, and a real sidecar process."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.published_numbers import card_numbers_in, masked  # noqa: E402 - needs the path
from tests.sidecar import Sidecar, free_port, launch, policy_document, prepared, write_policy  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips", action="store_true", help="a skipped test fails the run: a check that did not run proves nothing"
    )


class _NoSkips:
    """Fails the run when any test or module was skipped."""

    def __init__(self) -> None:
        self.skipped: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.skipped.append(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.skipped:
            terminalreporter.section("skipped, and --no-skips was given", red=True)
            for nodeid in self.skipped:
                terminalreporter.line(masked(nodeid))


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--no-skips"):
        config.pluginmanager.register(_NoSkips(), "no-skips")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """The thousands of tests stay until the end: looking through them for garbage again and again is half the time that
    collecting them takes, and much of many a test's."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _our_loggers_speak() -> None:
    """All loggers at INFO and our own at DEBUG, so that the leak check reads even what an operator would have to ask
    for; but not the clients with which tests send card numbers: they log URLs. (A ``log_level`` in the configuration
    would hold for the capturing handler, too, and hide our DEBUG lines from the check.)"""
    logging.getLogger().setLevel(logging.INFO)
    for name in ("proxy", "detectors", "sekisho"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    for name in ("httpx", "httpcore", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """The leak check: a test whose log, stdout or stderr holds a card number fails, whatever else it asserts."""
    report = yield
    if report.when != "teardown" or not report.passed or item.get_closest_marker("card_output"):
        return report
    leaking = [title for title, text in report.sections if card_numbers_in(text)]
    if leaking:
        report.outcome = "failed"
        report.longrepr = f"{masked(item.nodeid)}: a card number stands in its {', '.join(leaking)}"
        report.sections = [(title, masked(text)) for title, text in report.sections]
    return report


@pytest.fixture(name="free_port")
def free_port_fixture() -> Callable[[], int]:
    """Gives a TCP port of 127.0.0.1 that nothing listens on now, each time it is called."""
    return free_port


@pytest.fixture
def make_policy(tmp_path: Path) -> Callable[..., Path]:
    """``make_policy([{"name": …, "upstream": …, "role": …}], mode="monitor")``: a valid policy file in ``tmp_path``."""
    return lambda lanes, **top: write_policy(tmp_path, policy_document(tmp_path, lanes, **top))


@pytest.fixture
def start_sidecar(tmp_path: Path) -> Iterator[Callable[..., Sidecar]]:
    """``start_sidecar([lane, …], ready=True, arguments=(), **top)``: a ready ``sekisho run`` process in ``tmp_path``."""
    started: list[Sidecar] = []

    def start(
        lanes: list[dict[str, Any]],
        *,
        ready: bool = True,
        program: tuple[str, ...] = (),
        arguments: tuple[str, ...] = (),
        **top: Any,
    ) -> Sidecar:
        policy = policy_document(tmp_path, lanes, **top)
        started.append(launch(tmp_path, policy, ready=ready, program=program or prepared(), arguments=arguments))
        return started[-1]

    yield start
    for sidecar in started:
        sidecar.stop()
