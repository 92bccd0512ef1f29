import base64
import gzip
import json
import zlib

import cramjam
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from detectors.decoders.grpc import DECLARED, peel
from detectors.model import PAN, SECURITY_CODE, Edit, Gap, apply_edits
from detectors.redaction import redact
from tests.detectors.decoders.peeling import MASKED, NUMBER, ask, few, gaps, peels

N = NUMBER.encode()
KIND = "application/grpc"


def frame(message, flags=0):
    return bytes([flags]) + len(message).to_bytes(4, "big") + message


def message(text, **attributes):
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    record.body.string_value = text
    for name, value in attributes.items():
        record.attributes.add(key=name).value.string_value = value
    return request.SerializeToString()


def unframed(body):
    out = []
    while body:
        size = int.from_bytes(body[1:5], "big")
        out.append((body[0], body[5 : 5 + size]))
        body = body[5 + size :]
    return out


COMPRESSIONS = {
    "gzip": (gzip.compress, gzip.decompress),
    "deflate": (zlib.compress, zlib.decompress),
    "zstd": (zstandard.ZstdCompressor().compress, lambda data: zstandard.ZstdDecompressor().decompress(data)),
    "snappy": (
        lambda data: bytes(cramjam.snappy.compress_raw(data)),
        lambda data: bytes(cramjam.snappy.decompress_raw(data)),
    ),
}


def spots(inspector, body, kind=KIND):
    result = inspector.inspect(body, kind)
    assert result.gaps == ()
    return [(f.entity, f.path, f.trail) for f in result.findings]


@pytest.mark.parametrize(
    "kind", [KIND, "application/grpc+proto", "application/grpc-web+proto", "application/grpc; x=y"]
)
def test_every_message_of_a_stream_is_read(inspector, kind):
    body = frame(message("a")) + frame(message(f"x {NUMBER}")) + frame(b"") + frame(message("b", cvv="1234"))
    assert spots(inspector, body, kind) == [
        (PAN, "[1]/1.2.2.5.1", ("grpc", "protobuf")), (SECURITY_CODE, "[3]/1.2.2.6['cvv'].2.1", ("grpc", "protobuf")),
    ]  # fmt: skip
    assert not inspector.quiet(body, kind)
    out = redact(body, inspector.inspect(body, kind).findings, "remove")
    assert unframed(out) == [(0, message("a")), (0, message("x ")), (0, b""), (0, message("b", cvv="***"))]


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("name", COMPRESSIONS)
def test_compressed_messages(inspector, name, told):
    pack, unpack = COMPRESSIONS[name]
    body = frame(pack(message("hello " * 9))) + frame(pack(message(f"x {NUMBER} " + "y" * 50)), 1)
    body = frame(message("plain")) + frame(pack(message(f"x {NUMBER} " + "y" * 50)), 1)
    kind = f"{KIND}; grpc-encoding={name}" if told else KIND
    assert spots(inspector, body, kind) == [(PAN, "[1]/1.2.2.5.1", (f"grpc+{name}", "protobuf"))]
    flags, packed = unframed(redact(body, inspector.inspect(body, kind).findings, "mask"))[1]
    assert (flags, unpack(packed)) == (1, message(f"x {MASKED} " + "y" * 50))


def test_the_last_name_of_a_compression_counts(inspector):
    """The plane adds the one of the header field behind whatever the sender put there."""
    body = frame(zlib.compress(message(f"x {NUMBER} " + "y" * 50)), 1)
    kind = f"{KIND}; grpc-encoding=identity; x=y; grpc-encoding=deflate"
    assert spots(inspector, body, kind) == [(PAN, "[0]/1.2.2.5.1", ("grpc+deflate", "protobuf"))]


CONNECT = "application/connect+"


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_connects_messages_and_their_end(inspector, name):
    pack, unpack = COMPRESSIONS[name]
    end = json.dumps({"error": {"code": "internal", "message": f"card {NUMBER}"}}).encode()
    body = frame(pack(message(f"x {NUMBER} " + "y" * 50)), 1) + frame(pack(end * 2), 3) + frame(end, 2)
    kind = f"{CONNECT}proto; grpc-encoding={name}"
    assert spots(inspector, body, kind) == [
        (PAN, "[0]/1.2.2.5.1", (f"grpc+{name}", "protobuf")),
        (PAN, "[1]/$.error.message", (f"grpc+{name}",)), (PAN, "[1]/[1].$.error.message", (f"grpc+{name}",)),
        (PAN, "[2]/$.error.message", ("grpc",)),
    ]  # fmt: skip
    assert not inspector.quiet(body, kind)
    out = unframed(redact(body, inspector.inspect(body, kind).findings, "mask"))
    masked = end.replace(N, MASKED.encode())
    assert [flags for flags, _ in out] == [1, 3, 2]
    assert (unpack(out[0][1]), unpack(out[1][1]), out[2][1]) == (message(f"x {MASKED} " + "y" * 50), masked * 2, masked)


