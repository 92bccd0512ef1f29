"""What the name beside a value says about it. One table per idea; names are compared folded (see ``fold``).

Sources: the parameter names of GMO Payment Gateway's protocol, JSON and OpenAPI types, and the field names of common
payment APIs and log schemas. A name never hides a number: at most it lowers the confidence of one.
"""

from __future__ import annotations

import re

_PREFIX = re.compile(r"^x[-_]", re.IGNORECASE)
"""``X-CVV``: the old prefix of header fields says nothing (RFC 6648)."""
_FOLD = re.compile(r"[\s_\-.\[\]:@'\"]+")


def fold(name: str) -> str:
    """A name without case, separators and brackets: ``card[Card_No]`` and ``cardCardNo`` are the same."""
    return _FOLD.sub("", name).casefold()


CARD_KEYS = (
    "cardno", "cardnumber", "cardnum", "ccnumber", "ccnum", "ccno", "creditcard", "creditcardnumber", "creditcardno",
    "creditcardnum", "primaryaccountnumber", "pan", "cardpan", "fpan", "dpan", "paymentcardnumber",
    "カード番号", "クレジットカード番号", "クレカ番号", "ｶｰﾄﾞ番号",
)  # fmt: skip
"""A value of 10 to 19 digits under one of these is a card number whatever its check digit says: payment gateways
accept such numbers, and GMO's own test numbers fail Luhn."""

SECURITY_CODE_KEYS = (
    "securitycode", "cvv", "cvv2", "cvc", "cvc2", "cav2", "cardcvv", "cardcvc", "cvvcode", "cvccode", "cvvnumber",
    "csc", "cardsecuritycode", "cardverificationcode", "cardverificationvalue", "verificationvalue", "seccode",
    "セキュリティコード", "カード確認番号", "ｾｷｭﾘﾃｨｺｰﾄﾞ",
)  # fmt: skip
"""Three or four digits under one of these are a security code."""

SECURITY_CODE_KEYS_BESIDE_PAN = ("cid", "code", "verification", "cardcode", "cvn")
"""Too common to mean a security code unless a card number stands beside them."""

PIN_BLOCK_KEYS = ("pinblock", "encryptedpinblock", "pinblk")
PIN_KEYS_BESIDE_PAN = ("pin", "cardpass", "暗証番号")

EXPIRY_KEYS = (
    "expire", "expiry", "expiration", "expirydate", "expirationdate", "exp", "expdate", "cardexpire", "cardexpiry",
    "expmonth", "expyear", "expirymonth", "expiryyear", "expirationmonth", "expirationyear", "validthru", "goodthru",
    "有効期限",
)  # fmt: skip
HOLDER_KEYS = (
    "holdername", "cardholder", "cardholdername", "nameoncard", "cardowner", "ccname",
    "カード名義", "名義人", "カード名義人",
)  # fmt: skip

TRACK_KEYS = ("track1", "track2", "trackdata", "track1data", "track2data", "magstripedata", "magstripe")

OTHER_KEYS = (
    "orderid", "ordernumber", "orderno", "ordernum", "invoiceid", "invoiceno", "invoicenumber", "receiptno",
    "timestamp", "ts", "time", "timeunixnano", "observedtimeunixnano", "starttimeunixnano", "endtimeunixnano", "date",
    "datetime", "createdat", "updatedat", "epoch", "nanos", "micros", "millis", "elapsed", "duration",
    "traceid", "spanid", "parentid", "parentspanid", "traceparent", "correlationid", "requestid", "xrequestid",
    "messageid", "eventid", "snowflake", "uuid", "guid", "etag", "checksum", "hash", "md5", "sha1", "sha256", "digest",
    "signature", "nonce", "seq", "sequence", "offset", "cursor",
    "imei", "imeisv", "meid", "iccid", "imsi", "msisdn", "serial", "serialnumber", "deviceid",
    "jan", "jancode", "ean", "ean13", "upc", "gtin", "isbn", "itf", "sscc", "barcode", "sku", "productcode",
    "productid", "itemcode",
    "tracking", "trackingno", "trackingnumber", "trackingid", "waybill", "slipno", "denpyo",
    "phone", "phonenumber", "tel", "mobile", "fax", "zip", "zipcode", "postcode", "postalcode",
    "iban", "bankaccount", "accountno", "accountnumber", "bankaccountnumber", "mynumber", "corporatenumber",
    "tranid", "transactionid", "nwtransactionid", "accessid", "forward", "approve", "shopid", "siteid", "memberid",
    "注文番号", "追跡番号", "伝票番号", "お問い合わせ番号", "送り状番号", "受注番号", "電話番号", "郵便番号",
    "法人番号", "マイナンバー", "個人番号", "商品コード", "会員番号", "口座番号",
)  # fmt: skip
"""Names that say the number is something else. They lower a finding to ``low``: reported and counted, never hidden,
for a word that could hide a card would be an evasion tool."""

CARD_WORDS = (
    "card", "credit", "debit", "visa", "mastercard", "master", "jcb", "amex", "american express", "diners", "discover",
    "unionpay", "maestro", "pan", "cvv", "cvc", "payment", "カード", "クレジット", "クレカ", "ビザ", "マスターカード",
    "ｶｰﾄﾞ", "有効期限", "銀聯", "アメックス", "ダイナース",
)  # fmt: skip
"""Context words, English and Japanese: near a number they make a weak shape convincing."""

CARD_KEY_SET = frozenset(fold(key) for key in CARD_KEYS)
SECURITY_CODE_KEY_SET = frozenset(fold(key) for key in SECURITY_CODE_KEYS)
SECURITY_CODE_BESIDE_SET = SECURITY_CODE_KEY_SET | {fold(key) for key in SECURITY_CODE_KEYS_BESIDE_PAN}
PIN_BLOCK_KEY_SET = frozenset(fold(key) for key in PIN_BLOCK_KEYS)
PIN_BESIDE_SET = frozenset(fold(key) for key in PIN_KEYS_BESIDE_PAN)
EXPIRY_KEY_SET = frozenset(fold(key) for key in EXPIRY_KEYS)
HOLDER_KEY_SET = frozenset(fold(key) for key in HOLDER_KEYS)
OTHER_KEY_SET = frozenset(fold(key) for key in OTHER_KEYS)


def names(path: str, key: str) -> tuple[str, ...]:
    """The folded names a value at ``path`` goes by, nearest first: its key, then its key with the parent's before it.

    ``$.card.number`` gives ``number``, ``cardnumber``; ``card[number]`` likewise.
    """
    steps = [step for step in re.split(r"[.\[\]/$'\"]+", path) if step and not step.isdigit()]
    own = fold(_PREFIX.sub("", key)) if key else (fold(steps[-1]) if steps else "")
    if not own:
        return ()
    parents = [fold(step) for step in steps if fold(step)]
    if parents and parents[-1] == own:
        parents = parents[:-1]
    return (own, parents[-1] + own) if parents else (own,)
