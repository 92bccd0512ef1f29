import random
import time

import cramjam
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from detectors.decoders.protobuf import DECLARED, NESTED, may_be, peel, survey
from detectors.decoders.text import is_text
from detectors.model import PAN, SECURITY_CODE, Edit, Gap, OutOfTime, apply_edits
from detectors.redaction import redact
from tests.detectors.decoders.peeling import MASKED, NUMBER, Plenty, ask, few, numbers, peels, put

N = NUMBER.encode()
KIND = "application/x-protobuf"
Types = descriptor_pb2.FieldDescriptorProto


def raw(data):
    return bytes(cramjam.snappy.compress_raw(data))


def unraw(data):
    return bytes(cramjam.snappy.decompress_raw(data))


def framed(data):
    return bytes(cramjam.snappy.compress(data))


def unframed(data):
    return bytes(cramjam.snappy.decompress(data))


def made():
    """A message with one field of each type, and itself."""
    file = descriptor_pb2.FileDescriptorProto(name="card.proto", package="t", syntax="proto3")
    card = file.message_type.add(name="Card")
    rows = [
        ("text", 6, Types.TYPE_STRING, False), ("next", 7, Types.TYPE_INT64, False), ("whole", 1, Types.TYPE_INT64, False), ("zigzag", 2, Types.TYPE_SINT64, False),
        ("fixed", 3, Types.TYPE_FIXED64, False), ("real", 4, Types.TYPE_DOUBLE, False), ("raw", 5, Types.TYPE_BYTES, False), ("many", 8, Types.TYPE_INT64, True),
        ("texts", 9, Types.TYPE_STRING, True), ("far", 5000, Types.TYPE_STRING, False),
    ]  # fmt: skip
    for name, number, kind, repeated in rows:
        card.field.add(name=name, number=number, type=kind, label=3 if repeated else 1)
    card.field.add(name="inner", number=10, type=Types.TYPE_MESSAGE, type_name=".t.Card", label=3)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Card"))


Card = made()


def spots(inspector, body, kind=KIND):
    result = inspector.inspect(body, kind)
    assert result.gaps == ()
    return [(f.entity, f.confidence, f.path) for f in result.findings]


PLACES = {
    "text": (Card(text=f"pan {NUMBER}"), "6"),
    "varint": (Card(whole=int(NUMBER)), "1"),
    "zigzag varint": (Card(zigzag=int(NUMBER)), "2"),
    "fixed64": (Card(fixed=int(NUMBER)), "3"),
    "double": (Card(real=float(NUMBER)), "4"),
    "bytes": (Card(raw=b"\x00\xff" + N + b"\xff"), "5"),
    "packed": (Card(many=[int(NUMBER), 5555555555554444, 378282246310005]), "8[0]"),
    "the second of several": (Card(texts=["a", f"x {NUMBER}"]), "9[1]"),
    "a far field": (Card(far=NUMBER), "5000"),
    "nested": (Card(inner=[Card(text="a\x01"), Card(inner=[Card(text=f"{NUMBER}\x01")])]), "10[1].10.6"),
    "a nested number": (Card(inner=[Card(text="x", whole=int(NUMBER))]), "10.1"),
    "json in a text": (Card(text='{"card":{"number":"' + NUMBER + '"}}'), "6/$.card.number"),
}


@pytest.mark.parametrize("name", PLACES)
def test_found_in_place(inspector, name):
    message, path = PLACES[name]
    assert (PAN, "high", path) in spots(inspector, message.SerializeToString())
    assert not inspector.quiet(message.SerializeToString(), KIND)


@pytest.mark.parametrize("size", range(44, 62))
def test_a_length_that_is_a_digit_hides_no_number(inspector, size):
    """From 48 to 57 bytes the length is an ASCII digit, right before the number."""
    body = Card(text=(NUMBER + " is the number" + " " * 60)[:size]).SerializeToString()
    assert spots(inspector, body) == [(PAN, "high", "6")]
    undeclared = Card(text=(NUMBER + " " * 60)[:size], whole=1).SerializeToString()
    assert spots(inspector, undeclared, "") == [(PAN, "high", "6")]


