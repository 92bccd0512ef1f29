"""Whole calls to GMO and their answers, as clients and servers write them: what passes, and what a violation is."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import lru_cache

import pytest

from detectors.inspector import Inspector
from detectors.model import View
from detectors.redaction import redact
from proxy.gmo.review import TOKEN, UNLISTED, UNREADABLE, Review, review
from proxy.judge import Verdict, judge
from proxy.message import Action, Message, Part
from proxy.policy.routes import Role, Route, Source, Tokens

FORM = "application/x-www-form-urlencoded"
TEXT = "text/plain;charset=Windows-31J"
ACCESS = "AccessID=a1b2c3d4e5f60718293a4b5c6d7e8f90&AccessPass=0f1e2d3c4b5a69788796a5b4c3d2e1f0"
V1 = "3f0c5b7e9a1d2c4b6f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6"
V2 = "Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4zAb3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z"
VISA = "4111111111111111"
NO_LUHN = "5111111111111111"
"""One of GMO's own test numbers: only its key says that it is a card number."""


@lru_cache(maxsize=1)
def inspector() -> Inspector:
    return Inspector()


def fields(part: Part) -> Iterator[View]:
    return inspector().fields(part.data, part.content_type, part.content_encoding)


def lane(role: Role = "payment-gateway", source: Source = "backend", tokens: Tokens = "allow") -> Route:
    return Route(lane="gmo", role=role, source=source, tokens=tokens)


def request(
    path: str,
    body: bytes = b"",
    kind: str = FORM,
    *,
    query: bytes = b"",
    host: str = "p01.mul-pay.jp",
    route: Route | None = None,
) -> Message:
    parts = [Part("method", b"POST"), Part("path", path.encode())]
    if query:
        parts.append(Part("query", query))
    parts.append(Part("body", body, content_type=kind))
    return Message(
        route=route or lane(),
        direction="request",
        protocol="http",
        parts=tuple(parts),
        host=host,
        port=443,
        method="POST",
        path=path,
    )


def response(path: str, body: bytes, kind: str = TEXT, host: str = "p01.mul-pay.jp", status: int = 200) -> Message:
    return Message(
        route=lane(),
        direction="response",
        protocol="http",
        parts=(Part("header:content-type", kind.encode()), Part("body", body, content_type=kind)),
        host=host,
        port=443,
        path=path,
        status=status,
    )


def is_number(digits: bytes) -> bool:
    return bool(inspector().inspect(digits).findings)


def multipart(**values: str) -> tuple[bytes, str]:
    lines = [
        f'--cut\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value.encode("cp932") + b"\r\n"
        for name, value in values.items()
    ]
    return b"".join(lines) + b"--cut--\r\n", "multipart/form-data; boundary=cut"


def found(answer: Review) -> list[tuple[str, str]]:
    return [(finding.entity, finding.path) for _, finding in answer.findings]


EXEC_TOKEN = (
    f"{ACCESS}&OrderID=ROKI-20260501-0001&Method=1&PayTimes=&CardNo=&Token={V1}&CardPass=&Expire=&SecurityCode="
    "&ClientField1=%83e%83X%83g&ClientField2=%81%7C&Tds2Email=taro%40example.jp&Tds2MobilePhoneCC=81"
    "&Tds2MobilePhoneSubscriber=9012345678&Tds2BillAddrPostCode=1500043&Tds2RecurringExpiry=20301231"
    "&CallbackType=3&RetUrl=https%3A%2F%2Fshop.example.jp%2F3ds&User=roki&Version=101"
)
CHARGE = {
    "merchant": {"name": "ROKI", "nameKana": "ロキ", "callbackUrl": "https://shop.example.jp/cb"},
    "order": {
        "orderId": "ROKI-20260501-0001",
        "amount": "12800",
        "currency": "JPY",
        "items": [{"name": "テント", "quantity": 1, "price": "12800", "productCode": "4901234567894"}],
        "transactionType": "CIT",
    },
    "payer": {
        "name": "顧客A",
        "email": "a@example.jp",
        "phones": [{"type": "MOBILE", "countryCode": "81", "number": "9012345678"}],
    },
    "creditInformation": {
        "tokenizedCard": {"type": "MP_TOKEN", "token": V2},
        "creditChargeOptions": {"authorizationMode": "AUTH", "useTds2": True},
    },
}
RAW_CARD = {
    "cardNumber": VISA,
    "cardholderName": "TARO YAMADA",
    "expiryMonth": "12",
    "expiryYear": "2030",
    "securityCode": "123",
}

