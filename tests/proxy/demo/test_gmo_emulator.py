"""The emulator answers as GMO does: dialect, charset, masks and errors."""

from __future__ import annotations

import base64
import json
from urllib.parse import urlencode

import pytest

from proxy.demo.cards import AMEX, CHALLENGED, MASTERCARD, VISA
from proxy.demo.gmo_emulator import HERE, Gateway, api, result_notification, token_server
from proxy.demo.shop import Answer, token_request
from proxy.demo.sinks import Sink

SHOP = {"ShopID": "tshop00000001", "ShopPass": "abcd1234"}
SITE = {"SiteID": "tsite00000001", "SitePass": "site1234", "MemberID": "m-1", "SeqMode": "0"}


class Caller:
    """Calls the emulator as a module-type client does."""

    def __init__(self, client, tokens):
        self.client = client
        self.tokens = tokens

    async def __call__(self, name, **values):
        body = urlencode(values, encoding="cp932").encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await self.client.post(f"/payment/{name}.idPass", data=body, headers=headers)
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain;charset=Windows-31J"
        return Answer(answer.status, await answer.read()).form

    async def token(self, card):
        answer = await self.tokens.post("/payment/CreateToken.json", data=token_request(card))
        return (await answer.json())["tokenList"][0]

    async def entry(self, order="R-1"):
        return await self("EntryTran", **SHOP, OrderID=order, JobCd="AUTH", Amount="12800", Tax="0")


@pytest.fixture
async def gmo(aiohttp_client):
    gateway = Gateway()
    app = api(gateway, Sink("gmo"))
    app[HERE].append("127.0.0.1:1")
    return Caller(await aiohttp_client(app), await aiohttp_client(token_server(gateway)))


async def test_a_token_payment(gmo):
    access = await gmo.entry()
    assert sorted(access) == ["AccessID", "AccessPass"]
    assert all(len(value) == 32 for value in access.values())
    token = await gmo.token(VISA)
    assert len(token) == 64
    paid = await gmo("ExecTran", **access, OrderID="R-1", Method="1", Token=token, CardNo="", ClientField1="テスト－ソ")
    assert (paid["ACS"], paid["OrderID"], paid["ClientField1"]) == ("0", "R-1", "テスト－ソ")
    assert len(paid["TranID"]) == 28
    assert "CardNo" not in paid


async def test_a_challenge(gmo):
    access = await gmo.entry()
    sent = {"Method": "1", "Token": await gmo.token(CHALLENGED), "RetUrl": "http://shop.example/3ds"}
    paid = await gmo("ExecTran", **access, **sent)
    assert paid["ACS"] == "2"
    assert paid["RedirectUrl"].startswith("http://127.0.0.1:1/payment/Tds2Start?AccessID=")
    assert await gmo("SecureTran2", **access) == {"ErrCode": "E21", "ErrInfo": "E21020002"}
    page = await gmo.client.get(
        "/payment/Tds2Start", params={"AccessID": access["AccessID"], "RetUrl": sent["RetUrl"]}, allow_redirects=False
    )
    assert (page.status, page.headers["Location"]) == (302, f"http://shop.example/3ds?AccessID={access['AccessID']}")
    assert (await gmo("SecureTran2", **access))["ACS"] == "0"
    assert (await gmo.client.get("/payment/Tds2Start", params={"AccessID": access["AccessID"]})).status == 404


async def test_registered_cards_come_back_masked(gmo):
    saved = await gmo("SaveCard", **SITE, Token=await gmo.token(VISA))
    assert saved == {"CardSeq": "0", "CardNo": "*************111", "Forward": "2a99662"}
    await gmo("SaveCard", **SITE, Token=await gmo.token(MASTERCARD))
    found = await gmo("SearchCard", **SITE)
    assert (found["CardNo"], found["Expire"]) == ("*************111|*************444", "3012|3011")
    assert (found["CardSeq"], found["DefaultFlag"], found["HolderName"]) == ("0|1", "1|0", "|")


