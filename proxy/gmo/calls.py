"""GMO Payment Gateway as data: which host and path is what, who may call it, which parameters may carry what.

Source: the public OpenAPI-type specification 1.3.1, the official module-type client, and recorded answers (2024-06).
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from detectors.model import CARDHOLDER_NAME, EXPIRY, PAN, PIN_BLOCK, SECURITY_CODE, TRACK_2
from proxy.gmo.values import TokenShape, folded, is_blank, is_masked, is_only_mask, token_shape

__all__ = [
    "Endpoint",
    "TokenShape",
    "endpoint",
    "folded",
    "forbidden",
    "is_blank",
    "is_gmo_host",
    "is_masked",
    "is_only_mask",
    "token_shape",
]

Kind = Literal["token", "script", "backend", "oauth", "link", "challenge"]
Dialect = Literal["idpass", "json", "openapi", ""]

BACKEND_KINDS = frozenset({"backend", "oauth"})
"""What a shop backend may call. Everything else on GMO's hosts is for browsers."""

DOMAINS = ("mul-pay.jp", "gmopg.jp")
"""A host at or under one of these is GMO's, listed below or not."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One thing GMO offers: what kind, its name, and how its parameters are written (``""``: none of ours to read)."""

    kind: Kind
    name: str
    dialect: Dialect


@dataclass(frozen=True, slots=True)
class Row:
    """Hosts (production and test) × a path pattern. A group ``name`` in the pattern names the endpoint."""

    hosts: tuple[str, ...]
    path: str
    kind: Kind
    dialect: Dialect
    name: str = ""


PROTOCOL = ("p01.mul-pay.jp", "pt01.mul-pay.jp")
TOKEN_V2 = ("token.mul-pay.jp", "stg.token.mul-pay.jp")
STATIC = ("static.mul-pay.jp", "stg.static.mul-pay.jp")
OPENAPI = ("openapi.mul-pay.jp", "stg.openapi.mul-pay.jp")
OAUTH = ("oauth.mul-pay.jp", "stg.oauth.mul-pay.jp")
LINK = ("link.mul-pay.jp", "stg.link.mul-pay.jp")
ANY: tuple[str, ...] = ()
"""Every host of GMO's: a token path is refused to a backend wherever it is tried."""
CHALLENGE = ("manage.tds2gw.gmopg.jp", "pt01.mul-pay.jp", "p01.mul-pay.jp")

CARD_APIS = (
    *("EntryTran", "ExecTran", "SecureTran", "SecureTran2", "Tds2Auth", "Tds2Result", "AlterTran", "ChangeTran"),
    *("SearchTrade", "SearchTradeMulti", "SaveMember", "UpdateMember", "SearchMember", "DeleteMember"),
    *("SaveCard", "SearchCard", "DeleteCard", "TradedCard", "SearchCardDetail", "SearchCardReverse"),
    *("RegisterRecurringCredit", "UnregisterRecurring", "ChangeRecurring", "SearchRecurring", "SearchRecurringResult"),
    *("EntryTranMcp", "ExecTranMcp", "EntryTranMagstripe", "ExecTranMagstripe", "EntryTranBrandtoken"),
    *("ExecTranBrandtoken", "EntryTranJcbPreca", "ExecTranJcbPreca", "JcbPrecaBalanceInquiry", "ChargePreca"),
    *("GetLinkplusUrlPayment", "GetLinkplusUrlMember"),
)
"""Card and member APIs of the protocol type, as ``.idPass`` and as ``.json``."""

OTHER_MEANS = (
    *("Cvs", "PayEasy", "Suica", "Edy", "Paypal", "Netid", "WebMoney", "Au", "AuContinuance", "Docomo", "Sb", "Jibun"),
    *("DocomoContinuance", "SbContinuance", "NetCash", "RakutenId", "Linepay", "VirtualAccount", "GANB", "Unionpay"),
    *("Recruit", "Mcp", "Paypay", "Aupay", "Famipay", "Merpay", "Amazonpay", "Flets", "PaySle"),
)
OTHER_STEPS = ("Start", "Sales", "Cancel", "CancelReturn", "Change", "ChangeTran")
"""Payments without a card: their calls pass, and their parameters are read as strictly as any other's."""

_MEANS = "|".join(OTHER_MEANS)
_API = f"{'|'.join(CARD_APIS)}|(?:Entry|Exec|Cancel)Tran(?:{_MEANS})|(?:{_MEANS})(?:{'|'.join(OTHER_STEPS)})"
_OPENAPI = (
    "credit/(?:charge|verifyCard|storeCard|getCardDetails|on-file/charge)|tds2/finalize(?:Charge|Verification)"
    "|order/(?:capture|update|cancel|inquiry)|member/(?:create|inquiry|delete|deleteItem)|wallet/[a-z-]+|cash/charge"
)

