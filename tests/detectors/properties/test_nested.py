"""Numbers in wrappings of wrappings, as the traffic of a shop has them: where each is found, and what redaction leaves.

Each row says where on the wire the number was, under which path and through which decoders. The message that redaction
leaves is read by libraries that know nothing of Sekisho: the number is masked, and all else is what it was.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import pytest

from detectors.model import PAN, Inspection
from detectors.redaction import redact
from tests.detectors.properties.nesting import (
    BASE64,
    BASE64URL,
    BR,
    COOKIE,
    CP932,
    DEFLATE,
    EUC_JP,
    GRPC,
    GZIP,
    HEX,
    ISO_2022_JP,
    JWT,
    LOKI,
    MIME_BASE64,
    OTLP,
    PACKED,
    PERCENT,
    QUOTED_PRINTABLE,
    REFERENCES,
    SENTRY,
    SNAPPY,
    SOAP,
    TAR,
    UTF16,
    XLSX,
    ZIP,
    ZSTD,
    Layer,
    around,
    in_ascii_json,
    in_cbor,
    in_csv,
    in_form,
    in_json,
    in_lines,
    in_msgpack,
    in_multipart,
    in_sql,
    in_url,
    in_xml,
)

MASKED = "411111******1111"
N = "4111111111111111"
CARD = in_json('{"form":{"card_number":"@","plan":"gold"},"amount":1280}')
LOG = '{"ts":"2026-11-22T10:00:00Z","level":"error","msg":"@","n":[1,2.5,null,true]}'
MSG = in_json(LOG)
DATA = in_json('{"id":"ev_1","data":"@","ok":true}')
LINE = around("payment failed: card ", " declined; amount 1280")
LOKI_JSON = in_json(
    '{"streams":[{"stream":{"app":"shop"},"values":[["1763800000000000000","started"],["1763800000000000001","@"]]}]}'
)
OTLP_JSON = in_json(
    '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1763800000000000000","body":{"stringValue":"@"}}]}]}]}'
)
LINES = in_lines('{"a":1}', '{"b":2}')
BULK = in_lines('{"index":{"_index":"logs","_id":"1"}}', '{"index":{"_index":"logs","_id":"2"}}\n{"a":1}')
CRUMB = in_json('{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc","breadcrumbs":{"values":[{"type":"http","data":"@"}]}}')
FORWARD = in_msgpack('["app.log",1763800000,{"log":"@","level":3}]')
PACKED_FORWARD = in_msgpack('["app.log","@",{"size":2}]', raw=True)
COMPRESSED_FORWARD = in_msgpack('["app.log","@",{"size":2,"compressed":"gzip"}]', raw=True)
KAFKA = in_json('{"records":[{"key":"a","value":"@"},{"key":"b","value":"eA=="}]}')
PUBSUB = in_json('{"message":{"data":"@","messageId":"136969346945"},"subscription":"projects/p/subscriptions/s"}')
CLOUDWATCH = in_json('{"logEvents":[{"id":"1","timestamp":1763800000000,"message":"@"}],"owner":"x"}')
MULTIPART = "multipart/form-data; boundary=xYz"
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
PROTOBUF = "application/x-protobuf"
MSGPACK = "application/msgpack"
SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def entry(archive: bytes, name: str) -> bytes:
    """The deflated bytes of an entry."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(zipfile.ZipFile(BytesIO(archive)).read(name)) + packer.flush()


@dataclass(frozen=True)
class Row:
    name: str
    layers: list[Layer]
    """Innermost first, around the number."""
    kind: str
    coding: str
    path: str
    trail: tuple[str, ...]
    wire: int | Callable[[list[bytes]], bytes]
    """What the finding spans: the outcome of so many layers (0: the number itself), or how the wire spells it."""


