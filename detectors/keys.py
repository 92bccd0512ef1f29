"""What the name beside a value says about it. One table per idea; names are compared folded (see ``fold``).

Sources: the parameter names of GMO Payment Gateway's protocol, JSON and OpenAPI types, and the field names of common
payment APIs and log schemas. A name never hides a number: at most it lowers the confidence of one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from unicodedata import normalize

_PREFIX = re.compile(r"^x[-_]", re.IGNORECASE)
"""``X-CVV``: the old prefix of header fields says nothing (RFC 6648)."""
_FOLD = re.compile(r"[\s_\-.\[\]:@'\"]+")


def fold(name: str) -> str:
    """A name without case, width, separators and brackets: ``card[Card_No]`` and ``cardCardNo`` are the same."""
    return _FOLD.sub("", name if name.isascii() else normalize("NFKC", name)).casefold()


CARD_KEYS = (
    "cardno", "cardnumber", "cardnum", "cardnr", "ccnumber", "ccnum", "ccno", "creditcard", "creditcardnumber",
    "creditcardno", "creditcardnum", "debitcardnumber", "primaryaccountnumber", "pan", "cardpan", "fpan", "dpan",
    "paymentcardnumber", "カード番号", "クレジットカード番号", "クレカ番号", "ｶｰﾄﾞ番号",
)  # fmt: skip
"""A value of 10 to 19 digits under one of these is a card number whatever its check digit says: payment gateways
accept such numbers, and GMO's own test numbers fail Luhn."""

_CODE_STEMS = (
    "cvv", "cvv2", "cvc", "cvc2", "cvn", "cvn2", "cav2", "securitycode", "securitycd", "securitynumber", "securecode",
    "seccode",
    "cardverificationcode", "cardverificationvalue", "cardverificationnumber", "verificationvalue",
)  # fmt: skip
_CODE_PREFIXES = (
    "", "card", "cc", "credit", "creditcard", "payment", "paymentcard", "new", "my", "user", "customer", "order",
    "input", "txt", "form", "raw", "plain", "data", "amex",
)  # fmt: skip
_CODE_SUFFIXES = ("", "code", "value", "val", "number", "num", "no", "input", "field", "text", "txt", "str", "data")
SECURITY_CODE_KEYS = (
    *(prefix + stem + suffix for prefix in _CODE_PREFIXES for stem in _CODE_STEMS for suffix in _CODE_SUFFIXES),
    "csc", "cardcsc", "cccsc", "カードセキュリティコード", "セキュリティコード", "セキュリティーコード",
    "セキュリティ番号", "カード確認番号", "ｾｷｭﾘﾃｨｺｰﾄﾞ", "裏面3桁", "裏面の3桁", "安全码", "安全碼", "보안코드",
    "amexcid", "cardcid", "cccid", "códigodeseguridad", "codigodeseguridad", "prüfnummer", "kartenprüfnummer",
    "cryptogramme", "cryptogrammevisuel",
)  # fmt: skip
"""Three or four digits under one of these are a security code."""

VERIFICATION_KEYS = ("verificationcode", "verificationnumber", "cardverification", "verifycode")
"""Three digits under one of these are a security code; four may be a one-time code, unless a card number stands beside
them."""

SECURITY_CODE_KEYS_BESIDE_PAN = ("cid", "code", "verification", "cardcode", "cvd", *VERIFICATION_KEYS)
"""Too common to mean a security code unless a card number stands beside them."""

PIN_BLOCK_KEYS = ("pinblock", "encryptedpinblock", "pinblk")
PIN_KEYS_BESIDE_PAN = ("pin", "cardpass", "暗証番号")

EXPIRY_KEYS = (
    "expire", "expiry", "expiration", "expirydate", "expirationdate", "exp", "expdate", "cardexpire", "cardexpiry",
    "expmonth", "expyear", "expirymonth", "expiryyear", "expirationmonth", "expirationyear", "validthru", "goodthru",
    "ccexp", "ccexpiry", "ccexpmonth", "ccexpyear", "cardexp", "cardexpiration", "cardexpirymonth", "cardexpiryyear",
    "cardexpmonth", "cardexpyear", "有効期限",
)  # fmt: skip
HOLDER_KEYS = (
    "holdername", "cardholder", "cardholdername", "nameoncard", "cardowner", "ccname",
    "カード名義", "名義人", "カード名義人",
)  # fmt: skip

TRACK_KEYS = ("track1", "track2", "trackdata", "track1data", "track2data", "magstripedata", "magstripe")

