"""The script that redirects connections: the rules it writes, that it may run twice, and that it takes all away again.

That connections really go where they should is told by ``tests/e2e/test_transparent.py``.
"""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.netns import namespace, need
from tests.sidecar import ROOT

SCRIPT = ROOT / "deploy" / "iptables" / "sekisho-iptables.sh"
BASE = ("--uid", "1500", "--port", "15001")


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(SCRIPT), *arguments], capture_output=True, text=True, timeout=30, check=False)


def rules(*arguments: str) -> list[str]:
    done = script(*BASE, "--ipv4-only", "--print", *arguments)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["*nat", ":SEKISHO - [0:0]"]
    assert lines[-1] == "COMMIT"
    return [line.removeprefix("-A SEKISHO ") for line in lines[2:-1]]


LOOPBACK = "-o lo -j RETURN"
EXEMPT = "-m owner --uid-owner 1500 -j RETURN"
DNS = "-p tcp -m tcp --dport 53 -j RETURN"
ALL = "-p tcp -m tcp --dport 1:65535 -j REDIRECT --to-ports 15001"
QUIC = "-p udp -m udp --dport 443 -j REDIRECT --to-ports 15001"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), [LOOPBACK, EXEMPT, DNS, ALL, QUIC]),
        (("--uid", "7"), [LOOPBACK, EXEMPT, "-m owner --uid-owner 7 -j RETURN", DNS, ALL, QUIC]),
        (
            ("--ports", "80,8000-8999"),
            [
                LOOPBACK,
                EXEMPT,
                DNS,
                "-p tcp -m tcp --dport 80 -j REDIRECT --to-ports 15001",
                "-p tcp -m tcp --dport 8000:8999 -j REDIRECT --to-ports 15001",
                QUIC,
            ],
        ),
        (
            ("--exclude", "10.0.0.0/8", "--exclude", "fd00::/8"),
            [LOOPBACK, EXEMPT, "-d 10.0.0.0/8 -j RETURN", DNS, ALL, QUIC],
        ),
        (("--exclude-ports", ""), [LOOPBACK, EXEMPT, ALL, QUIC]),
        (("--exclude-ports", "5432"), [LOOPBACK, EXEMPT, DNS.replace("53", "5432"), ALL, QUIC]),
        (("--quic", "pass"), [LOOPBACK, EXEMPT, DNS, ALL]),
        (
            ("--only-uid", "1001"),
            [
                LOOPBACK,
                EXEMPT,
                DNS,
                ALL.replace(" -j REDIRECT", " -m owner --uid-owner 1001 -j REDIRECT"),
                QUIC.replace(" -j REDIRECT", " -m owner --uid-owner 1001 -j REDIRECT"),
            ],
        ),
    ],
    ids=["default", "two-uids", "ports", "exclude", "no-excluded-ports", "excluded-port", "quic-pass", "only-uid"],
)
def test_rules(arguments: tuple[str, ...], expected: list[str]) -> None:
    assert rules(*arguments) == expected


def test_each_family_gets_its_own_addresses() -> None:
    both = script(*BASE, "--print", "--exclude", "10.0.0.0/8", "--exclude", "fd00::/8").stdout.split("COMMIT\n")
    assert ["10.0.0.0/8" in table for table in both[:2]] == [True, False]
    assert ["fd00::/8" in table for table in both[:2]] == [False, True]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--port", "15001"), "--uid is missing"),
        (("--uid", "1500"), "--port is missing"),
        (("--uid", "1500", "--port", "0"), "--port is missing"),
        (("--uid", "sekisho", "--port", "1"), "--uid sekisho is not a number"),
        (("--uid", "1500", "--port", "65536"), "--port 65536 is more than 65535"),
        ((*BASE, "--ports", "80,http"), "--ports http is not a number"),
        ((*BASE, "--exclude", "10.0.0.0/8 -j ACCEPT"), "is not an address or CIDR"),
        ((*BASE, "--quic", "allow"), "--quic is count or pass"),
        ((*BASE, "--uid"), "--uid needs a value"),
        ((*BASE, "--help-me"), "unknown option --help-me"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_arguments_change_nothing(arguments: tuple[str, ...], says: str) -> None:
    done = script("--print", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stdout == ""


def test_a_second_run_changes_nothing_and_remove_takes_all_away() -> None:
    need("ip", "iptables", "ip6tables")
    with namespace() as here:

        def tables() -> str:
            saved = here.run("iptables-save", "-t", "nat") + here.run("ip6tables-save", "-t", "nat")
            return "\n".join(line for line in saved.splitlines() if line.startswith("-"))

        here.run(str(SCRIPT), *BASE)
        once = tables()
        assert once.count("-A OUTPUT -j SEKISHO") == 2
        assert once.count(f"-A SEKISHO {ALL}") == 2
        here.run(str(SCRIPT), *BASE)
        assert tables() == once
        here.run(str(SCRIPT), *BASE, "--ports", "443")
        assert ALL not in tables()
        here.run(str(SCRIPT), "--remove")
        here.run(str(SCRIPT), "--remove")
        assert tables() == ""


def test_shellcheck_finds_nothing() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("apt-get install --no-install-recommends shellcheck")
    done = subprocess.run(["shellcheck", str(SCRIPT)], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout == ""