ROWS = [
    Row("JSON in JSON", [CARD, MSG], JSON, "", "$.msg/$.form.card_number", ("json-escape",), 0),
    Row("JSON in JSON in JSON", [CARD, MSG, DATA], JSON, "", "$.data/$.msg/$.form.card_number", ("json-escape", "json-escape"), 0),
    Row("JSON in JSON in gzip", [CARD, MSG, GZIP], JSON, "gzip", "$.msg/$.form.card_number", ("gzip", "json-escape"), 3),
    Row("JSON in JSON in gzip without a label", [CARD, MSG, GZIP], "", "", "$.msg/$.form.card_number", ("gzip", "json-escape"), 3),
    Row("JSON in ASCII JSON in ASCII JSON in brotli", [CARD, in_ascii_json(LOG), in_ascii_json('{"説明":"テスト","data":"@"}'), BR], JSON, "br", "$.data/$.msg/$.form.card_number", ("br", "json-escape", "json-escape"), 4),
    Row("a line in JSON in NDJSON in zstd", [LINE, MSG, LINES, ZSTD], "application/x-ndjson", "zstd", "[1].$.msg", ("zstd",), 4),
    Row("JSON in base64 in a form", [CARD, BASE64, in_form("state")], FORM, "", "state/$.form.card_number", ("percent", "base64"), lambda o: PERCENT.put(o[2])),
    Row("JSON in base64 in a form in gzip", [CARD, BASE64, in_form("state"), GZIP], FORM, "gzip", "state/$.form.card_number", ("gzip", "percent", "base64"), 4),
    Row("JSON in base64url in an address in JSON", [CARD, BASE64URL, in_url(), MSG], JSON, "", "$.msg/$.form.card_number", ("base64",), 2),
    Row("JSON in a form", [CARD, in_form("payload")], FORM, "", "payload/$.form.card_number", ("percent",), 0),
    Row("a form in a form", [in_form("card_no"), in_form("body")], FORM, "", "body/card_no", ("percent",), 0),
    Row("a form in JSON in gzip", [in_form("card_no"), MSG, GZIP], JSON, "gzip", "$.msg/card_no", ("gzip",), 3),
    Row("JSON in a JWT in a cookie", [CARD, JWT, COOKIE], "application/x-cookie", "", "cart/$.form.card_number", ("jwt",), lambda o: BASE64URL.put(o[1])),
    Row("JSON in a JWT in JSON", [CARD, JWT, in_json('{"access_token":"@"}')], JSON, "", "$.access_token/$.form.card_number", ("jwt",), lambda o: BASE64URL.put(o[1])),
    Row("JSON in a JWT in an address in a log line in JSON", [CARD, JWT, in_url(), LINE, MSG], JSON, "", "$.msg/$.form.card_number", ("jwt",), lambda o: BASE64URL.put(o[1])),
    Row("JSON in percent in a cookie", [CARD, PERCENT, COOKIE], "application/x-cookie", "", "cart/$.form.card_number", ("percent",), 0),
    Row("JSON in base64 in a cookie", [CARD, BASE64URL, COOKIE], "application/x-cookie", "", "cart/$.form.card_number", ("base64",), 2),
    Row("a workbook in multipart", [LINE, XLSX, in_multipart(SHEET, filename="a.xlsx")], MULTIPART, "", "f/xl/worksheets/sheet1.xml//worksheet/sheetData/row/c/is/t", ("zip",), lambda o: entry(o[2], "xl/worksheets/sheet1.xml")),
    Row("a workbook in base64 in JSON", [LINE, XLSX, BASE64, DATA], JSON, "", "$.data/xl/worksheets/sheet1.xml//worksheet/sheetData/row/c/is/t", ("base64", "zip"), 3),
    Row("a zip in multipart", [CARD, ZIP, in_multipart("application/zip", filename="a.zip")], MULTIPART, "", "f/log/app.json/$.form.card_number", ("zip",), lambda o: entry(o[2], "log/app.json")),
    Row("a zip in base64 in multipart", [CARD, ZIP, in_multipart("application/zip", filename="a.zip", coded=True)], MULTIPART, "", "f/log/app.json/$.form.card_number", ("base64", "zip"), lambda o: MIME_BASE64.put(o[2]).strip()),
    Row("a tar in gzip in multipart", [LINE, TAR, GZIP, in_multipart("application/gzip", filename="a.tgz")], MULTIPART, "", "f/app.log", ("gzip", "tar"), 3),
    Row("gzip in multipart", [CARD, GZIP, in_multipart("application/gzip", filename="a.json.gz")], MULTIPART, "", "f/$.form.card_number", ("gzip",), 2),
    Row("JSON in multipart in gzip", [CARD, in_multipart("application/json"), GZIP], MULTIPART, "gzip", "f/$.form.card_number", ("gzip",), 3),
    Row("CSV in multipart", [in_csv(2), in_multipart("text/csv", filename="a.csv")], MULTIPART, "", "f/[0].note", (), 0),
    Row("CSV in base64 in multipart", [in_csv(2), in_multipart("text/csv", filename="a.csv", coded=True)], MULTIPART, "", "f/[0].note", ("base64",), lambda o: MIME_BASE64.put(o[1]).strip()),
    Row("JSON in CSV in gzip", [CARD, in_csv(2), GZIP], "text/csv", "gzip", "[0].note/$.form.card_number", ("gzip", "csv"), 3),
    Row("JSON in an XML in multipart", [CARD, in_xml("payload"), in_multipart("text/xml", filename="a.xml")], MULTIPART, "", "f//order/payload/$.form.card_number", (), 0),
    Row("a Loki push: a line in protobuf in snappy", [LINE, LOKI, SNAPPY], PROTOBUF, "snappy", "1.2[1].2", ("snappy", "protobuf"), 3),
    Row("a Loki push of an address with percent in JSON", [in_url(), MSG, LOKI, SNAPPY], PROTOBUF, "", "1.2[1].2/$.msg", ("snappy", "protobuf"), 4),
    Row("a Loki push of JSON in JSON", [CARD, MSG, LOKI, SNAPPY], PROTOBUF, "snappy", "1.2[1].2/$.msg/$.form.card_number", ("snappy", "protobuf", "json-escape"), 4),
    Row("a Loki push in JSON in gzip", [CARD, LOKI_JSON, GZIP], JSON, "gzip", "$.streams[0].values[1][1]/$.form.card_number", ("gzip", "json-escape"), 3),
    Row("a Loki push of gzip in base64", [CARD, GZIP, BASE64, LOKI_JSON], JSON, "", "$.streams[0].values[1][1]/$.form.card_number", ("base64", "gzip"), 3),
    Row("OTLP of JSON", [CARD, OTLP], PROTOBUF, "", "1.2.2[1].5.1/$.form.card_number", ("protobuf",), 0),
    Row("OTLP of JSON in gzip", [CARD, OTLP, GZIP], PROTOBUF, "gzip", "1.2.2[1].5.1/$.form.card_number", ("gzip", "protobuf"), 3),
    Row("OTLP of JSON in base64", [CARD, BASE64, OTLP], PROTOBUF, "", "1.2.2[1].5.1/$.form.card_number", ("protobuf", "base64"), 2),
    Row("OTLP in JSON of JSON", [CARD, OTLP_JSON], JSON, "", "$.resourceLogs[0].scopeLogs[0].logRecords[0].body.stringValue/$.form.card_number", ("json-escape",), 0),
    Row("OTLP in gRPC of an address", [in_url(), OTLP, GRPC], "application/grpc", "", "[1]/1.2.2[1].5.1", ("grpc", "protobuf"), 0),
    Row("fluentd's message of JSON", [CARD, FORWARD], MSGPACK, "", "$[2].log/$.form.card_number", ("msgpack",), 0),
    Row("fluentd's packed forward", [LINE, PACKED, PACKED_FORWARD], MSGPACK, "", "$[1]/[1].$[1].log", ("msgpack", "msgpack"), 0),
    Row("fluentd's compressed forward", [LINE, PACKED, GZIP, COMPRESSED_FORWARD], MSGPACK, "", "$[1]/[1].$[1].log", ("msgpack", "gzip", "msgpack"), 3),
    Row("fluentd's compressed forward of JSON", [CARD, PACKED, GZIP, COMPRESSED_FORWARD], "", "", "$[1]/[1].$[1].log/$.form.card_number", ("msgpack", "gzip", "msgpack"), 3),
    Row("CBOR of JSON", [CARD, in_cbor('{"t":1,"log":"@","x":[1,2]}')], "application/cbor", "", "$.log/$.form.card_number", ("cbor",), 0),
    Row("gzip in CBOR", [CARD, GZIP, in_cbor('{"t":1,"blob":"@"}', raw=True)], "application/cbor", "", "$.blob/$.form.card_number", ("cbor", "gzip"), 2),
    Row("a Sentry envelope of a breadcrumb of JSON in gzip", [CARD, CRUMB, SENTRY, GZIP], "application/x-sentry-envelope", "gzip", "item[0]/$.breadcrumbs.values[0].data/$.form.card_number", ("gzip", "json-escape"), 4),
    Row("a Sentry envelope of an address", [in_url(), CRUMB, SENTRY], "application/x-sentry-envelope", "", "item[0]/$.breadcrumbs.values[0].data", (), 0),
    Row("SQL of JSON", [CARD, in_sql()], "text/plain", "", "", (), 0),
    Row("SQL of base64 of JSON", [CARD, BASE64, in_sql()], "text/plain", "", "$.form.card_number", ("base64",), 2),
    Row("SQL of JSON of base64 of JSON", [CARD, BASE64, DATA, in_sql()], "text/plain", "", "$.form.card_number", ("base64",), 2),
    Row("SQL of JSON in JSON in gzip", [CARD, in_sql(), MSG, GZIP], JSON, "gzip", "$.msg", ("gzip", "json-escape"), 4),
    Row("JSON in SOAP in gzip", [CARD, in_xml("payload"), SOAP, GZIP], "text/xml", "gzip", "/s:Envelope/s:Body/order/payload/$.form.card_number", ("gzip",), 4),
    Row("JSON in CDATA in SOAP", [CARD, in_xml("payload", cdata=True), SOAP], "text/xml", "", "/s:Envelope/s:Body/order/payload/$.form.card_number", (), 0),
    Row("XML in XML", [in_xml("cardNo"), in_xml("payload")], "text/xml", "", "/order/payload//order/cardNo", ("html",), 0),
    Row("XML in JSON", [in_xml("cardNo"), MSG], JSON, "", "$.msg//order/cardNo", (), 0),
    Row("XML in base64 in a form", [in_xml("cardNo"), BASE64, in_form("SAMLResponse")], FORM, "", "SAMLResponse//order/cardNo", ("percent", "base64"), lambda o: PERCENT.put(o[2])),
    Row("an HTML page in JSON of a form", [REFERENCES, around("<p>card ", "</p>"), MSG], JSON, "", "$.msg//p", (), 0),
    Row("Elasticsearch's bulk of JSON", [CARD, MSG, BULK], "application/x-ndjson", "", "[1].$.msg/$.form.card_number", ("json-escape",), 0),
    Row("Elasticsearch's bulk in gzip", [CARD, BULK, GZIP], "application/x-ndjson", "gzip", "[1].$.form.card_number", ("gzip",), 3),
    Row("Kafka's REST proxy", [CARD, BASE64, KAFKA], "application/vnd.kafka.binary.v2+json", "", "$.records[0].value/$.form.card_number", ("base64",), 2),
    Row("Pub/Sub of gzip", [CARD, GZIP, BASE64, PUBSUB], JSON, "", "$.message.data/$.form.card_number", ("base64", "gzip"), 3),
    Row("CloudWatch in gzip in base64 in JSON", [CARD, CLOUDWATCH, GZIP, BASE64, in_json('{"awslogs":{"data":"@"}}')], JSON, "", "$.awslogs.data/$.logEvents[0].message/$.form.card_number", ("base64", "gzip", "json-escape"), 4),
    Row("a mail: quoted-printable of a line", [LINE, QUOTED_PRINTABLE], "text/plain", "", "", (), 0),
    Row("a mail in JSON: base64 in lines", [CARD, MIME_BASE64, MSG], JSON, "", "$.msg/$.form.card_number", ("json-escape", "base64"), lambda o: o[2].strip().replace(b"\n", b"\\n")),
    Row("hex of JSON in JSON", [CARD, HEX, DATA], JSON, "", "$.data/$.form.card_number", ("hex",), lambda o: HEX.put(o[0])),
    Row("deflate in base64 in JSON", [CARD, DEFLATE, BASE64, DATA], JSON, "", "$.data/$.form.card_number", ("base64", "deflate"), 3),
    Row("zstd in base64 in an address", [CARD, ZSTD, BASE64, in_url()], "text/plain", "", "$.form.card_number", ("percent", "base64", "zstd"), lambda o: PERCENT.put(o[3])),
    Row("base64 in base64 in JSON", [CARD, BASE64, BASE64, DATA], JSON, "", "$.data/$.form.card_number", ("base64", "base64"), 3),
    Row("JSON in UTF-16", [CARD, MSG, UTF16], JSON, "", "$.msg/$.form.card_number", ("utf-16", "json-escape"), lambda o: UTF16.put(o[0])),
    Row("JSON in UTF-16 in gzip", [CARD, UTF16, GZIP], JSON, "gzip", "$.form.card_number", ("gzip", "utf-16"), 3),
    Row("Shift_JIS of a Japanese line of JSON", [CARD, around("決済エラー: ", "。再試行します"), CP932], "text/plain; charset=shift_jis", "", "", ("cp932",), 0),
    Row("EUC-JP in base64 in JSON", [around("カード番号 ", "です"), EUC_JP, BASE64, DATA], JSON, "", "$.data", ("base64", "euc-jp"), 3),
    Row("ISO-2022-JP mail in multipart", [around("カード番号 ", " です"), ISO_2022_JP, in_multipart("text/plain; charset=iso-2022-jp")], MULTIPART, "", "f", ("iso-2022-jp",), 0),
    Row("syslog of JSON in NDJSON", [CARD, around("<14>1 2026-11-22T10:00:00Z shop app 7 - - ", ""), in_json('{"message":"@","seq":1}'), LINES], "application/x-ndjson", "", "[1].$.message", ("json-escape",), 0),
    Row("a data URL in JSON", [CARD, BASE64, around("data:application/json;base64,", ""), DATA], JSON, "", "$.data/$.form.card_number", ("base64",), 2),
    Row("Basic authorization in a log line in JSON", [around("user:", ""), BASE64, around("Authorization: Basic ", " -> 401"), MSG], JSON, "", "$.msg", ("base64",), 2),
    Row("percent in percent in a form", [CARD, PERCENT, PERCENT, in_form("r")], FORM, "", "r/$.form.card_number", ("percent", "percent", "percent"), 0),
]  # fmt: skip


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_a_number_in_wrappings_of_wrappings(inspector, row):
    outcomes = [N.encode()]
    for layer in row.layers:
        outcomes.append(layer.put(outcomes[-1]))
    body = outcomes[-1]
    result = inspector.inspect(body, row.kind, row.coding)
    assert result.gaps == ()
    (finding,) = result.findings
    assert (finding.entity, finding.confidence, finding.path, finding.trail) == (PAN, "high", row.path, row.trail)
    wire = outcomes[row.wire] if isinstance(row.wire, int) else row.wire(outcomes)
    assert body[finding.start : finding.end] == wire
    assert row.coding or not inspector.quiet(body, row.kind)

    out = redact(body, [finding], "mask")
    if not all(layer.put_back for layer in row.layers):
        assert out is None
        return
    assert out is not None
    assert inspector.inspect(out, row.kind, row.coding) == Inspection()
    before, after = body, out
    for layer in reversed(row.layers):
        before, rest = layer.take(before)
        after, rest_after = layer.take(after)
        assert rest_after == rest
    assert (before, after) == (N.encode(), MASKED.encode())


def test_the_table_is_as_long_as_it_says():
    assert len({row.name for row in ROWS}) == len(ROWS) >= 75
    assert {len(row.layers) for row in ROWS} >= {2, 3, 4, 5}


def test_a_zip_in_the_last_part_hides_none_of_the_others(inspector):
    """With its directory at the end, all of the body looks like one zip behind other data."""
    part = in_multipart("application/zip", filename="a.zip")
    first = b'--xYz\r\nContent-Disposition: form-data; name="x"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    body = first + BASE64.put(N.encode("utf-16")) + b"\r\n" + part.put(ZIP.put(b"nothing"))
    result = inspector.inspect(body, MULTIPART)
    assert [(finding.path, finding.trail) for finding in result.findings] == [("x", ("base64", "utf-16"))]
    assert result.gaps == ()
