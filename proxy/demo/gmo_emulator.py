"""GMO Payment Gateway on loopback: the protocol-type calls a card shop makes, with GMO's answers, charset and errors.

Two applications share one ``Gateway``: the API that shop backends call, and the token server that only browsers call.
What the browser's script would encrypt with RSA is plain base64 here; everything else looks as it does on the wire.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from aiohttp import web

from proxy.demo.cards import CHALLENGED
from proxy.demo.sinks import Handler, Sink

SHOP_ID = "tshop00000001"
SITE_ID = "tsite00000001"
CHARSET = "Windows-31J"

Fields = Mapping[str, str]

HERE: web.AppKey[list[str]] = web.AppKey("here", list[str])
"""Where browsers reach the 3-D Secure page (``host:port``). To be filled in once the application listens."""


class GmoError(Exception):
    """An error in GMO's own words: ``ErrCode`` and ``ErrInfo``. HTTP knows nothing of it: the status stays 200."""

    def __init__(self, code: str, info: str) -> None:
        super().__init__(f"{code} {info}")
        self.code = code
        self.info = info


@dataclass(frozen=True, slots=True, repr=False)
class Vaulted:
    """A card as GMO keeps it. Only masked numbers ever leave."""

    number: str
    expire: str

    def mask(self, readable: int) -> str:
        """Asterisks and the last digits."""
        return "*" * (len(self.number) - readable) + self.number[-readable:]


@dataclass(slots=True)
class Trade:
    """One EntryTran and what became of it."""

    order_id: str
    access_pass: str
    amount: str
    status: str = "UNPROCESSED"
    card: Vaulted | None = None


@dataclass(slots=True)
class Gateway:
    """GMO's state: tokens that wait for their one use, trades, and members' registered cards."""

    tokens: dict[str, Vaulted] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    trades: dict[str, Trade] = field(default_factory=dict)
    members: dict[str, list[Vaulted]] = field(default_factory=dict)

    def tokenize(self, card: Mapping[str, str]) -> tuple[str, Vaulted]:
        """A new one-time token for a card that a browser sent."""
        vaulted = Vaulted(card["cardNumber"], card["expiryYear"][-2:] + card["expiryMonth"])
        token = secrets.token_hex(32)
        self.tokens[token] = vaulted
        return token, vaulted

    def redeem(self, token: str) -> Vaulted:
        """The card behind a token, once."""
        if token in self.used:
            raise GmoError("EX1", "EX1000302")
        if token not in self.tokens:
            raise GmoError("EX1", "EX1000301")
        self.used.add(token)
        return self.tokens.pop(token)

    def entry_tran(self, sent: Fields) -> dict[str, str]:
        _require(
            sent, ShopID="E01010001", ShopPass="E01020001", OrderID="E01040001", JobCd="E01050001", Amount="E01060001"
        )
        if any(trade.order_id == sent["OrderID"] for trade in self.trades.values()):
            raise GmoError("E01", "E01040010")
        access_id = secrets.token_hex(16)
        self.trades[access_id] = Trade(sent["OrderID"], secrets.token_hex(16), sent["Amount"])
        return {"AccessID": access_id, "AccessPass": self.trades[access_id].access_pass}

    def exec_tran(self, sent: Fields, challenge_url: str) -> dict[str, str]:
        trade = self._trade(sent)
        if sent.get("CardNo"):
            raise GmoError("E61", "E61040001")
        _require(sent, Method="E01260001", Token="EX1000301")  # noqa: S106 - an error code
        trade.card = self.redeem(sent["Token"])
        if trade.card.number == CHALLENGED.number:
            trade.status = "AUTHPROCESS"
            return {
                "ACS": "2",
                "RedirectUrl": f"{challenge_url}?AccessID={sent['AccessID']}&p=e30&RetUrl={sent.get('RetUrl', '')}",
            }
        return self._authorized(trade, sent)

    def secure_tran2(self, sent: Fields) -> dict[str, str]:
        trade = self._trade(sent)
        if trade.status != "AUTHENTICATED":
            raise GmoError("E21", "E21020002")
        return self._authorized(trade, sent)

    def save_card(self, sent: Fields) -> dict[str, str]:
        _require(sent, SiteID="E01320001", SitePass="E01330001", MemberID="E01390001")
        if sent.get("CardNo"):
            raise GmoError("E61", "E61040001")
        cards = self.members.setdefault(sent["MemberID"], [])
        cards.append(self.redeem(sent.get("Token", "")))
        return {"CardSeq": str(len(cards) - 1), "CardNo": cards[-1].mask(3), "Forward": "2a99662"}

    def search_card(self, sent: Fields) -> dict[str, str]:
        _require(sent, SiteID="E01320001", SitePass="E01330001", MemberID="E01390001")
        cards = self.members.get(sent["MemberID"])
        if not cards:
            raise GmoError("E01", "E01240002")
        rows = [
            {"CardSeq": str(seq), "DefaultFlag": str(int(seq == 0)), "CardName": "", "CardNo": card.mask(3)}
            | {"Expire": card.expire, "HolderName": "", "DeleteFlag": "0"}
            for seq, card in enumerate(cards)
        ]
        return {name: "|".join(row[name] for row in rows) for name in rows[0]}

    def _trade(self, sent: Fields) -> Trade:
        _require(sent, AccessID="E01110001", AccessPass="E01120001")
        trade = self.trades.get(sent["AccessID"])
        if trade is None or trade.access_pass != sent["AccessPass"]:
            raise GmoError("E01", "E01110002")
        return trade

    @staticmethod
    def _authorized(trade: Trade, sent: Fields) -> dict[str, str]:
        trade.status = "AUTH"
        result = {"ACS": "0", "OrderID": trade.order_id, "Forward": "2a99662", "Method": sent.get("Method", "1")}
        result |= {"PayTimes": "", "Approve": "0112234", "TranID": "2605011230111111111111801654"}
        result |= {
            "TranDate": "20260501123011",
            "CheckString": hashlib.sha256(trade.order_id.encode()).hexdigest()[:32],
        }
        return result | {f"ClientField{n}": sent.get(f"ClientField{n}", "") for n in (1, 2, 3)}


