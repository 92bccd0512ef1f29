import base64
import email
import email.policy
import gzip
import io
from email.message import EmailMessage

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.multipart import peel
from detectors.model import Gap
from detectors.redaction import redact
from tests.detectors.decoders.peeling import (
    MASKED,
    NUMBER,
    ask,
    few,
    fields,
    gaps,
    holding,
    located,
    numbers,
    peels,
    put,
)

FORM = 'multipart/form-data; boundary="b b"'
DATA = (
    b'pre\r\n--b b\r\nContent-Disposition: form-data; name="card[no]"\r\n\r\n4111\r\n'
    b'--b b  \r\nContent-Disposition: form-data; name=f; filename="a \\"b\\".txt"\r\nContent-Type: text/csv; charset=x\r\n\r\n1,2\r\n3\r\n'
    b"--b b\r\n\r\nno headers\r\n--b b--\r\nepi"
)  # fmt: skip


def test_names_bodies_and_headers():
    assert fields(peel(DATA, ask(FORM))) == [
        ("preamble", "", b"pre"),
        ("card[no]", "", b"card[no]"), ("card[no]", "card[no]", b"4111"),
        ("f", "", b"f"), ("f.filename", "filename", b'a \\"b\\".txt'), ("f.content-type", "content-type", b"text/csv; charset=x"),
        ("f", "f", b"1,2\r\n3"),
        ("part[2]", "", b"no headers"),
        ("epilogue", "", b"\r\nepi"),
    ]  # fmt: skip
    assert [peel.content_type for peel in peels(peel(DATA, ask(FORM)))][-4:] == ["", "text/csv; charset=x", "", ""]


def test_every_child_stands_where_it_says():
    for child in peels(peel(DATA, ask(FORM))):
        start, end = child.hook.locate(0, len(child.data))
        assert DATA[start:end] == child.data
        assert put(DATA, child, child.data, b"#") == DATA[:start] + b"#" + DATA[end:]


def part(headers, body):
    return b"--x\r\n" + headers + b"\r\n\r\n" + body + b"\r\n--x--\r\n"


NAMED = b'Content-Disposition: form-data; name="n"\r\n'


@pytest.mark.parametrize(
    ("headers", "body", "codec", "inside"),
    [
        (NAMED + b"Content-Transfer-Encoding: BASE64", base64.encodebytes(b"card " * 20 + b"4111"), "base64", b"card " * 20 + b"4111"),
        (NAMED + b"content-transfer-encoding: quoted-printable", b"=34111=\r\n1", "quoted-printable", b"41111"),
        (NAMED + b"Content-Transfer-Encoding: quoted-printable", b"4111", "", b"4111"),
        (NAMED + b"Content-Encoding: gzip", gzip.compress(b"4111", mtime=0), "gzip", b"4111"),
        (NAMED + b"Content-Encoding: gzip\r\nContent-Transfer-Encoding: base64", base64.b64encode(gzip.compress(b"4111", mtime=0)), "base64+gzip", b"4111"),
        (NAMED + b"Content-Type: multipart/mixed; boundary=y", b"--y\r\n\r\n4111\r\n--y--", "multipart", b"--y\r\n\r\n4111\r\n--y--"),
        (NAMED + b"Content-Transfer-Encoding: binary", b"4111", "", b"4111"),
        (b'Content-Disposition: form-data;\r\n name="n"', b"4111", "", b"4111"),
    ],
)  # fmt: skip
def test_codings_of_a_part(headers, body, codec, inside):
    data = part(headers, body)
    child = next(child for child in peels(peel(data, ask("multipart/form-data; boundary=x"))) if child.key == "n")
    assert (child.codec, child.data, child.path) == (codec, inside, "n")
    start, end = child.hook.locate(0, len(inside))
    assert data[start:end].strip() == body.strip()
    assert put(data, child, b"4111", b"*") is not None


DISPOSITION = b"Content-Disposition: form-data; "