ALLOWED_CALLS = {
    "token payment as the official module sends it": request("/payment/ExecTran.idPass", EXEC_TOKEN.encode()),
    "the word null": request(
        "/payment/ExecTran.idPass", f"{ACCESS}&CardNo=null&Expire=null&SecurityCode=null&Token={V1}".encode()
    ),
    "v2 token": request("/payment/ExecTran.idPass", f"{ACCESS}&Token={V2.replace('z', '%2B')}".encode()),
    "multipart, empty card keys": request(
        "/payment/ExecTran.idPass", *multipart(AccessID="a1", CardNo="", Expire="", Token=V1, ClientField1="テスト")
    ),
    "parameters in the query string": request(
        "/payment/ExecTran.idPass", query=f"{ACCESS}&CardNo=&Expire=&Token={V1}".encode()
    ),
    "EntryTran": request(
        "/payment/EntryTran.idPass",
        b"ShopID=tshop00000001&ShopPass=xxxxxxxx&OrderID=ROKI-20260501-0001&JobCd=AUTH&Amount=12800&Tax=0&TdFlag=2"
        b"&Tds2Type=3&TdTenantName=pe2lrSBST0tJ",
    ),
    "SecureTran2": request("/payment/SecureTran2.idPass", ACCESS.encode()),
    "SaveCard with a token and the card company's nickname": request(
        "/payment/SaveCard.idPass",
        f"SiteID=tsite00000001&SitePass=x&MemberID=m-1001&SeqMode=0&CardNo=&Token={V1}&Expire=&HolderName=&CardName=VISA".encode(),
    ),
    "TradedCard with a masked number": request(
        "/payment/TradedCard.idPass",
        b"ShopID=t&ShopPass=x&OrderID=R-1&SiteID=s&SitePass=x&CardNo=*************111&HolderName=",
    ),
    "codes masked as asterisks": request("/payment/ExecTran.idPass", f"{ACCESS}&SecurityCode=***&Token={V1}".encode()),
    "json, as the module's keys": request(
        "/payment/ExecTran.json",
        json.dumps({"accessID": "a1", "accessPass": "b2", "cardNo": "", "expire": None, "token": V1}).encode(),
        "application/json",
    ),
    "link type: a flag named like a security code": request(
        "/payment/GetLinkplusUrlPayment.json",
        json.dumps(
            {
                "geturlparam": {"ShopID": "tshop00000001", "ShopPass": "x", "TemplateNo": "1"},
                "configid": "roki",
                "transaction": {"OrderID": "R-1", "Amount": "12800", "ExpireDays": "3"},
                "credit": {"JobCd": "AUTH", "SecCodeRequiredFlag": "1", "Tds2Type": "3"},
            }
        ).encode(),
        "application/json;charset=UTF-8",
    ),
    "Token of a *Start call is no card token": request(
        "/payment/DocomoStart.idPass", b"AccessID=a1&Token=20260501123011&PaymentTermDay=3"
    ),
    "OpenAPI charge with tokenizedCard": request(
        "/credit/charge", json.dumps(CHARGE).encode(), "application/json", host="openapi.mul-pay.jp"
    ),
    "OpenAPI charge, JSON without a type": request(
        "/credit/charge", json.dumps(CHARGE).encode(), "", host="openapi.mul-pay.jp"
    ),
    "OpenAPI stored card": request(
        "/credit/on-file/charge",
        json.dumps(
            {"creditOnfileInformation": {"onfileCard": {"memberId": "m-1001", "type": "CREDIT_CARD", "cardId": "0"}}}
        ).encode(),
        "application/json",
        host="openapi.mul-pay.jp",
    ),
    "OAuth": request("/token", b"grant_type=client_credentials&scope=openapi", host="oauth.mul-pay.jp"),
    "an empty JSON body": request("/member/inquiry", b"{}", "application/json", host="openapi.mul-pay.jp"),
    "an emulator on a payment-gateway lane": request("/payment/ExecTran.idPass", EXEC_TOKEN.encode(), host="127.0.0.1"),
}

