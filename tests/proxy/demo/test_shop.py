from __future__ import annotations

import gzip
import json

import pytest

from proxy.demo.cards import VISA
from proxy.demo.scenarios import token_for
from proxy.demo.search import card_numbers, security_codes
from proxy.demo.shop import Answer

URL = "https://pt01.mul-pay.jp/payment/Tds2Start?a=b&CardNo=c|d"


def test_a_form_answer_is_decoded_before_it_is_split():
    body = f"ACS=2&ClientField1=ソ－ポ&RedirectUrl={URL}".encode("cp932")
    assert Answer(200, body).form == {"ACS": "2", "ClientField1": "ソ－ポ", "RedirectUrl": URL}


@pytest.mark.parametrize(
    ("kind", "instance", "refused"),
    [
        ("application/problem+json", "urn:uuid:6d9f2c40-0000-4000-8000-000000000000", True),
        ("application/problem+json", "/credit/charge", False),
        ("application/json", "urn:uuid:6d9f2c40-0000-4000-8000-000000000000", False),
    ],
)
def test_a_refusal_is_told_from_the_gateways_own_problems(kind, instance, refused):
    answer = Answer(403, json.dumps({"title": "x", "instance": instance}).encode(), kind)
    assert (answer.refusal is not None) is refused


async def test_an_order_is_paid_and_kept(bare):
    token = await token_for(bare, VISA)
    async with bare.browser.post(f"{bare.lanes['front']}/orders", json={"token": token}) as answer:
        assert (answer.status, (await answer.json())["kept"]) == (201, [204, 201, 204])
    (line,) = bare.sinks["app-logs"].records
    (order,) = bare.sinks["search"].records
    (session,) = bare.sinks["sessions"].records
    assert b"ROKI-20260501-0001 paid" in line.body
    assert json.loads(order.body)["card"] == "************1111"
    assert json.loads(session.body)["order_id"] == "ROKI-20260501-0001"


async def test_an_order_without_a_good_token_is_not_kept(bare):
    async with bare.browser.post(f"{bare.lanes['front']}/orders", json={"token": "0" * 64}) as answer:
        assert (answer.status, await answer.json()) == (502, {"error": "EX1000301"})
    assert bare.sinks["search"].records == []


async def test_the_official_clients_empty_keys_are_sent(bare):
    await bare.shop.pay(await token_for(bare, VISA))
    body = bare.sinks["gmo"].records[-1].body
    assert b"&CardNo=&" in body
    assert b"&SecurityCode=&" in body
    assert b"ClientField1=%83e%83X%83g&ClientField2=%81%7C" in body


@pytest.mark.parametrize(
    ("mistake", "sink"),
    [
        ("debug_log", "app-logs"),
        ("crash_dump", "app-logs"),
        ("store_card", "search"),
        ("remember_code", "sessions"),
        ("pay_raw", "gmo"),
        ("tokenize_itself", "gmo"),
    ],
)
async def test_a_mistake_puts_the_card_there(bare, mistake, sink):
    answer = await getattr(bare.shop, mistake)(VISA)
    assert answer.status < 300
    assert card_numbers(bare.sinks[sink].records[-1].data) == {VISA.number}


async def test_the_session_mistake_keeps_the_code_too(bare):
    await bare.shop.remember_code(VISA)
    assert security_codes(bare.sinks["sessions"].records[-1].data) == {VISA.code}


async def test_a_compressed_push_arrives_readable(bare):
    assert (await bare.shop.log("a line", compress=True)).status == 204
    record = bare.sinks["app-logs"].records[-1]
    assert b"Content-Encoding: gzip" in record.line
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(record.body)
    assert json.loads(record.body)["streams"][0]["values"][0][1] == "a line"


async def test_the_shop_answers_result_notifications_with_one_byte(bare):
    async with bare.browser.post(f"{bare.lanes['front']}/gmo/result", data=b"OrderID=R-1") as answer:
        assert await answer.read() == b"0"


async def test_an_unknown_payment_comes_back_from_a_challenge(bare):
    async with bare.browser.get(f"{bare.lanes['front']}/3ds?AccessID=none") as answer:
        assert answer.status == 404
