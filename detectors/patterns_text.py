"""More rows of the sieve: text encodings besides those that ``detectors.patterns`` spells out, names that stand apart
from their values (columns, name/value pairs, dumps), and numbers in pieces.

What begins a row decides what it costs: names and marks that few texts hold, not digits or quotes.
"""

from __future__ import annotations

from detectors.sieve_through import base32_patterns, base64_stacks, hex_patterns

Row = tuple[str, bytes, bool]
"""Kind, expression, caseless: the fields of ``detectors.patterns.Pattern``."""

_HH = rb"=(?:3[0-9]|[46][1-9A-F]|[57][0-9A])"
_QP_SEP = rb"=(?:20|2[DE]|09|A0|C2=A0|E2=80=[89][0-9A-F]|E3=80=80)"
_QP_DIGIT = rb"=EF=BC=9[0-9]|=82=?(?:[45][0-9A-F]|[O-X])|=A3=?B[0-9]"
_SMALL = rb"(?:4[5-9]|5[0-7]|32)"
_COMMAS = (rb",", rb", ", rb" ", rb",\r?\n[ \t]{0,12}")
_BUFFER = rb"Buffer\\*[\"'][\s,]{0,32}\\*[\"']data\\*[\"'][\s:]{1,8}\["

_CODES = (
    rb"cvv2?|cvc2?|cav2|csc|(?:security|secure|sec|verification)[ _.-]?(?:code|cd|value|number)",
    rb"(?:cvv|cvc)[ _.-]?(?:code|value|no)",
)
_CARDS = (
    rb"(?:card|cc)[ _.-]{0,3}(?:no|num|number|nr|pan)",
    rb"[fd]?pan|primary[ _-]?account[ _-]?number|credit[ _-]?card",
)
_JAPANESE = tuple(name.encode() for name in ("カード番号", "セキュリティコード", "カード確認番号"))
_FIELD = rb"(?:" + b"|".join((*_CODES, *_CARDS, *_JAPANESE)) + rb")"
_BESIDE = (
    rb"[^a-z0-9](?:exp(?:iry|ires?|iration)?(?:[ _-]?(?:date|month|year))?|valid[ _-]?thru"
    rb"|\xe6\x9c\x89\xe5\x8a\xb9\xe6\x9c\x9f\xe9\x99\x90"
    rb"|card[ _-]?holder(?:[ _-]?name)?|holder[ _-]?name|name[ _-]?on[ _-]?card)"
)
"""Expiry and holder."""
_ESCAPED = tuple(
    b"".join(b"\\\\+u%04x" % ord(letter) for letter in name)
    for name in ("カード番号", "セキュリティコード", "カード確認番号", "有効期限")
)
TYPE = (
    rb"(?:(?:old|new|rejected|invalid|actual|received|string|str|int|integer|number|text|raw|array|kvlist|bytes)?_?(?:val|value|values|string|int|integer)|s|n|v"
    rb"|params|context|xsi|xsd|string|str|text|data|content|answer|default|current|previous|before|after|old|new|input|selected|type|span"
    rb"|t[drh]|d[dt]|rejected|cdata|name|key|label|div|strong|b|p|i|some|optional|short|true|false|raw|u)"
)
_APART = rb"[^0-9A-Za-z]+"
_DIGIT = rb"(?:[0-9]|\\u003[0-9]|\xef\xbc[\x90-\x99]|\xef\xbd|&#)"

_CARD = rb"(?:" + b"|".join((*_CARDS, _JAPANESE[0])) + rb")"
_SHORT = rb"(?:[^0-9A-Za-z]|%5D){1,12}(?:value[^0-9A-Za-z]{1,4})?[0-9]{1,8}[^0-9A-Za-z.]"
"""A few digits under a name with an index."""

