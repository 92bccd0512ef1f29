import random

import pytest

from detectors.decoders.aws_chunked import MOST_PIECES, again, unchunked
from detectors.decoders.compressed import unwrap
from detectors.model import Gap, OutOfTime, Peel
from tests.detectors.decoders.peeling import MASKED, NUMBER, Plenty, ask, holding, peels, put

TEXT = b"order_id,card\r\nROKI-1," + NUMBER.encode() + b"\r\n"
ROOM = 1 << 40


def pieces(*parts: bytes, signed: bool = False, trailers: bytes = b"") -> bytes:
    """As an SDK sends it."""
    sign = b";chunk-signature=" + b"0a" * 32 if signed else b""
    body = b"".join(b"%x%s\r\n%s\r\n" % (len(part), sign, part) for part in parts)
    return body + b"0" + sign + b"\r\n" + trailers + b"\r\n"


CRC = b"x-amz-checksum-crc32:kA/gxA==\r\n"
SENT = {
    "one piece": (pieces(TEXT), True),
    "cut in the number": (pieces(TEXT[:30], TEXT[30:]), True),
    "upper case": (pieces(b"a" * 171, TEXT).replace(b"ab\r\n", b"AB\r\n", 1), True),
    "with a trailer": (pieces(TEXT, trailers=CRC), False),
    "signed": (pieces(TEXT[:30], TEXT[30:], signed=True), False),
    "signed, with a signed trailer": (
        pieces(TEXT, signed=True, trailers=CRC + b"x-amz-trailer-signature:" + b"0b" * 32 + b"\r\n"),
        False,
    ),
    "no empty line at the end": (pieces(TEXT, trailers=CRC)[:-2], False),
}


@pytest.mark.parametrize(("data", "edits"), SENT.values(), ids=list(SENT))
def test_pieces_are_joined(data, edits):
    child = holding(peels(unwrap(data, "aws-chunked", ask())), NUMBER.encode())
    assert (child.codec, child.data.lstrip(b"a")) == ("aws-chunked", TEXT)
    changed = put(data, child, NUMBER.encode(), MASKED.encode())
    assert changed == (again(child.data.replace(NUMBER.encode(), MASKED.encode())) if edits else None)


def test_nothing_in_it():
    assert unchunked(b"0\r\n\r\n", ROOM, ask()).data == b""
    assert again(b"") == b"0\r\n\r\n"
    assert peels(unwrap(b"0\r\n\r\n", "aws-chunked", ask()))[0].data == b""


@pytest.mark.parametrize(
    "data",
    [
        pieces(b"x", trailers=b"x-card:" + NUMBER.encode() + b"\r\n"),
        b"1;card=" + NUMBER.encode() + b"\r\nx\r\n0\r\n\r\n",
    ],
    ids=["trailer", "extension"],
)
def test_what_is_beside_the_pieces_is_read(data):
    assert holding(peels(unwrap(data, "aws-chunked", ask())), NUMBER.encode()).codec == ""


BROKEN = {
    "no length": TEXT,
    "a long length": b"000000004\r\nabcd\r\n0\r\n\r\n",
    "no line end": b"4\nabcd\n0\n\n",
    "shorter than it says": b"8\r\nabcd\r\n0\r\n\r\n",
    "longer than it says": b"2\r\nabcd\r\n0\r\n\r\n",
    "no end": pieces(TEXT)[:-5],
    "broken off": pieces(TEXT)[:-12],
    "something behind it": pieces(TEXT) + b"something",
    "no trailer": pieces(TEXT, trailers=b"no trailer\r\n"),
    "too many pieces": pieces(*[b"4"] * (MOST_PIECES + 1)),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=list(BROKEN))
def test_what_breaks_the_grammar_is_a_gap_and_is_read_as_it_stands(data):
    found = list(unwrap(data, "aws-chunked", ask()))
    assert Gap("bad-content-encoding", 0, len(data)) in found
    assert any(isinstance(item, Peel) and item.codec == "" and item.data == data for item in found)


def test_limits():
    data = pieces(*[b"x" * 1000] * 10)
    got = unchunked(data, 4500, ask())
    assert (len(got.data), got.fault) == (4000, "room")
    with pytest.raises(OutOfTime):
        unchunked(data, ROOM, ask(budget=Plenty(checks=3)))


def test_garbage():
    noise = random.Random(9)
    for _ in range(300):
        data = bytes(noise.choice(b"0123af\r\n;:x ") for _ in range(40))
        got = unchunked(data, ROOM, ask())
        assert got.fault in ("", "corrupt")
        assert got.used <= len(data)
