import gzip
import io
import random
import zipfile

import cbor2
import cramjam
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import Gap, Inspector
from detectors.budget import Purse
from detectors.decoders.binary import FORMS, closed, declared_form, guess, is_opaque
from detectors.decoders.protobuf_wire import spell_varint
from detectors.decoders.survey import Survey
from detectors.model import PAN, Limits
from detectors.redaction import redact
from tests.detectors.decoders.peeling import NUMBER, ask, few

N = NUMBER.encode()
PROTO = b"\x0a\x07a words\x10" + spell_varint(int(NUMBER))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("application/x-protobuf", "protobuf"), ("application/msgpack", "msgpack"), ("application/cbor", "cbor"), ("application/json", None), ("", None),
    ],
)  # fmt: skip
def test_declared_forms(kind, name):
    form = declared_form(kind)
    assert (form.name if form else None) == name


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (PROTO, "protobuf"), (msgpack.packb({"a": "b", "n": 1}), "msgpack"), (msgpack.packb([[1, {"log": "x"}]] * 20), "msgpack"),
        (cbor2.dumps({"abc": "def"}), "cbor"), (cbor2.dumps(cbor2.CBORTag(55799, ["text"])), "cbor"), (cbor2.dumps([1.5, "text", {"a": None}]), "cbor"),
    ],
)  # fmt: skip
def test_undeclared_bytes_are_what_they_read_as(data, name):
    form, found = guess(data, ask())
    assert form.name == name
    assert found.telling


TEXTS = [
    b"",
    b"hello",
    N,
    b"a=b&c=d",
    b'{"a":1}',
    "カード番号".encode(),
    b"2026-11-22 10:00:00 INFO ok",
    b'"0' + N + b" " * 32,
    b"\x1b[31mred",
    b"zz" * 40,
]


@pytest.mark.parametrize("data", TEXTS)
def test_text_is_no_message(data):
    assert guess(data, ask()) is None
    assert not is_opaque(data, "", Purse(Limits()))


@few
@given(st.text(max_size=200))
def test_no_text_is_opaque(text):
    data = "".join(letter for letter in text if letter >= " " and letter != "\x7f").encode("utf-8", "replace")
    assert guess(data, ask()) is None
    assert data[:1] in b"xXH(8h" or not is_opaque(data, "", Purse(Limits()))


def test_pictures_and_noise_are_no_messages(inspector):
    rng = random.Random(4)
    for head in (
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"\xff\xd8\xff\xe0\0\x10JFIF\0",
        b"GIF89a",
        b"RIFF\0\0\0\0WEBP",
        b"\0asm\1\0\0\0",
        b"\x7fELF",
    ):
        body = head + rng.randbytes(5000)
        assert guess(body, ask()) is None
        assert inspector.inspect(body) == type(inspector.inspect(b""))()


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-protobuf",
        "application/msgpack",
        "application/cbor",
        "application/grpc",
        "application/grpc-web-text",
    ],
)
def test_declared_messages_are_opaque(inspector, kind):
    assert is_opaque(b"hello", kind, Purse(Limits()))
    assert not inspector.quiet(b"hello", kind)


def zipped():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", "text")
    return out.getvalue()


OPAQUE = {
    "gzip": gzip.compress(b"x", mtime=0),
    "zip": zipped(),
    "snappy": bytes(cramjam.snappy.compress_raw(b"\x00" * 40)),
    "snappy frames": bytes(cramjam.snappy.compress(b"x")),
    "bzip2": b"BZh91AY&SY" + bytes(20),
    "xz": b"\xfd7zXZ\0" + bytes(20),
    "7z": b"7z\xbc\xaf\x27\x1c",
    "pdf": b"%PDF-1.4 /Filter",
    "protobuf": PROTO,
    "msgpack": msgpack.packb({"a": 12345}),
    "cbor": cbor2.dumps({"abc": 12345}),
}


@pytest.mark.parametrize("name", OPAQUE)
def test_what_the_sieve_cannot_see_into_is_not_quiet(inspector, name):
    assert is_opaque(OPAQUE[name], "", Purse(Limits()))
    assert not inspector.quiet(OPAQUE[name])


@few
@given(st.binary(max_size=120))
def test_quiet_is_honest_about_binary_bytes(inspector, data):
    if inspector.quiet(data):
        assert inspector.inspect(data) == type(inspector.inspect(b""))()


@few
@given(
    st.recursive(
        st.one_of(st.integers(0, 10**19), st.text(max_size=9), st.binary(max_size=9)),
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=4), st.dictionaries(st.text(max_size=5), inner, min_size=1, max_size=4)
        ),
        max_leaves=6,
    ),
    st.booleans(),
)
def test_quiet_is_honest_about_messages(inspector, value, small):
    for data in (msgpack.packb(value), cbor2.dumps(value)):
        if inspector.quiet(data):
            assert inspector.inspect(data) == type(inspector.inspect(b""))()


