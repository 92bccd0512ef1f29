import bz2
import gzip
import lzma
import random
import zlib

import brotli
import cramjam
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.compressed import CODINGS, MOST_CODINGS, announces, codings, peel, peel_encoding, unwrap
from detectors.model import Gap
from tests.detectors.decoders.peeling import MASKED, NUMBER, Plenty, ask, few, gaps, holding, numbers, peels, put

TEXT = b"card " + NUMBER.encode() + b" " + bytes(range(256)) * 40


def raw_deflate(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def unchunk(data):
    size, _, rest = data.partition(b"\r\n")
    end = int(size, 16)
    return rest[:end] + unchunk(rest[end + 2 :]) if end else b""


def zstd_of_unknown_size(data):
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(data) + packer.flush()


ENCODERS = {
    "gzip": (gzip.compress, gzip.decompress),
    "deflate": (zlib.compress, zlib.decompress),
    "raw deflate": (raw_deflate, lambda data: zlib.decompress(data, -15)),
    "br": (brotli.compress, brotli.decompress),
    "zstd": (zstandard.ZstdCompressor().compress, lambda data: zstandard.ZstdDecompressor().decompress(data)),
    "zstd stream": (zstd_of_unknown_size, lambda data: zstandard.ZstdDecompressor().stream_reader(data).read()),
}
LABELS = {"raw deflate": "deflate", "zstd stream": "zstd"}
STREAMS = [(LABELS.get(name, name), *pair) for name, pair in ENCODERS.items()]
STREAM_NAMES = list(ENCODERS)
BLOCKS = {
    "snappy": (
        lambda data: bytes(cramjam.snappy.compress_raw(data)),
        lambda data: bytes(cramjam.snappy.decompress_raw(data)),
    ),
    "bzip2": (bz2.compress, bz2.decompress),
    "xz": (lzma.compress, lzma.decompress),
}
ENCODERS |= BLOCKS | {"aws-chunked": (lambda data: b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data), unchunk)}
ALL = STREAMS + [(name, *ENCODERS[name]) for name in (*BLOCKS, "aws-chunked")]


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("", ()), ("identity", ()), ("gzip", ("gzip",)), (" GZip ", ("gzip",)), ("x-gzip", ("gzip",)),
        ("gzip, br", ("br", "gzip")), ("gzip,,identity , BR", ("br", "gzip")), ("foo", ("foo",)),
    ],
)  # fmt: skip
def test_header(header, names):
    assert codings(header) == names


@pytest.mark.parametrize(("label", "encode", "decode"), ALL, ids=ENCODERS)
def test_one_coding(label, encode, decode):
    data = encode(TEXT)
    (child,) = peels(unwrap(data, label.upper(), ask()))
    assert (child.codec, child.data) == (label, TEXT)
    assert child.hook.locate(5, 21) == (0, len(data))
    assert decode(put(data, child, NUMBER.encode(), b"removed")) == TEXT.replace(NUMBER.encode(), b"removed")


@few
@given(st.sampled_from(ALL), st.binary(max_size=2000), numbers, st.binary(max_size=2000))
def test_round_trip(coding, before, number, after):
    label, encode, decode = coding
    text = before + b"\0" + number.encode() + b"\0" + after
    data = encode(text)
    (child,) = peels(unwrap(data, label, ask()))
    assert child.data == text
    assert decode(put(data, child, number.encode(), MASKED.encode())) == text.replace(
        number.encode(), MASKED.encode(), 1
    )


@pytest.mark.parametrize("header", ["", "identity", "gzip", "foo", "gzip, br"])
def test_an_empty_body_has_nothing_in_it(header):
    assert list(unwrap(b"", header, ask())) == []


def test_a_body_without_codings_is_left_to_the_caller():
    assert list(unwrap(TEXT, "identity", ask())) == []


def test_codings_in_a_list_come_off_together():
    data = brotli.compress(gzip.compress(TEXT, mtime=0))
    (child,) = peels(unwrap(data, "gzip, br", ask()))
    assert (child.codec, child.data) == ("br+gzip", TEXT)
    changed = put(data, child, NUMBER.encode(), MASKED.encode())
    assert gzip.decompress(brotli.decompress(changed)) == TEXT.replace(NUMBER.encode(), MASKED.encode())


@pytest.mark.parametrize("header", ["foo", "compress", "foo, foo"])
def test_an_unknown_coding_is_a_gap(header):
    assert list(unwrap(TEXT, header, ask())) == [Gap("unknown-content-encoding", 0, len(TEXT))]


def test_what_is_around_an_unknown_coding_comes_off():
    data = gzip.compress(TEXT, mtime=0)
    child, gap = unwrap(data, "compress, gzip", ask())
    assert (child.codec, child.data) == ("gzip", TEXT)
    assert put(data, child, NUMBER.encode(), b"") is None
    assert gap == Gap("unknown-content-encoding", 0, len(data))


