"""What the sieve looks for: card data plain, and card data as it looks through text encodings.

A row may match too much (that costs time), never too little. Rows have no start-of-match and no upper bound on
purpose: a number is reported once, where its thirteenth digit ends, and Unicode separators have rows of their own; both
are what keeps a megabyte at a few milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from detectors import patterns_text
from detectors.iin import ISSUERS
from detectors.sieve_classes import base64_patterns
from detectors.test_numbers import TEST_NUMBERS

RECOGNIZE = "recognize"
"""Kind of a hit that recognizers should look at as the view stands. Every other kind names a decoder."""


def _prefixes() -> bytes:
    """The first two digits of every published test number and every issuer range, as a union of classes. Ranges whose
    numbers need a word beside them have a pattern with that word."""
    pairs = {number[:2].decode() for number in TEST_NUMBERS}
    for row in (row for row in ISSUERS if row.bare):
        for prefix in range(row.first, row.last + 1):
            text = str(prefix)[:2]
            pairs |= {text} if len(text) == 2 else {text + digit for digit in "0123456789"}
    by_first: dict[str, str] = {}
    for pair in sorted(pairs):
        by_first[pair[0]] = by_first.get(pair[0], "") + pair[1]
    return "|".join(f"{first}[{seconds}]" for first, seconds in sorted(by_first.items())).encode()


_FIRST_TWO = b"(?:" + _prefixes() + b")"
_NUMBER = _FIRST_TWO + rb"(?:[ ._+-]*[0-9]){11}"

_USEP = (
    rb"\xc2[\xa0\xad]|\xe1\xa0\x8e|\xe2\x80[\x80-\xaf]|\xe2\x81[\x9f-\xa4]|\xe2\x88\x92|\xe3\x80[\x80\x9c]|\xe3\x83\xbc"
    rb"|\xef\xbb\xbf|\xef\xbc[\x8b-\x8f\xbf]|\xef\xb9[\x98\xa3]|\xef\xbd[\x9e\xb0]|\xe2\x94\x80|\xcb\x97|\xc2\xb7"
    rb"|\xe3\x83\xbb|\xef\xb8[\x80-\x8f]|\xe2\x83\xa3"
)
_UDIGIT = (
    rb"\xef\xbc[\x90-\x99]|\xd9[\xa0-\xa9]|\xdb[\xb0-\xb9]|\xe0\xa5[\xa6-\xaf]|\xf0\x9d\x9f[\x8e-\xbf]"
    rb"|\xc2[\xb2\xb3\xb9]|\xe2\x81[\xb0\xb4-\xb9]|\xe2\x82[\x80-\x89]|\xe2\x91[\xa0-\xa8]|\xe0[\xa7-\xaf][\xa6-\xaf]"
    rb"|\xe0\xb9[\x90-\x99]|\xf0\x9f\xaf[\xb0-\xb9]"
)
# Hexadecimal codes of ASCII digits and letters: nobody escapes these except to hide something (or by double encoding).
_ALNUM_HEX = rb"(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa])"
_PCT = rb"%(?:25)*"
# An encoded separator, or any byte of a non-ASCII one (NBSP, en dash, ideographic space in any charset); a control.
_PCT_SEP = _PCT + rb"(?:20|2[bBdDeE]|5[fF]|[01][0-9a-fA-F]|[89a-fA-F][0-9a-fA-F])"
_PCT_DIGIT = (
    rb"%(?:25)*[eE][fF]%(?:25)*[bB][cC]%(?:25)*9[0-9]"  # UTF-8
    rb"|%(?:25)*82(?:%(?:25)*(?:4[fF]|5[0-8])|[O-X])"  # CP932, whose second bytes are letters
    rb"|%(?:25)*[aA]3%(?:25)*[bB][0-9]"  # EUC-JP
)

# Between a key and its value: quotes, colons, tags, and the same through percent, HTML and backslash escapes.
_KV = (
    rb"(?:[^0-9A-Za-z%&\\]|%(?:25)*(?:2[0-9a-fA-F]|3[a-fA-F]|[57][b-fB-F]|0[9adAD])|&[a-zA-Z]{2,6};|&#x?[0-9a-fA-F]{2,4};"
    rb"|\\+(?:u00|x)[0-9a-fA-F]{2}|\\+[nrt\"'/]?| is | no | was | in ?(?:[(]|%28)|null|CDATA|=)"
)
_LEAD = rb"(?:[0-9%\\\x82\xa3\xd9\xdb\xef\xf0]|&#)"
_CARD_KEY = (
    rb"(?:card[^0-9A-Za-z]{0,8}(?:no|num|number|pan)|cc[_.-]?(?:no|num|number)|credit[\s_.-]?card(?:[\s_.-]?(?:no|num))?"
    rb"|(?:^|[^a-z])[fd]?pan|primary[\s_-]?account[\s_-]?number)"
)
_CODE_KEY = (
    rb"(?:(?:cvv2?|cvc2?|cvn2?|cav2|(?:amex|card|cc)[_.-]?cid|(?:security|secure|sec)[\s_.-]?(?:code|cd|number|no)|verification)"
    rb"(?:[\s_.-]?(?:code|val|value|number|num|no|input|field|te?xt|str|data))?|csc|verify[\s_.-]?code)"
)
_PIN_KEY = rb"pin[\s_-]?bl(?:oc|c)?k(?:[\s_-]?data)?"
JAPANESE_KEYS = (
    "カード番号", "クレカ番号", "ｶｰﾄﾞ番号", "セキュリティコード", "セキュリティーコード", "セキュリティ番号",
    "ｾｷｭﾘﾃｨｺｰﾄﾞ", "カード確認番号", "裏面",
)  # fmt: skip
_FOREIGN = (
    "código de seguridad", "codigo de seguridad", "prüfnummer", "cryptogramme", "安全码", "安全碼",
    "보안코드", "보안 코드",
)  # fmt: skip
FOREIGN_CODE_KEYS = rb"(?:" + b"|".join(name.encode() for name in _FOREIGN) + rb")"


def _percent(byte: int) -> bytes:
    """The byte as percent encoding spells it; the second byte of a CP932 letter may be ASCII and stay as it is."""
    return _PCT + b"%02x" % byte if byte > 0x7F else b"(?:" + _PCT + b"%02x|\\x%02x)" % (byte, byte)


def japanese_patterns() -> list[bytes]:
    """The Japanese names in every spelling they travel in: three charsets, backslash escapes, percent, references.

    The names alone, whatever follows: they are long and rare, and a tail of "and then a digit" on each of them costs
    half a second of every start.
    """
    spelled: list[bytes] = []
    for name in JAPANESE_KEYS:
        for charset in ("utf-8", "cp932", "euc-jp"):
            raw = name.encode(charset)
            spelled.append(b"".join(b"\\x%02x" % byte for byte in raw))
            spelled.append(b"".join(_percent(byte) for byte in raw))
        spelled.append(b"".join(b"\\\\+u%04x" % ord(letter) for letter in name))
        spelled.append(b"".join(b"&#(?:%d|x%x);" % (ord(letter), ord(letter)) for letter in name))
    return spelled


_ESCAPED_SEP = (
    rb"\\+(?:u00a0|u00ad|u20[0-6][0-9a-f]|u2212|u3000|u30fc|ufeff|uff0[d-f]|uff3f|x[a2]0|ufe0[0-9a-f]|u20e3"
    rb"|[ux](?:00)?[01][0-9a-f])"
)
_REF_ALNUM = (
    rb"&#(?:0*(?:4[89]|5[0-7]|6[5-9]|[78][0-9]|90|9[7-9]|1[01][0-9]|12[0-2])|x0*" + _ALNUM_HEX + rb")(?:[^0-9a-f]|$)"
)
_REF_SEP = (
    rb"&(?:#x?[0-9a-f]{2,5}|nbsp|[a-z]{1,4}sp|zw[a-z]*|zerowidthspace"
    rb"|[mn]dash|shy|minus|hyphen|dash|lowbar|period|plus|middot);?"
)
_BASE64 = rb"[A-Za-z0-9+/_-]"
_COMPRESSED = (
    rb"(?:H4sI" + _BASE64 + rb"{4}|SDRzS|U0RSelN"  # gzip; in base64 once or twice more
    rb"|Qlpo[MNO]" + _BASE64 + rb"{4}|_?/?Td6WF|UEsD|_?/?wYAAHNO|KLUv[_/%]"  # bzip2, xz, zip, snappy frames, zstd
    rb"|JVBERi0|N3q8r|UmFyIRoH|BCJNG|0M8R4KGx"  # PDF, 7z, rar, lz4, doc and xls
    rb"|WlhsS|V2xoc1[MN]|VjJ4b2MxT)",  # JSON in base64 three, four and five times
    *(level + _BASE64 + rb"{8}" for level in (rb"eA[E-H]", rb"eF[4-7]", rb"eJ[w-z]", rb"eN[o-r]")),
)
"""zlib's four levels in rows of their own: one row of all of them halves the speed of the whole sieve."""
_SAML = rb"SAML(?:Request|Response)[^0-9A-Za-z+/]{1,8}(?:3D)?" + _BASE64 + rb"{8}"  # raw deflate
_BEGINS = rb"(?:^|[^A-Za-z0-9+/_-]|%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\[nrt])"
_ESCAPED_BASE64 = _BASE64 + rb"*%(?:25)*(?:2[BbFf]|3[Dd])"


