"""A small shop backend: takes orders, pays through GMO with a token, logs, stores orders and sessions.

Everything it sends goes to an address out of ``Lanes``, as a real backend's configuration would name the sidecar. The
methods under "mistakes" do what shops have really done with cards; the demo calls them to see where the cards end up.
"""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import ClientSession, web

from proxy.demo.cards import Card
from proxy.demo.gmo_emulator import SHOP_ID, SITE_ID
from proxy.demo.sinks import Sink

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Lanes:
    """Base addresses of everything outside the shop."""

    logs: str
    search: str
    sessions: str
    gmo: str
    front: str = ""
    """Where browsers and GMO reach the shop."""


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """What a server said."""

    status: int
    body: bytes
    content_type: str = ""

    @property
    def refusal(self) -> Mapping[str, Any] | None:
        """The sidecar's problem document, if it was the sidecar that answered: its ``instance`` is an audit record."""
        if self.content_type != "application/problem+json":
            return None
        problem = json.loads(self.body)
        return problem if str(problem.get("instance", "")).startswith("urn:uuid:") else None

    @property
    def form(self) -> dict[str, str]:
        """GMO's answer: decoded first, because a CP932 character may end in the byte of ``|``, then split.

        A redirect URL comes last and holds ``&`` and ``=`` of its own.
        """
        text, mark, url = self.body.decode("cp932", "replace").partition("RedirectUrl=")
        values = {name: value for name, _, value in (pair.partition("=") for pair in text.split("&")) if name}
        return values | ({"RedirectUrl": url} if mark else {})


async def call(
    client: ClientSession, method: str, url: str, body: bytes = b"", headers: Mapping[str, str] = FORM
) -> Answer:
    """One request. Redirects are not followed."""
    async with client.request(method, url, data=body, headers=headers, allow_redirects=False) as response:
        return Answer(response.status, await response.read(), response.content_type)


@dataclass(slots=True)
class Shop:
    """The backend's work, without its web server."""

    client: ClientSession
    lanes: Lanes
    access: dict[str, tuple[str, str]] = field(default_factory=dict)
    """AccessID → AccessPass and order id of payments under way."""
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def gmo(self, api: str, /, **values: str) -> Answer:
        """A protocol-type call: a form in percent-encoded CP932."""
        body = urlencode(values, encoding="cp932").encode("ascii")
        return await call(self.client, "POST", f"{self.lanes.gmo}/payment/{api}.idPass", body)

    async def log(self, line: str, level: str = "info", *, compress: bool = False) -> Answer:
        """One line to the log store, as a log agent pushes it."""
        stream = {"stream": {"app": "shop", "level": level}, "values": [[str(time.time_ns()), line]]}
        body = json.dumps({"streams": [stream]}).encode()
        headers = JSON | ({"Content-Encoding": "gzip"} if compress else {})
        body = gzip.compress(body) if compress else body
        return await call(self.client, "POST", f"{self.lanes.logs}/loki/api/v1/push", body, headers)

    async def store(self, order: Mapping[str, object]) -> Answer:
        """One order to the search store."""
        body = json.dumps(order, ensure_ascii=False).encode()
        return await call(self.client, "POST", f"{self.lanes.search}/orders/_doc", body, JSON)

    async def remember(self, session: str, values: Mapping[str, object]) -> Answer:
        """A customer's session to the session store."""
        body = json.dumps(values).encode()
        return await call(self.client, "PUT", f"{self.lanes.sessions}/sessions/{session}", body, JSON)

    async def new_order(self) -> tuple[str, Answer]:
        """An order id, and GMO's answer to its EntryTran."""
        order_id = f"ROKI-20260501-{next(self.numbers):04}"
        answer = await self.gmo(
            "EntryTran", ShopID=SHOP_ID, ShopPass="abcd1234", OrderID=order_id, JobCd="AUTH", Amount="12800", Tax="0",
            TdFlag="2", Tds2Type="3",
        )  # fmt: skip
        return order_id, answer

    async def pay(self, token: str) -> tuple[str, Answer]:
        """An order id, and GMO's answer to its ExecTran. As the official client does, unused keys are empty."""
        order_id, entry = await self.new_order()
        if entry.status != 200 or "AccessID" not in entry.form:
            return order_id, entry
        access = {name: entry.form[name] for name in ("AccessID", "AccessPass")}
        self.access[access["AccessID"]] = (access["AccessPass"], order_id)
        answer = await self.gmo(
            "ExecTran", **access, OrderID=order_id, Method="1", PayTimes="", CardNo="", Token=token, CardPass="",
            Expire="", SecurityCode="", ClientField1="テスト", ClientField2="－", Tds2Email="taro@example.jp",
            Tds2MobilePhoneCC="81", Tds2MobilePhoneSubscriber="9012345678", CallbackType="3",
            RetUrl=f"{self.lanes.front}/3ds", User="roki", Version="101",
        )  # fmt: skip
        return order_id, answer

    async def record(self, order_id: str, paid: Mapping[str, str]) -> list[Answer]:
        """What a shop keeps of a paid order: a log line, the order, the customer's session."""
        order = {"order_id": order_id, "amount": 12800, "customer": "顧客A", "approve": paid.get("Approve", "")}
        return [
            await self.log(f"order {order_id} paid, tran {paid.get('TranID', '')}", compress=True),
            await self.store(
                order | {"items": [{"name": "テント", "jan": "4901234567894"}], "card": "************1111"}
            ),
            await self.remember(f"s-{order_id}", {"order_id": order_id, "cart": []}),
        ]

    # Mistakes. Each of these has leaked cards in a real shop.

    async def debug_log(self, card: Card) -> Answer:
        """A debug line that dumps the whole payment request."""
        return await self.log(
            f"DEBUG payment request {json.dumps({'card_number': card.number, 'amount': 12800})}", "debug"
        )

    async def crash_dump(self, card: Card) -> Answer:
        """An error report that packs the request's form, so that nobody sees what is in it."""
        dump = base64.b64encode(gzip.compress(json.dumps({"form": {"CardNo": card.number}}).encode())).decode()
        return await self.log(f"ERROR unhandled exception, state={dump}", "error", compress=True)

    async def store_card(self, card: Card) -> Answer:
        """An order stored with its card."""
        return await self.store({"order_id": "ROKI-20260501-9001", "payment": {"card_number": card.number}})

    async def remember_code(self, card: Card) -> Answer:
        """A half-finished checkout, security code and all, kept in the session."""
        form = {"card_number": card.number, "security_code": card.code}
        return await self.remember("s-9002", {"checkout": form})

    async def pay_raw(self, card: Card) -> Answer:
        """The payment call from before tokens (通過型)."""
        _order_id, entry = await self.new_order()
        access = {name: entry.form.get(name, "") for name in ("AccessID", "AccessPass")}
        values = {"CardNo": card.number, "Expire": card.expire, "SecurityCode": card.code}
        return await self.gmo("ExecTran", **access, Method="1", **values)

    async def tokenize_itself(self, card: Card) -> Answer:
        """Calling the browser's token endpoint from the backend: the body is encoded, but the shop held the card."""
        body = token_request(card)
        return await call(self.client, "POST", f"{self.lanes.gmo}/payment/CreateToken.json", body, JSON)

    async def charge(self, information: Mapping[str, object]) -> Answer:
        """OpenAPI ``/credit/charge``."""
        grant = await call(
            self.client, "POST", f"{self.lanes.gmo}/token", b"grant_type=client_credentials&scope=openapi"
        )
        access_token = json.loads(grant.body).get("access_token", "") if grant.status == 200 else ""
        order = {"orderId": f"ROKI-20260501-{next(self.numbers):04}", "amount": "12800", "currency": "JPY"}
        body = json.dumps({"order": order, "creditInformation": information}).encode()
        headers = JSON | {"Authorization": f"Bearer {access_token}"}
        return await call(self.client, "POST", f"{self.lanes.gmo}/credit/charge", body, headers)


