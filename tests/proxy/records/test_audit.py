from __future__ import annotations

import errno
import json
import os
import resource
import stat
import subprocess
import sys
import textwrap
import threading
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy.records.audit import AuditError, JsonLinesAudit, verify
from proxy.records.chain import head_path
from proxy.records.segments import closed
from tests.proxy.doubles import RecordingAudit

SECRET = b"a key that is only used in tests"
EVENT = {"kind": "retention", "lane": "app-logs", "verdict": "block"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "audit.jsonl"


@pytest.fixture
def sink(path: Path):
    audit = JsonLinesAudit(path, SECRET, now=lambda: datetime(2026, 11, 5, 1, 2, 3, 456789, tzinfo=UTC))
    yield audit
    audit.close()


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def summary(path: Path) -> tuple[bool, int, int]:
    found = verify(path, SECRET)
    return found.ok, found.lines, found.repairs


def test_a_record_is_one_line_with_an_id_and_a_time(sink, path):
    given = sink.append(EVENT)
    (record,) = records(path)
    assert uuid.UUID(given).version == 4
    assert record["id"] == given
    assert record["ts"] == "2026-11-05T01:02:03.456Z"
    assert {name: record[name] for name in EVENT} == EVENT
    assert path.read_bytes().count(b"\n") == 1


def test_the_files_are_for_their_owner_only(sink, path):
    sink.append(EVENT)
    for file in (path, head_path(path)):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_an_empty_file_verifies(sink, path):
    assert summary(path) == (True, 0, 0)


def test_a_restart_continues_the_chain(path):
    for _ in range(3):
        sink = JsonLinesAudit(path, SECRET)
        sink.append(EVENT)
        sink.append(EVENT)
        sink.close()
    assert [record["seq"] for record in records(path)] == [1, 2, 3, 4, 5, 6]
    assert summary(path) == (True, 6, 0)


def test_a_long_file_is_continued_from_its_tail(path, monkeypatch):
    monkeypatch.setattr("proxy.records.audit_end.TAIL", 1000)
    for _ in range(5):
        sink = JsonLinesAudit(path, SECRET)
        for _ in range(3):
            sink.append(EVENT)
        sink.close()
    assert path.stat().st_size > 4000
    assert summary(path) == (True, 15, 0)


def test_threads_share_one_chain(sink, path):
    threads = [threading.Thread(target=lambda: [sink.append(EVENT) for _ in range(20)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert summary(path) == (True, 160, 0)


def test_a_second_writer_is_refused(sink, path):
    with pytest.raises(AuditError, match=r"audit\.jsonl: another process writes it; each needs its own"):
        JsonLinesAudit(path, SECRET)
    sink.append(EVENT)
    assert summary(path) == (True, 1, 0)


def test_a_writer_in_another_process_is_refused(sink, path):
    code = "import sys; from pathlib import Path; from proxy.records.audit import *; JsonLinesAudit(Path(sys.argv[1]), b'k' * 32)"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "AuditError" in done.stderr
    assert "another process writes it" in done.stderr


def test_the_lock_goes_with_the_writer(path):
    JsonLinesAudit(path, SECRET).close()
    second = JsonLinesAudit(path, SECRET)
    with pytest.raises(AuditError):
        JsonLinesAudit(path, SECRET)
    second.close()


def test_a_closed_sink_fails(sink, path):
    sink.append(EVENT)
    sink.close()
    with pytest.raises(AuditError, match="Bad file descriptor"):
        sink.append(EVENT)
    assert summary(path) == (True, 1, 0)


def test_a_file_that_cannot_be_opened_is_told_with_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(AuditError, match=r"Is a directory: name a file that can be written to in audit\.path"):
        JsonLinesAudit(tmp_path, SECRET)
    with pytest.raises(AuditError, match=r"is not a regular file: name another in audit\.path"):
        JsonLinesAudit(Path(os.devnull), SECRET)

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(AuditError, match="Permission denied: the sidecar's user must be able to write it and its dir"):
        JsonLinesAudit(tmp_path / "audit.jsonl", SECRET)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
def test_a_failing_write_is_an_error_and_leaves_no_trace(sink, path, monkeypatch, number):
    sink.append(EVENT)

    def fail(*_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        with pytest.raises(AuditError, match=os.strerror(number)):
            sink.append(EVENT)
    sink.append(EVENT)
    assert [record["seq"] for record in records(path)] == [1, 2]
    assert summary(path) == (True, 2, 0)


def half(monkeypatch, *, undo: bool):
    """``os.write`` stops halfway; ``undo`` says whether the file may be shortened again (no: ``chattr +a``)."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[: len(data) // 2]))
    if not undo:

        def refuse(*_):
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "ftruncate", refuse)


def test_half_a_write_is_taken_back(sink, path, monkeypatch):
    sink.append(EVENT)
    with monkeypatch.context() as patch:
        half(patch, undo=True)
        with pytest.raises(AuditError, match=r"only \d+ of \d+ bytes could be written"):
            sink.append(EVENT)
    assert summary(path) == (True, 1, 0)
    sink.append(EVENT)
    assert summary(path) == (True, 2, 0)


def test_half_writes_that_stay_are_accounted_for(sink, path, monkeypatch):
    sink.append(EVENT)
    with monkeypatch.context() as patch:
        half(patch, undo=False)
        for _ in range(3):  # the record, then the repair record, then another repair record
            with pytest.raises(AuditError):
                sink.append(EVENT)
    sink.append(EVENT)
    assert summary(path) == (True, 6, 1)
    assert [line[:1] for line in path.read_bytes().splitlines()] == [b"{"] * 6


def test_a_sync_that_fails_is_an_error_although_the_line_is_there(sink, path, monkeypatch):
    def fail(_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(AuditError, match="Input/output error"):
            sink.append(EVENT)
    sink.append(EVENT)
    assert summary(path) == (True, 2, 0)


def test_a_full_disk_is_an_error(path):
    code = """
        import resource, sys
        from pathlib import Path
        from proxy.records.audit import AuditError, JsonLinesAudit, verify
        path, secret = Path(sys.argv[1]), sys.argv[2].encode()
        sink = JsonLinesAudit(path, secret)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, resource.RLIM_INFINITY))
        written = failed = 0
        for _ in range(10):
            try:
                sink.append({"kind": "gap"})
                written += 1
            except AuditError as error:
                failed += 1
                assert "could be written" in str(error) or "File too large" in str(error), error
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        sink.append({"kind": "gap"})
        print(written, failed, verify(path, secret).ok, verify(path, secret).lines)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), path, SECRET], capture_output=True, text=True, check=True
    )
    written, failed, ok, lines = done.stdout.split()
    assert int(written) > 0
    assert int(written) + int(failed) == 10
    assert int(failed) > 0
    assert (ok, int(lines)) == ("True", int(written) + 1)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_device_is_no_audit_file(tmp_path):
    with pytest.raises(AuditError, match="is not a regular file"):
        JsonLinesAudit(Path("/dev/full"), SECRET)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AuditError, match="is not a regular file"):
        JsonLinesAudit(tmp_path / "pipe", SECRET)


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError, match=r"audit\.jsonl: (Not a directory|File exists)"):
        JsonLinesAudit(tmp_path / "file" / "audit.jsonl", SECRET)