_CELL_CLOSES = rb"(?:</[a-z:]{1,16}>\s{0,16}){0,4}</?(?:[a-z]{1,8}:)?(?:t[hdcr]|cell|table-cell|entry)[\s>]"
_CELL_BEGINS = rb"(?:^|[\n,;\t|(]|\\+[nrt]|%(?:2[c8]|0[9ad]|3b))[ \"'`\[\\]{0,4}(?:[a-z]{1,12}[ _.-]){0,2}"
_CELL_ENDS = rb"[ \"'`\]\\]{0,4}(?:[,;\t|)\r\n]|\\+[nrt]|%(?:2[c9]|0[9ad]|3b))"
_WRAP = (
    rb"(?:[bu]\\*[\"']|(?:some|just|optional|string|str|int|int64|float|double|decimal|len|number(?:int|long|decimal))\s?[(\[{:=]|\(\*?string\)"
    rb"|string\([0-9]{1,6}\)|(?:int|float)\(|protected\]|[a-z_]{1,40}\":private\]|0x[0-9a-f]{4,16}\)?|:\s?[0-9]{1,6}:\\*\")"
)


_CARD_WORD = (
    rb"(?:card|visa|jcb|amex|credit|(?:^|[^a-z])pan"
    rb"|\xe3\x82\xab\xe3\x83\xbc\xe3\x83\x89|\xe3\x82\xaf\xe3\x83\xac\xe3\x82\xab)[^0-9]{0,40}"
)
_RETYPED = (
    rb"[0-9]{1,3}(?:[,'][0-9]{3}){4}",
    rb"[2-6][0-9 -]{0,17}[oil][0-9oil -]{4}",
    rb"[2-6][0-9]{3}(?:[ -][0-9]{4,6}){0,2}[ -]?(?:\r?\n|(?:\\+r)?\\+n)[ \t>|]{0,8}[0-9]{4}",
)
"""Numbers of ``detectors.decoders.retyped``."""
_QUOTED = (
    rb"input_value=\\*[\"']?[0-9]{3}|got invalid value \\*[\"']?[0-9]|field's value: \\*'[0-9]|' is not valid for ",
    rb"\[\\*[\"']" + _FIELD + rb"\\*[\"']\]\)|propertypath=" + _FIELD,
    rb"\.(?:fill|type|send_?keys|set_?value|press_?sequentially|val)\([\"'][0-9]{3}",
    _FIELD + rb"[\"'], ?[\"'][0-9]{3}",
    _FIELD + rb"\)=\(",
    rb"(?:name|key|field|label): ?[\"']?" + _FIELD + rb"[\"']?[ \t]*(?:[\r\n]|\\+[nr]|$)",
    rb"\r\n" + _FIELD + rb"\r\n\$|(?:set|add|replace) " + _FIELD + rb" [0-9]",
)
"""Sentences of ``detectors.decoders.quoted``."""
_PAINT = rb"(?:(?:\x1b|\\+(?:u00|x)1b|\\+033|\^\[)\[[0-9;]{0,16}[mk])"
_PAINTED = (
    rb"[0-9] ?" + _PAINT + rb"{1,4} ?[0-9](?:[^0-9;]|[0-9]{2})",
    _FIELD + rb"[^0-9A-Za-z\\^\x1b]{0,4}(?:" + _PAINT + rb"[^0-9A-Za-z\\^\x1b]{0,4}){1,4}[0-9]",
)