def token_request(card: Card) -> bytes:
    """The body of CreateToken as the browser's script builds it (the emulator takes base64 for RSA)."""
    inner = {"cardNumber": card.number, "cardholderName": card.holder, "securityCode": card.code}
    inner |= {"expiryMonth": card.expire[2:], "expiryYear": f"20{card.expire[:2]}"}
    data = base64.b64encode(json.dumps({"card": inner}).encode()).decode()
    return json.dumps(
        {"createCount": "1", "encryptionParameters": {"type": "UNIQUE_PK"}, "encryptedData": data}
    ).encode()


def shop_app(shop: Shop, sink: Sink) -> web.Application:
    """The shop's web server. ``sink`` keeps every request: what browsers should never have sent is looked for there."""

    async def finish(order_id: str, paid: Answer) -> web.Response:
        if paid.status != 200 or "ErrCode" in paid.form:
            return web.json_response({"error": paid.form.get("ErrInfo", str(paid.status))}, status=502)
        if paid.form.get("ACS") == "2":
            return web.json_response({"redirect": paid.form["RedirectUrl"]}, status=202)
        kept = [answer.status for answer in await shop.record(order_id, paid.form)]
        return web.json_response({"order_id": order_id, "kept": kept}, status=201)

    async def order(request: web.Request) -> web.Response:
        sent = await request.json()
        return await finish(*await shop.pay(str(sent.get("token", ""))))

    async def after_challenge(request: web.Request) -> web.Response:
        access_id = request.query.get("AccessID", "")
        if access_id not in shop.access:
            return web.json_response({"error": "unknown payment"}, status=404)
        access_pass, order_id = shop.access[access_id]
        return await finish(order_id, await shop.gmo("SecureTran2", AccessID=access_id, AccessPass=access_pass))

    async def save_card(request: web.Request) -> web.Response:
        token = str((await request.json()).get("token", ""))
        member = {"SiteID": SITE_ID, "SitePass": "site1234", "MemberID": "m-1001", "SeqMode": "0"}
        saved = await shop.gmo("SaveCard", **member, CardNo="", Expire="", HolderName="", CardName="VISA", Token=token)
        return web.json_response({"saved": saved.form.get("CardNo", "")}, status=201 if "CardNo" in saved.form else 502)

    async def cards(_request: web.Request) -> web.Response:
        found = await shop.gmo("SearchCard", SiteID=SITE_ID, SitePass="site1234", MemberID="m-1001", SeqMode="0")
        return web.json_response({"cards": found.form.get("CardNo", "").split("|")})

    async def result(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=b"0", content_type="text/plain")

    app = web.Application(middlewares=[sink.keep])
    app.add_routes([web.post("/orders", order), web.get("/3ds", after_challenge), web.post("/gmo/result", result)])
    app.add_routes([web.post("/account/cards", save_card), web.get("/account/cards", cards)])
    return app