REFUSED_CALLS: dict[str, tuple[Message, list[tuple[str, str]]]] = {
    "raw card, idPass": (
        request(
            "/payment/ExecTran.idPass",
            f"{ACCESS}&OrderID=R-2&Method=1&CardNo={VISA}&Expire=3012&SecurityCode=123".encode(),
        ),
        [("PAN", "CardNo"), ("EXPIRY", "Expire"), ("SECURITY_CODE", "SecurityCode")],
    ),
    "a number that fails its check digit, by its key": (
        request("/payment/ExecTran.idPass", f"{ACCESS}&CardNo={NO_LUHN}".encode()),
        [("PAN", "CardNo")],
    ),
    "full-width digits in CP932": (
        request("/payment/ExecTran.idPass", b"CardNo=" + b"".join(b"%%82%%%02X" % (0x4F + int(d)) for d in VISA)),
        [("PAN", "CardNo")],
    ),
    "key hidden by percent-encoding": (
        request("/payment/ExecTran.idPass", f"%43ard%4Eo={VISA}".encode()),
        [("PAN", "CardNo")],
    ),
    "key in another case": (request("/payment/ExecTran.idPass", f"card_no={VISA}".encode()), [("PAN", "card_no")]),
    "a security code alone": (
        request("/payment/ExecTran.idPass", f"{ACCESS}&Token={V1}&SecurityCode=123".encode()),
        [("SECURITY_CODE", "SecurityCode")],
    ),
    "an expiry alone": (
        request("/payment/ExecTran.idPass", f"{ACCESS}&Token={V1}&Expire=3012".encode()),
        [("EXPIRY", "Expire")],
    ),
    "a holder's name beside a token": (
        request("/payment/SaveCard.idPass", f"SiteID=s&Token={V1}&HolderName=TARO+YAMADA".encode()),
        [("CARDHOLDER_NAME", "HolderName")],
    ),
    "a PIN": (
        request("/payment/ExecTran.idPass", b"CardPass=1234&PIN=9876"),
        [("PIN_BLOCK", "CardPass"), ("PIN_BLOCK", "PIN")],
    ),
    "a magnetic stripe": (
        request("/payment/ExecTranMagstripe.idPass", b"MagstripeType=2&MagstripeData=%3B5555%3D3012"),
        [("TRACK_2", "MagstripeType"), ("TRACK_2", "MagstripeData")],
    ),
    "a 3-D Secure 1 message": (request("/payment/SecureTran.idPass", b"MD=1&PaRes=eJzVV"), [("PAN", "PaRes")]),
    "multipart": (
        request("/payment/ExecTran.idPass", *multipart(AccessID="a1", CardNo=VISA, ClientField1="テスト")),
        [("PAN", "CardNo")],
    ),
    "query string": (
        request("/payment/ExecTran.idPass", query=f"{ACCESS}&CardNo={VISA}&Expire=3012".encode()),
        [("PAN", "CardNo"), ("EXPIRY", "Expire")],
    ),
    "form without a type": (
        request("/payment/ExecTran.idPass", f"CardNo={NO_LUHN}".encode(), ""),
        [("PAN", "CardNo")],
    ),
    "form that says it is text": (
        request("/payment/ExecTran.idPass", f"CardNo={NO_LUHN}".encode(), "text/plain"),
        [("PAN", "CardNo")],
    ),
    "json": (
        request(
            "/payment/ExecTran.json",
            json.dumps(
                {"accessID": "a1", "cardNo": VISA, "expire": "3012", "securityCode": "123", "pIN": "1234"}
            ).encode(),
            "application/json",
        ),
        [("PAN", "$.cardNo"), ("EXPIRY", "$.expire"), ("SECURITY_CODE", "$.securityCode"), ("PIN_BLOCK", "$.pIN")],
    ),
    "OpenAPI raw card": (
        request(
            "/credit/charge",
            json.dumps({"creditInformation": {"card": RAW_CARD}}).encode(),
            "application/json",
            host="openapi.mul-pay.jp",
        ),
        [
            ("PAN", "$.creditInformation.card.cardNumber"),
            ("CARDHOLDER_NAME", "$.creditInformation.card.cardholderName"),
            ("EXPIRY", "$.creditInformation.card.expiryMonth"),
            ("EXPIRY", "$.creditInformation.card.expiryYear"),
            ("SECURITY_CODE", "$.creditInformation.card.securityCode"),
        ],
    ),
    "OpenAPI raw card to store": (
        request(
            "/credit/storeCard",
            json.dumps({"creditStoringInformation": {"card": {"cardNumber": NO_LUHN}}}).encode(),
            "application/json",
            host="openapi.mul-pay.jp",
        ),
        [("PAN", "$.creditStoringInformation.card.cardNumber")],
    ),
    "a token made of digits": (
        request("/payment/ExecTran.idPass", f"{ACCESS}&Token={NO_LUHN}".encode()),
        [("PAN", "Token")],
    ),
    "a tokenizedCard made of digits": (
        request(
            "/credit/charge",
            json.dumps({"creditInformation": {"tokenizedCard": {"type": "MP_TOKEN", "token": NO_LUHN}}}).encode(),
            "application/json",
            host="openapi.mul-pay.jp",
        ),
        [("PAN", "$.creditInformation.tokenizedCard.token")],
    ),
    "a number in masked rows": (
        request("/payment/ExecTran.idPass", b"CardNo=****4111|****1111|****1111|****1111"),
        [("PAN", "CardNo")],
    ),
    "backend calls getToken": (
        request("/ext/api/credit/getToken", b"Encrypted=bm90aGluZw%3D%3D&ShopID=tshop00000001&KeyHash=ab12"),
        [("PAN", "getToken"), ("PAN", "Encrypted"), ("PAN", "KeyHash")],
    ),
    "backend calls CreateToken": (
        request(
            "/payment/CreateToken.json",
            json.dumps(
                {
                    "createCount": "1",
                    "encryptionParameters": {"type": "UNIQUE_PK", "apiKey": "k"},
                    "encryptedData": "bm90aGluZw==",
                }
            ).encode(),
            "application/json",
            host="token.mul-pay.jp",
        ),
        [
            ("PAN", "CreateToken"),
            ("PAN", "$.encryptionParameters.type"),
            ("PAN", "$.encryptionParameters.apiKey"),
            ("PAN", "$.encryptedData"),
        ],
    ),
    "backend calls getToken, spelled otherwise": (
        request("/ext/api/credit//%67etToken;x=1", b""),
        [("PAN", "getToken")],
    ),
    "backend calls an emulator's token endpoint": (
        request("/payment/CreateToken.json", b"{}", "application/json", host="127.0.0.1"),
        [("PAN", "CreateToken")],
    ),
    "a destination of GMO's on a lane of another role": (
        request("/payment/ExecTran.idPass", f"CardNo={NO_LUHN}".encode(), route=lane(role="external")),
        [("PAN", "CardNo")],
    ),
}