def test_a_list_of_codings_has_an_end():
    assert list(unwrap(TEXT, ", ".join(["gzip"] * (MOST_CODINGS + 1)), ask())) == [Gap("depth", 0, len(TEXT))]


@pytest.mark.parametrize("label", CODINGS)
def test_a_label_that_lies_is_a_gap_and_the_bytes_are_still_looked_at(label):
    body = b'{"card": "' + NUMBER.encode() + b'", "note": "' + b"n" * 100 + b'"}'
    found = list(unwrap(body, label, ask()))
    assert found[-1] == Gap("bad-content-encoding", 0, len(body))
    child = holding(found, NUMBER.encode())
    assert (child.codec, child.data) == ("", body)


@pytest.mark.parametrize(("label", "encode", "decode"), STREAMS, ids=STREAM_NAMES)
def test_a_truncated_stream_gives_what_was_decoded(label, encode, decode):
    data = encode(NUMBER.encode() + random.Random(3).randbytes(300_000))[:-100_000]
    child, gap = unwrap(data, label, ask())
    assert gap == Gap(f"truncated-{label}", 0, len(data))
    assert child.data.startswith(NUMBER.encode())
    assert child.hook.wrap([]) is None


@pytest.mark.parametrize(("label", "spoil"), [("gzip", -6), ("deflate", -2)])
def test_a_wrong_checksum_hides_nothing(label, spoil):
    data = bytearray(ENCODERS[label][0](TEXT))
    data[spoil] ^= 1
    child, rest, gap = unwrap(bytes(data), label, ask())
    assert child.data == TEXT
    assert child.hook.wrap([]) is None
    assert (rest.codec, rest.data) == ("", bytes(data))
    assert gap.reason == "bad-content-encoding"


def test_all_members_of_a_gzip_file_are_read():
    data = b"".join(gzip.compress(piece, mtime=0) for piece in (b"one", NUMBER.encode(), b"", b"three")) + bytes(9)
    (child,) = peels(unwrap(data, "gzip", ask()))
    assert child.data == b"one" + NUMBER.encode() + b"three"
    assert gzip.decompress(put(data, child, NUMBER.encode(), b"two")) == b"onetwothree"


def gzip_with_header(flags, fields):
    return b"\x1f\x8b\x08" + bytes((flags,)) + bytes(6) + fields + gzip.compress(TEXT, mtime=0)[10:]


@pytest.mark.parametrize(
    ("flags", "fields"),
    [
        (8, NUMBER.encode() + b"\0"),
        (16, NUMBER.encode() + b"\0"),
        (4, b"\x14\x00AB\x10\x00" + NUMBER.encode()),
        (4 | 8 | 16 | 1, b"\x02\x00ABname\0" + NUMBER.encode() + b"\0"),
    ],
)
def test_the_header_of_a_member_is_looked_at_and_stays(flags, fields):
    data = gzip_with_header(flags, fields)
    child, beside = peels(unwrap(data, "gzip", ask()))
    assert child.data == TEXT
    assert beside.data == fields
    changed = put(data, child, NUMBER.encode(), b"*")
    assert changed[: 10 + len(fields)] == data[: 10 + len(fields)]
    assert gzip.decompress(changed) == TEXT.replace(NUMBER.encode(), b"*")
    assert gzip.decompress(put(data, beside, NUMBER.encode(), b"*" * 16)) == TEXT