@pytest.mark.parametrize("nested", [False, True])
def test_a_tag_that_is_a_digit_hides_no_number(inspector, nested):
    """Field 6 is ``2``, field 7 is ``8``: before and behind the number."""
    message = Card(text=NUMBER, next=1)
    body = (Card(inner=[message]) if nested else message).SerializeToString()
    assert b"2\x10" + N + b"8\x01" in body
    assert spots(inspector, body) == [(PAN, "high", "10.6" if nested else "6")]


def test_a_text_that_may_be_a_message_is_read_both_ways_and_keeps_its_length(inspector):
    inner = b'"0' + (N + b" and words that fill it up to forty-eight bytes")[:48]
    body = b"\x32" + bytes([len(inner)]) + inner + b"\x38\x01"
    found = inspector.inspect(body, KIND).findings
    assert [(f.entity, f.path) for f in found] == [(PAN, "6.4")]
    assert redact(body, found, "mask") == body.replace(N, MASKED.encode())
    assert redact(body, found, "remove") is None


@pytest.mark.parametrize("code", ["1234", "123"])
def test_a_message_that_is_printable_to_the_last_byte_has_its_length_mended(inspector, code):
    """A text of 9, 10, 13 or 32 to 126 bytes in field 1 gives a message that looks like a text."""
    for size in (9, 10, 13, *range(32, 127)):
        words = f"cvv={code}".ljust(size)
        body = otlp("hello", note=words).SerializeToString()
        found = inspector.inspect(body, KIND).findings
        read = ExportLogsServiceRequest.FromString(redact(body, found, "mask"))
        assert read == otlp("hello", note=words.replace(code, "***"))


def otlp(body, **attributes):
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add()
    record.time_unix_nano = 1763800000000000000
    record.trace_id, record.span_id = bytes(range(100, 116)), bytes(range(100, 108))
    record.body.string_value = body
    for name, value in attributes.items():
        made = record.attributes.add(key=name.replace("__", "."))
        if isinstance(value, str):
            made.value.string_value = value
        elif isinstance(value, list):
            for item in value:
                made.value.array_value.values.add().string_value = item
        elif isinstance(value, dict):
            for key, item in value.items():
                made.value.kvlist_value.values.add(key=key).value.string_value = item
        elif isinstance(value, float):
            made.value.double_value = value
        else:
            made.value.int_value = value
    return request


ATTRIBUTES = {
    "text": ({"note": NUMBER}, (PAN, "high", "1.2.2.6['note'].2.1")),
    "integer": ({"card__number": int(NUMBER)}, (PAN, "high", "1.2.2.6['card.number'].2.3")),
    "double": ({"n": float(NUMBER)}, (PAN, "high", "1.2.2.6['n'].2.4")),
    "code as text": ({"cvv": "1234"}, (SECURITY_CODE, "high", "1.2.2.6['cvv'].2.1")),
    "code as integer": ({"cvv": 123}, (SECURITY_CODE, "high", "1.2.2.6['cvv'].2.3")),
    "key says otherwise": ({"order_id": NUMBER}, (PAN, "low", "1.2.2.6['order_id'].2.1")),
    "array": ({"cvc": ["987"]}, (SECURITY_CODE, "high", "1.2.2.6['cvc'].2.5.1.1")),
    "list of values": ({"card": {"cvc": "987"}}, (SECURITY_CODE, "high", "1.2.2.6['card'].2.6.1['cvc'].2.1")),
    "japanese": ({"カード番号": "1234567890"}, (PAN, "high", "1.2.2.6['カード番号'].2.1")),
}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_otlp_attributes_go_by_their_names(inspector, name):
    attributes, expected = ATTRIBUTES[name]
    assert spots(inspector, otlp("hello", **attributes).SerializeToString()) == [expected]


def test_otlp_logs_are_put_back(inspector):
    request = otlp(f"paid with {NUMBER}", cvv="1234", cvc=123, pan=int(NUMBER), note="stays")
    for _ in range(3):
        request.resource_logs[0].scope_logs[0].log_records.add().CopyFrom(
            request.resource_logs[0].scope_logs[0].log_records[0]
        )
    body = request.SerializeToString()
    found = inspector.inspect(body, KIND).findings
    assert len(found) == 16
    assert redact(body, found, "mask") is None
    for style, masked in (("mask", MASKED), ("remove", ""), ("last4", "************1111")):
        read = ExportLogsServiceRequest.FromString(redact(body, found, style, "zero"))
        expected = otlp(f"paid with {masked}", cvv="***", cvc=0, pan=0, note="stays")
        for _ in range(3):
            expected.resource_logs[0].scope_logs[0].log_records.add().CopyFrom(
                expected.resource_logs[0].scope_logs[0].log_records[0]
            )
        assert read == expected
        assert inspector.inspect(read.SerializeToString(), KIND).findings == ()


