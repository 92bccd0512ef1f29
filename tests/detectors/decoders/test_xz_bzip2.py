import bz2
import lzma
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.compressed import peel
from detectors.decoders.xz_bzip2 import XZ, xzed
from detectors.model import Gap
from tests.detectors.decoders.peeling import MASKED, NUMBER, Plenty, ask, few, gaps, numbers, peels, put

TEXT = b"card " + NUMBER.encode() + b" " + bytes(range(256)) * 40


def alone(data):
    return lzma.compress(data, lzma.FORMAT_ALONE)


FORMS = {
    "bzip2": ("bzip2", bz2.compress, bz2.decompress),
    "xz": ("xz", lzma.compress, lzma.decompress),
    "lzma": ("xz", alone, lzma.decompress),
}


@few
@given(st.sampled_from(list(FORMS)), st.binary(max_size=500), numbers, st.binary(max_size=500))
def test_round_trip(name, before, number, after):
    codec, encode, decode = FORMS[name]
    text = before + b"\0" + number.encode() + b"\0" + after
    data = encode(text)
    (child,) = peels(peel(data, ask()))
    assert (child.codec, child.data) == (codec, text)
    changed = put(data, child, number.encode(), MASKED.encode())
    assert decode(changed) == text.replace(number.encode(), MASKED.encode(), 1)
    assert bool(XZ.match(changed)) == (codec == "xz")
    assert changed[:1] == data[:1]


@pytest.mark.parametrize("name", ["bzip2", "xz"])
def test_all_streams_of_a_file_are_read(name):
    codec, encode, _ = FORMS[name]
    data = encode(b"one ") + encode(NUMBER.encode()) + bytes(8) + encode(b" three")
    (child,) = peels(peel(data, ask()))
    assert (child.codec, child.data) == (codec, b"one " + NUMBER.encode() + b" three")


@pytest.mark.parametrize("name", FORMS)
def test_bytes_behind_the_stream_are_looked_at(name):
    _, encode, _ = FORMS[name]
    data = encode(TEXT) + b"cvv=123 and more"
    child, rest = peels(peel(data, ask()))
    assert child.data == TEXT
    assert (rest.codec, rest.data) == ("", b"cvv=123 and more")


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize(("budget", "reason"), [(Plenty(ratio=10), "ratio"), (Plenty(limit=50_000), "expanded")])
def test_a_bomb_gives_its_beginning(name, budget, reason):
    _, encode, _ = FORMS[name]
    data = encode(NUMBER.encode() + bytes(20_000_000))
    child, gap = peel(data, ask(budget=budget))
    assert gap == Gap(reason, 0, len(data))
    assert len(child.data) == budget.room(len(data))
    assert child.data.startswith(NUMBER.encode())


@pytest.mark.parametrize("name", FORMS)
def test_a_stream_that_breaks_off_is_a_gap(name):
    codec, encode, _ = FORMS[name]
    data = encode(NUMBER.encode() + random.Random(3).randbytes(100_000))[:-5000]
    assert [gap.reason for gap in gaps(peel(data, ask()))] == [f"truncated-{codec}"]
    spoilt = data[:2000] + bytes(200) + data[2200:]
    assert [gap.reason for gap in gaps(peel(spoilt, ask()))] in ([f"corrupt-{codec}"], [f"truncated-{codec}"])


def test_a_dictionary_of_gigabytes_is_not_made():
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
    data = bytearray(lzma.compress(TEXT, lzma.FORMAT_XZ, filters=filters))
    assert xzed(bytes(data), 1 << 20, ask()).data == TEXT
    header = bytearray(lzma.compress(TEXT, lzma.FORMAT_ALONE))
    header[1:5] = (1 << 31).to_bytes(4, "little")
    assert xzed(bytes(header), 1 << 20, ask()).fault == "room"
