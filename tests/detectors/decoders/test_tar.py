import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.tar import is_tar, peel
from detectors.model import Gap, Peel
from tests.detectors.decoders.peeling import MASKED, NUMBER, ask, few, gaps, numbers, peels, put

N = NUMBER.encode()
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def tarred(entries, form=tarfile.PAX_FORMAT, **attributes):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, pax_headers=attributes or None) as archive:
        for name, text in entries.items():
            head = tarfile.TarInfo(name)
            head.size = len(text)
            archive.addfile(head, io.BytesIO(text))
    return out.getvalue()


def contents(items):
    return {item.path: item.data for item in items if isinstance(item, Peel) and item.path != "names"}


@pytest.mark.parametrize("form", FORMATS)
def test_every_entry_is_read(form):
    entries = {"a.txt": b"pan " + N, "dir/b.bin": bytes(range(256)) * 9, "empty": b""}
    data = tarred(entries, FORMATS[form])
    found = list(peel(data, ask()))
    assert gaps(found) == []
    assert contents(found) == {name: text for name, text in entries.items() if text}
    for item in found:
        start, end = item.hook.locate(0, len(item.data))
        assert item.path == "names" or data[start:end] == item.data


@few
@given(
    st.dictionaries(
        st.text(alphabet="abc日_", min_size=1, max_size=60), st.binary(min_size=1, max_size=1200), max_size=4
    ),
    st.sampled_from(list(FORMATS)),
    numbers,
)
def test_round_trip(entries, form, number):
    data = tarred(entries | {"n": b"<" + number.encode() + b">"}, FORMATS[form])
    (child,) = [item for item in peels(peel(data, ask())) if item.data == b"<" + number.encode() + b">"]
    changed = put(data, child, number.encode(), b"*" * len(number))
    with tarfile.open(fileobj=io.BytesIO(changed)) as archive:
        read = {member.name: archive.extractfile(member).read() for member in archive}
    assert read == entries | {"n": b"<" + b"*" * len(number) + b">"}
    assert put(data, child, number.encode(), b"") is None


def test_long_names_name_the_next_entry_and_are_looked_at():
    name = "x" * 120 + NUMBER
    for form in ("gnu", "pax"):
        found = peels(peel(tarred({name: b"one", "b": b"two"}, FORMATS[form]), ask()))
        assert [item.data for item in found if item.path != "names"] == [b"one", b"two"]
        (names,) = [item for item in found if item.path == "names"]
        assert N in names.data
        assert NUMBER not in "".join(item.path for item in found)


def test_attributes_are_looked_at():
    (names,) = [item for item in peels(peel(tarred({"a": b"x"}, comment=NUMBER), ask())) if item.path == "names"]
    assert N in names.data
    assert names.hook.wrap([]) is None


def test_a_number_keeps_its_length_or_is_not_put_back():
    data = tarred({"a": N})
    (child,) = [item for item in peels(peel(data, ask())) if item.path == "a"]
    assert put(data, child, N, MASKED.encode()) == data.replace(N, MASKED.encode())
    assert put(data, child, N, b"***") is None


def test_an_archive_that_breaks_off_or_breaks_is_a_gap():
    data = tarred({"a": N + bytes(2000), "b": b"two"})
    cut = list(peel(data[:1024], ask()))
    assert gaps(cut) == [Gap("truncated-tar", 0, 1024)]
    assert contents(cut)["a"].startswith(N)
    at = data.index(b"two") - 512
    broken = list(peel(data[:at] + b"\xff" + data[at + 1 :], ask()))
    assert [gap.reason for gap in gaps(broken)] == ["corrupt-tar"]
    assert b"two" in contents(broken)[""]


def test_bytes_behind_the_end_are_looked_at():
    data = tarred({"a": b"x"}) + b"pan " + N
    found = list(peel(data, ask()))
    assert contents(found)[""].endswith(b"pan " + N)
    assert gaps(found) == []


@pytest.mark.parametrize("data", [b"", b"a" * 600, bytes(1024), bytes(148) + b"0000000\0" + bytes(400), N * 40])
def test_other_bytes_are_none(data):
    assert not is_tar(data)
    assert list(peel(data, ask())) == []