_INLINE = (
    rb"(?:wbr|[abius]|em|strong|span|font|mark|small|big|tt|code|kbd|samp|ins|del|strike|bd[io]|su[bp]|nobr|tspan"
    rb"|text:s)"
)


def _markup() -> list[tuple[str, bytes]]:
    """Inline tags and comments behind a digit, as they are and in the escapes that they travel in. Where they end is
    the decoder's business: looking for it costs a fifth of the scan."""
    return [
        ("markup", rb"[0-9] ?<(?:\\?/?" + _INLINE + rb"[ />\\]|!--)"),
        ("escape", rb"[0-9] ?\\+u003c(?:\\?/?" + _INLINE + rb"[ /\\]|!--)"),
        ("percent", rb"[0-9](?:%20|\+)?%(?:25)*3c(?:(?:%(?:25)*2f|/)?" + _INLINE + rb"[+/%]|(?:!|%(?:25)*21)--)"),
        ("html", rb"[0-9] ?&lt;(?:/?" + _INLINE + rb"[ /&]|!--)"),
    ]


def _printed(gap: bytes) -> bytes:
    """What follows the first two digits of a number in the groups of a card, between unusual separators. Columns of
    other short numbers are in nearly every log, and are no such row."""
    return b"[0-9]{2}(?:(?:" + gap + b"[0-9]{4}){3}|" + gap + b"[0-9]{6}" + gap + b"[0-9]{4})"


