from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from proxy.dialects import spoken

DOCUMENT = {
    "type": "urn:sekisho:problem:card-data",
    "title": "Card data blocked on lane objects",
    "status": 403,
    "detail": "body $['a<b>&\x01']\ud800 holds a card number. Do not store it (保持).",
    "instance": "urn:uuid:7d444840-9dc0-41d1-b245-5ffdce74fad2",
    "findings": [{"entity": "PAN", "brand": "visa", "where": "body", "masked": "411111******1111"}],
}
RAW = json.dumps(DOCUMENT).encode()
SIGNED = {
    "authorization": "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261122/ap-northeast-1/s3/aws4_request, "
    "SignedHeaders=host;x-amz-date, Signature=fe5f80"
}
PRESIGNED = (
    b"/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20261122%2Fap-northeast-1%2Fs3%2Faws4_request"
)

S3 = {
    "signed": (SIGNED, b"/b/k"),
    "presigned": ({}, PRESIGNED),
    "signed, version 2": ({"authorization": "AWS AKIAIOSFODNN7EXAMPLE:frJIUN8DYpKDtOLCwo="}, b"/b/k"),
    "presigned, version 2": ({}, b"/b/k?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=vjby&Expires=1763773200"),
}


@pytest.mark.parametrize(("headers", "target"), S3.values(), ids=list(S3))
def test_s3_clients_read_xml(headers, target):
    media, body = spoken(headers, target, 403, RAW)
    assert media == b"application/xml"
    error = ET.fromstring(body)
    assert error.tag == "Error"
    assert {child.tag: child.text for child in error} == {
        "Code": "AccessDenied",
        "Message": "body $['a<b>&?']? holds a card number. Do not store it (保持).",
        "Type": "urn:sekisho:problem:card-data",
        "RequestId": "7d444840-9dc0-41d1-b245-5ffdce74fad2",
    }


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "AccessDenied"),
        (413, "EntityTooLarge"),
        (422, "InvalidRequest"),
        (501, "NotImplemented"),
        (503, "ServiceUnavailable"),
    ],
)
def test_the_code_is_one_of_s3s_own(status, code):
    assert f"<Code>{code}</Code>".encode() in spoken(SIGNED, b"/", status, RAW)[1]


def test_other_services_of_the_same_signature_do_not():
    other = {"authorization": SIGNED["authorization"].replace("/s3/", "/sqs/")}
    assert spoken(other, b"/", 403, RAW) == (b"application/problem+json", RAW)


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", b"application/problem+json"),
        ("*/*", b"application/problem+json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", b"application/problem+json"),
        ("application/json, application/*;q=0.5", b"application/problem+json"),
        ("application/json, application/problem+json", b"application/problem+json"),
        ("text/plain", b"application/problem+json"),
        ("application/json", b"application/problem+json"),
        ("application/vnd.api+json, */*", b"application/problem+json"),
        ("application/vnd.elasticsearch+json;compatible-with=9", b"application/json"),
        ("text/plain, Application/Vnd.Elasticsearch+JSON; compatible-with=8", b"application/json"),
    ],
)
def test_whoever_asks_for_a_vendors_json_alone_gets_it_as_json(accept, media):
    assert spoken({"accept": accept}, b"/", 403, RAW) == (media, RAW)