def test_a_header_with_a_checksum_is_skipped_over():
    head = b"\x1f\x8b\x08\x0a" + bytes(6) + b"n\0"
    data = head + (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little") + gzip.compress(TEXT, mtime=0)[10:]
    child = holding(unwrap(data, "gzip", ask()), NUMBER.encode())
    assert gzip.decompress(put(data, child, NUMBER.encode(), b"*")) == TEXT.replace(NUMBER.encode(), b"*")


def test_names_inside_what_would_be_encoded_again_cannot_be_kept():
    data = gzip.compress(b"one", mtime=0) + gzip_with_header(8, b"name\0")
    child, beside = peels(unwrap(data, "gzip", ask()))
    assert (child.data, beside.data) == (b"one" + TEXT, b"name\0")
    assert child.hook.wrap([]) is None


def test_members_after_padding_are_read():
    data = gzip.compress(b"one", mtime=0) + bytes(5) + gzip.compress(b"two", mtime=0)
    assert [peel.data for peel in peels(unwrap(data, "gzip", ask()))] == [b"onetwo"]


@pytest.mark.parametrize(("label", "encode", "decode"), STREAMS, ids=STREAM_NAMES)
def test_bytes_behind_the_stream_are_looked_at(label, encode, decode):
    data = encode(TEXT) + b"cvv=123 " + NUMBER.encode()
    child, rest = peels(unwrap(data, label, ask()))
    assert child.data == TEXT
    assert (rest.codec, rest.data) == ("", b"cvv=123 " + NUMBER.encode())
    assert rest.hook.locate(0, len(rest.data)) == (len(data) - len(rest.data), len(data))
    changed = put(data, child, NUMBER.encode(), b"")
    assert changed.endswith(b"cvv=123 " + NUMBER.encode())


def test_a_member_that_is_none_is_looked_at():
    data = gzip.compress(TEXT, mtime=0) + b"\x1f\x8b" + NUMBER.encode()
    *children, gap = unwrap(data, "gzip", ask())
    assert children[0].data == TEXT
    assert children[-1].data == data
    assert gap.reason == "bad-content-encoding"


def test_all_frames_of_a_zstd_stream_are_read_and_what_lies_between_them():
    skipped = b"\x50\x2a\x4d\x18" + (16).to_bytes(4, "little") + NUMBER.encode()
    data = zstandard.compress(b"one") + skipped + zstandard.compress(b"two")
    child, beside = peels(unwrap(data, "zstd", ask()))
    assert child.data == b"onetwo"
    assert child.hook.wrap([]) is None
    assert beside.data.endswith(NUMBER.encode())
    assert peels(unwrap(zstandard.compress(b"one") + zstandard.compress(b"two"), "zstd", ask()))[0].data == b"onetwo"


@pytest.mark.parametrize(("label", "encode", "decode"), STREAMS, ids=STREAM_NAMES)
@pytest.mark.parametrize(("budget", "reason"), [(Plenty(ratio=10), "ratio"), (Plenty(limit=50_000), "expanded")])
def test_a_bomb_gives_its_beginning(label, encode, decode, budget, reason):
    data = encode(NUMBER.encode() + bytes(4_000_000))
    child, gap = unwrap(data, label, ask(budget=budget))
    assert gap == Gap(reason, 0, len(data))
    assert len(child.data) == budget.room(len(data))
    assert child.data.startswith(NUMBER.encode()[: len(child.data)])
    assert child.hook.wrap([]) is None


def test_a_bomb_of_exactly_the_room_there_is_passes():
    data = gzip.compress(bytes(50_000), mtime=0)
    (child,) = peels(unwrap(data, "gzip", ask(budget=Plenty(limit=50_000))))
    assert child.data == bytes(50_000)


def test_magic_is_enough():
    for label in ("gzip", "deflate", "zstd"):
        (child,) = peels(peel(ENCODERS[label][0](TEXT), ask()))
        assert (child.codec, child.data) == (label, TEXT)


@pytest.mark.parametrize("data", [b"", b"x", b"x^2 + y^2 = z^2, as is known", b"x\x9c no", b"hello", b"H\x89 hi", TEXT])
def test_text_that_begins_like_compression_is_text(data):
    assert list(peel(data, ask())) == []


@pytest.mark.parametrize(("label", "fault"), [("gzip", "truncated"), ("zstd", "truncated"), ("deflate", "truncated")])
def test_broken_compression_known_by_magic_is_a_gap(label, fault):
    data = ENCODERS[label][0](TEXT * 9 + bytes(range(255, 0, -1)) * 99)[:-4]
    assert [gap.reason for gap in gaps(peel(data, ask()))] == [f"{fault}-{label}"]
    assert [gap.reason for gap in gaps(peel(b"\x1f\x8b\x08" + b"?" * 40, ask()))] == ["corrupt-gzip"]


def test_a_row_decodes_what_it_encodes():
    for name, (_, again) in CODINGS.items():
        packed = again(ENCODERS[name][0](TEXT))(b"edited")
        assert [peel.data for peel in peels(peel_encoding(packed, name, ask()))] == [b"edited"]


@pytest.mark.parametrize("name", BLOCKS)
def test_what_begins_like_compression_is_announced(name):
    assert announces(ENCODERS[name][0](TEXT))
    assert not announces(TEXT)
    (child,) = peels(peel(ENCODERS[name][0](TEXT), ask()))
    assert (child.codec, child.data) == (name, TEXT)


@pytest.mark.parametrize("text", [b"(@" + b"a" * 38, b"BZh is a name", b"]]> a list"])
def test_text_announces_nothing(text):
    assert not announces(text)
    assert list(peel(text, ask())) == []


@pytest.mark.parametrize("name", ["gzip", "br", "zstd", "deflate"])
def test_bytes_behind_the_stream_that_nobody_can_read_are_a_gap(inspector, name):
    """A reader that stops after the stream never sees them, one that does not may: they are inspected, or refused."""
    packed = ENCODERS[name][0](b"hello " * 9)
    junk = bytes(range(128, 250))
    result = inspector.inspect(packed + junk, "text/plain", name)
    assert [(gap.reason, gap.start, gap.end) for gap in result.gaps] == [
        ("bad-content-encoding", len(packed), len(packed + junk))
    ]
    for behind in (
        NUMBER.encode(),
        gzip.compress(TEXT, mtime=0),
        brotli.compress(b'{"card":"' + NUMBER.encode() + b'"}'),
        b"\0" * 9 + NUMBER.encode(),
    ):
        assert inspector.inspect(packed + behind, "text/plain", name).findings
    assert inspector.inspect(packed + bytes(9), "text/plain", name).gaps == ()