ROWS = (
    Row(ANY, "/ext/api/credit/getToken", "token", "", "getToken"),
    Row(ANY, r"/payment/CreateToken\.json", "token", "", "CreateToken"),
    Row(STATIC, r"/ext/js/token\.js|/payment/js/mp-token\.js", "script", "", "token script"),
    Row(PROTOCOL, rf"/payment/(?P<name>{_API})\.idPass", "backend", "idpass"),
    Row(PROTOCOL, rf"/payment/(?P<name>{_API})\.json", "backend", "json"),
    Row(PROTOCOL, r"/housepreca/(?P<name>[A-Za-z]+)\.idPass", "backend", "idpass"),
    Row(PROTOCOL, r"/ext/api/maillink/(?P<name>[A-Za-z]+)", "backend", "idpass"),
    Row(OPENAPI, rf"/(?P<name>{_OPENAPI})", "backend", "openapi"),
    Row(OAUTH, "/token", "oauth", "idpass", "oauth token"),
    Row(PROTOCOL, "/link/[^/]+/Multi/Entry", "link", "", "link"),
    Row(LINK, "/v[12]/plus/.+", "link", "", "link plus"),
    Row(CHALLENGE, "/payment/Tds2(?!Auth|Result).*|/api/.+", "challenge", "", "3-D Secure"),
)
TOKEN_ENDPOINTS = (
    *((host, "/ext/api/credit/getToken") for host in PROTOCOL),
    *((host, "/payment/CreateToken.json") for host in TOKEN_V2),
)
"""The only places where a browser may send card data: compared byte for byte, while a refusal reads odd spellings."""

_COMPILED = tuple((row, re.compile(row.path, re.IGNORECASE)) for row in ROWS)


@dataclass(frozen=True, slots=True)
class Field:
    """Parameter names that carry card data. Names are folded: lower case, no ``_`` and no ``-``."""

    entity: str
    names: frozenset[str]
    prefixed: bool = False
    """Also at the end of a longer key: ``payment[card_no]``, ``gmoCardNo``. Only for names no other word ends with."""
    value: str = ""
    """A pattern the value must match as well, where the name alone is a common word."""
    note: str = "raw card parameter"


FORBIDDEN = (
    Field(PAN, frozenset({"cardno", "cardnumber", "cardnum"}), prefixed=True),
    Field(PAN, frozenset({"pan"})),
    Field(SECURITY_CODE, frozenset({"securitycode", "cvv", "cvv2", "cvc", "cvc2", "cav2"}), prefixed=True),
    Field(SECURITY_CODE, frozenset({"cid", "csc"}), value=r"[0-9]{3,4}"),
    Field(EXPIRY, frozenset({"expire", "expiry", "expirymonth", "expiryyear", "expmonth", "expyear", "expirydate"})),
    Field(EXPIRY, frozenset({"cardexpire", "cardexpiry", "cardexpirymonth", "cardexpiryyear"}), prefixed=True),
    Field(CARDHOLDER_NAME, frozenset({"holdername", "cardholdername", "cardholder"})),
    Field(PIN_BLOCK, frozenset({"pin", "cardpass"})),
    Field(TRACK_2, frozenset({"magstripedata", "magstripetype", "track1", "track2", "trackdata"})),
    Field(PAN, frozenset({"pareq", "pares"}), note="3-D Secure 1 message, may hold the number"),
    Field(
        PAN,
        frozenset({"encrypted", "keyhash", "encrypteddata", "encryptionparameters"}),
        note="card data encrypted by the backend",
    ),
)
"""Parameters that must be empty, ``null`` or masked in a call by a backend (通過型 otherwise).

Not here on purpose: ``CardName`` (the card company's nickname), ``SecCodeRequiredFlag`` (0 or 1),
``Tds2RecurringExpiry`` (3-D Secure), ``AccountHolderName`` (a bank account), and ``PrecaNo`` (a prepaid balance with
the shop, no payment card).
"""

CARD_OBJECTS = frozenset({"card", "creditcard", "rawcard"})
"""JSON objects (or ``card[number]`` form keys) whose short keys mean card data too; ``tokenizedCard`` is not one."""

IN_CARD_OBJECT = (
    Field(PAN, frozenset({"number", "no", "num"})),
    Field(SECURITY_CODE, frozenset({"code", "cvn"})),
    Field(EXPIRY, frozenset({"month", "year", "exp"})),
    Field(CARDHOLDER_NAME, frozenset({"name", "holder"})),
)

MASKED_ONLY = frozenset({"cardno", "cardnumber", "maskedcardno", "maskedcardnumber", "cardnotoken", "newcardno"})
"""Parameters of GMO's answers that show a registered card: masked, or it is the worst incident there is."""

TOKEN_KEYS = frozenset({"token", "tokenlist", "cardtoken", "mptoken", "credittoken", "gmotoken", "creditcardtoken"})
"""One-time card tokens. Folded names, exact: ``csrfToken`` and ``access_token`` are other things."""

REFERENCE_KEYS = TOKEN_KEYS | {
    *("memberid", "srcmemberid", "registmemberid", "membername", "accessid", "accesspass", "siteid", "sitepass"),
    *("shopid", "shoppass", "recurringid", "accountid", "clientfield1", "clientfield2", "clientfield3"),
}
"""Parameters that name something else than a card, in letters and digits: one that is a whole card number is one that
was smuggled. Not ``CardSeq`` and ``cardId`` (a position), nor ``OrderID`` (16 digits are a usual order number)."""