SEARCH_CARD = "CardSeq=0|1&DefaultFlag=1|0&CardName=|&CardNo=*************111|*************444&Expire=3012|2911&HolderName=TARO YAMADA|山田太郎&DeleteFlag=0|0"
SEARCH_TRADE = (
    f"OrderID=ROKI-20260501-0001&Status=AUTH&ProcessDate=20260501123011&JobCd=AUTH&{ACCESS}&ItemCode=0000990&Amount=12800&Tax=0"
    "&SiteID=&MemberID=&CardNo=************1111&Expire=3012&Method=1&PayTimes=&Forward=2a99662"
    "&TranID=2605011230111111111111801654&Approve=0112234&ClientField1=テスト－ソ&ClientField2=&ClientField3="
)
CHARGED = {
    "nextAction": "CAPTURE",
    "orderReference": {"accessId": "a1b2c3d4e5f60718293a4b5c6d7e8f90", "orderId": "R-1", "status": "AUTH"},
    "creditResult": {
        "cardResult": {"cardNumber": "**********1111", "expiryMonth": "12", "expiryYear": "2030"},
        "nwTransactionId": "2605011230602212345678912345",
    },
}

ALLOWED_ANSWERS = {
    "SearchCard: rows, expiry and holder": response("/payment/SearchCard.idPass", SEARCH_CARD.encode("cp932")),
    "SearchTrade: CP932 with trail bytes like | and \\": response(
        "/payment/SearchTrade.idPass", SEARCH_TRADE.encode("cp932")
    ),
    "SaveCard": response("/payment/SaveCard.idPass", b"CardSeq=0&CardNo=*************111&Forward=2a99662"),
    "a deleted card's empty row": response("/payment/SearchCard.idPass", b"CardSeq=0|1&CardNo=|*************444"),
    "3-D Secure: a URL with raw & and =": response(
        "/payment/ExecTran.idPass",
        b"ACS=2&RedirectUrl=https://pt01.mul-pay.jp/payment/Tds2Start?a=b1&pan=x&p=eyJhIjoiMSJ9&Expire=1&cardNo2=1",
    ),
    "errors": response("/payment/ExecTran.idPass", b"ErrCode=E01|E01&ErrInfo=E01050002|E01060006"),
    "json rows": response(
        "/payment/SearchCard.json",
        json.dumps([{"cardSeq": "0", "cardNo": "*************111", "expire": "3012"}]).encode(),
        "application/json",
    ),
    "json error": response(
        "/payment/ExecTran.json", b'[{"errCode":"E01","errInfo":"E01020008"}]', "application/json", status=400
    ),
    "OpenAPI charge": response(
        "/credit/charge", json.dumps(CHARGED).encode(), "application/json", "openapi.mul-pay.jp"
    ),
    "OpenAPI, first four and last four": response(
        "/order/inquiry", b'{"cardResult":{"cardNumber":"4111********1111"}}', "application/json", "openapi.mul-pay.jp"
    ),
    "OpenAPI problem": response(
        "/credit/charge",
        b'{"title":"invalid_parameter","detail":"wrong (order.amount)","instance":"/credit/charge"}',
        "application/problem+json",
        "openapi.mul-pay.jp",
        400,
    ),
    "Apple Pay": response("/payment/ExecTranBrandtoken.idPass", b"CardNoToken=*************111"),
}


