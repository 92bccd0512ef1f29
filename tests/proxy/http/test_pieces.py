from __future__ import annotations

import gzip
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.model import Limits
from proxy.http import pieces as module
from proxy.http.pieces import Pieces

LIMITS = Limits(body=2000)
NUMBER = b"4111111111111111"
MASKED = b"411111******1111"
KINDS = ["", "text/event-stream", "application/x-ndjson"]


@pytest.fixture(autouse=True, scope="module")
def small_windows():
    """Pieces of a size that a test can reach often."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "WINDOW", 200)
        patch.setattr(module, "TAIL", 60)
        yield


def passed(pieces, look=lambda _piece: None):
    """What goes on of the pieces that are ready; ``look`` may give other bytes for one."""
    out = b""
    while (piece := pieces.next()) is not None:
        piece.passes(look(piece))
        assert piece.out is not None
        out += piece.out
    return out


def fed(pieces, data, size, look=lambda _piece: None):
    out = b""
    for at in range(0, len(data), size):
        if pieces.over:  # behind a gap nothing is cut any more
            return out + data[at:]
        pieces.take(data[at : at + size])
        out += passed(pieces, look)
    pieces.end()
    return out + passed(pieces, look)


texts = st.lists(
    st.one_of(
        st.binary(max_size=90),
        st.text('ab 12\n,"{}:', max_size=120).map(str.encode),
        st.sampled_from([NUMBER, b"\n", b"\n\n", b"\r\n\r\n", b"x" * 300, b"A1+/" * 40]),
    ),
    max_size=30,
).map(b"".join)


@settings(max_examples=200)
@given(texts, st.sampled_from(KINDS), st.integers(1, 500), st.booleans())
def test_whatever_is_fed_goes_on_unchanged_and_every_number_is_seen_whole(data, kind, size, compressed):
    seen, gaps = [], []
    wire = gzip.compress(data, mtime=0) if compressed else data
    offset = 0

    def look(piece):
        nonlocal offset
        if piece.gap:
            gaps.append(piece.gap)
        new = len(piece.data) - piece.held
        seen.extend(offset + found.start() for found in re.finditer(NUMBER, piece.data) if found.start() < new)
        offset += new

    pieces = Pieces(kind, "gzip" if compressed else "", Limits(body=10_000_000))
    sent = fed(pieces, wire, size, look)
    assert pieces.over
    assert sent == wire
    if gaps:
        return
    if kind:  # a number cut by the end of a line or event is none
        assert set(seen) == {found.start() for found in re.finditer(NUMBER, data)}
    else:
        assert seen == [found.start() for found in re.finditer(NUMBER, data)]


@settings(max_examples=100)
@given(
    texts, st.sampled_from(KINDS), st.integers(1, 500), st.sampled_from([MASKED, b"", b"a longer thing than it was"])
)
def test_what_is_put_instead_goes_on(data, kind, size, instead):
    def look(piece):
        new = len(piece.data) - piece.held
        return re.sub(NUMBER, lambda found: instead if found.start() < new else found[0], piece.data)

    data = b"text " * 60 + data  # nothing that must be read whole
    assert fed(Pieces(kind, "", Limits(body=10_000_000)), data, size, look) == data.replace(NUMBER, instead)


def test_nothing_goes_on_of_a_piece_that_has_not_passed():
    pieces = Pieces("", "", LIMITS)
    pieces.take(b"some text\n" * 100)
    first = pieces.next()
    again = pieces.next()
    assert first.out is None
    assert first.data == again.data
    assert repr(first) == f"Piece({len(first.data)} bytes, {first.held} held)"


def test_a_coded_piece_cannot_be_changed():
    pieces = Pieces("", "gzip", LIMITS)
    pieces.take(gzip.compress(b"text", mtime=0))
    pieces.end()
    piece = pieces.next()
    with pytest.raises(ValueError, match="coded"):
        piece.passes(b"other")
    assert piece.out is None


@pytest.mark.parametrize(
    ("kind", "data"),
    [("", b"A" * 3000), ("text/event-stream", b"data: x" * 500), ("application/jsonl", b'{"a": 1},' * 500)],
    ids=["run", "event", "line"],
)
def test_what_has_no_end_within_the_limit_is_a_gap(kind, data):
    pieces = Pieces(kind, "", LIMITS)
    pieces.take(data)
    piece = pieces.next()
    assert (piece.gap, piece.data) == ("piece-too-large", data)
    piece.passes()
    assert piece.out == data
    assert pieces.next() is None


@pytest.mark.parametrize("charset", ["Shift_JIS", "euc-jp"])
def test_text_in_which_a_byte_can_be_half_a_character_is_cut_at_lines_only(charset):
    line = ("表示" * 20 + "\n").encode(charset)
    pieces = Pieces(f"text/plain; charset={charset}", "", Limits())
    pieces.take(line * 40)
    pieces.end()
    while (piece := pieces.next()) is not None:
        piece.passes()
        assert piece.out.decode(charset).endswith("\n")


@pytest.mark.parametrize("kind", ["application/x-ndjson", "text/event-stream"])
def test_many_at_once_come_in_pieces_of_bounded_size(kind):
    line = b'data: {"a": 1}\n\n'
    for data, coding in ((line * 400, ""), (gzip.compress(line * 400, mtime=0), "gzip")):
        pieces = Pieces(kind, coding, Limits())
        pieces.take(data)
        pieces.end()
        sizes, out = [], b""
        while (piece := pieces.next()) is not None:
            assert piece.data.endswith(b"\n") or not piece.data
            sizes.append(len(piece.data))
            piece.passes()
            out += piece.out
        assert max(sizes) <= 260
        assert out == data


def test_grpc_messages_come_one_by_one():
    messages = [b"\0\0\0\0\5hello", b"\0\0\0\0\0", b"\1\0\0\1\0" + b"x" * 256]
    pieces = Pieces("application/grpc+proto", "", LIMITS)
    pieces.take(b"".join(messages) + b"\0\0\0")
    got = []
    while (piece := pieces.next()) is not None:
        got.append(piece.data)
        piece.passes()
    assert got == messages
    pieces.take(b"\xff\xff")
    assert pieces.next().gap == "piece-too-large"


def test_a_gap_before_the_end_of_a_body_that_is_all_there_is_its_last_piece():
    """The rest will not come again, nor will its end."""
    wire = b"\x1f\x8b\x08" + b"\xff" * 200_000
    pieces = Pieces("", "gzip", LIMITS)
    pieces.take(wire)
    pieces.end()
    piece = pieces.next()
    assert (piece.gap, piece.last) == ("corrupt-gzip", True)
    piece.passes()
    assert piece.out == wire
    assert pieces.over


def test_a_bomb_is_a_gap_before_it_goes_off():
    bomb = gzip.compress(b"\n" * 40_000_000, mtime=0)
    pieces = Pieces("", "gzip", Limits(body=2000, ratio=100))
    pieces.take(bomb)
    gap, size = "", 0
    while (piece := pieces.next()) is not None:
        gap, size = piece.gap, size + len(piece.data)
        piece.passes()
    assert gap == "ratio"
    assert size < 6_000_000


STARTS = {
    "zip": b"PK\x03\x04", "pdf": b"%PDF-1.7", "7z": b"7z\xbc\xaf\x27\x1c", "utf-16": b"\xff\xfea\0", "utf-16be": b"\0a\0b",
    "tar": b"name".ljust(257, b"\0") + b"ustar", "lz4": b"\x04\x22\x4d\x18", "pg_dump": b"PGDMP\x01",
    "ole": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
}  # fmt: skip


@pytest.mark.parametrize("name", STARTS)
@pytest.mark.parametrize("coding", ["", "gzip"])
def test_what_must_be_read_whole_is_a_gap(name, coding):
    data = STARTS[name] + b"\n some text" * 100
    wire = gzip.compress(data, mtime=0) if coding else data
    pieces = Pieces("", coding, LIMITS)
    for at in range(len(wire)):
        pieces.take(wire[at : at + 1])
    pieces.end()
    piece = pieces.next()
    assert piece.gap == "body-too-large"
    piece.passes()
    assert piece.out == wire


@pytest.mark.parametrize("size", [9, 30, 1000])
def test_what_a_coding_skips_is_seen_before_any_of_it_passes(size):
    head = b"\x1f\x8b\x08\x08" + bytes(6)
    wire = head + b"of " + NUMBER + b"\0" + gzip.compress(b"some text " * 30, mtime=0)[10:]
    seen = []

    def look(piece):
        seen.append(piece.beside)
        assert NUMBER in seen[0]

    assert fed(Pieces("", "gzip", LIMITS), wire, size, look) == wire
    assert b"".join(seen).count(NUMBER) == 1


@pytest.mark.parametrize(
    "nothing",
    [b"\0\0\0\xff\xff" * 400_000, gzip.compress(b"", mtime=0) * 100_000],
    ids=["empty blocks", "empty members"],
)
def test_a_body_that_decodes_to_nothing_is_not_kept_without_end(nothing):
    pieces = Pieces("", "gzip", LIMITS)
    start = gzip.compress(b"", mtime=0)[:10] if nothing[:1] == b"\0" else b""
    for at in range(0, len(nothing), 1000):
        pieces.take((start if at == 0 else b"") + nothing[at : at + 1000])
        if (piece := pieces.next()) is not None:
            break
    assert piece.gap == "piece-too-large"
    assert pieces.kept <= 2 * LIMITS.body
