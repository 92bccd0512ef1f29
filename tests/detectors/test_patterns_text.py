from __future__ import annotations

import pytest

from detectors.patterns_text import apart, encodings
from detectors.sieve import Sieve


@pytest.fixture(scope="module")
def sieve() -> Sieve:
    return Sieve()


POINTED_AT = {
    "bytes": [
        b'{"type":"Buffer","data":[52]}', b"[52,49,49,49,49,49,49,49,49,49,49,49,49]", b"[52 49 49 49 49 49 49 49 49 49 49 49 49]",
        b"[\n  52,\n  49,\n  49,\n  49,\n  49,\n  49,\n  49,\n  49,\n  49,\n  49,\n  49,\n  49,\n  49\n]", b"bytes: [52 1]", b"[34, 99, 118, 118, 34]",
        b"Uint8Array(2) [ 52, 49 ]", b"<<52, 49>>",
    ],
    "quoted-printable": [
        b"=34=31=31", b"4111=\r\n1111", b"4111= \n1111", b"4111=20=\n1111", b"4111=20=2D1111", b"4111=E2=80=931111", b"=EF=BC=94=EF=BC=91=EF=BC=91",
        b"=82=53=82P=82P", b"=1B$B#4#1",
    ],
    "encoded-word": [b"=?utf-8?B?NDExMQ==?=", b"=?ISO-2022-JP?q?4111?=", b"=?us-ascii*en-US?Q?x?="],
    "pair": [
        b'{"key":"cvv","value":{"stringValue":"123"}}', b'{"Value":"123","Name":"security_code"}', b'["X-CVV", "123"]', b"<th>CVV</th><td>123</td>",
        b"<key>cvc2</key>\n<string>123</string>", b'{"cvv":{"S":"123"}}', b'{\\"name\\":\\"card_number\\"}', b"<dt>Card No.</dt><dd>1234567890</dd>",
        "<td>セキュリティコード</td><td>123</td>".encode(), b'{"name": "payment.card.cvv"}',
        b'{"loc":["body","cvv"],"msg":"x","input":"123"}', b'"received":"123","path":["cvv"]', b'{"n":{"$numberInt":"123"}}',
    ],
    "quoted": [
        b"cvv\n  x [input_value='123']", b'got invalid value "123"', b"Preview of field's value: '123'", b"'123' is not valid for Cvv", b'Card["cvv"])',
        b"propertyPath=cvv", b"('#cvv').fill('123')", b"fill('#cvv', '123')", b"(id, cvv)=(7", b"value: 123\n  name: cvv\n", b"\r\ncvv\r\n$3\r\n",
        b"set cvv 0 0 3",
    ],
    "ansi": [b"4111\x1b[0m\x1b[32m1111", b"4111^[[0m1111", b"cvv\x1b[0m=123", b"cvv=\\u001b[0m\\u001b[33m123"],
    "table": [
        b"id,cvv,name\n1,123,x", b"id;card_no\n1;2", b"| id | Card No |", b"a\\tcvv\\n1\\t123", b"a%2Ccvv%0A1%2C123", b"INSERT INTO t (card_no, cvv) VALUES (1, 2)",
        b"INSERT INTO t (`cvv`) VALUES (1)", b'"cvv"\n"1"', "カード番号,x\n1,2".encode(), b"payment_card_no\tx",
    ],
    "php": [b's:16:"4111"', b'a:1:{s:3:\\"cvv\\";i:1;}', b'x|s:1:"a"'],
    "dump": [
        b"'cvv': b'123'", b'cvv: Some("123")', b'["cvv"]=>\n  string(3) "123"', b"CVV:{String:123", b'cvv: (*string)(0xc000012345)((len=3) "123")',
        b'"cvv":"Card":private]=>\n  string(3) "123"',
    ],
    "continuation": [b"filename*0*=UTF-8''41;filename*1=11", b"f*1*=x"],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "data"), [(kind, data) for kind, rows in POINTED_AT.items() for data in rows])
def test_points_at(sieve, kind, data):
    hits = sieve.scan(data)
    assert hits is not None
    assert kind in hits.by_kind


QUIET = (
    b'{"temperatures":[21, 22, 24, 25, 23, 21, 20, 19, 18, 17, 18, 20, 21]}',
    b'{"bytes":1234,"data":[1,2,3],"buffered":true}',
    b"00:1b:44:11:3a:b7 -> 10.0.0.1",
    b"AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01",
    b'{"key":"http.method","value":{"stringValue":"GET"}},{"key":"net.peer.port","value":{"intValue":"443"}}',
    b"a, b, c and d\nINSERT INTO orders (id, amount) VALUES (1, 1234)",
    b"name: Some(123), port: int(8080), code: b'123'",
    b'{"required":["name","amount"],"errors":"card declined, insufficient funds"}',
    b"<tr><th>Total</th><td>1234</td></tr>",
    b"a=30&b=41&c==42",
    b"alpha=1\nbeta=2\nbase64==\n12",
    b"filename*=UTF-8''%e3%83%86%e3%82%b9%e3%83%88.txt",
    b"2*3=6, a*10=b",
    b"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
)


@pytest.mark.parametrize("data", QUIET)
def test_ordinary_lines_cost_nothing(sieve, data):
    assert sieve.scan(data) is None


def test_rows_name_a_kind_and_whether_case_counts():
    assert {
        (type(kind), type(expression), type(caseless)) for kind, expression, caseless in (*apart(), *encodings())
    } == {(str, bytes, bool)}
