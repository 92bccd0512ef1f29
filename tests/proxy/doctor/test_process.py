"""The sidecar's processes, from procfs as it is and as the test writes it."""

from __future__ import annotations

import asyncio
import os

import pytest

from proxy.doctor import process
from proxy.doctor.process import Owner, Process
from proxy.doctor.sidecar import Sidecar
from proxy.policy.values import Address
from tests.e2e.origin import OK, origin
from tests.e2e.plane import policy
from tests.sidecar import free_port

STATUS = {"Uid": "1000\t1001\t1000\t1000", "Gid": "1000\t1000", "Groups": "4 27 ", "CapEff": "0000000000003000"}
LIMITS = """\
Limit                     Soft Limit           Hard Limit           Units
Max cpu time              unlimited            unlimited            seconds
Max core file size        0                    unlimited            bytes
Max open files            1024                 524288               files
Max nice priority         0                    0
"""
NOBODY = Sidecar(())


def test_a_process_as_the_kernel_tells_it():
    made = process.process(7, STATUS, LIMITS)
    assert (made.pid, made.uid, made.groups, made.capabilities) == (7, 1001, {4, 27, 1000}, 0x3000)
    assert made.limits == {
        "Max cpu time": -1,
        "Max core file size": 0,
        "Max open files": 1024,
        "Max nice priority": 0,
    }


async def test_whoever_answers_is_found():
    async with origin(OK) as server:
        owner = await asyncio.to_thread(process.find, Address("127.0.0.1", server.port))
    assert owner.uid == os.geteuid()
    assert os.getpid() in {one.pid for one in owner.processes}
    (this,) = (one for one in owner.processes if one.pid == os.getpid())
    assert this.uid == os.geteuid()
    assert "Max open files" in this.limits


async def test_nobody_is_found(tmp_path):
    assert process.find(Address("127.0.0.1", free_port())) == Owner()
    async with origin(OK) as server:
        assert await asyncio.to_thread(process.find, Address("127.0.0.1", server.port), tmp_path) == Owner()


@pytest.fixture
def proc(tmp_path):
    """A procfs of the test's own, without a pattern for core dumps."""
    (tmp_path / "sys" / "kernel").mkdir(parents=True)
    return tmp_path


def one(**changes):
    values = {"pid": 7, "uid": 1000, "groups": frozenset(), "capabilities": 0, "limits": {"Max core file size": 0}}
    return Process(**values | changes)


@pytest.fixture
def rules(tmp_path):
    rows = [{"name": name, "upstream": "http://127.0.0.1:1"} for name in ("a", "b")]
    return policy(tmp_path, *rows, limits={"connections": 100})


def row_of(check, rules, owner, proc, sidecar=NOBODY):
    (found,) = (row for row in process.rows(rules, owner, sidecar, proc) if row.check == check)
    return found


@pytest.mark.parametrize(
    ("owner", "state", "seen"),
    [
        (Owner(1000, (one(),)), "ok", "user 1000, no capabilities"),
        (Owner(0, (one(uid=0),)), "warning", "the sidecar runs as root: it needs no privilege"),
        (
            Owner(1000, (one(capabilities=0x3000), one())),
            "warning",
            "the sidecar holds capabilities that it does not need: net_admin, net_raw",
        ),
        (
            Owner(1000, (one(capabilities=(1 << 41) - 1),)),
            "warning",
            "the sidecar holds capabilities that it does not need: chown, dac_override, dac_read_search, fowner, fsetid and 36 more",
        ),
        (Owner(1000), "skipped", f"user 1000, not root; its capabilities: {process._HIDDEN}"),
        (Owner(), "skipped", process._HIDDEN),
    ],
)
def test_privileges(rules, proc, owner, state, seen):
    row = row_of("privileges", rules, owner, proc)
    assert (row.state, row.seen) == (state, seen)
    assert bool(row.fix) == (state == "warning")


@pytest.mark.parametrize(
    ("pattern", "limit", "state", "seen"),
    [
        ("core", 0, "ok", "off"),
        ("core.%p", -1, "warning", 'a crash writes memory as "core.%p", and what was under inspection is in it'),
        ("|/lib/systemd/systemd-coredump %P", 1, "ok", "off"),
        (
            "|/lib/systemd/systemd-coredump %P",
            4096,
            "warning",
            "a crash writes memory to /lib/systemd/systemd-coredump",
        ),
    ],
)
def test_core_dumps(rules, proc, pattern, limit, state, seen):
    (proc / process.CORE_PATTERN).write_text(f"{pattern}\n")
    row = row_of("core-dumps", rules, Owner(1000, (one(), one(limits={"Max core file size": limit}))), proc)
    assert row.state == state
    assert row.seen.startswith(seen)


def test_core_dumps_of_a_process_that_nobody_sees(rules, proc):
    assert row_of("core-dumps", rules, Owner(1000), proc).state == "skipped"


@pytest.mark.parametrize(
    ("soft", "said", "state", "seen"),
    [
        ([464], None, "ok", "464 files may be open, 464 are needed at most"),
        ([-1], None, "ok", "any number of files may be open, 464 are needed at most"),
        ([500, 463], 999, "warning", "463 files may be open, and limits.connections of all lanes need 464 (two each)"),
        ([], 1024, "ok", "1024 files may be open, 464 are needed at most"),
        ([], None, "skipped", process._HIDDEN),
    ],
)
def test_descriptors(rules, proc, soft, said, state, seen):
    owner = Owner(1000, tuple(one(limits={"Max open files": most}) for most in soft))
    sidecar = Sidecar((("process_max_fds", {}, float(said)),) if said else ())
    row = row_of("descriptors", rules, owner, proc, sidecar)
    assert (row.state, row.seen) == (state, seen)
    assert ("ulimit -n 464" in row.fix) == (state == "warning")


@pytest.mark.parametrize(
    ("processes", "command"),
    [((one(pid=9), one(pid=7)), "kill -HUP 7"), ((), "send the sidecar a SIGHUP")],
)
def test_what_makes_it_read_its_files_again(processes, command):
    assert Owner(1000, processes).reload == command


def test_every_capability_has_its_bit():
    assert (process.CAPABILITIES[12], process.CAPABILITIES[21], process.CAPABILITIES[40]) == (
        "net_admin",
        "sys_admin",
        "checkpoint_restore",
    )
