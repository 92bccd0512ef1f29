"""When files are read again: however they were replaced, once for each change, and not while they are being written."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager

import pytest

from proxy import watch
from proxy.watch import due, stamps


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(watch, "WATCH_SECONDS", 0.01)
    monkeypatch.setattr(watch, "SETTLE_SECONDS", 0.05)


@asynccontextmanager
async def watching(files):
    """What was read each time, the event that asks for it, and a way to wait for the next time."""
    read, asked, moved = [], asyncio.Event(), asyncio.Event()

    async def run():
        async for _ in due(files, asked):
            read.append([path.read_bytes() if path.exists() else None for path in files()])
            moved.set()

    async def turn():
        async with asyncio.timeout(60):
            await moved.wait()
        moved.clear()

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    try:
        yield read, asked, turn
    finally:
        task.cancel()


def write_over(path, data):
    path.write_bytes(data)


def rename_over(path, data):
    new = path.with_suffix(".new")
    new.write_bytes(data)
    new.rename(path)


def same_size_and_time(path, data):
    before = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("replace", [write_over, rename_over, same_size_and_time])
async def test_a_file_that_is_replaced_is_read_once(tmp_path, replace):
    path = tmp_path / "policy"
    path.write_bytes(b"one")
    async with watching(lambda: [path]) as (read, asked, turn):
        replace(path, b"two")
        await turn()
        asked.set()
        await turn()
        assert read == [[b"two"], [b"two"]]


async def test_a_link_that_is_turned_as_kubernetes_does(tmp_path):
    """policy → ..data/policy, ..data → ..1: the names stay, and no file that they lead to is ever written again."""
    for name, data in (("..1", b"one"), ("..2", b"two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy").write_bytes(data)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "policy").symlink_to("..data/policy")
    async with watching(lambda: [tmp_path / "policy"]) as (read, _, turn):
        (tmp_path / "..data_tmp").symlink_to("..2")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        await turn()
        assert read == [[b"two"]]


async def test_what_is_still_being_written_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "SETTLE_SECONDS", 0.3)
    path = tmp_path / "policy"
    path.write_bytes(b"one")
    async with watching(lambda: [path]) as (read, _, turn):
        for end in range(1, 9):
            path.write_bytes(b"eight..."[:end])
            await asyncio.sleep(0.01)
        await turn()
        assert read == [[b"eight..."]]


async def test_what_never_rests_is_read_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "SETTLE_MOST", 2)
    path = tmp_path / "policy"
    path.write_bytes(b"")
    async with watching(lambda: [path]) as (read, _, turn):

        async def write():
            while True:
                with path.open("ab") as file:
                    file.write(b"x")
                await asyncio.sleep(0.005)

        writing = asyncio.create_task(write())
        await turn()
        writing.cancel()
        assert read


async def test_whoever_asks_does_not_wait_and_the_change_is_not_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "SETTLE_SECONDS", 60)
    monkeypatch.setattr(watch, "WATCH_SECONDS", 60)
    path = tmp_path / "policy"
    path.write_bytes(b"one")
    async with watching(lambda: [path]) as (read, asked, turn):
        path.write_bytes(b"two")
        asked.set()
        await turn()
        monkeypatch.setattr(watch, "WATCH_SECONDS", 0.01)
        asked.set()
        await turn()
        assert read == [[b"two"], [b"two"]]


async def test_a_file_that_the_policy_names_from_now_on_is_watched(tmp_path):
    first, other = tmp_path / "policy", tmp_path / "ca"
    first.write_bytes(b"one")
    other.write_bytes(b"old")
    files = [first]
    async with watching(lambda: files) as (read, asked, turn):
        files.append(other)
        asked.set()
        await turn()
        other.write_bytes(b"new")
        await turn()
        assert read == [[b"one", b"old"], [b"one", b"new"]]


def test_permissions_and_absence_count(tmp_path):
    path = tmp_path / "key"
    absent = stamps([path])
    path.write_bytes(b"k")
    path.chmod(0o644)
    before = stamps([path])
    path.chmod(0o600)
    assert len({str(one) for one in (absent, before, stamps([path]))}) == 3