@pytest.mark.parametrize("message", ALLOWED_CALLS.values(), ids=ALLOWED_CALLS.keys())
def test_calls_that_keep_to_the_tokenized_flow(message: Message) -> None:
    assert review(message, fields) == Review()


@pytest.mark.parametrize(("message", "expected"), REFUSED_CALLS.values(), ids=REFUSED_CALLS.keys())
def test_calls_that_carry_card_data(message: Message, expected: list[tuple[str, str]]) -> None:
    answer = review(message, fields)
    assert found(answer) == expected
    assert not answer.allow_card_data


@pytest.mark.parametrize("message", ALLOWED_ANSWERS.values(), ids=ALLOWED_ANSWERS.keys())
def test_answers_pass(message: Message) -> None:
    assert review(message, fields) == Review()


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (response("/payment/SaveCard.idPass", f"CardSeq=0&CardNo={NO_LUHN}".encode()), "CardNo"),
        (response("/payment/SearchCard.idPass", f"CardNo=*************111|{VISA}".encode()), "CardNo"),
        (
            response("/payment/SearchCard.json", json.dumps([{"cardNo": VISA}]).encode(), "application/json"),
            "$[0].cardNo",
        ),
        (
            response(
                "/order/inquiry",
                f'{{"cardResult":{{"cardNumber":{VISA}}}}}'.encode(),
                "application/json",
                "openapi.mul-pay.jp",
            ),
            "$.cardResult.cardNumber",
        ),
    ],
    ids=["idPass", "one row of two", "json", "OpenAPI, as a number"],
)
def test_a_full_number_in_an_answer(message: Message, path: str) -> None:
    assert found(review(message, fields)) == [("PAN", path)]


