"""The story, step by step: who does what, through which lane, and whether it keeps to the tokenized flow."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from proxy.demo.cards import AMEX, CHALLENGED, GMO_ONLY, JCB, MASTERCARD, VISA, Card
from proxy.demo.gmo_emulator import result_notification
from proxy.demo.shop import JSON, Answer, call, token_request
from proxy.demo.stage import Stage


class ScenarioError(Exception):
    """A step could not be played at all: an answer was not what the real counterpart would give."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the final table."""

    title: str
    lane: str
    """The lane that decides; an order uses them all."""
    expect: Literal["passes", "stopped"]
    play: Callable[[Stage], Awaitable[Answer]]
    """Does it, and returns what the one who sent it saw."""


async def token_for(stage: Stage, card: Card) -> str:
    """A one-time token, got as a browser gets it: from GMO's token server, past shop and sidecar."""
    url = f"{stage.token_server}/payment/CreateToken.json"
    answer = await call(stage.browser, "POST", url, token_request(card), JSON)
    return str(json.loads(answer.body)["tokenList"][0])


async def _post(stage: Stage, path: str, **values: object) -> Answer:
    """A browser's request to the shop."""
    return await call(stage.browser, "POST", f"{stage.lanes['front']}{path}", json.dumps(values).encode(), JSON)


async def _get(stage: Stage, url: str) -> Answer:
    return await call(stage.browser, "GET", url, headers={})


def _all_kept(ordered: Answer) -> Answer:
    """``ordered``, unless one of the shop's stores refused what the shop kept of the order."""
    kept = json.loads(ordered.body).get("kept", []) if ordered.status == 201 else []
    if any(status >= 400 for status in kept):
        raise ScenarioError(f"a store refused part of a clean order: {kept}")
    return ordered


async def token_order(stage: Stage) -> Answer:
    """An ordinary order. Its log line, document and session must all have been kept."""
    token = await token_for(stage, VISA)
    return _all_kept(await _post(stage, "/orders", token=token, item="テント", email="taro@example.jp"))


async def challenged_order(stage: Stage) -> Answer:
    """Paid, challenged by the issuer, finished with SecureTran2."""
    ordered = await _post(stage, "/orders", token=await token_for(stage, CHALLENGED), item="ランタン")
    if ordered.status != 202:
        return ordered
    url = json.loads(ordered.body)["redirect"]
    async with stage.browser.get(url, allow_redirects=False) as page:
        back = page.headers.get("Location", "")
    if not back.startswith(f"{stage.lanes['front']}/3ds?"):
        raise ScenarioError("the issuer's page did not send the browser back to the shop")
    return _all_kept(await _get(stage, back))


async def registered_cards(stage: Stage) -> Answer:
    """Two cards registered with tokens, then shown on the account page."""
    for card in (VISA, MASTERCARD):
        saved = await _post(stage, "/account/cards", token=await token_for(stage, card))
        if saved.status != 201:
            return saved
    shown = await _get(stage, f"{stage.lanes['front']}/account/cards")
    if shown.status == 200 and json.loads(shown.body)["cards"] != ["*************111", "*************444"]:
        raise ScenarioError("the account page did not show the two masked cards")
    return shown


async def notification(stage: Stage) -> Answer:
    """GMO tells the shop a result; the shop's one-byte answer must come back as it is."""
    order_id, entry = await stage.shop.new_order()
    body = result_notification(order_id, entry.form.get("AccessID", ""))
    before = len(stage.sinks["front"].records)
    answer = await call(stage.browser, "POST", f"{stage.lanes['front']}/gmo/result", body)
    if answer.status == 200:
        received = [record.body for record in stage.sinks["front"].records[before:]]
        if answer.body != b"0" or received != [body]:
            raise ScenarioError("the result notification or its answer was altered")
    return answer


async def charge_with_token(stage: Stage) -> Answer:
    token = await token_for(stage, AMEX)
    return await stage.shop.charge({"tokenizedCard": {"type": "MP_TOKEN", "token": token}})


async def charge_with_card(stage: Stage) -> Answer:
    card = {"cardNumber": AMEX.number, "cardholderName": AMEX.holder, "securityCode": AMEX.code}
    expiry = {"expiryMonth": AMEX.expire[2:], "expiryYear": f"20{AMEX.expire[:2]}"}
    return await stage.shop.charge({"card": card | expiry})


async def browser_posts_card(stage: Stage) -> Answer:
    """An old checkout page whose form still names the card's fields."""
    return await _post(stage, "/orders", item="テント", card={"number": JCB.number, "cvc": JCB.code})


async def browser_posts_hidden_card(stage: Stage) -> Answer:
    """The same, tucked away: base64 in a JSON field."""
    state = base64.b64encode(json.dumps({"number": MASTERCARD.number}).encode()).decode()
    return await _post(stage, "/orders", item="テント", state=state)


SCENARIOS = (
    Scenario("an order paid with a token: order, log, session", "all", "passes", token_order),
    Scenario("3-D Secure challenge, then SecureTran2", "all", "passes", challenged_order),
    Scenario("registered cards saved by token and shown masked", "gmo, front", "passes", registered_cards),
    Scenario("result notification from GMO, answered 0", "front", "passes", notification),
    Scenario("OpenAPI charge with tokenizedCard", "gmo", "passes", charge_with_token),
    Scenario("debug log line with the card in JSON", "app-logs", "stopped", lambda s: s.shop.debug_log(VISA)),
    Scenario("crash dump: gzip in base64 in a gzipped push", "app-logs", "stopped", lambda s: s.shop.crash_dump(JCB)),
    Scenario("order stored with its card", "search", "stopped", lambda s: s.shop.store_card(MASTERCARD)),
    Scenario("session with number and security code", "sessions", "stopped", lambda s: s.shop.remember_code(VISA)),
    Scenario("ExecTran with CardNo (通過型)", "gmo", "stopped", lambda s: s.shop.pay_raw(VISA)),
    Scenario("the same with a GMO test number that fails Luhn", "gmo", "stopped", lambda s: s.shop.pay_raw(GMO_ONLY)),
    Scenario("OpenAPI charge with a raw card", "gmo", "stopped", charge_with_card),
    Scenario("backend calls the token endpoint itself", "gmo", "stopped", lambda s: s.shop.tokenize_itself(MASTERCARD)),
    Scenario("browser posts a card to the shop", "front", "stopped", browser_posts_card),
    Scenario("browser posts a card in base64", "front", "stopped", browser_posts_hidden_card),
)
