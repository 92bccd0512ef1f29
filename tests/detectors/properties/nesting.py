"""Wrappings as they occur in the traffic of a shop, each written and read by a library that knows nothing of Sekisho.

A layer puts a text into a message among other values, and takes it out again together with what else was there: so a
test can say that redaction changed the one and nothing of the other.
"""

from __future__ import annotations

import base64
import csv
import email
import email.policy
import gzip
import html
import http.cookies
import io
import json
import quopri
import tarfile
import urllib.parse
import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

import brotli
import cbor2
import cramjam
import msgpack
import openpyxl
import zstandard
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

Taken = tuple[bytes, Any]
"""The text, and everything else."""


@dataclass(frozen=True)
class Layer:
    put: Callable[[bytes], bytes]
    take: Callable[[bytes], Taken]
    put_back: bool = True


def whole(pack: Callable[[bytes], bytes], unpack: Callable[[bytes], bytes], *, put_back: bool = True) -> Layer:
    """All of a message is encoded, and nothing else is there."""
    return Layer(pack, lambda data: (unpack(data), None), put_back)


GZIP = whole(lambda data: gzip.compress(data, mtime=0), gzip.decompress)
DEFLATE = whole(zlib.compress, zlib.decompress)
BR = whole(brotli.compress, brotli.decompress)
ZSTD = whole(zstandard.ZstdCompressor().compress, zstandard.ZstdDecompressor().decompress)
SNAPPY = whole(lambda d: bytes(cramjam.snappy.compress_raw(d)), lambda d: bytes(cramjam.snappy.decompress_raw(d)))
BASE64 = whole(base64.b64encode, base64.b64decode)
BASE64URL = whole(
    lambda d: base64.urlsafe_b64encode(d).rstrip(b"="), lambda d: base64.urlsafe_b64decode(d + b"=" * (-len(d) % 4))
)
MIME_BASE64 = whole(base64.encodebytes, base64.decodebytes)
HEX = whole(lambda data: data.hex().encode(), lambda data: bytes.fromhex(data.decode()))
PERCENT = whole(lambda data: urllib.parse.quote(data, safe="").encode(), urllib.parse.unquote_to_bytes)
REFERENCES = whole(lambda d: html.escape(d.decode()).encode(), lambda d: html.unescape(d.decode()).encode())
QUOTED_PRINTABLE = whole(quopri.encodestring, quopri.decodestring)
UTF16 = whole(lambda d: d.decode().encode("utf-16-le"), lambda d: d.decode("utf-16-le").encode())
CP932 = whole(lambda d: d.decode().encode("cp932"), lambda d: d.decode("cp932").encode())
EUC_JP = whole(lambda d: d.decode().encode("euc-jp"), lambda d: d.decode("euc-jp").encode())
ISO_2022_JP = whole(lambda d: d.decode().encode("iso-2022-jp"), lambda d: d.decode("iso-2022-jp").encode())


def around(before: str, after: str) -> Layer:
    """Text with other text around it."""
    start, end = before.encode(), after.encode()
    return Layer(
        lambda d: start + d + end,
        lambda d: (d[len(start) : len(d) - len(end)], (d[: len(start)], d[len(d) - len(end) :])),
    )


HERE = "@"
"""Stands in a document where the text shall stand."""


def _place(document: Any) -> list[Any]:
    """The steps from the document to ``HERE``."""
    steps = document.items() if isinstance(document, dict) else enumerate(document)
    for step, value in steps:
        if value == HERE:
            return [step]
        if isinstance(value, dict | list) and (further := _place(value)):
            return [step, *further]
    return []


def _holder(document: Any, path: list[Any]) -> Any:
    for step in path[:-1]:
        document = document[step]
    return document


def in_document(
    document: str, dump: Callable[[Any], bytes], load: Callable[[bytes], Any], *, raw: bool = False
) -> Layer:
    """``document`` is JSON; the text takes the place of ``HERE``, as bytes where ``raw``."""
    path = _place(json.loads(document))

    def put(text: bytes) -> bytes:
        made = json.loads(document)
        _holder(made, path)[path[-1]] = text if raw else text.decode()
        return dump(made)

    def take(data: bytes) -> Taken:
        made = load(data)
        holder = _holder(made, path)
        text, holder[path[-1]] = holder[path[-1]], None
        return text if isinstance(text, bytes) else text.encode(), made

    return Layer(put, take)


def in_json(document: str) -> Layer:
    return in_document(document, lambda made: json.dumps(made, ensure_ascii=False).encode(), json.loads)