@pytest.mark.parametrize(
    ("message", "gap"),
    [
        (request("/payment/Unknown.idPass", b"a=b"), UNLISTED),
        (request("/"), UNLISTED),
        (request("/v1/plus/tshop00000001/checkout/e30.01", host="link.mul-pay.jp"), UNLISTED),
        (request("/ext/js/token.js", host="static.mul-pay.jp"), UNLISTED),
        (request("/payment/ExecTran.idPass", b"a=b", host="kt01.mul-pay.jp"), UNLISTED),
        (request("/credit/charge", b"{broken", "application/json", host="openapi.mul-pay.jp"), UNREADABLE),
        (request("/payment/ExecTran.idPass", b"\x00\x01\x02"), UNREADABLE),
    ],
    ids=[
        "unknown API",
        "root",
        "a page for browsers",
        "a script for browsers",
        "a host not listed",
        "broken JSON",
        "no form",
    ],
)
def test_calls_that_cannot_be_judged(message: Message, gap: str) -> None:
    assert review(message, fields).gaps == (gap,)


BROWSER = lane(role="external", source="browser")


@pytest.mark.parametrize(
    ("host", "path", "allowed"),
    [
        ("token.mul-pay.jp", "/payment/CreateToken.json", True),
        ("p01.mul-pay.jp", "/ext/api/credit/getToken", True),
        ("p01.mul-pay.jp", "/payment/ExecTran.idPass", False),
        ("p01.mul-pay.jp", "/ext/api/credit/gettoken", False),
        ("link.mul-pay.jp", "/assets/card.css", False),
    ],
)
def test_a_browser_may_send_card_data_to_the_token_endpoint_only(host: str, path: str, allowed: bool) -> None:
    body = f'{{"cardNo":"{VISA}"}}'.encode()
    assert review(request(path, body, "application/json", host=host, route=BROWSER), fields) == Review(
        allow_card_data=allowed
    )


def test_a_browser_may_not_send_card_data_to_a_host_that_only_has_the_path() -> None:
    message = request("/payment/CreateToken.json", b"{}", "application/json", host="evil.example", route=BROWSER)
    assert not review(message, fields).allow_card_data


def test_result_notification_is_nobodys_call() -> None:
    body = (
        f"ShopID=tshop00000001&ShopPass=**********&AccessID=a1b2c3d4e5f60718293a4b5c6d7e8f90&AccessPass={'*' * 32}"
        "&OrderID=ROKI-20260501-0001&Status=AUTH&JobCd=AUTH&Amount=12800&Tax=0&Currency=JPN&Forward=2a99662&Method=1&PayTimes="
        "&TranID=2605011230111111111111801654&Approve=0112234&TranDate=20260501123011&ErrCode=&ErrInfo=&PayType=0"
    )
    message = request("/gmo/result", body.encode("cp932"), host="127.0.0.1", route=lane(role="shop", tokens="deny"))
    assert review(message, fields) == Review()


def test_a_finding_holds_the_place_and_no_digits() -> None:
    message = request("/payment/ExecTran.idPass", f"CardNo={VISA}".encode())
    ((index, finding),) = review(message, fields).findings
    assert message.parts[index].name == "body"
    assert (finding.masked, finding.fingerprint, finding.brand, finding.confidence) == ("***", "", "", "high")
    assert finding.why == ("raw card parameter",)
    assert VISA not in repr(finding)


def test_a_token_call_is_a_finding_of_the_path() -> None:
    message = request("/ext/api/credit/getToken")
    ((index, finding),) = review(message, fields).findings
    assert message.parts[index].name == "path"
    assert finding.why == ("token endpoint called by a backend",)


LEAKED_TOKENS = {
    "JSON": (json.dumps({"token": V1}).encode(), "application/json", ["$.token"]),
    "form": (f"Token={V1}&x=1".encode(), FORM, ["Token"]),
    "a line of text": (f"POST ExecTran AccessID=1&Token={V1}&Method=1".encode(), "text/plain", [""]),
    "a line of text, with a colon": (f"tokenized, token: {V1}".encode(), "text/plain", [""]),
    "JSON inside a line": (f'body {{\\"token\\":\\"{V2}\\"}} sent'.encode(), "text/plain", [""]),
    "a line in a log push": (
        json.dumps({"streams": [{"values": [["1", f"Token={V1}"], ["2", f"Token={V2}"]]}]}).encode(),
        "application/json",
        ["$.streams[0].values[0][1]", "$.streams[0].values[1][1]"],
    ),
    "a line without a name": (json.dumps([f"Token={V1}"]).encode(), "application/json", [""]),
}