def test_values_that_the_sieve_cannot_see_into_are_visited():
    found = Survey()
    blobs = [
        gzip.compress(b"x", mtime=0),
        bytes(range(200, 230)),
        msgpack.packb({"a": "text"}),
        "wide text".encode("utf-16-le"),
        zipped(),
        b"\xff\xfe",
    ]
    at = 0
    for blob in blobs:
        found.add(b"", blob, at, at + len(blob), text=False)
        at += len(blob)
    found.add(b"", b"plain text", at, at + 10, text=True)
    found.add(b"", b"%PDF-1.4 /Filter", at + 10, at + 26, text=True)
    data = b"".join(blobs) + b"plain text%PDF-1.4 /Filter"
    starts = [0, sum(map(len, blobs[:2])), sum(map(len, blobs[:3])), sum(map(len, blobs[:4])), at + 10]
    assert closed(data, found, ask()) == starts


def test_a_wrong_label_hides_nothing(inspector):
    for kind in ("application/msgpack", "application/cbor", "application/x-protobuf", "application/json", "text/plain"):
        for body in (msgpack.packb({"n": int(NUMBER), "a": "b"}), cbor2.dumps({"n": int(NUMBER), "abc": "b"}), PROTO):
            assert {f.entity for f in inspector.inspect(body, kind).findings} == {PAN}, kind


def test_text_under_a_binary_label_is_text(inspector):
    for form in FORMS:
        kind = {"msgpack": "application/msgpack", "cbor": "application/cbor", "protobuf": "application/x-protobuf"}[
            form.name
        ]
        for body in (b'{"card":{"number":"' + N + b'"}}', b"pan=" + N + b"&x=1", b"paid with " + N):
            result = inspector.inspect(body, kind)
            assert [f.entity for f in result.findings] == [PAN]
            assert [gap for gap in result.gaps if gap != Gap("x", 0, 0)] == []


def test_bytes_between_values_are_looked_at(inspector):
    """Digits may parse as tags and numbers of a message by accident."""
    for number in (b"5105105105105100", b"5555555555554444", b"6011111111111117"):
        for body in (number + b"\x01", number + b"\x01\x01", b"\x01" + number):
            assert any(f.entity == PAN for f in inspector.inspect(body, "application/x-protobuf").findings), body


LEAKS = st.sampled_from(
    [
        NUMBER,
        f"pan {NUMBER} " + "x" * 30,
        "cvv=1234" + " " * 40,
        int(NUMBER),
        float(NUMBER),
        b"\xff" + N,
        gzip.compress(N, mtime=0),
        {"cvv": "1234"},
        {"card": {"number": "1234567890"}},
    ]
)
documents = st.recursive(
    st.one_of(LEAKS, st.text(max_size=60), st.integers(0, 999), st.binary(max_size=9), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4), st.dictionaries(st.text(max_size=5), inner, min_size=1, max_size=4)
    ),
    max_leaves=10,
)


@few
@given(
    documents, st.sampled_from(["mask", "remove", "fingerprint"]), st.sampled_from(["string", "zero"]), st.booleans()
)
def test_what_is_left_of_a_message_is_a_message_without_card_data(inspector, value, style, how, declared):
    for kind, pack, unpack in (
        ("application/msgpack", msgpack.packb, lambda data: msgpack.unpackb(data, strict_map_key=False)),
        ("application/cbor", cbor2.dumps, cbor2.loads),
    ):
        body = pack([value])
        result = inspector.inspect(body, kind if declared else "")
        assert result.gaps == ()
        out = redact(body, result.findings, style, how)
        if out is not None:
            assert isinstance(unpack(out), list)
            again = inspector.inspect(out, kind if declared else "")
            assert [f for f in again.findings if f.confidence == "high"] == []


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    file = tmp_path_factory.mktemp("team") / "r.yaml"
    file.write_text(
        "recognizers:\n"
        "  - {name: m, supported_entity: ROKI_MEMBER, patterns: [{name: m, regex: 'ROKI-[0-9]{6}', score: 0.9}]}\n"
        "  - {name: n, supported_entity: ROKI_NUMBER, patterns: [{name: n, regex: '(?<![0-9])77[0-9]{6}(?![0-9])', score: 0.9}]}\n"
    )
    return Inspector(recognizers=[file])


def test_the_teams_own_recognizers_read_messages_too(team):
    proto = b"\x0a\x0eid ROKI-123456\x12\x05\xff\x00abc"
    for value in ({"id": "ROKI-123456"}, {"b": b"\xff ROKI-123456"}, {"a": [1, "x", "ROKI-123456"]}):
        for body in (msgpack.packb(value), cbor2.dumps(value)):
            (finding,) = team.inspect(body).findings
            assert finding.entity == "ROKI_MEMBER"
            assert not team.quiet(body)
    assert [(f.entity, f.path) for f in team.inspect(proto, "application/x-protobuf").findings] == [
        ("ROKI_MEMBER", "1")
    ]
    body = msgpack.packb({"member": 77123456, "other": "text"})
    assert [(f.entity, f.path) for f in team.inspect(body).findings] == [("ROKI_NUMBER", "$.member")]