@dataclass(frozen=True, slots=True)
class Pattern:
    """One row of the sieve: what a match means, and the expression (Hyperscan's dialect, bytes)."""

    kind: str
    expression: bytes
    caseless: bool = False
    digits: Literal["", "one piece", "groups"] = ""
    """What matches is digits, and says nothing but that: see ``detectors.hopeless``."""


PATTERNS: tuple[Pattern, ...] = (
    Pattern(RECOGNIZE, rb"(?:^|[^0-9])" + _NUMBER, digits="one piece"),
    Pattern(RECOGNIZE, rb"(?:^|[^0-9])[2-689](?:[ ._+-]+[0-9]){3}(?:[ ._+-]*[0-9]){9}"),
    Pattern(RECOGNIZE, rb"(?:^|[^0-9])" + _FIRST_TWO + _printed(rb"[^0-9A-Za-z_]{1,4}"), digits="groups"),
    Pattern(RECOGNIZE, rb"(?:^|[^0-9])" + _FIRST_TWO + _printed(rb"(?:\\+[nrt]){1,2}")),
    Pattern(RECOGNIZE, rb"(?:^|[^0-9])[2-689]\.[0-9]{10,18}[eE]\+?1[2-8]"),
    Pattern(RECOGNIZE, rb"(?:^|[^0-9])00+" + _FIRST_TWO + rb"[0-9]{11}"),
    Pattern(
        RECOGNIZE, rb"(?:card|pan|\xe3\x82\xab\xe3\x83\xbc\xe3\x83\x89)[^0-9]{0,20}[0-9](?:[ ._+-]*[0-9]){11}", True
    ),
    Pattern(RECOGNIZE, rb"[0-9]{12}(?:\^|=[0-9])"),
    Pattern(RECOGNIZE, _CARD_KEY + _KV + rb"{1,12}" + _LEAD, True),
    Pattern(RECOGNIZE, _CODE_KEY + _KV + rb"{1,12}" + _LEAD, True),
    Pattern(RECOGNIZE, rb"(?:57|9f6b)(?:0[89a-f]|1[0-3])[0-9]{12,19}d[0-9]{4}|5a(?:0[6-9]|0a)[0-9]{12}", True),
    Pattern(RECOGNIZE, _PIN_KEY + _KV + rb"{1,12}[0-9A-Z][0-9A-Z+/ :-]{7}", True),
    *(Pattern(RECOGNIZE, expression, True) for expression in japanese_patterns()),
    Pattern(RECOGNIZE, FOREIGN_CODE_KEYS + _KV + rb"{1,12}" + _LEAD, True),
    Pattern(
        RECOGNIZE,
        rb"(?:\xef\xbc\xa3|\xef\xbd\x83)(?:\xef\xbc\xb6|\xef\xbd\x96)(?:\xef\xbc[\xa3\xb6]|\xef\xbd[\x83\x96])",
    ),
    # An escape that ends in a digit, right before a number: %204111…, \u30c94111…
    Pattern("percent", _PCT + rb"[0-9A-Fa-f][0-9]" + _NUMBER),
    Pattern("escape", rb"\\+(?:u[0-9A-Fa-f]{3}|x[0-9A-Fa-f])[0-9]" + _NUMBER),
    Pattern("percent", _PCT + _ALNUM_HEX),
    # The first character of one escape, escaped in another way: %5Cu0034, %26%2352%3B, &amp;#52;, \u0026#52;
    Pattern("percent", rb"%(?:25)*(?:5[Cc](?:u00|x|%(?:25)*5[Cc])|3[Dd][3-7][0-9A-Fa-f]%)"),
    Pattern("percent", rb"%(?:25)*26(?:amp(?:;|%(?:25)*3[Bb]))*(?:#|%(?:25)*23)"),
    Pattern("html", rb"&amp;(?:amp;)*(?:#|[a-z]{2,6};)|&#(?:37|92|38|x25|x26|x5c);", True),
    Pattern("escape", rb"\\+(?:u0026(?:#|\\+u0023)|u0025[2-7]|u005cu00|u003d[3-7][0-9a-f]\\+u003d)", True),
    Pattern("percent", rb"(?:" + _PCT_DIGIT + rb"){3}"),
    Pattern("percent", rb"[0-9](?:" + _PCT_SEP + rb"){1,7}[0-9]"),
    Pattern("escape", rb"\\+(?:u00|u\{0*|x|U000000)" + _ALNUM_HEX),
    Pattern("escape", rb"(?:\\+u(?:ff1[0-9]|066[0-9]|06f[0-9])){2}", True),
    Pattern("escape", rb"(?:\\+ud835\\+udf[c-f][0-9a-f]){2}", True),  # mathematical digits
    Pattern("escape", _FIRST_TWO + rb"[0-9]{2}(?:\\+[nrt][0-9]{4,6}){2}"),
    Pattern("escape", rb"[0-9] ?(?:" + _ESCAPED_SEP + rb"){1,3} ?[0-9]", True),
    Pattern("html", _REF_ALNUM, True),
    Pattern("html", rb"(?:&#(?:6529[6-9]|6530[0-5]|xff1[0-9]);){2}", True),
    Pattern("html", rb"[0-9](?:" + _REF_SEP + rb"){1,3}[0-9]", True),
    Pattern("fullwidth", rb"(?:" + _UDIGIT + rb"){2}"),
    Pattern("fullwidth", rb"[0-9] ?(?:" + _USEP + rb"){1,3} ?[0-9]"),
    *(Pattern(kind, expression, True) for kind, expression in _markup()),
    Pattern("sjis", rb"(?:\x82[\x4f-\x58]){3}|(?:[0-9]\x81[\x40\x7c\x5b\x5d]){2}"),
    Pattern("eucjp", rb"(?:\xa3[\xb0-\xb9]){3}|(?:[0-9]\xa1[\xa1\xdd\xbc]){2}"),
    Pattern("iso2022jp", rb"\x1b(?:\([BHIJ]|\$\(?[@A-DO-Q])"),
    Pattern("utf16le", rb"(?:[0-9A-Za-z\"': =._-]\x00){6}"),
    Pattern("utf16le", rb"(?:[\x10-\x19]\xff){6}"),
    Pattern("utf16be", rb"(?:\xff[\x10-\x19]){6}"),
    Pattern("utf16be", rb"(?:\x00[0-9A-Za-z\"': =._-]){6}"),
    # XML that says it is in a charset which shows no ASCII digits; and EBCDIC, where nobody needs to say so.
    Pattern(
        "xml-encoding", rb"<\?xml[^>]{0,128}encoding\s*=\s*[\"'](?:utf-?7|utf-?16|ucs|ibm|cp[0-9]|ebcdic|hz)", True
    ),
    Pattern("xml-encoding", rb"\x4c\x6f\xa7\x94"),
    *(Pattern("base64", _BEGINS + first) for first in _COMPRESSED),
    Pattern("base64", _SAML, True),
    Pattern("percent", rb"KLUv%(?:25)*2[Ff]"),
    *(Pattern("percent", _BEGINS + first + _ESCAPED_BASE64) for first in _COMPRESSED),
    *(Pattern("base64", expression) for expression in base64_patterns()),
    *(Pattern(*row) for row in (*patterns_text.apart(), *patterns_text.encodings())),
)
"""Everything the sieve looks for."""