def schema(package, *messages):
    """Message classes from rows of (name, (field, number, type or message name, repeated) ...)."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, *rows in messages:
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in rows:
            told = (
                {"type": kind}
                if isinstance(kind, int)
                else {"type": Types.TYPE_MESSAGE, "type_name": f".{package}.{kind}"}
            )
            message.field.add(name=field, number=number, label=3 if repeated else 1, **told)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return [message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name, *_ in messages]


TEXT, INTEGER, DOUBLE = Types.TYPE_STRING, Types.TYPE_INT64, Types.TYPE_DOUBLE
(PushRequest, *_) = schema(
    "logproto",
    ("PushRequest", ("streams", 1, "Stream", True)),
    ("Stream", ("labels", 1, TEXT, False), ("entries", 2, "Entry", True), ("hash", 3, INTEGER, False)),
    ("Entry", ("timestamp", 1, "Timestamp", False), ("line", 2, TEXT, False)),
    ("Timestamp", ("seconds", 1, INTEGER, False), ("nanos", 2, INTEGER, False)),
)
(WriteRequest, *_) = schema(
    "prometheus",
    ("WriteRequest", ("timeseries", 1, "TimeSeries", True)),
    ("TimeSeries", ("labels", 1, "Label", True), ("samples", 2, "Sample", True)),
    ("Label", ("name", 1, TEXT, False), ("value", 2, TEXT, False)),
    ("Sample", ("value", 1, DOUBLE, False), ("timestamp", 2, INTEGER, False)),
)


def push(*lines):
    request = PushRequest()
    for n in range(2):
        stream = request.streams.add(labels='{app="shop"}', hash=n)
        for line in lines:
            entry = stream.entries.add(line=line)
            entry.timestamp.seconds, entry.timestamp.nanos = 1763800000, 123456789
    return request


PUSHES = [("", raw, unraw), ("snappy", raw, unraw), ("", framed, unframed)]


@pytest.mark.parametrize(("encoding", "pack", "unpack"), PUSHES)
def test_loki_pushes_are_read_and_put_back(inspector, encoding, pack, unpack):
    lines = ["GET /health 200 " + "x" * 40, f"charged {NUMBER} for order 77", '{"msg":"declined","cvv":"1234"}']
    body = pack(push(*lines).SerializeToString())
    result = inspector.inspect(body, KIND, encoding)
    assert result.gaps == ()
    assert [(f.entity, f.path) for f in result.findings] == [
        (PAN, "1.2[1].2"), (SECURITY_CODE, "1.2[2].2/$.cvv"), (PAN, "1[1].2[1].2"), (SECURITY_CODE, "1[1].2[2].2/$.cvv"),
    ]  # fmt: skip
    assert {f.trail for f in result.findings} == {("snappy", "protobuf")}
    out = PushRequest.FromString(unpack(redact(body, result.findings, "mask")))
    assert out == push(lines[0], f"charged {MASKED} for order 77", '{"msg":"declined","cvv":"***"}')
    clean = pack(push("nothing in here", "nor here").SerializeToString())
    assert inspector.inspect(clean, KIND, encoding) == type(result)()


def test_prometheus_labels_go_by_their_names(inspector):
    request = WriteRequest()
    series = request.timeseries.add()
    for name, value in (("__name__", "payments_total"), ("card_no", "1234567890"), ("path", "/pay")):
        series.labels.add(name=name, value=value)
    series.samples.add(value=12.25, timestamp=1763800000123)
    body = raw(request.SerializeToString())
    assert [(f.entity, f.confidence, f.path) for f in inspector.inspect(body, KIND, "snappy").findings] == [
        (PAN, "high", "1.1[1]['card_no'].2")
    ]


def test_otlp_traces(inspector):
    request = ExportTraceServiceRequest()
    span = (
        request.resource_spans.add().scope_spans.add().spans.add(name="charge", trace_id=bytes(16), span_id=b"\xff" * 8)
    )
    span.events.add(name=f"declined {NUMBER}").attributes.add(key="cvv").value.string_value = "123"
    body = request.SerializeToString()
    assert [(e, p) for e, _, p in spots(inspector, body)] == [
        (PAN, "1.2.2.11.2"),
        (SECURITY_CODE, "1.2.2.11.3['cvv'].2.1"),
    ]
    read = ExportTraceServiceRequest.FromString(redact(body, inspector.inspect(body, KIND).findings, "remove"))
    assert read.resource_spans[0].scope_spans[0].spans[0].events[0].name == "declined "


leaves = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "text": st.text(max_size=40),
            "next": st.integers(0, 999),
            "raw": st.binary(max_size=20),
            "texts": st.lists(st.text(max_size=9), max_size=3),
            "fixed": st.integers(0, 99),
        },
    )
)


@few
@given(st.lists(leaves, max_size=3), st.lists(leaves, max_size=3), numbers, st.sampled_from(["", "*", "*" * 200]))
def test_round_trip(before, after, number, new):
    target = Card(text=f"\x01 {number} \x01")
    message = Card(
        inner=[*(Card(**values) for values in before), Card(inner=[target]), *(Card(**values) for values in after)]
    )
    data = message.SerializeToString()
    (outer,) = [
        p
        for p in peels(peel(data, ask(KIND)))
        if p.content_type == NESTED and target.SerializeToString() in p.data and p.data.startswith(b"\x52")
    ]
    (middle,) = [p for p in peels(peel(outer.data, ask(NESTED))) if target.SerializeToString() == p.data]
    (text,) = peels(peel(middle.data, ask(NESTED)))
    inner = put(middle.data, text, number.encode(), new.encode())
    changed = put(data, outer, middle.data, inner)
    if len(inner) != len(middle.data):
        changed = apply(data, outer, apply(outer.data, middle, inner))
    expected = Card.FromString(data)
    expected.inner[len(before)].inner[0].text = f"\x01 {new} \x01"
    assert Card.FromString(changed) == expected


def apply(data, peel_, text):
    return apply_edits(data, peel_.hook.wrap([Edit(0, len(peel_.data), text)]))


@few
@given(st.lists(leaves, max_size=4))
def test_a_survey_holds_every_text(values):
    message = Card(inner=[Card(**value) for value in values])
    found = survey(message.SerializeToString(), ask(), declared=True)
    assert found is not None
    lines = found.text.text() + found.other.text()
    for value in values:
        for text in (value.get("text", ""), *value.get("texts", ())):
            assert not is_text(text.encode()) or text[:1] < " " or text.encode() in lines


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-protobuf",
        "application/protobuf",
        "application/vnd.google.protobuf",
        "application/x-google-protobuf",
        "application/x-protobuf; proto=io.prometheus.write.v2.Request",
        "application/grpc+proto",
        "application/x-protobuffer",
    ],
)
def test_declared_types(kind):
    assert DECLARED.match(kind)


def test_other_types():
    assert not any(
        DECLARED.match(kind) for kind in ("", "application/json", "text/protobuf-notes", "application/prototype")
    )


def test_undeclared_bytes_are_a_message_only_if_all_of_them_are(inspector):
    body = Card(text="a word", whole=int(NUMBER)).SerializeToString()
    assert spots(inspector, body, "") == [(PAN, "high", "1")]
    assert spots(inspector, body + b"\x00", "") == []
    assert not inspector.quiet(body)
    assert survey(Card(far="text\x01").SerializeToString(), ask(), declared=False) is None
    assert survey(b"\x08\x01\x10\x02", ask(), declared=False) is None
    assert not may_be(b"\x0b\x07", ask())


def test_text_that_reads_as_a_message_is_text(inspector):
    for text in (b"5105105105105100", b"25105105105105100 and more of the text in here", b'"0' + N + b" " * 32):
        assert [(f.entity, f.path, f.trail) for f in inspector.inspect(text, "text/plain").findings] in (
            [(PAN, "", ())],
            [],
        )
    assert [f.entity for f in inspector.inspect(b"5105105105105100", KIND).findings] == [PAN]


@pytest.mark.parametrize(
    ("tail", "fault"),
    [
        (b"\x0a\x40abc", "truncated"),
        (b"\x08", "truncated"),
        (b"\x0e\x01", "corrupt"),
        (b"\x00", "corrupt"),
        (b"\x80", "truncated"),
    ],
)
def test_a_declared_message_that_breaks_is_a_gap_and_is_read(inspector, tail, fault):
    body = Card(text=f"\x01{NUMBER}", next=3).SerializeToString()
    found = list(peel(body + tail, ask(KIND)))
    assert found[-1] == Gap(f"{fault}-protobuf", len(body), len(body + tail))
    result = inspector.inspect(body + tail, KIND)
    assert [f.path for f in result.findings] == ["6"]
    assert [gap.reason for gap in result.gaps] == [f"{fault}-protobuf"]


def test_ids_doubles_and_times_are_no_card_numbers(inspector):
    rng = random.Random(8)
    found = []
    for _ in range(400):
        request = otlp("GET /", ratio=rng.random() * 1000, load=rng.random(), count=rng.randrange(10**6))
        record = request.resource_logs[0].scope_logs[0].log_records[0]
        record.trace_id, record.span_id = rng.randbytes(16), rng.randbytes(8)
        record.time_unix_nano += rng.randrange(10**15)
        result = inspector.inspect(request.SerializeToString(), KIND)
        assert result.gaps == ()
        found += [f for f in result.findings if f.confidence == "high"]
    assert found == []


def test_deep_nesting_ends_in_an_answer(inspector):
    message = Card(text=f"\x01{NUMBER}")
    for _ in range(70):
        message = Card(inner=[message])
    result = inspector.inspect(message.SerializeToString(), KIND)
    assert "too-deep" in [gap.reason for gap in result.gaps]


def test_a_big_message_takes_linear_time(inspector):
    request = otlp("order placed for 3 items", user="taro", path="/checkout", level=3)
    one = request.SerializeToString()
    took = []
    for count in (200, 2000):
        started = time.process_time()
        assert inspector.inspect(one * count, KIND) == type(inspector.inspect(b""))()
        took.append(time.process_time() - started)
    assert took[1] < 40 * max(took[0], 0.01)


def test_a_message_with_too_many_fields_is_a_gap_and_read_as_far_as_it_goes(inspector, monkeypatch):
    for module in ("protobuf", "protobuf_wire"):
        monkeypatch.setattr(f"detectors.decoders.{module}.MOST_FIELDS", 50)
    message = Card(texts=[f"\x01{NUMBER}", *["a"] * 99])
    for body, path in ((message, "9"), (Card(inner=[message]), "10.9")):
        result = inspector.inspect(body.SerializeToString(), KIND)
        assert [gap.reason for gap in result.gaps] == ["too-many-candidates"]
        assert [f.path for f in result.findings] == [path]


def test_the_clock_is_watched():
    with pytest.raises(OutOfTime):
        survey(Card(texts=["a"] * 9000).SerializeToString(), ask(budget=Plenty(checks=1)), declared=True)


def test_fixed_numbers_stay_fixed(inspector):
    body = Card(fixed=int(NUMBER), real=float(NUMBER), zigzag=int(NUMBER), whole=int(NUMBER)).SerializeToString()
    read = Card.FromString(redact(body, inspector.inspect(body, KIND).findings, "mask", "zero"))
    assert read == Card()


def test_what_stands_beside_a_number_counts_by_its_shape(inspector):
    def field(number: int, value: bytes) -> bytes:
        return bytes([number << 3 | 2, len(value)]) + value

    card = field(1, b"4012888888881881") + field(2, b"12/30") + field(3, b"TARO YAMADA") + field(4, b"123")
    for data in (card, field(1, b"order-1") + field(2, b"123") + field(3, card)):
        found = inspector.inspect(data, KIND).findings
        assert [(f.entity, data[f.start : f.end]) for f in found] == [
            ("PAN", b"4012888888881881"), ("EXPIRY", b"12/30"), ("CARDHOLDER_NAME", b"TARO YAMADA"), ("SECURITY_CODE", b"123"),
        ]  # fmt: skip
        left = redact(data, found, "mask")
        assert left is not None
        assert b"TARO" not in left
