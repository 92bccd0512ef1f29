import zlib

import pytest

from detectors.decoders.pdf import is_pdf, peel
from detectors.model import Gap, Peel
from tests.detectors.decoders.peeling import NUMBER, Plenty, ask, holding

N = NUMBER.encode()


def pdf(*streams):
    out = [b"%PDF-1.7\n"]
    for n, text in enumerate(streams):
        packed = zlib.compress(text)
        out.append(
            b"%d 0 obj\n<</Length %d/Filter/FlateDecode>>\nstream\n%b\nendstream\nendobj\n"
            % (n + 1, len(packed), packed)
        )
    return b"".join((*out, b"trailer\n<</Info (title)>>\n%%EOF"))


def test_streams_are_looked_into_and_the_whole_stays_a_gap():
    data = pdf(b"BT (nothing) Tj ET", b"BT (" + N + b") Tj ET")
    found = list(peel(data, ask()))
    child = holding(found, N)
    assert child.codec == "pdf"
    start, end = child.hook.locate(0, 1)
    assert zlib.decompress(data[start:end].rstrip(b"\n")) == child.data
    assert child.hook.wrap([]) is None
    assert found[-1] == Gap("archive", 0, len(data))


def test_the_file_is_looked_at_as_it_stands_without_being_a_pdf_again():
    (whole,) = [item for item in peel(pdf(b"x"), ask()) if isinstance(item, Peel) and not item.codec]
    assert b"(title)" in whole.data
    assert not is_pdf(whole.data)


def test_a_stream_within_its_room():
    found = list(peel(pdf(bytes(1_000_000)), ask(budget=Plenty(limit=1000))))
    assert len(next(item for item in found if isinstance(item, Peel) and item.codec).data) == 1000


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7 plain", b"/Filter", b"a" * 2000 + b"%PDF-1.7 /Filter"])
def test_other_bytes_are_none(data):
    assert not is_pdf(data)
    assert list(peel(data, ask())) == []