def in_ascii_json(document: str) -> Layer:
    return in_document(document, lambda made: json.dumps(made).encode(), json.loads)


def in_msgpack(document: str, *, raw: bool = False) -> Layer:
    return in_document(document, msgpack.packb, lambda data: msgpack.unpackb(data, strict_map_key=False), raw=raw)


def in_cbor(document: str, *, raw: bool = False) -> Layer:
    return in_document(document, cbor2.dumps, cbor2.loads, raw=raw)


def in_lines(before: str, after: str) -> Layer:
    """One line of several."""
    return around(before + "\n", "\n" + after + "\n")


def in_form(name: str) -> Layer:
    def put(text: bytes) -> bytes:
        return urllib.parse.urlencode([("a", "b c"), (name, text), ("z", "1")]).encode()

    def take(data: bytes) -> Taken:
        pairs = urllib.parse.parse_qsl(data, keep_blank_values=True)
        return pairs[1][1], [pairs[0], pairs[1][0], *pairs[2:]]

    return Layer(put, take)


def in_url() -> Layer:
    """The query of an address."""
    start = b"https://shop.example/pay?lang=ja&q="

    def take(data: bytes) -> Taken:
        parts = urllib.parse.urlsplit(data)
        pairs = urllib.parse.parse_qsl(parts.query)
        return pairs[1][1], (parts[:3], pairs[0], pairs[2:])

    return Layer(lambda text: start + urllib.parse.quote(text, safe="").encode() + b"&x=y", take)


def _cookie(data: bytes) -> Taken:
    jar = http.cookies.SimpleCookie(data.decode())
    return jar["cart"].value.encode(), {name: crumb.value for name, crumb in jar.items() if name != "cart"}


COOKIE = Layer(lambda text: b"theme=dark; cart=" + text + b"; id=7", _cookie)


def _jwt(text: bytes) -> bytes:
    parts = (b'{"alg":"HS256"}', text, b"\x01" * 32)
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)


def _claims(data: bytes) -> Taken:
    head, claims, mark = data.split(b".")
    return base64.urlsafe_b64decode(claims + b"=" * (-len(claims) % 4)), (head, mark)


JWT = Layer(_jwt, _claims, put_back=False)


def in_multipart(kind: str = "", *, filename: str = "", coded: bool = False) -> Layer:
    """The second of three parts; ``coded``: in base64, as its Content-Transfer-Encoding says."""
    head = b'Content-Disposition: form-data; name="f"'
    head += f'; filename="{filename}"'.encode() if filename else b""
    head += f"\r\nContent-Type: {kind}".encode() if kind else b""
    head += b"\r\nContent-Transfer-Encoding: base64" if coded else b""
    before = b'--xYz\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--xYz\r\n' + head + b"\r\n\r\n"
    behind = b'\r\n--xYz\r\nContent-Disposition: form-data; name="z"\r\n\r\n1\r\n--xYz--\r\n'

    def take(data: bytes) -> Taken:
        message = email.message_from_bytes(
            b"Content-Type: multipart/form-data; boundary=xYz\r\n\r\n" + data, policy=email.policy.HTTP
        )
        first, part, last = message.iter_parts()
        return part.get_payload(decode=True), (first.as_bytes(), part.items(), last.as_bytes())

    def put(text: bytes) -> bytes:
        return before + (base64.encodebytes(text).strip() if coded else text) + behind

    return Layer(put, take)


def in_xml(name: str, *, cdata: bool = False) -> Layer:
    def put(text: bytes) -> bytes:
        inside = f"<![CDATA[{text.decode()}]]>" if cdata else escape(text.decode())
        return f"<order id='7'><item>x &amp; y</item><{name}>{inside}</{name}><end/></order>".encode()

    def take(data: bytes) -> Taken:
        tree = ET.fromstring(data.decode())
        found = tree.find(name)
        text, found.text = found.text, ""
        return text.encode(), ET.tostring(tree)

    return Layer(put, take)


SOAP = around('<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>', "</s:Body></s:Envelope>")


def in_csv(column: int) -> Layer:
    def put(text: bytes) -> bytes:
        out = io.StringIO()
        row = ["7", "paid", "x, y"]
        row[column] = text.decode()
        csv.writer(out).writerows([["id", "state", "note"], row, ["8", "open", "z"]])
        return out.getvalue().encode()

    def take(data: bytes) -> Taken:
        rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
        text, rows[1][column] = rows[1][column], ""
        return text.encode(), rows

    return Layer(put, take)