@pytest.mark.parametrize(
    ("headers", "names"),
    [
        (b'name="a"; name="cvv"', ["a", "cvv"]),
        (b'name="a"\r\n' + DISPOSITION + b'name="cvv"', ["a", "cvv"]),
        (b"name=a; name*=UTF-8''c%76v", ["a", "cvv"]),
        (b"name*=shift_jis''%83J%81%5B%83h%94%D4%8D%86", ["カード番号"]),
        (b'name*0="cv"; name*1=v', ["cvv"]),
        (b'filename="a; name=x"; NAME=cvv', ["cvv"]),
        (b'name="c%76v"', ["c%76v", "cvv"]),
        (b'name="=?utf-8?Q?c=76v?="', ["=?utf-8?Q?c=76v?=", "cvv"]),
    ],
)
def test_a_part_is_read_under_every_name_that_a_reader_may_give_it(inspector, headers, names):
    kind = "multipart/form-data; boundary=x"
    data = part(DISPOSITION + headers, b"4012")
    found = [child for child in peels(peel(data, ask(kind))) if child.key in names]
    assert [(child.key, child.path) for child in found] == [(name, name) for name in names]
    assert {located(data, child, b"4012") for child in found} == {b"4012"}
    if "cvv" in names:
        (finding,) = inspector.inspect(data, kind).findings
        assert (finding.entity, data[finding.start : finding.end]) == ("SECURITY_CODE", b"4012")
        assert redact(data, [finding], "mask") == data.replace(b"4012", b"***")


def test_more_names_than_anyone_reads_are_a_gap():
    data = part(DISPOSITION + b"; ".join(b"name=n%d" % n for n in range(99)), b"4111")
    items = list(peel(data, ask("multipart/form-data; boundary=x")))
    at = data.index(b"4111")
    assert gaps(items) == [Gap("corrupt-multipart", at, at + 4)]
    assert sum(child.data == b"4111" for child in items if not isinstance(child, Gap)) == 8


def test_a_charset_field_is_the_charset_of_all_text(inspector):
    """HTML Living Standard, 4.10.18.5: ``_charset_``."""
    number, field = NUMBER.encode("cp037"), NAMED[:-2].replace(b'"n"', b'"_charset_"')
    body = part(NAMED[:-2], number)[: -len(b"--x--\r\n")] + part(field, b"ibm037")
    (finding,) = inspector.inspect(body, "multipart/form-data; boundary=x").findings
    assert (finding.trail, body[finding.start : finding.end]) == (("cp037",), number)
    out = redact(body, [finding], "mask")
    assert out == body.replace(number, MASKED.encode("cp037"))
    other = body.replace(b"--x--\r\n", b"--x") + part(field, b"utf-8")[3:]
    assert {gap.reason for gap in inspector.inspect(other, "multipart/form-data; boundary=x").gaps} >= {
        "unknown-charset"
    }


@pytest.mark.parametrize(
    ("headers", "body", "reasons"),
    [
        (b"Content-Type: text/plain\r\nContent-Type: text/plain; charset=ibm037", NUMBER.encode("cp037"), []),
        (b"Content-Type: text/plain; charset=utf-8\r\nContent-Type: text/plain; charset=ibm037", b"x", ["unknown-charset"]),
        (b"Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: 8bit", b"QQ==", ["unknown-transfer-encoding"]),
        (b"Content-Encoding: gzip\r\nContent-Encoding: identity", gzip.compress(NUMBER.encode(), mtime=0), []),
    ],
)  # fmt: skip
def test_a_header_field_twice_counts_twice(inspector, headers, body, reasons):
    result = inspector.inspect(part(NAMED + headers, body), "multipart/form-data; boundary=x")
    assert [gap.reason for gap in result.gaps] == reasons
    assert len(result.findings) == (not reasons)


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        (b"Content-Transfer-Encoding: x-uuencode", b"4111", "unknown-transfer-encoding"),
        (b"Content-Encoding: compress", b"4111", "unknown-content-encoding"),
        (b"Content-Encoding: gzip", b"4111", "bad-content-encoding"),
    ],
)
def test_a_part_that_cannot_be_decoded_is_a_gap_and_is_read_as_it_stands(headers, body, reason):
    data = part(headers, body)
    found = list(peel(data, ask("multipart/mixed; boundary=x")))
    at = data.index(b"\r\n\r\n4111") + 4
    assert gaps(found) == [Gap(reason, at, at + 4)]
    assert located(data, holding(found, b"4111"), b"4111") == b"4111"