_NOT_KEY = re.compile(r"[^0-9a-z]+")


def folded_key(name: str) -> str:
    """A parameter name without case, width, ``_``, ``-`` or any other punctuation."""
    return _NOT_KEY.sub("", unicodedata.normalize("NFKC", name).lower())


def segments(path: str) -> tuple[str, ...]:
    """The folded names in a path such as ``$.card.number`` or ``payment[card_no]``; array positions are left out."""
    names = (folded_key(name) for name in re.split(r"[.\[\]/:$]+", unicodedata.normalize("NFKC", path)))
    return tuple(name for name in names if name and not name.isdigit())


def forbidden(key: str, path: str, value: str) -> Field | None:
    """The row of ``FORBIDDEN`` that a parameter falls under; ``value`` only tells common words apart."""
    names = segments(key)
    if not names:
        return None
    last, around = names[-1], {*segments(path), *names}
    spellings = {last, "".join(names), last.rstrip("0123456789"), *around}
    for row in FORBIDDEN:
        named = last in row.names if row.value else spellings & row.names
        named = named or (row.prefixed and any(name.endswith(tuple(row.names)) for name in spellings))
        if named and (not row.value or re.fullmatch(row.value, value.strip())):
            return row
    if CARD_OBJECTS & around:
        return next((row for row in IN_CARD_OBJECT if last in row.names), None)
    return None


def takes_card_data(host: str, path: str) -> bool:
    """Whether a browser may send card data there. On a host that is not GMO's (an emulator) the path alone decides."""
    if is_gmo_host(host):
        return (_host(host), path) in TOKEN_ENDPOINTS
    return path in {place for _, place in TOKEN_ENDPOINTS}


def is_gmo_host(host: str) -> bool:
    """Whether ``host`` (a connection's destination, any case, with or without a final dot) is GMO's."""
    name = _host(host)
    return any(name == domain or name.endswith(f".{domain}") for domain in DOMAINS)


def endpoint(host: str, path: str) -> Endpoint | None:
    """What ``path`` is at ``host``; ``None`` for a path that is not listed there, or that two servers could read
    differently.

    A host that is not GMO's (an emulator on a payment-gateway lane) has every host's paths. The path is read as a
    server might: percent-decoded, ``//``, ``/./``, ``..`` and ``;parameters`` resolved, any case.
    """
    clean = plain_path(path)
    return _listed(host, clean) if clean is not None else None


def disguised_token_endpoint(host: str, path: str) -> str:
    """The token endpoint that a path without one reading could be taken for, up to what ends a path somewhere: ``#``,
    ``?``, ``;``, NUL. Empty if there is none."""
    text = _decoded(path).replace("\\", "/")
    readings = {_normal(part) for part in (text, *_ENDS.split(text)[:1], *text.split(";")[:1])}
    found = (_listed(host, reading) for reading in sorted(readings))
    return next((row.name for row in found if row is not None and row.kind == "token"), "")


def _listed(host: str, clean: str) -> Endpoint | None:
    name = _host(host)
    anywhere = not is_gmo_host(name)
    for row, pattern in _COMPILED:
        match = pattern.fullmatch(clean) if anywhere or not row.hosts or name in row.hosts else None
        if match is not None:
            return Endpoint(row.kind, row.name or match.group("name"), row.dialect)
    return None


_ENDS = re.compile(r"[^\x21-\x7e]|[#?]")
_NO_PATH = re.compile(r"[^\x21-\x7e]|[#?%\\]")
"""What no path of GMO's holds once it is decoded, and what servers and balancers disagree about: an end of the path to
one of them, a slash or a letter to the next."""
_DOTS = re.compile(r"(?:^|/)\.{1,2}(?:[/;]|$)")


def plain_path(path: str) -> str | None:
    """``path`` without spellings that hide where it goes: ``/payment//%43reateToken.json;x=1`` is CreateToken.

    ``None`` where that depends on who reads it: ``/payment/CreateToken.json%23/../EntryTran.idPass`` is CreateToken to
    a server that ends the path at ``#``, and EntryTran to one that resolves ``..`` first; so with ``?``, NUL,
    backslashes, what is still encoded after three decodings, and ``;`` together with dot segments.
    """
    text = _decoded(path)
    if _NO_PATH.search(text) or (";" in text and _DOTS.search(text)):
        return None
    return _normal(text)


def _decoded(path: str) -> str:
    text = path.split("?", 1)[0]
    for _ in range(3):  # doubly encoded paths reach the same servlet behind a decoding balancer
        text = unquote(text)
    return text


def _normal(text: str) -> str:
    text = "/".join(segment.split(";", 1)[0] for segment in text.split("/"))
    return posixpath.normpath(f"/{text.lstrip('/')}")


def _host(host: str) -> str:
    return host.strip().lower().rstrip(".")
