from __future__ import annotations

import asyncio
import errno
import logging
import os
from types import SimpleNamespace

import pytest

from proxy.records import outage
from proxy.records.outage import COUNTED, need_room, watch
from tests.proxy.doubles import RecordingMeter

ROOM = {"f_flag": 0, "f_blocks": 9, "f_bavail": 3, "f_bfree": 5}
DISKS = [
    ("room", {}, 1000, None),
    ("full", {"f_bavail": 0, "f_bfree": 0}, 1000, errno.ENOSPC),
    ("what is left is root's", {"f_bavail": 0}, 1000, errno.ENOSPC),
    ("what is left is root's, and so are we", {"f_bavail": 0}, 0, None),
    ("a file system that does not count", {"f_blocks": 0, "f_bavail": 0, "f_bfree": 0}, 1000, None),
    ("read-only", {"f_flag": os.ST_RDONLY}, 1000, errno.EROFS),
]


@pytest.mark.parametrize(("disk", "user", "number"), [row[1:] for row in DISKS], ids=[row[0] for row in DISKS])
def test_room(monkeypatch, disk, user, number):
    monkeypatch.setattr(os, "fstatvfs", lambda _: SimpleNamespace(**ROOM | disk))
    monkeypatch.setattr(os, "geteuid", lambda: user)
    if number is None:
        need_room(0)
        return
    with pytest.raises(OSError, match=os.strerror(number)) as raised:
        need_room(0)
    assert raised.value.errno == number


async def test_the_alarm_rings_on_and_the_log_says_it_once(monkeypatch, caplog):
    """Also while nobody sends anything that is to be recorded."""
    meter, said = RecordingMeter(), ["", *["the disk is full"] * 2 * COUNTED, "", ""]
    looks = iter(said)
    over = asyncio.Event()

    async def look() -> str:
        if (found := next(looks, None)) is None:
            over.set()
            await asyncio.Event().wait()
        return found

    monkeypatch.setattr(outage, "LOOK_SECONDS", 0)
    watching = asyncio.create_task(watch(look, meter))
    with caplog.at_level(logging.WARNING, "sekisho"):
        await over.wait()
    watching.cancel()
    assert meter.calls == [("audit_error",)] * 2
    assert [record.getMessage() for record in caplog.records] == [
        "the disk is full",
        "audit records can be written again",
    ]