def in_sql() -> Layer:
    before, after = b"INSERT INTO events (id, body) VALUES (7, '", b"'), (8, 'it''s');"
    return Layer(
        lambda text: before + text.replace(b"'", b"''") + after,
        lambda data: (data[len(before) : -len(after)].replace(b"''", b"'"), (data[: len(before)], data[-len(after) :])),
    )


def _otlp(text: bytes) -> bytes:
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for body in ("started", text.decode(), "stopped"):
        record = scope.log_records.add(time_unix_nano=1_763_800_000_000_000_000)
        record.body.string_value = body
        record.attributes.add(key="http.method").value.string_value = "POST"
    return request.SerializeToString()


def _unotlp(data: bytes) -> Taken:
    request = ExportLogsServiceRequest.FromString(data)
    record = request.resource_logs[0].scope_logs[0].log_records[1]
    text, record.body.string_value = record.body.string_value, ""
    return text.encode(), request.SerializeToString()


OTLP = Layer(_otlp, _unotlp)


def field(number: int, value: bytes) -> bytes:
    """A protobuf field of bytes."""
    size, head = len(value), bytes([number << 3 | 2])
    while size > 127:
        head, size = head + bytes([size & 127 | 128]), size >> 7
    return head + bytes([size]) + value


def unfield(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(data):
        number, size, shift = data[at] >> 3, 0, 0
        while True:
            at += 1
            size, shift = size | (data[at] & 127) << shift, shift + 7
            if data[at] < 128:
                break
        found.append((number, data[at + 1 : at + 1 + size]))
        at += 1 + size
    return found


_CLOCK = b"\x08\x80\xb0\x81\xc9\x06"


def _loki(text: bytes) -> bytes:
    entries = b"".join(field(2, field(1, _CLOCK) + field(2, line)) for line in (b"started", text))
    return field(1, field(1, b'{app="shop"}') + entries)


def _unloki(data: bytes) -> Taken:
    ((_, stream),) = unfield(data)
    labels, first, (_, entry) = unfield(stream)
    clock, (_, text) = unfield(entry)
    return text, (labels, first, clock)


LOKI = Layer(_loki, _unloki)


def _items(text: bytes) -> bytes:
    return (
        b'{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc"}\n{"type":"event","length":%d}\n' % len(text)
        + text
        + b'\n{"type":"session","length":2}\n{}\n'
    )


def _unitems(data: bytes) -> Taken:
    head, item, rest = data.split(b"\n", 2)
    size = json.loads(item)["length"]
    return rest[:size], (head, json.loads(item)["type"], rest[size:])


SENTRY = Layer(_items, _unitems)


def _frames(text: bytes) -> bytes:
    return b"".join(b"\0" + len(part).to_bytes(4, "big") + part for part in (field(1, b"first"), text))


def _unframes(data: bytes) -> Taken:
    size = int.from_bytes(data[1:5], "big")
    rest = data[5 + size :]
    assert int.from_bytes(rest[1:5], "big") == len(rest) - 5
    return rest[5:], data[: 5 + size]


GRPC = Layer(_frames, _unframes)


def _packed(data: bytes) -> Taken:
    first, second = msgpack.Unpacker(io.BytesIO(data))
    text = second[1].pop("log")
    return text.encode(), (first, second)


PACKED = Layer(
    lambda text: msgpack.packb([1, {"log": "started"}]) + msgpack.packb([2, {"log": text.decode(), "level": 3}]),
    _packed,
)


def _zipped(text: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("readme.txt"), "nothing")
        archive.writestr(zipfile.ZipInfo("log/app.json"), text, zipfile.ZIP_DEFLATED)
    return out.getvalue()


ZIP = Layer(_zipped, lambda data: (zipfile.ZipFile(io.BytesIO(data)).read("log/app.json"), None), put_back=False)


def _tarred(text: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in (("readme.txt", b"nothing"), ("app.log", text)):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def _untarred(data: bytes) -> Taken:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.extractfile("app.log").read(), archive.extractfile("readme.txt").read()


TAR = Layer(_tarred, _untarred)


def _workbook(text: bytes) -> bytes:
    book = openpyxl.Workbook()
    book.active.append(["note", "sum"])
    book.active.append([text.decode(), 1280])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


XLSX = Layer(
    _workbook, lambda data: (openpyxl.load_workbook(io.BytesIO(data)).active["A2"].value.encode(), None), put_back=False
)