@pytest.mark.parametrize(
    ("content_type", "data", "reason", "values"),
    [
        (
            "multipart/form-data; boundary=x",
            b"--y\r\n\r\n4111\r\n--y--",
            "multipart-boundary",
            [b"--y\r\n\r\n4111\r\n--y--"],
        ),
        ("multipart/form-data", b"4111", "multipart-boundary", [b"4111"]),
        ("multipart/form-data; boundary=x; boundary=y", b"--x\r\n\r\n4111\r\n--x--", "multipart-boundary", [b"4111"]),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n4111", "truncated-multipart", [b"4111"]),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Type: 4111",
            "truncated-multipart",
            [b"Content-Type: 4111"],
        ),
    ],
)
def test_a_body_that_readers_disagree_about_is_a_gap(content_type, data, reason, values):
    found = list(peel(data, ask(content_type)))
    assert [gap.reason for gap in gaps(found)] == [reason]
    assert [item.data for item in found if not isinstance(item, Gap)] == values


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (b"--x\n\n41\n--x\n\n11\n--x--", [b"41", b"11"]),
        (b"--x\r\n--x\r\n\r\n4111\r\n--x--\r\n", [b"4111"]),
        (b"--x\r\n\r\n\r\n--x--", []),
        (b"--x\r\n\r\n41\r\n--x--\r\n--x\r\n\r\n11\r\n--x--", [b"41", b"11"]),
        (b"--x\r\n\r\n41\r\n--x--4111\r\n--xy\r\n--x--", [b"41\r\n--x--4111\r\n--xy"]),
        (b"--x--", []),
        (b"", []),
    ],
)
def test_delimiters(data, values):
    assert [value for _, _, value in fields(peel(data, ask("multipart/mixed; boundary=x")))] == values


def test_a_boundary_that_is_not_declared_is_found():
    data = b'--abc\r\nContent-Disposition: form-data; name="n"\r\n\r\n4111\r\n--abc--\r\n'
    assert fields(peel(data, ask("multipart/form-data")))[-1] == ("n", "n", b"4111")


def test_repeated_names_are_told_apart():
    data = b"".join(b"--x\r\n" + NAMED + b"\r\n%d\r\n" % n for n in range(3)) + b"--x--"
    assert [path for path, key, _ in fields(peel(data, ask("multipart/form-data; boundary=x"))) if key] == [
        "n",
        "n[1]",
        "n[2]",
    ]


def test_only_what_the_hits_ask_for_and_what_shows_the_sieve_nothing():
    data = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (name, more, name * 200)
        for name, more in [
            (b"a", b""),
            (b"b", b'; filename="f"'),
            (b"c", b"\r\nContent-Type: application/zip"),
            (b"d", b""),
        ]
    )
    data += b'--x\r\nContent-Disposition: form-data; name="e"\r\n\r\n4111\r\n--x--'
    found = fields(peel(data, ask("multipart/form-data; boundary=x", data.index(b"4111") + 4)))
    assert [key for _, key, _ in found if key] == ["b", "c", "e"]


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/json; boundary=b b"])
def test_nothing_else_is_multipart(content_type):
    assert list(peel(DATA, ask(content_type))) == []


@few
@given(st.text(min_size=1, max_size=10, alphabet="abc é番"), st.binary(max_size=80), numbers, st.booleans())
def test_round_trip_of_a_real_client(name, content, number, as_file):
    """What ``requests`` sends; the standard library's mail parser reads what was put back."""
    content = content.translate(None, b"0123456789-") + b"<" + number.encode() + b">"
    files = {name: ("f.bin", io.BytesIO(content), "application/octet-stream")} if as_file else {name: (None, content)}
    request = requests.Request("POST", "http://localhost/", files=files).prepare()
    content_type = request.headers["Content-Type"]
    child = holding(peel(request.body, ask(content_type)), number.encode())
    assert child.data == content
    changed = put(request.body, child, number.encode(), MASKED.encode())
    message = email.message_from_bytes(
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + changed, policy=email.policy.HTTP
    )
    (only,) = message.iter_parts()
    sent = only.get_payload(decode=True)
    assert sent == content.replace(number.encode(), MASKED.encode()) or b"\r" in content or b"\n" in content
    assert changed == request.body.replace(number.encode(), MASKED.encode())


@few
@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r0123456789"), max_size=90), numbers,
       st.sampled_from(["base64", "quoted-printable"]))  # fmt: skip
def test_round_trip_of_mail(text, number, coding):
    message = EmailMessage(policy=email.policy.SMTP)
    message.set_content("first")
    body = f"{text}<{number}>\n"
    message.add_attachment(body, cte=coding, filename="f.txt")
    headers, _, data = message.as_bytes().partition(b"\r\n\r\n")
    content_type = message["Content-Type"]
    child = holding(peel(data, ask(str(content_type))), f"<{number}>".encode())
    assert child.codec in (coding, "")
    changed = put(data, child, number.encode(), MASKED.encode())
    again = email.message_from_bytes(headers + b"\r\n\r\n" + changed, policy=email.policy.HTTP)
    attachment = next(again.iter_attachments()).get_content()
    sent = email.message_from_bytes(message.as_bytes(), policy=email.policy.HTTP)
    original = next(sent.iter_attachments()).get_content()
    assert attachment == original.replace(number, MASKED)
    assert NUMBER not in attachment or number == NUMBER