TORN = [
    ("half a line", lambda line: line[:50]),
    ("one byte", lambda line: line[:1]),
    ("all but the last byte", lambda line: line[:-2]),
    ("zeros, as some file systems leave", lambda line: b"\0" * 80),
    ("a line of nobody", lambda line: b"hello\n"),
]


@pytest.mark.parametrize("torn", [row[1] for row in TORN], ids=[row[0] for row in TORN])
def test_a_torn_last_line_stays_and_is_accounted_for(path, torn):
    sink = JsonLinesAudit(path, SECRET)
    for _ in range(2):
        sink.append(EVENT)
    sink.close()
    before = path.read_bytes()
    left = torn(before.splitlines(keepends=True)[0])
    path.write_bytes(before + left)
    sink = JsonLinesAudit(path, SECRET)
    sink.append(EVENT)
    sink.close()
    assert path.read_bytes().startswith(before + left)
    repair, event = (json.loads(line) for line in path.read_bytes().splitlines()[3:])
    assert (repair["kind"], repair["seq"], event["seq"]) == ("repair", 3, 4)
    (gap,) = repair["gaps"]
    assert (gap["reason"], gap["start"], gap["end"]) == (
        "torn-line",
        len(before),
        len(before) + len(left.rstrip(b"\n")),
    )
    assert summary(path) == (True, 5, 1)
    path.write_bytes(path.read_bytes().replace(left, left[:-1] + b"#" if len(left) == 1 else b"#" + left[1:], 1))
    assert not verify(path, SECRET).ok