def apart() -> list[Row]:
    """Names of card fields and their values with something between: types, tags, the other half of a pair, a header."""
    return [
        ("pair", _FIELD + rb"(?:" + _APART + TYPE + rb")+" + _APART + _DIGIT, True),
        ("pair", rb"[:=]\s{0,4}\\*[\"'](?:x[_-]|(?:credit|payment)?[_. -]?card[._-])?" + _FIELD + rb"\\*[\"']", True),
        ("pair", rb"[\[,]\s{0,8}\\*[\"'](?:x-)?" + _FIELD + rb"\\*[\"']\s{0,4},\s{0,8}\\*[\"']?[0-9]", True),
        ("pair", _FIELD + rb"[\"'\\]{0,4}[\s:=\[>]{0,12}(?:/\*|//|<!--)", True),
        ("pair", _FIELD + rb"\\*[\"']\s{0,16}\]", True),
        ("pair", rb"(?:received|input)\\*[\"']\s{0,4}:\s{0,4}\\*[\"']?[0-9]{3,4}\\*[\"']?[\s,}]", True),
        ("pair", rb"\$number(?:int|long|double|decimal)\\*[\"']\s{0,4}:\s{0,4}\\*[\"']?[0-9]", True),
        ("pair", rb"<!ENTITY", True),
        ("pair", rb"[0-9](?:\]\]>)?<!\[CDATA\[[0-9 -]|[0-9]\]\]>[0-9]|[0-9]<\?[^>]{0,64}\?>[0-9]", True),
        *(("quoted", row, True) for row in _QUOTED),
        *(("ansi", row, True) for row in _PAINTED),
        *(("retyped", _CARD_WORD + row, True) for row in _RETYPED),
        *(("cells", row + rb"[\s:*]{0,8}" + _CELL_CLOSES, True) for row in (_FIELD, _BESIDE)),
        *(("columns", row + rb"\\*[\"']\s{0,16}[,\])]", True) for row in (_FIELD, _BESIDE, *_ESCAPED)),
        ("table", _FIELD + rb"[ \"'`\]\\]{0,4}=\s?(?:\?|\$[0-9]|%s|[:@][A-Za-z0-9_])", True),
        ("table", _CELL_BEGINS + _FIELD + _CELL_ENDS, True),
        ("split", rb"(?:card|cc|credit|pan|" + _JAPANESE[0] + rb")(?:[^0-9\n]|%5B|%5D){0,24}[0-9]{1,2}" + _SHORT, True),
        ("split", _CARD + rb"[\]\"'\s\\:=>]{1,16}\[[\s\"'\\]{0,24}[0-9]{1,8}[\"'\\]{0,4}\s?,", True),
        ("split", _CARD + rb"(?:[\[\]]|%5B|%5D){0,4}=[0-9]{1,8}&", True),
        ("php", rb"(?:^|[;{|])s:[0-9]{1,6}:\\{0,4}\"", False),
        ("dump", _FIELD + _APART + rb"(?:" + _WRAP + rb"[^0-9A-Za-z]*)+[0-9]", True),
    ]


def encodings() -> list[Row]:
    """Hex, base32, stacks of base64, lists of byte values, encodings of mail."""
    return [
        *(("hex", row, True) for row in hex_patterns()),
        *(("base32", row, False) for row in base32_patterns()),
        *(("base64", row, False) for row in base64_stacks()),
        *(("bytes", rb"(?:" + _SMALL + between + rb"){12}", False) for between in _COMMAS),
        (
            "bytes",
            _BUFFER + rb"|byte[s\]\[]{0,4}[\s:=]{0,3}\[\s{0,8}[0-9]|Uint8Array[() 0-9]{0,10}\[|<<[0-9]{2,3}, ?[0-9]",
            False,
        ),
        ("bytes", rb"(?:99|67),? ?(?:118|86),? ?(?:118|86|99|67),? ?[0-9]", False),
        ("quoted-printable", rb"(?:" + _HH + rb"){2}", True),
        ("quoted-printable", rb"(?:" + _QP_DIGIT + rb"){3}|=1B\$[@B]", True),
        ("quoted-printable", rb"[0-9](?:" + _QP_SEP + rb"|=[ \t]?\r?\n){1,3}[0-9]", True),
        ("encoded-word", rb"=\?[a-z0-9_.:-]{2,40}(?:\*[a-z0-9-]{1,40})?\?[bq]\?", True),
        ("continuation", rb"[a-z_.-]\*[1-9]\*?[ \t]?=", True),
    ]
