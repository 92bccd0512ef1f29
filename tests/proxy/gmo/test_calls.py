"""Hosts, paths and parameter names, read as GMO's servers and clients write them."""

from __future__ import annotations

import pytest

from proxy.gmo import calls as gmo


@pytest.mark.parametrize(
    ("host", "path", "kind", "name", "dialect"),
    [
        ("p01.mul-pay.jp", "/payment/ExecTran.idPass", "backend", "ExecTran", "idpass"),
        ("pt01.mul-pay.jp", "/payment/EntryTran.idPass", "backend", "EntryTran", "idpass"),
        ("PT01.MUL-PAY.JP.", "/payment/SecureTran2.idPass", "backend", "SecureTran2", "idpass"),
        ("p01.mul-pay.jp", "/payment/ExecTran.json", "backend", "ExecTran", "json"),
        ("p01.mul-pay.jp", "/payment/GetLinkplusUrlPayment.json", "backend", "GetLinkplusUrlPayment", "json"),
        ("p01.mul-pay.jp", "/payment/EntryTranCvs.idPass", "backend", "EntryTranCvs", "idpass"),
        ("p01.mul-pay.jp", "/payment/DocomoStart.idPass", "backend", "DocomoStart", "idpass"),
        ("p01.mul-pay.jp", "/payment/Tds2Auth.idPass", "backend", "Tds2Auth", "idpass"),
        ("openapi.mul-pay.jp", "/credit/charge", "backend", "credit/charge", "openapi"),
        ("stg.openapi.mul-pay.jp", "/credit/on-file/charge", "backend", "credit/on-file/charge", "openapi"),
        ("openapi.mul-pay.jp", "/tds2/finalizeCharge", "backend", "tds2/finalizeCharge", "openapi"),
        ("oauth.mul-pay.jp", "/token", "oauth", "oauth token", "idpass"),
        ("p01.mul-pay.jp", "/ext/api/credit/getToken", "token", "getToken", ""),
        ("stg.token.mul-pay.jp", "/payment/CreateToken.json", "token", "CreateToken", ""),
        ("static.mul-pay.jp", "/ext/js/token.js", "script", "token script", ""),
        ("stg.static.mul-pay.jp", "/payment/js/mp-token.js", "script", "token script", ""),
        ("link.mul-pay.jp", "/v1/plus/tshop00000001/checkout/e30.0123", "link", "link plus", ""),
        ("p01.mul-pay.jp", "/link/tshop00000001/Multi/Entry", "link", "link", ""),
        ("pt01.mul-pay.jp", "/payment/Tds2Start", "challenge", "3-D Secure", ""),
        # A refusal sees through spellings that a server would resolve.
        ("p01.mul-pay.jp", "/payment//ExecTran.idPass", "backend", "ExecTran", "idpass"),
        ("p01.mul-pay.jp", "/ext/api/../api/credit/%67etToken", "token", "getToken", ""),
        ("p01.mul-pay.jp", "/ext/api/credit/getToken;jsessionid=1", "token", "getToken", ""),
        ("p01.mul-pay.jp", "/ext/api/credit/%2567etToken", "token", "getToken", ""),
        ("p01.mul-pay.jp", "/ext/api/credit/getToken/", "token", "getToken", ""),
        ("p01.mul-pay.jp", "/payment/createtoken.JSON", "token", "CreateToken", ""),
        # An emulator has every host's paths.
        ("127.0.0.1", "/payment/ExecTran.idPass", "backend", "ExecTran", "idpass"),
        ("gmo-mock.internal", "/credit/charge", "backend", "credit/charge", "openapi"),
        ("p01.mul-pay.jp.example.com", "/token", "oauth", "oauth token", "idpass"),
    ],
)
def test_endpoint(host: str, path: str, kind: str, name: str, dialect: str) -> None:
    found = gmo.endpoint(host, path)
    assert found is not None
    assert (found.kind, found.name, found.dialect) == (kind, name, dialect)


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("p01.mul-pay.jp", "/"),
        ("p01.mul-pay.jp", "/payment/Unknown.idPass"),
        ("p01.mul-pay.jp", "/payment/ExecTran.idPass.bak"),
        ("p01.mul-pay.jp", "/credit/charge"),
        ("openapi.mul-pay.jp", "/payment/ExecTran.idPass"),
        ("global.openapi.mul-pay.jp", "/credit/charge"),
        ("kt01.mul-pay.jp", "/payment/ExecTran.idPass"),
        ("127.0.0.1", "/metrics"),
    ],
)
def test_paths_that_are_not_listed(host: str, path: str) -> None:
    assert gmo.endpoint(host, path) is None