OTHER_KEYS = (
    "order", "invoice", "receipt", "tracking", "session", "ticket", "voucher", "coupon",
    "timestamp", "ts", "time", "timeunixnano", "observedtimeunixnano", "starttimeunixnano", "endtimeunixnano", "date",
    "datetime", "createdat", "updatedat", "epoch", "nanos", "micros", "millis", "elapsed", "duration",
    "traceparent", "snowflake", "uuid", "guid", "etag", "checksum", "hash", "md5", "sha1", "sha256", "digest",
    "signature", "nonce", "seq", "sequence", "offset", "cursor", "position", "lsn", "bytes", "size", "length", "count",
    "amount", "price", "total", "subtotal", "balance", "seed", "latitude", "longitude", "lat", "lng", "lon",
    "imei", "imeisv", "meid", "iccid", "imsi", "msisdn", "serial", "mac",
    "jan", "jancode", "janコード", "ean", "ean13", "upc", "gtin", "gtin13", "gtin14", "isbn", "isbn13", "issn",
    "itf", "itf14", "sscc", "sscc18", "barcode", "sku", "waybill", "denpyo", "shipment",
    "phone", "tel", "mobile", "fax", "zip", "zipcode", "postcode", "postalcode",
    "iban", "bban", "bankaccount", "routingnumber", "mynumber", "forward", "approve",
    "注文番号", "追跡番号", "伝票番号", "お問い合わせ番号", "送り状番号", "受注番号", "電話番号", "郵便番号",
    "法人番号", "登録番号", "マイナンバー", "個人番号", "商品コード", "商品番号", "会員番号", "口座番号", "受付番号",
    "予約番号", "取引番号", "管理番号", "請求書番号", "承認番号", "携帯番号", "製造番号", "ポイントカード番号",
    "会員カード番号", "ギフトカード番号", "注文id", "会員id",
)  # fmt: skip
"""Names that say the number is something else. They lower a finding to ``low``: reported and counted, never hidden,
for a word that could hide a card would be an evasion tool."""

PRODUCT_KEYS = frozenset(
    {"jan", "jancode", "ean", "ean13", "upc", "gtin", "gtin13", "isbn", "isbn13", "barcode", "sku"}
    | {"productcode", "productid", "productno", "itemcode", "itemid", "itemno", "goodscode", "goodsid", "goodsno"}
    | {"janコード", "商品コード", "商品番号", "items/", "products/", "goods/"}
)
"""Names of article numbers: with the article number's own check digit right as well, that is what it is."""

_OTHER_NOUNS = (
    "order", "invoice", "receipt", "trace", "span", "parent", "parentspan", "correlation", "request", "xrequest",
    "message", "event", "device", "serial", "product", "item", "goods", "article", "variant", "tracking", "shipment",
    "shipping", "delivery", "parcel", "waybill", "slip", "phone", "tel", "mobile", "fax", "account", "bankaccount",
    "corporate", "corporation", "invoiceregistration", "registration", "tran", "transaction", "nwtransaction", "tx",
    "access", "shop", "site", "member", "user", "customer", "client", "visitor", "session", "job", "task", "batch",
    "run", "build", "deploy", "commit", "record", "row", "entity", "object", "resource", "document", "doc", "post",
    "tweet", "status", "media", "channel", "guild", "thread", "conversation", "comment", "review", "campaign", "ad",
    "adset", "creative", "merchant", "store", "branch", "terminal", "reference", "ref", "external", "internal",
    "tenant", "organization", "org", "team", "project", "ticket", "case", "issue", "incident", "booking",
    "reservation", "coupon", "voucher", "refund", "payout", "subscription", "plan", "contract", "employee", "staff",
    "approval", "sequence", "seq", "lot", "model", "part", "stock", "warehouse", "facebook", "twitter", "line",
    "google", "amazon", "yahoo", "rakuten",
)  # fmt: skip
_OTHER_SUFFIXES = ("id", "ids", "no", "num", "number", "code", "key", "seq", "uid", "ref")
_SUFFIXES_OF_CLOCKS = ("timestamp", "unixnano", "millis", "micros", "nanos", "edat", "timems", "timeus", "timens")

CARD_WORDS = (
    "card", "cards", "credit", "debit", "visa", "mastercard", "jcb", "amex", "american express", "diners", "unionpay",
    "maestro", "pan", "cvv", "cvc", "creditcard", "cardno", "cardnumber", "cardnum", "cardholder", "ccno", "ccnum",
    "ccnumber", "カード", "クレジット", "クレカ", "ビザ", "マスターカード", "ｶｰﾄﾞ", "有効期限", "銀聯", "アメックス",
    "ダイナース",
)  # fmt: skip
"""Context words, English and Japanese: near a number they make a weak shape convincing. As whole words only: *discard*
and *company* say nothing about cards."""