def denying(body: bytes, kind: str, encoding: str = "") -> Message:
    message = request("/loki/api/v1/push", b"", kind, host="loki", route=lane(role="logging", tokens="deny"))
    part = Part("body", body, content_type=kind, content_encoding=encoding)
    return replace(message, parts=(*message.parts[:-1], part))


@pytest.mark.parametrize(("body", "kind", "paths"), LEAKED_TOKENS.values(), ids=LEAKED_TOKENS.keys())
def test_tokens_on_a_lane_that_denies_them(body: bytes, kind: str, paths: list[str]) -> None:
    assert found(review(denying(body, kind), fields)) == [(TOKEN, path) for path in paths]


@pytest.mark.parametrize(("body", "kind", "paths"), LEAKED_TOKENS.values(), ids=LEAKED_TOKENS.keys())
def test_they_are_found_and_removed_in_a_compressed_body_too(body: bytes, kind: str, paths: list[str]) -> None:
    message = denying(gzip.compress(body), kind, "gzip")
    findings = [finding for _, finding in review(message, fields).findings]
    assert [finding.path for finding in findings] == paths
    left = redact(message.parts[-1].data, findings, "mask")
    assert left is not None
    text = gzip.decompress(left)
    assert V1.encode() not in text
    assert V2.encode() not in text
    assert text.count(b"***") == len(paths)


def test_a_token_in_a_line_is_found_to_the_byte() -> None:
    body = f"POST ExecTran Token={V1}&Method=1".encode()
    message = request("/x", body, "text/plain", host="loki", route=lane(role="logging", tokens="deny"))
    ((index, finding),) = review(message, fields).findings
    assert message.parts[index].data[finding.start : finding.end] == V1.encode()


@pytest.mark.parametrize(
    "body", [f'{{"csrfToken":"{V1}"}}', f'{{"access_token":"{V1}"}}', '{"token":"short"}', '{"trace":"' + V1 + '"}']
)
def test_other_tokens_pass_there(body: str) -> None:
    message = request("/x", body.encode(), "application/json", host="loki", route=lane(role="logging", tokens="deny"))
    assert review(message, fields) == Review()


def test_tokens_pass_on_other_lanes() -> None:
    body = json.dumps({"token": V1}).encode()
    message = request("/x", body, "application/json", host="loki", route=lane(role="logging"))
    assert review(message, fields) == Review()


def judged(message: Message) -> Verdict:
    """The verdict as the guard comes to it: what the inspector finds and what the parameters mean, together."""
    seen = [inspector().inspect(part.data, part.content_type, part.content_encoding) for part in message.parts]
    flow = review(message, fields)
    today = date(2026, 5, 1)
    return judge(message, seen, flow.findings, (), today, extra_gaps=flow.gaps, allow_card_data=flow.allow_card_data)


CLEAN = ALLOWED_CALLS | ALLOWED_ANSWERS


@pytest.mark.parametrize("message", CLEAN.values(), ids=CLEAN.keys())
def test_the_tokenized_flow_raises_no_alarm(message: Message) -> None:
    verdict = judged(message)
    assert (verdict.action, verdict.violations, verdict.gaps) == (Action.ALLOW, (), ())


@pytest.mark.parametrize("message", [row for row, _ in REFUSED_CALLS.values()], ids=REFUSED_CALLS.keys())
def test_a_raw_card_call_is_blocked(message: Message) -> None:
    assert judged(message).action is Action.BLOCK


def test_a_result_notification_and_its_answer_pass_unaltered() -> None:
    body = (
        f"ShopID=tshop00000001&ShopPass=**********&AccessID=a1b2c3d4e5f60718293a4b5c6d7e8f90&AccessPass={'*' * 32}"
        "&OrderID=ROKI-20260501-0001&Status=AUTH&JobCd=AUTH&Amount=12800&Tax=0&Currency=JPN&Forward=2a99662&Method=1"
        "&PayTimes=&TranID=2605011230111111111111801654&Approve=0112234&TranDate=20260501123011&ErrCode=&ErrInfo=&PayType=0"
    )
    message = request("/gmo/result", body.encode(), host="127.0.0.1", route=lane(role="shop"))
    assert judged(message).action is Action.ALLOW
    parts = (Part("header:content-type", b"text/plain"), Part("body", b"0", content_type="text/plain"))
    assert judged(replace(message, direction="response", parts=parts, status=200)).action is Action.ALLOW