def _require(sent: Fields, **codes: str) -> None:
    for name, info in codes.items():
        if not sent.get(name):
            raise GmoError(info[:3], info)


def api(gateway: Gateway, sink: Sink) -> web.Application:
    """What a shop's backend calls. ``sink`` keeps every request."""
    app = web.Application(middlewares=[sink.keep])

    def exec_tran(sent: Fields, request: web.Request) -> dict[str, str]:
        return gateway.exec_tran(sent, f"http://{request.app[HERE][0]}/payment/Tds2Start")

    calls: dict[str, Callable[[Fields, web.Request], dict[str, str]]] = {
        "EntryTran": lambda sent, _request: gateway.entry_tran(sent),
        "ExecTran": exec_tran,
        "SecureTran2": lambda sent, _request: gateway.secure_tran2(sent),
        "SaveCard": lambda sent, _request: gateway.save_card(sent),
        "SearchCard": lambda sent, _request: gateway.search_card(sent),
    }

    async def idpass(request: web.Request) -> web.Response:
        call = calls.get(request.match_info["api"])
        if call is None:
            return web.Response(status=404)
        sent = dict(parse_qsl((await request.read()).decode("ascii"), keep_blank_values=True, encoding="cp932"))
        try:
            answer = call(sent, request)
        except GmoError as error:
            answer = {"ErrCode": error.code, "ErrInfo": error.info}
        text = "&".join(f"{name}={value}" for name, value in answer.items())  # not URL-encoded: so GMO answers
        return web.Response(body=text.encode("cp932"), headers={"Content-Type": f"text/plain;charset={CHARSET}"})

    async def charge(request: web.Request) -> web.Response:
        return _charge(gateway, await request.read(), request.headers.get("Authorization", ""))

    async def oauth(request: web.Request) -> web.Response:
        form = dict(parse_qsl(await request.text()))
        if form.get("grant_type") != "client_credentials":
            return _problem(400, "invalid_request", "grant_type")
        return web.json_response(
            {"access_token": secrets.token_urlsafe(32), "token_type": "Bearer", "expires_in": 3600, "scope": "openapi"}
        )

    async def challenge(request: web.Request) -> web.Response:
        return _challenge(gateway, request)

    app.add_routes([web.post("/payment/CreateToken.json", _token_handler(gateway))])
    app.add_routes([web.post("/payment/{api}.idPass", idpass), web.get("/payment/Tds2Start", challenge)])
    app.add_routes([web.post("/credit/charge", charge), web.post("/token", oauth)])
    app[HERE] = []
    return app