CARD_KEY_SET = frozenset(fold(key) for key in CARD_KEYS)
SECURITY_CODE_KEY_SET = frozenset(fold(key) for key in SECURITY_CODE_KEYS)
VERIFICATION_KEY_SET = frozenset(fold(key) for key in VERIFICATION_KEYS)
SECURITY_CODE_BESIDE_SET = SECURITY_CODE_KEY_SET | {fold(key) for key in SECURITY_CODE_KEYS_BESIDE_PAN}
PIN_BLOCK_KEY_SET = frozenset(fold(key) for key in PIN_BLOCK_KEYS)
PIN_BESIDE_SET = frozenset(fold(key) for key in PIN_KEYS_BESIDE_PAN)
EXPIRY_KEY_SET = frozenset(fold(key) for key in EXPIRY_KEYS)
HOLDER_KEY_SET = frozenset(fold(key) for key in HOLDER_KEYS)
OTHER_KEY_SET = frozenset(
    {fold(key) for key in OTHER_KEYS} | {noun + suffix for noun in _OTHER_NOUNS for suffix in _OTHER_SUFFIXES}
)
_JAPANESE_CARD = tuple(key for key in CARD_KEY_SET if not key.isascii())
_JAPANESE_OTHER = tuple(key for key in OTHER_KEY_SET if not key.isascii())
_WORDS_IN_ID = frozenset(
    {"paid", "unpaid", "prepaid", "valid", "invalid", "void", "avoid", "grid", "hybrid", "android", "said", "aid"}
    | {"bid", "kid", "mid", "raid", "rapid", "solid", "fluid"}
)


def card_key(names: Sequence[str]) -> str:
    """The one of folded ``names`` that says its value is a card number; ``""``: none does."""
    for name in names:
        if name in CARD_KEY_SET or (name.endswith(_JAPANESE_CARD) and not name.endswith(_JAPANESE_OTHER)):
            return name
    return ""


def other_key(names: Sequence[str], *, certain: bool = True, long: bool = False) -> str:
    """The one of folded ``names`` that says its value is something else than a card number; ``""``: none does.

    ``certain``: the name is a key (``order: …``), not just the word before, as in *paid 4111…*. ``long``: the value has
    seventeen digits or more, so that any name of an identifier (``sid``) is believed.
    """
    for name in names:
        if name in OTHER_KEY_SET or name.endswith((*_SUFFIXES_OF_CLOCKS, *_JAPANESE_OTHER)):
            return name if certain or name not in OTHER_KEYS or not name.isascii() else ""
    own = names[0] if names else ""
    if not certain or not long or not own.endswith(("id", "ids")) or own in _WORDS_IN_ID:
        return ""
    return "" if any("card" in name or "credit" in name for name in names) else own


_MAY_NAME_CARD = re.compile(
    rb"c[_.\- ]?a[_.\- ]?r[_.\- ]?d|c[_.\- ]?c[_.\- ]?n|(?<![a-z0-9])cc[1-4]?(?![a-z0-9])"
    rb"|pan(?![_.\-]?[a-z])|account|[\\%&]"
    rb"|\xe3\x82\xab\xe3\x83\xbc\xe3\x83\x89|\xe3\x82\xaf\xe3\x83\xac\xe3\x82\xab|\xef\xbd\xb6\xef\xbd\xb0\xef\xbe\x84",
    re.IGNORECASE,
)


def may_name_card(text: bytes) -> bool:
    """Whether a name in UTF-8 ``text`` may be that of a card number (``card_key``), or is escaped so that nobody can
    tell. Too often rather than too seldom."""
    return _MAY_NAME_CARD.search(text) is not None


_BESIDE = EXPIRY_KEY_SET | HOLDER_KEY_SET | PIN_BESIDE_SET | SECURITY_CODE_BESIDE_SET
_ENDS_BESIDE = frozenset(name[at:] for name in _BESIDE for at in range(len(name)))


def may_stand_beside(key: str) -> bool:
    """Whether the value under ``key`` may be one that counts beside a card number, whatever object it stands in."""
    own = _steps(_PREFIX.sub("", key))
    return not own or own[-1] in _ENDS_BESIDE


_STEPS = re.compile(r"[.\[\]/$@'\"]+")


def _steps(text: str) -> list[str]:
    return [folded for step in _STEPS.split(text) if not step.isdigit() and (folded := fold(step))]


def names(path: str, key: str) -> tuple[str, ...]:
    """The folded names a value at ``path`` goes by, nearest first: its key, then its key with the parent's before it.

    ``$.card.number`` gives ``number``, ``cardnumber``; ``card[number]`` and ``/card/@number`` likewise.
    """
    called, parents = _steps(_PREFIX.sub("", key)), _steps(path)
    if len(called) > 1 or not parents:
        parents = called
    elif not called or parents[-1] == called[-1]:
        called = parents[-1:]
    else:
        parents = [*parents, *called]
    if not called:
        return ()
    return (called[-1], parents[-2] + called[-1]) if len(parents) > 1 else (called[-1],)
