import io
import random
import struct
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.office import PART
from detectors.decoders.zipped import MOST, is_zip, peel
from detectors.model import Gap, Peel
from tests.detectors.decoders.peeling import NUMBER, Plenty, ask, few, gaps, numbers, peels

N = NUMBER.encode()


def zipped(entries, method=zipfile.ZIP_DEFLATED, *, comment=b"", streamed=False, wide=False):
    out = io.BytesIO()
    target = Unseekable(out) if streamed else out
    with zipfile.ZipFile(target, "w", method) as archive:
        archive.comment = comment
        for name, text in entries.items():
            with archive.open(
                zipfile.ZipInfo(name) if method == zipfile.ZIP_STORED else info(name, method), "w", force_zip64=wide
            ) as file:
                file.write(text)
    return out.getvalue()


def info(name, method):
    made = zipfile.ZipInfo(name)
    made.compress_type = method
    return made


class Unseekable:
    """A pipe: zipfile then writes data descriptors behind the entries."""

    def __init__(self, out):
        self.out = out

    def write(self, data):
        return self.out.write(data)

    def flush(self):
        self.out.flush()


def contents(items):
    return {item.path: item.data for item in items if isinstance(item, Peel) and item.path != "names"}


KINDS = {
    "deflated": {},
    "stored": {"method": zipfile.ZIP_STORED},
    "bzip2": {"method": zipfile.ZIP_BZIP2},
    "streamed": {"streamed": True},
    "streamed, stored": {"streamed": True, "method": zipfile.ZIP_STORED},
    "zip64": {"wide": True},
    "zip64, streamed": {"wide": True, "streamed": True},
    "comment": {"comment": b"a comment"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_is_read(kind):
    entries = {"a.txt": b"pan " + N, "dir/b.bin": random.Random(4).randbytes(5000), "empty": b"", "c.xml": b"<a/>"}
    data = zipped(entries, **KINDS[kind])
    found = list(peel(data, ask()))
    assert gaps(found) == []
    assert contents(found) == {name: text for name, text in entries.items() if text}
    assert {item.content_type for item in found if item.path == "c.xml"} == {PART}
    assert {item.codec for item in found} == {"zip"}
    assert all(item.hook.wrap([]) is None for item in found)
    for item in found:
        start, end = item.hook.locate(0, len(item.data))
        assert 0 <= start < end <= len(data)


@few
@given(
    st.dictionaries(
        st.text(alphabet="abc/日.", min_size=1, max_size=9), st.binary(min_size=1, max_size=200), max_size=5
    ),
    st.sampled_from(list(KINDS)),
    numbers,
)
def test_round_trip(entries, kind, number):
    entries = {segment: text for segment, text in entries.items() if not segment.endswith("/")} | {"n": number.encode()}
    found = list(peel(zipped(entries, **KINDS[kind]), ask()))
    assert gaps(found) == []
    assert contents(found) == entries


def test_names_and_comments_are_read_and_paths_do_not_show_them():
    data = zipped({f"{NUMBER}.csv": b"x", "b": b"y"}, comment=b"5555555555554444")
    found = peels(peel(data, ask()))
    (names,) = [item for item in found if item.path == "names"]
    assert N in names.data
    assert b"5555555555554444" in names.data
    assert NUMBER not in "".join(item.path for item in found)


@pytest.mark.parametrize("before", [b"", b"#!/bin/sh\nexec " + N + b"\n", bytes(70_000)])
def test_bytes_around_the_archive_are_looked_at(before):
    data = before + zipped({"a": N})
    assert is_zip(data)
    found = list(peel(data, ask()))
    assert contents(found)["a"] == N
    assert gaps(found) == []
    if before.strip(b"\0"):
        assert contents(found)[""] == before


def without_directory(data):
    return data[: data.index(b"PK\x01\x02")]


def test_a_zip_that_breaks_off_is_read_as_far_as_it_goes():
    data = without_directory(zipped({"a": b"pan " + N, "b": b"two"}))
    found = list(peel(data, ask()))
    assert [gap.reason for gap in gaps(found)] == ["truncated-zip"]
    assert contents(found) == {"a": b"pan " + N, "b": b"two"}
    assert [item.data[-1:] for item in found if isinstance(item, Peel) and item.path == "names"] == [b"a", b"b"]
    cut = list(peel(data[: data.index(b"PK\x03\x04", 5) + 36], ask()))
    assert {gap.reason for gap in gaps(cut)} == {"truncated-zip"}
    assert contents(cut)["a"] == b"pan " + N


def test_entries_that_the_directory_does_not_name_are_read():
    shown, hidden = zipped({"shown": b"nothing here"}), without_directory(zipped({"hidden": b"pan " + N}))
    at = shown.index(b"PK\x01\x02")
    data = bytearray(shown[:at] + hidden + shown[at:])
    end = data.rindex(b"PK\x05\x06")
    data[end + 16 : end + 20] = struct.pack("<L", at + len(hidden))
    found = list(peel(bytes(data), ask()))
    assert contents(found) == {"shown": b"nothing here", "hidden": b"pan " + N}
    assert gaps(found) == []


LIES = {
    "size too small": (20, 3),
    "size too large": (20, 99),
    "plain size": (24, 3),
    "checksum": (16, 1),
    "method": (10, 0),
    "offset": (42, 7),
}


@pytest.mark.parametrize("where", LIES)
def test_a_directory_that_lies_is_a_gap_and_hides_nothing(where):
    data = bytearray(zipped({"a": b"pan " + N + b" " + b"x" * 100}))
    offset, value = LIES[where]
    at = data.index(b"PK\x01\x02") + offset
    data[at : at + 2] = struct.pack("<H", value)
    found = list(peel(bytes(data), ask()))
    assert {gap.reason for gap in gaps(found)} == {"corrupt-zip"}
    assert any(N in item.data for item in found if isinstance(item, Peel))


def test_encrypted_entries_and_unknown_methods_are_gaps():
    data = bytearray(zipped({"a": N * 5, "b": b"plain"}))
    for at in (data.index(b"PK\x03\x04") + 6, data.index(b"PK\x01\x02") + 8):
        data[at] |= 1
    found = list(peel(bytes(data), ask()))
    (gap,) = gaps(found)
    assert gap.reason == "encrypted"
    assert data[gap.start : gap.start + 4] == b"PK\x03\x04"
    assert contents(found) == {"b": b"plain"}
    data = bytearray(zipped({"a": N * 5}))
    for at in (data.index(b"PK\x03\x04") + 8, data.index(b"PK\x01\x02") + 10):
        data[at] = 14
    assert [gap.reason for gap in gaps(peel(bytes(data), ask()))] == ["archive"]


def test_the_size_that_an_entry_claims_is_not_believed():
    bomb = zipped({"a": bytes(5_000_000)})
    child, gap = [
        item for item in peel(bomb, ask(budget=Plenty(limit=100_000))) if isinstance(item, Gap) or item.path == "a"
    ]
    assert (len(child.data), gap.reason) == (100_000, "expanded")
    child, gap = [
        item for item in peel(bomb, ask(budget=Plenty(ratio=20))) if isinstance(item, Gap) or item.path == "a"
    ]
    assert gap.reason == "ratio"


def test_one_entry_named_many_times_is_read_once():
    data = bytearray(zipped({"a": N}))
    at, end = data.index(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    row = data[at:end]
    data[end:end] = row * 500
    end += 500 * len(row)
    data[end + 8 : end + 12] = struct.pack("<HH", 501, 501)
    data[end + 12 : end + 16] = struct.pack("<L", 501 * len(row))
    assert contents(peel(bytes(data), ask())) == {"a": N}


def test_too_many_entries_are_a_gap():
    row = b"PK\x01\x02" + bytes(24) + struct.pack("<H", 1) + bytes(16) + b"a"
    head = b"PK\x03\x04" + bytes(22) + struct.pack("<H", 1) + bytes(2) + b"a"
    data = head + row * (MOST + 2)
    data += b"PK\x05\x06" + bytes(8) + struct.pack("<LL", len(data) - len(head), len(head)) + bytes(2)
    assert list(peel(data, ask())) == [Gap("archive", 0, len(data))]


@pytest.mark.parametrize("data", [b"", b"PK", b"plain text", b"PK is a name", zlib.compress(b"x")])
def test_other_bytes_are_none(data):
    assert not is_zip(data)
    assert list(peel(data, ask())) == []


@pytest.mark.parametrize("magic", [b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"])
def test_a_head_without_an_archive_ends_in_fewer_bytes(magic):
    data = magic + N * 2
    found = list(peel(data, ask()))
    assert [gap.reason for gap in gaps(found)]
    assert all(len(item.data) < len(data) for item in found if isinstance(item, Peel))
    assert any(N in item.data for item in found if isinstance(item, Peel))