def test_a_line_whose_end_was_lost_is_completed(path):
    sink = JsonLinesAudit(path, SECRET)
    sink.append(EVENT)
    sink.close()
    path.write_bytes(path.read_bytes()[:-1])
    sink = JsonLinesAudit(path, SECRET)
    sink.append(EVENT)
    sink.close()
    assert summary(path) == (True, 2, 0)


def test_a_crash_between_line_and_head_is_no_damage(path):
    sink = JsonLinesAudit(path, SECRET)
    sink.append(EVENT)
    head = head_path(path).read_bytes()
    sink.append(EVENT)
    sink.close()
    head_path(path).write_bytes(head)
    assert summary(path) == (True, 2, 0)
    sink = JsonLinesAudit(path, SECRET)
    sink.append(EVENT)
    sink.close()
    assert summary(path) == (True, 3, 0)


ENDS = [
    (
        "last line altered",
        lambda path: path.write_bytes(path.read_bytes().replace(b'"seq":3', b'"seq":9')),
        "altered or removed",
    ),
    (
        "last line removed",
        lambda path: path.write_bytes(b"".join(path.read_bytes().splitlines(True)[:2])),
        "altered or removed",
    ),
    ("all removed", lambda path: path.write_bytes(b""), "altered or removed"),
    ("file removed", lambda path: path.unlink(), "altered or removed"),
    ("head removed", lambda path: head_path(path).unlink(), r"audit\.jsonl\.head is gone"),
    ("head emptied", lambda path: head_path(path).write_bytes(b""), "altered or removed"),
]


@pytest.mark.parametrize(("tamper", "why"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS])
def test_a_broken_end_is_not_continued(path, tamper, why):
    sink = JsonLinesAudit(path, SECRET)
    for _ in range(3):
        sink.append(EVENT)
    sink.close()
    tamper(path)
    before = path.read_bytes() if path.exists() else b""
    with pytest.raises(AuditError, match=why + r".*sekisho audit verify.*move both files away"):
        JsonLinesAudit(path, SECRET)
    assert path.read_bytes() == before


def test_a_file_of_another_key_is_not_continued(path):
    sink = JsonLinesAudit(path, SECRET)
    sink.append(EVENT)
    sink.close()
    with pytest.raises(AuditError, match="written with another key"):
        JsonLinesAudit(path, b"some other key, of another place")


def test_a_file_deleted_in_use_is_an_error(sink, path):
    sink.append(EVENT)
    path.unlink()
    with pytest.raises(AuditError, match="was deleted while in use"):
        sink.append(EVENT)


def test_a_look_finds_a_file_deleted_in_use(sink, path):
    sink.append(EVENT)
    path.unlink()
    assert sink.look() == f"audit file {path}: was deleted while in use"


def test_a_file_cut_in_use_is_an_error(sink, path):
    sink.append(EVENT)
    os.truncate(path, 10)
    with pytest.raises(AuditError, match=r"was cut while in use, \d+ bytes are gone"):
        sink.append(EVENT)


def test_after_records_were_lost_a_look_goes_on_and_says_how_many(sink, path, monkeypatch):
    """Nobody need send a message for it, and a look that finds nothing lost writes nothing."""
    sink.append(EVENT)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
        for _ in range(2):
            with pytest.raises(AuditError):
                sink.append(EVENT)
        assert sink.look() == f"audit file {path}: No space left on device: make room on its disk" == sink.outage.why
    assert (sink.look(), sink.look(), sink.outage.why) == ("", "", "")
    now = "2026-11-05T01:02:03.456Z"
    assert [record.get("outage") for record in records(path)] == [None, {"since": now, "until": now, "lost": 2}]
    assert summary(path) == (True, 2, 0)