TWO_READINGS = {
    "decoded #": ("/payment/CreateToken.json%23/../EntryTran.idPass", "CreateToken"),
    "doubly encoded #": ("/payment/CreateToken.json%2523/../EntryTran.idPass", "CreateToken"),
    "raw #": ("/payment/CreateToken.json#/../EntryTran.idPass", "CreateToken"),
    "semicolon": ("/payment/CreateToken.json;/../EntryTran.idPass", "CreateToken"),
    "encoded semicolon": ("/payment/CreateToken.json%3b/../EntryTran.idPass", "CreateToken"),
    "dots with a parameter": ("/payment/CreateToken.json/..;x/EntryTran.idPass", ""),
    "decoded ?": ("/payment/CreateToken.json%3f/../EntryTran.idPass", "CreateToken"),
    "NUL": ("/payment/CreateToken.json%00/../EntryTran.idPass", "CreateToken"),
    "line feed": ("/payment/CreateToken.json%0a/../EntryTran.idPass", "CreateToken"),
    "blank": ("/payment/CreateToken.json%20/../EntryTran.idPass", "CreateToken"),
    "up and over": ("/ext/api/credit/getToken#/../../../../payment/ExecTran.idPass", "getToken"),
    "backslash": ("/ext/api/x%5c..%5ccredit/getToken", "getToken"),
    "backslash to a known one": ("/payment/x\\..\\EntryTran.idPass", ""),
    "NUL at the end": ("/payment/EntryTran.idPass%00", ""),
    "# at the end": ("/payment/EntryTran.idPass%23a", ""),
    "no UTF-8": ("/payment/%c0%ae%c0%ae/EntryTran.idPass", ""),
    "encoded four times": ("/payment/EntryTran%25252e.idPass", ""),
    "a bare percent sign": ("/payment/EntryTran.idPass%zz", ""),
}


@pytest.mark.parametrize(("path", "token"), TWO_READINGS.values(), ids=TWO_READINGS.keys())
def test_a_path_with_two_readings_is_none_that_is_known(path: str, token: str) -> None:
    """One server resolves ``..`` first, the next ends the path at ``#`` or takes ``;…`` off a segment later."""
    for host in ("p01.mul-pay.jp", "127.0.0.1"):
        assert gmo.endpoint(host, path) is None
        assert gmo.disguised_token_endpoint(host, path) == token


def test_parameters_of_a_path_without_dots_have_one_reading() -> None:
    found = gmo.endpoint("p01.mul-pay.jp", "/payment;a=1/ExecTran.idPass;jsessionid=1")
    assert found is not None
    assert found.name == "ExecTran"


@pytest.mark.parametrize(
    ("host", "path", "allowed"),
    [
        ("p01.mul-pay.jp", "/ext/api/credit/getToken", True),
        ("PT01.mul-pay.jp", "/ext/api/credit/getToken", True),
        ("token.mul-pay.jp", "/payment/CreateToken.json", True),
        ("stg.token.mul-pay.jp", "/payment/CreateToken.json", True),
        ("127.0.0.1", "/payment/CreateToken.json", True),
        ("p01.mul-pay.jp", "/payment/CreateToken.json", False),
        ("p01.mul-pay.jp", "/ext/api/credit//getToken", False),
        ("p01.mul-pay.jp", "/ext/api/credit/gettoken", False),
        ("p01.mul-pay.jp", "/payment/ExecTran.idPass", False),
        ("link.mul-pay.jp", "/v1/plus/tshop00000001/checkout/e30.0123", False),
        ("k01.mul-pay.jp", "/ext/api/credit/getToken", False),
    ],
)
def test_card_data_is_for_the_exact_token_endpoints(host: str, path: str, allowed: bool) -> None:
    assert gmo.takes_card_data(host, path) is allowed


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("p01.mul-pay.jp", True),
        ("manage.tds2gw.gmopg.jp", True),
        ("MUL-PAY.JP.", True),
        ("evilmul-pay.jp", False),
        ("p01.mul-pay.jp.example.com", False),
        ("p01.smbc-gp.co.jp", False),
        ("", False),
    ],
)
def test_is_gmo_host(host: str, expected: bool) -> None:
    assert gmo.is_gmo_host(host) is expected


