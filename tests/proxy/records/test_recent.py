from __future__ import annotations

import json
import threading

from proxy.records.recent import Recent


def line(seq: int, size: int = 0) -> bytes:
    return json.dumps({"seq": seq, "id": f"id-{seq}", "path": "x" * size}).encode() + b"\n"


def filled(*seqs: int, **bounds: int) -> Recent:
    recent = Recent(**bounds)
    for seq in seqs:
        recent.add(seq, f"id-{seq}", line(seq))
    return recent


def test_a_record_is_found_by_its_id():
    assert filled(1, 2).find("id-2") == {"seq": 2, "id": "id-2", "path": ""}
    assert filled(1, 2).find("id-3") is None


def test_records_come_oldest_first_and_after_a_number():
    recent = filled(1, 2, 3)
    assert [record["seq"] for record in recent.after()] == [1, 2, 3]
    assert [record["seq"] for record in recent.after(2)] == [3]
    assert (recent.last, Recent().last) == (3, 0)


def test_only_so_many_are_kept():
    recent = filled(1, 2, 3, 4, most=2)
    assert [record["seq"] for record in recent.after()] == [3, 4]
    assert recent.find("id-1") is None


def test_only_so_many_bytes_are_kept():
    recent = Recent(most_bytes=1000)
    for seq in range(1, 6):
        recent.add(seq, f"id-{seq}", line(seq, size=400))
    assert [record["seq"] for record in recent.after()] == [4, 5]
    recent.add(6, "id-6", line(6, size=4000))
    assert recent.after() == []
    recent.add(7, "id-7", line(7))
    assert [record["seq"] for record in recent.after()] == [7]


def test_a_listener_is_told_until_it_goes():
    recent, told = filled(1), []
    with recent.listening(lambda: told.append(recent.last)):
        recent.add(2, "id-2", line(2))
    recent.add(3, "id-3", line(3))
    assert told == [2]


def test_a_listener_that_fails_costs_neither_record_nor_other_listeners():
    recent, told = Recent(), []

    def fail() -> None:
        raise RuntimeError

    with recent.listening(fail), recent.listening(lambda: told.append(recent.last)):
        recent.add(1, "id-1", line(1))
    assert (told, recent.last) == ([1], 1)


def test_several_threads_may_write_while_another_reads():
    recent = Recent(most=50)

    def write() -> None:
        for seq in range(2000):
            recent.add(seq, f"id-{seq}", line(seq))

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert len(recent.after(-1)) <= 50
    for writer in writers:
        writer.join()
    assert len(recent.after(-1)) == 50