def test_a_message_that_could_be_recorded_again_is_the_end_of_an_outage(sink, path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
        with pytest.raises(AuditError):
            sink.append(EVENT)
    assert sink.outage.why == f"audit file {path}: Input/output error"
    sink.append(EVENT)
    assert sink.outage.why == ""
    assert sink.look() == ""
    assert [record["kind"] for record in records(path)] == ["retention", "outage"]


def test_the_double_keeps_events_and_fails_on_demand():
    sink = RecordingAudit()
    given = sink.append(EVENT)
    assert sink.events == [{"id": given, **EVENT}]
    sink.error = AuditError("full")
    with pytest.raises(AuditError):
        sink.append(EVENT)
    assert len(sink.events) == 1


class Days:
    """An audit file whose day a test can end."""

    def __init__(self, path: Path, keep: int | None = None) -> None:
        self.path, self.keep = path, keep
        self.time = datetime(2026, 11, 5, 12, tzinfo=UTC)

    def open(self) -> JsonLinesAudit:
        return JsonLinesAudit(self.path, SECRET, keep_days=self.keep, now=lambda: self.time)

    def after(self, days: int) -> None:
        """Writes two records a day, today and on the days after it; files look as old as they are."""
        sink = self.open()
        for _ in range(days):
            sink.append(EVENT)
            sink.append(EVENT)
            for file in self.path.parent.glob("*.jsonl"):
                last = json.loads(file.read_bytes().splitlines()[-1])["ts"]
                os.utime(file, (datetime.fromisoformat(last).timestamp(),) * 2)
            self.time += timedelta(days=1)
        sink.close()

    def names(self) -> list[str]:
        return sorted(file.name for file in self.path.parent.iterdir() if ".head" not in file.name)


def test_each_day_has_its_file_and_the_chain_goes_on(path):
    days = Days(path)
    days.after(3)
    assert days.names() == ["audit-2026-11-05.jsonl", "audit-2026-11-06.jsonl", "audit.jsonl"]
    first, second, third = (records(path.parent / name) for name in days.names())
    assert [[line["kind"] for line in lines] for lines in (first, second, third)] == [
        ["retention", "retention"],
        ["anchor", "retention", "retention"],
        ["anchor", "retention", "retention"],
    ]
    assert [line["seq"] for line in [*first, *second, *third]] == list(range(1, 9))
    assert second[0]["anchor"] == {"seq": 2, "hash": first[-1]["hash"], "ts": first[-1]["ts"]}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = verify(path, SECRET)
    assert (found.ok, found.lines, found.files, found.first_seq) == (True, 8, 3, 1)


def test_what_is_old_enough_is_removed_and_the_rest_verifies_from_its_anchor(path):
    days = Days(path, keep=2)
    days.after(6)
    assert days.names() == ["audit-2026-11-08.jsonl", "audit-2026-11-09.jsonl", "audit.jsonl"]
    found = verify(path, SECRET)
    assert (found.ok, found.files, found.since[:10]) == (True, 3, "2026-11-08")
    expired = [
        line["anchor"] for name in days.names() for line in records(path.parent / name) if line["kind"] == "expiry"
    ]
    assert expired[-1]["file"] == "audit-2026-11-07.jsonl"
    assert expired[-1]["seq"] == found.first_seq - 1
    days.time += timedelta(days=30)
    days.open().close()  # at start, too
    assert days.names() == ["audit.jsonl"]
    assert verify(path, SECRET).ok


def test_without_a_word_nothing_expires(path):
    days = Days(path)
    days.after(5)
    assert len(days.names()) == 5


STEPS = ["rename", "open", "write", "fdatasync", "pwrite", "unlink"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("number", range(1, 5))
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_killed_at_any_step_the_chain_goes_on(path, step, number, done):
    """The process is killed before or after one of the calls that change what is on the disk, as a day ends."""
    Days(path, keep=1).after(3)
    code = """
        import os, signal, sys
        from datetime import UTC, datetime
        from pathlib import Path
        from proxy.records import audit
        path, secret, step, number, done = Path(sys.argv[1]), sys.argv[2].encode(), sys.argv[3], int(sys.argv[4]), sys.argv[5]
        sink = audit.JsonLinesAudit(path, secret, keep_days=1, now=lambda: datetime(2026, 11, 9, tzinfo=UTC))
        real, calls = getattr(os, step), []
        def deadly(*given, **named):
            calls.append(step)
            if len(calls) == number and done == "False": os.kill(os.getpid(), signal.SIGKILL)
            result = real(*given, **named)
            if len(calls) == number: os.kill(os.getpid(), signal.SIGKILL)
            return result
        setattr(os, step, deadly)
        sink.append({"kind": "gap"})
    """
    arguments = [path, SECRET, step, str(number), str(done)]
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(code), *arguments], capture_output=True, check=False)
    assert ended.returncode in (0, -9), ended.stderr.decode()
    if path.exists():
        found = verify(path, SECRET)
        assert found.ok or path.stat().st_size == 0, found
    days = Days(path, keep=1)
    days.time = datetime(2026, 11, 9, 13, tzinfo=UTC)
    days.after(1)
    found = verify(path, SECRET)
    assert found.ok, found
    lines = [line for name in days.names() for line in (path.parent / name).read_bytes().splitlines()]
    assert len(lines) == found.lines
    assert not list(path.parent.glob("*.new"))