def token_server(gateway: Gateway) -> web.Application:
    """What a browser calls, and nobody else: a card in, a token out."""
    app = web.Application()
    app.add_routes([web.post("/payment/CreateToken.json", _token_handler(gateway))])
    return app


def _token_handler(gateway: Gateway) -> Handler:
    async def create_token(request: web.Request) -> web.Response:
        try:
            sent = json.loads(await request.read())
            token, card = gateway.tokenize(json.loads(base64.b64decode(sent["encryptedData"]))["card"])
        except (ValueError, KeyError, TypeError, binascii.Error):
            return web.json_response({"resultCode": "190"}, status=400)
        return web.json_response(
            {"tokenList": [token], "maskedCardNumber": card.mask(4), "tokenExpiryDate": "2026-05-01-12-30-00"}
            | {"isSecurityCodeSet": True}
        )

    return create_token


def _charge(gateway: Gateway, body: bytes, authorization: str) -> web.Response:
    """OpenAPI ``/credit/charge``."""
    if not authorization.startswith(("Bearer ", "Basic ")):
        return _problem(401, "unauthorized_request", "Authorization")
    try:
        sent = json.loads(body)
        information, order = sent["creditInformation"], sent["order"]
        if "card" in information:
            return _problem(400, "invalid_contract", "creditInformation.card")
        card = gateway.redeem(information["tokenizedCard"]["token"])
        order_id, amount = order["orderId"], order["amount"]
    except GmoError as error:
        return _problem(400, "invalid_parameter", f"{error.info} (creditInformation.tokenizedCard.token)")
    except (ValueError, KeyError, TypeError) as error:
        return _problem(400, "missing_parameter", str(error.args[0]) if isinstance(error, KeyError) else "body")
    reference = {"accessId": secrets.token_hex(16), "accessPass": secrets.token_hex(16), "orderId": order_id}
    result = {
        "cardNumber": "*" * 10 + card.number[-4:],
        "expiryMonth": card.expire[2:],
        "expiryYear": f"20{card.expire[:2]}",
    }
    answer = {
        "nextAction": "CAPTURE",
        "orderReference": reference | {"status": "AUTH", "amount": amount, "chargeType": "CREDIT"},
        "creditResult": {"cardType": "CREDIT_CARD", "cardResult": result, "approvalCode": "1234567"},
    }
    return web.json_response(answer, status=201)


def _challenge(gateway: Gateway, request: web.Request) -> web.Response:
    """The issuer's page: this one always believes the customer, and sends the browser back to the shop."""
    access_id = request.query.get("AccessID", "")
    trade = gateway.trades.get(access_id)
    if trade is None or trade.status != "AUTHPROCESS":
        return web.Response(status=404)
    trade.status = "AUTHENTICATED"
    return web.Response(status=302, headers={"Location": f"{request.query.get('RetUrl', '/')}?AccessID={access_id}"})


def _problem(status: int, title: str, detail: str) -> web.Response:
    body = {"title": title, "detail": detail, "instance": "/credit/charge"}
    return web.json_response(body, status=status, content_type="application/problem+json")


def result_notification(order_id: str, access_id: str) -> bytes:
    """The body of a 結果通知, which GMO posts to the shop as a CP932 form. Its passes are asterisks."""
    values = {
        "ShopID": SHOP_ID,
        "ShopPass": "*" * 10,
        "AccessID": access_id,
        "AccessPass": "*" * 32,
        "OrderID": order_id,
    }
    values |= {
        "Status": "AUTH",
        "JobCd": "AUTH",
        "Amount": "12800",
        "Tax": "0",
        "Currency": "JPN",
        "Forward": "2a99662",
    }
    values |= {"Method": "1", "PayTimes": "", "TranID": "2605011230111111111111801654", "Approve": "0112234"}
    values |= {"TranDate": "20260501123011", "ErrCode": "", "ErrInfo": "", "PayType": "0"}
    return "&".join(f"{name}={value}" for name, value in values.items()).encode("cp932")