def test_connects_json(inspector):
    body = frame(b'{"cvv":"123"}') + frame(b"{}", 2)
    out = redact(body, inspector.inspect(body, f"{CONNECT}json").findings, "mask")
    assert unframed(out) == [(0, b'{"cvv":"***"}'), (2, b"{}")]


@pytest.mark.parametrize(("kind", "flags"), [(KIND, 2), (f"{CONNECT}proto", 0x80)])
def test_flags_of_the_other_protocol_are_a_gap(inspector, kind, flags):
    assert [gap.reason for gap in inspector.inspect(frame(message("x"), flags), kind).gaps] == ["corrupt-grpc"]


UNKNOWN = (
    KIND, f"{KIND}; grpc-encoding=identity", f"{KIND}; grpc-encoding=lz5", f"{KIND}; grpc-encoding=gzip; grpc-encoding=lz5",
    f"{CONNECT}proto; grpc-encoding=lz5",
)  # fmt: skip


@pytest.mark.parametrize("kind", UNKNOWN)
def test_a_compression_that_nobody_knows_is_a_gap(inspector, kind):
    body = frame(b"\x99 what is this " + N, 1)
    result = inspector.inspect(body, kind)
    assert [(gap.reason, gap.start, gap.end) for gap in result.gaps] == [("unknown-content-encoding", 0, len(body))]


def test_a_compression_that_lies_is_a_gap(inspector):
    body = frame(message(f"\x01 {NUMBER}"), 1)
    result = inspector.inspect(body, f"{KIND}; grpc-encoding=gzip")
    assert [gap.reason for gap in result.gaps] == ["bad-content-encoding"]
    assert {f.entity for f in result.findings} == {PAN}


def test_trailers_in_the_body_are_text(inspector):
    body = frame(message("a")) + frame(f"grpc-status:3\r\ngrpc-message:card {NUMBER}\r\n".encode(), 0x80)
    assert spots(inspector, body, "application/grpc-web") == [(PAN, "[1]", ("grpc",))]


def test_json_messages(inspector):
    body = frame(json.dumps({"card": {"cvv": "1234"}}).encode())
    assert spots(inspector, body, "application/grpc+json") == [(SECURITY_CODE, "[0]/$.card.cvv", ("grpc",))]
    out = redact(body, inspector.inspect(body, "application/grpc+json").findings, "mask")
    assert [json.loads(text) for _, text in unframed(out)] == [{"card": {"cvv": "***"}}]


@pytest.mark.parametrize("split", [0, 10, 31])
def test_the_text_form_may_be_padded_anywhere(inspector, split):
    plain = frame(message(f"x {NUMBER}"))
    body = b"".join(base64.b64encode(piece) for piece in (plain[:split], plain[split:]))
    kind = "application/grpc-web-text+proto"
    assert spots(inspector, body, kind) == [(PAN, "[0]/1.2.2.5.1", ("base64+grpc", "protobuf"))]
    out = redact(body, inspector.inspect(body, kind).findings, "remove")
    assert unframed(base64.b64decode(out)) == [(0, message("x "))]


BREAKS = {
    "in the head": (b"\x00\x00", "truncated-grpc"),
    "in the message": (frame(message(f"\x01 {NUMBER}"))[:-4], "truncated-grpc"),
    "flags": (b"\x07" + frame(N)[1:], "corrupt-grpc"),
    "text": (b"x" * 20 + N, "corrupt-grpc"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_stream_that_breaks_is_a_gap_and_is_read(inspector, name):
    tail, reason = BREAKS[name]
    body = frame(message(f"x {NUMBER}")) + tail
    at = len(body) - len(tail)
    assert gaps(peel(body, ask(KIND))) == [Gap(reason, at, len(body))]
    result = inspector.inspect(body, KIND)
    assert [gap.reason for gap in result.gaps] == [reason]
    assert len(result.findings) == 1 + (N in tail)


def test_text_that_is_no_base64_is_a_gap(inspector):
    body = b"%% " + N + b"="
    result = inspector.inspect(body[:-1] + b"A", "application/grpc-web-text")
    assert {gap.reason for gap in result.gaps} <= {"corrupt-grpc", "truncated-grpc"}
    assert result.gaps


def test_other_types_are_left_alone():
    assert DECLARED.match("application/grpc")
    assert not DECLARED.match("application/grpcx")
    assert not DECLARED.match("application/connect")
    assert list(peel(frame(N), ask("application/octet-stream"))) == []


@few
@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(0, 4), st.binary(max_size=500))
def test_round_trip(messages, which, new):
    body = b"".join(frame(text) for text in messages)
    children = peels(peel(body, ask(KIND)))
    assert [child.data for child in children] == messages
    if which < len(messages):
        edits = children[which].hook.wrap([Edit(0, len(messages[which]), new)])
        messages[which] = new
        assert unframed(apply_edits(body, edits)) == [(0, text) for text in messages]