@pytest.mark.parametrize(
    ("key", "path", "entity"),
    [
        ("CardNo", "CardNo", "PAN"),
        ("card_no", "card_no", "PAN"),
        ("CARD-NUMBER", "CARD-NUMBER", "PAN"),
        ("ＣａｒｄＮｏ", "", "PAN"),
        ("payment[card_no]", "payment[card_no]", "PAN"),
        ("gmoCardNo", "gmoCardNo", "PAN"),
        ("CardNo2", "CardNo2", "PAN"),
        ("value", "$.cardNo.value", "PAN"),
        ("cardNumber", "$.creditInformation.card.cardNumber", "PAN"),
        ("number", "$.payment.card.number", "PAN"),
        ("card[number]", "card[number]", "PAN"),
        ("pan", "$.pan", "PAN"),
        ("SecurityCode", "SecurityCode", "SECURITY_CODE"),
        ("card_cvv", "card_cvv", "SECURITY_CODE"),
        ("cvc2", "$.cvc2", "SECURITY_CODE"),
        ("Expire", "Expire", "EXPIRY"),
        ("expiryMonth", "$.card.expiryMonth", "EXPIRY"),
        ("exp_year", "exp_year", "EXPIRY"),
        ("HolderName", "HolderName", "CARDHOLDER_NAME"),
        ("cardholderName", "$.card.cardholderName", "CARDHOLDER_NAME"),
        ("name", "$.card.name", "CARDHOLDER_NAME"),
        ("pIN", "$.pIN", "PIN_BLOCK"),
        ("CardPass", "CardPass", "PIN_BLOCK"),
        ("MagstripeData", "MagstripeData", "TRACK_2"),
        ("PaRes", "PaRes", "PAN"),
        ("Encrypted", "Encrypted", "PAN"),
        ("type", "$.encryptionParameters.type", "PAN"),
    ],
)
def test_forbidden_names(key: str, path: str, entity: str) -> None:
    row = gmo.forbidden(key, path, "1234")
    assert row is not None
    assert row.entity == entity


@pytest.mark.parametrize(
    ("key", "path", "value"),
    [
        ("CardName", "CardName", "VISA"),
        ("SecCodeRequiredFlag", "$.credit.SecCodeRequiredFlag", "1"),
        ("Tds2RecurringExpiry", "Tds2RecurringExpiry", "20301231"),
        ("Tds2MobilePhoneSubscriber", "Tds2MobilePhoneSubscriber", "9012345678"),
        ("Tds2BillAddrPostCode", "Tds2BillAddrPostCode", "1500043"),
        ("number", "$.payer.phones[0].number", "9012345678"),
        ("name", "$.payer.name", "顧客A"),
        ("AccountHolderName", "AccountHolderName", "ヤマダ"),
        ("MemberName", "MemberName", "山田"),
        ("ExpireDays", "$.transaction.ExpireDays", "30"),
        ("cardId", "$.creditOnfileInformation.onfileCard.cardId", "0"),
        ("CardSeq", "CardSeq", "0"),
        ("token", "$.creditInformation.tokenizedCard.token", "abc"),
        ("type", "$.creditInformation.tokenizedCard.type", "MP_TOKEN"),
        ("TdTenantName", "TdTenantName", "cm9raQ=="),
        ("cid", "cid", "GA1.2.1234567890"),
        ("ShopPass", "ShopPass", "abcd1234"),
        ("PrecaNo", "PrecaNo", "1234567890123"),
        ("", "", "4111"),
    ],
)
def test_names_that_only_look_forbidden(key: str, path: str, value: str) -> None:
    assert gmo.forbidden(key, path, value) is None


def test_a_common_word_counts_by_its_value() -> None:
    row = gmo.forbidden("cid", "$.cid", "1234")
    assert row is not None
    assert row.entity == "SECURITY_CODE"


def test_no_api_is_listed_twice() -> None:
    assert len(set(gmo.CARD_APIS)) == len(gmo.CARD_APIS)
    assert len(set(gmo.OTHER_MEANS)) == len(gmo.OTHER_MEANS)