def test_a_browser_pays_at_the_token_endpoint_and_nowhere_else() -> None:
    body = json.dumps({"cardNo": VISA, "securityCode": "123"}).encode()
    paying = request("/payment/CreateToken.json", body, "application/json", host="token.mul-pay.jp", route=BROWSER)
    assert judged(paying).action is Action.ALLOW
    elsewhere = request("/payment/ExecTran.json", body, "application/json", host="p01.mul-pay.jp", route=BROWSER)
    assert judged(elsewhere).action is Action.BLOCK


def test_a_full_number_in_an_answer_is_blocked() -> None:
    assert judged(response("/payment/SaveCard.idPass", f"CardSeq=0&CardNo={NO_LUHN}".encode())).action is Action.BLOCK


@pytest.mark.parametrize(
    "path",
    [
        "/payment/CreateToken.json%23/../EntryTran.idPass",
        "/payment/CreateToken.json;/../EntryTran.idPass",
        "/payment/CreateToken.json%00/../EntryTran.idPass",
        "/ext/api/credit/getToken%3f/../../../../payment/ExecTran.idPass",
    ],
)
def test_a_path_that_two_servers_read_differently(path: str) -> None:
    """Not the call that it says it is, and, where one reading is the token endpoint, a violation as well."""
    answer = review(request(path, ACCESS.encode()), fields)
    assert answer.gaps == (UNLISTED,)
    assert [finding.why for _, finding in answer.findings] == [("token endpoint called by a backend",)]


REFERENCES = [
    *("MemberID", "memberId", "AccessID", "AccessPass", "ClientField1", "clientField3", "SitePass", "RecurringID"),
    *("SrcMemberID", "member_id"),
]


@pytest.mark.parametrize("key", REFERENCES)
@pytest.mark.parametrize("value", [VISA, "4111 1111 1111 1111", "3528000000000007", "４１１１１１１１１１１１１１１１"])
def test_a_card_number_in_the_place_of_a_reference(key: str, value: str) -> None:
    """The inspector takes a number under such a key for an order number, and rightly so anywhere else."""
    body = json.dumps({"accessID": "a1", key: value}).encode()
    asked = request("/payment/ExecTran.json", body, "application/json")
    answer = review(asked, fields, is_number)
    assert [(finding.entity, finding.confidence, finding.path) for _, finding in answer.findings] == [
        ("PAN", "high", f"$.{key}")
    ]
    inspections = [inspector().inspect(part.data, part.content_type) for part in asked.parts]
    assert judge(asked, inspections, answer.findings, (), date(2026, 5, 1)).action is Action.BLOCK


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MemberID", "4111111111111112"),  # fails its check digit
        ("MemberID", "1234567890123452"),  # of no issuer
        ("MemberID", "m-4111111111111111"),
        ("MemberID", "20260501"),
        ("OrderID", VISA),
        ("CardSeq", "0"),
        ("TranID", "2605011230111111111111801654"),
    ],
)
def test_references_that_are_none(key: str, value: str) -> None:
    answer = review(request("/payment/ExecTran.idPass", f"{ACCESS}&{key}={value}".encode()), fields, is_number)
    assert answer.findings == ()


def test_what_is_no_parameter_is_the_inspectors_to_find() -> None:
    """An expiry date inside a string, or in a header: no parameter to GMO, and no card data without a number."""
    asked = request("/payment/ExecTran.json", b'{"a":"{\\"expire\\":\\"3012\\"}"}', "application/json")
    asked = replace(asked, parts=(*asked.parts, Part("header:x-expire", b"3012")))
    assert review(asked, fields, is_number) == Review()
    nested = inspector().inspect(b'{"a":"{\\"cardNo\\":\\"%s\\",\\"expire\\":\\"3012\\"}"}' % VISA.encode())
    assert [finding.entity for finding in nested.findings] == ["PAN", "EXPIRY"]