def test_renamed_by_somebody_else_under_load(path):
    """As logrotate does it, whether or not it makes an empty file in its place."""
    sink = JsonLinesAudit(path, SECRET)
    go_on = threading.Event()
    written = []

    def write():
        while not go_on.is_set() or len(written) < 200:
            written.append(sink.append(EVENT))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(1, 6):
        while not path.exists() or not path.stat().st_size:
            pass
        path.rename(path.with_name(f"audit.jsonl.{number}"))
        if number % 2:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        assert verify(path, SECRET).ok
    go_on.set()
    for thread in threads:
        thread.join()
    sink.append(EVENT)
    sink.close()
    found = verify(path, SECRET)
    assert (found.ok, found.files) == (True, 6)
    kept = {line["id"] for file in [path, *closed(path)] for line in records(file)}
    assert set(written) <= kept


def test_renamed_while_nobody_writes(path):
    for number in (1, 2):
        sink = JsonLinesAudit(path, SECRET)
        sink.append(EVENT)
        sink.close()
        with path.open("ab") as file:
            file.write(b"half a li")  # it died in the midst of it
        path.rename(path.with_name(f"audit.jsonl.{number}"))
    sink = JsonLinesAudit(path, SECRET)
    sink.append(EVENT)
    sink.close()
    found = verify(path, SECRET)
    assert (found.ok, found.files, found.repairs) == (True, 3, 2)


def test_another_file_in_its_place_is_not_written_to(sink, path):
    sink.append(EVENT)
    path.rename(path.with_name("audit.jsonl.1"))
    path.write_bytes(b"somebody else's\n")
    with pytest.raises(AuditError, match="was replaced while in use"):
        sink.append(EVENT)
    assert path.read_bytes() == b"somebody else's\n"


def test_a_file_that_must_not_be_renamed_is_gone_on_with(path, monkeypatch, caplog):
    days = Days(path)
    sink = days.open()
    sink.append(EVENT)

    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "rename", refuse)  # chattr +a
    days.time += timedelta(days=1)
    sink.append(EVENT)
    sink.append(EVENT)
    sink.close()
    assert summary(path) == (True, 3, 0)
    assert len(caplog.records) == 1


def test_a_disk_that_is_full_at_midnight(path, monkeypatch):
    days = Days(path)
    sink = days.open()
    sink.append(EVENT)
    days.time += timedelta(days=1)
    with monkeypatch.context() as patch:
        half(patch, undo=True)
        for _ in range(2):
            with pytest.raises(AuditError):
                sink.append(EVENT)
    sink.append(EVENT)
    sink.close()
    assert verify(path, SECRET).ok
    assert days.names() == ["audit-2026-11-05.jsonl", "audit.jsonl"]
    assert [line["kind"] for line in records(path)] == ["anchor", "retention"]


def test_the_last_records_are_in_memory_as_they_stand_in_the_file(path, monkeypatch):
    sink = JsonLinesAudit(path, SECRET)
    ids = [sink.append({"kind": "gap", "lane": f"lane-{number}"}) for number in range(3)]
    assert sink.recent.after() == [json.loads(line) for line in path.read_text().splitlines()]
    assert sink.recent.find(ids[1])["lane"] == "lane-1"
    monkeypatch.setattr(os, "fdatasync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(AuditError):
        sink.append({"kind": "gap"})
    assert sink.recent.last == 3
    sink.close()