async def test_errors_have_status_200_and_a_code(gmo):
    access = await gmo.entry()
    used = await gmo.token(VISA)
    await gmo("SaveCard", **SITE, Token=used)
    errors = {
        "E61040001": await gmo("ExecTran", **access, Method="1", CardNo=VISA.number),
        "EX1000301": await gmo("ExecTran", **access, Method="1", Token="0" * 64),
        "EX1000302": await gmo("ExecTran", **access, Method="1", Token=used),
        "E01110002": await gmo("ExecTran", AccessID="0" * 32, AccessPass="0" * 32, Method="1", Token="x"),
        "E01020001": await gmo("EntryTran", ShopID="t"),
        "E01040010": await gmo.entry(),
        "E01240002": await gmo("SearchCard", **SITE | {"MemberID": "nobody"}),
    }
    assert {answer["ErrInfo"] for answer in errors.values()} == set(errors)
    assert errors["E61040001"] == {"ErrCode": "E61", "ErrInfo": "E61040001"}


async def test_saving_a_raw_card_is_refused_too(gmo):
    assert (await gmo("SaveCard", **SITE, CardNo=VISA.number))["ErrInfo"] == "E61040001"


async def test_an_unknown_api(gmo):
    assert (await gmo.client.post("/payment/Unknown.idPass")).status == 404


@pytest.mark.parametrize("body", [b"", b"{}", b'{"encryptedData":"%%%"}', b'{"encryptedData":"bm8="}', b"[]"])
async def test_a_token_request_that_cannot_be_decrypted(gmo, body):
    answer = await gmo.tokens.post("/payment/CreateToken.json", data=body)
    assert (answer.status, await answer.json()) == (400, {"resultCode": "190"})


async def charge(gmo, information, authorization="Bearer x"):
    order = {"orderId": "R-1", "amount": "12800", "currency": "JPY"}
    headers = {"Authorization": authorization} if authorization else {}
    answer = await gmo.client.post(
        "/credit/charge", json={"order": order, "creditInformation": information}, headers=headers
    )
    return answer, await answer.json()


async def test_openapi_charge(gmo):
    answer, body = await charge(gmo, {"tokenizedCard": {"type": "MP_TOKEN", "token": await gmo.token(AMEX)}})
    assert answer.status == 201
    result = body["creditResult"]["cardResult"]
    assert result == {"cardNumber": "**********0005", "expiryMonth": "01", "expiryYear": "2031"}


async def test_openapi_problems(gmo):
    refused = [
        await charge(gmo, {"card": {"cardNumber": AMEX.number}}),
        await charge(gmo, {"tokenizedCard": {"token": "none"}}),
        await charge(gmo, {}),
        await charge(gmo, {}, authorization=""),
    ]
    assert [(answer.status, body["title"]) for answer, body in refused] == [
        (400, "invalid_contract"),
        (400, "invalid_parameter"),
        (400, "missing_parameter"),
        (401, "unauthorized_request"),
    ]
    assert {answer.content_type for answer, _ in refused} == {"application/problem+json"}


async def test_oauth(gmo):
    answer = await gmo.client.post("/token", data={"grant_type": "client_credentials", "scope": "openapi"})
    assert (await answer.json())["token_type"] == "Bearer"
    assert (await gmo.client.post("/token", data={"grant_type": "password"})).status == 400


def test_a_result_notification_hides_its_passes():
    form = Answer(200, result_notification("R-1", "a" * 32)).form
    assert (form["ShopPass"], form["AccessPass"]) == ("*" * 10, "*" * 32)
    assert len(form["TranID"]) == 28
    assert "CardNo" not in form


def test_a_token_request_is_what_the_script_sends():
    inner = json.loads(base64.b64decode(json.loads(token_request(VISA))["encryptedData"]))
    assert inner["card"]["expiryYear"] == "2030"
