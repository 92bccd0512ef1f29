"""Charsets: any declared one, and UTF-16, UTF-32, ISO-2022-JP, CP932 and EUC-JP that nobody declared.

Evasion: ``charset=utf-16`` or an EBCDIC page (``charset=ibm037``) on a body that is scanned as ASCII; UTF-16 without a
mark; full-width digits in Shift_JIS. Undecodable bytes become U+FFFD and decoding goes on: one bad byte hides nothing.
Limits: output ≤ 3 × input. Nothing is done where the bytes already mean the same in UTF-8.
Source: WHATWG Encoding Standard (labels; ``shift_jis`` means Windows-31J), RFC 8259 §8.1, JIS X 0208:1997.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from detectors.compiled import Compiled
from detectors.decoders import iso2022jp, wide
from detectors.decoders.offsets import Whole, side_by_side
from detectors.decoders.text import came_out_well
from detectors.decoders.weaver import Weaver
from detectors.model import Ask, Gap, Peel

_LABELS = {
    "shift_jis": "cp932", "shift-jis": "cp932", "sjis": "cp932", "x-sjis": "cp932", "ms_kanji": "cp932",
    "windows-31j": "cp932", "ms932": "cp932", "csshiftjis": "cp932", "cswindows31j": "cp932",
    "x-euc-jp": "euc_jp", "cseucpkdfmtjapanese": "euc_jp", "eucjp-ms": "euc_jp", "cp51932": "euc_jp",
    "csiso2022jp": "iso2022_jp", "cp50220": "iso2022_jp", "cp50221": "iso2022_jp", "cp50222": "iso2022_jp",
    "unicode": "utf-16", "ucs-2": "utf-16", "iso-10646-ucs-2": "utf-16", "csunicode": "utf-16", "ucs-4": "utf-32",
    "unicode-1-1-utf-8": "utf-8", "utf8mb4": "utf-8", "binary": "utf-8", "x-user-defined": "latin-1",
}  # fmt: skip
"""Labels seen in the wild that Python does not know, or means something narrower by."""

_NO_CHARSET = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined"})
_AS_IS = frozenset({"utf-8", "utf-8-sig", "ascii"})
_ALL_ASCII = bytes(range(128))
_ALL_BYTES = bytes(range(256))

_UNITS = {
    "cp932": re.compile(
        rb"([\x00-\x7f]++)|((?:[\x81-\x9f\xe0-\xfc][\x40-\x7e\x80-\xfc])++)|([\xa1-\xdf]++)|[\x80-\xff]"
    ),
    "euc_jp": re.compile(
        rb"([\x00-\x7f]++)|((?:[\xa1-\xfe]{2})++|(?:\x8e[\xa1-\xdf])++)|(?:\x8f[\xa1-\xfe]{2})++|[\x80-\xff]"
    ),
}
"""Runs of characters of one length: plain, two bytes, and one byte (kana in CP932) or three (JIS X 0212 in EUC-JP)."""

_FULLWIDTH_DIGITS = (
    (re.compile(rb"(?:\x82[\x4f-\x58]){3}|(?:[0-9]\x81[\x40\x5b-\x5d\x7c]){2}"), "cp932"),
    (re.compile(rb"(?:\xa3[\xb0-\xb9]){3}|(?:[0-9]\xa1[\xa1\xbc-\xbe\xdd]){2}"), "euc_jp"),
)
_FULLWIDTH = Compiled([(digits.pattern, 0) for digits, _ in _FULLWIDTH_DIGITS])
"""Says in a fraction of their time that neither is there."""
_UTF8_DIGITS = re.compile(rb"(?:\xef\xbc[\x90-\x99]){3}|[0-9](?:\xc2\xa0|\xe2\x80[\x80-\xaf]|\xe3\x80\x80)[0-9]")
_HALF_KANA = re.compile("[\uff61-\uff9f]")
_PARAMETER = re.compile(r"""(?:^|[;,])\s*([^\s=;,"]+)\s*=\s*("(?:[^"\\]|\\.)*+"|[^;,]*)""")
_XML_ENCODING = re.compile(rb"""\s*+<\?xml[^>]{0,128}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,32})["']""")
_EBCDIC_XML = b"\x4c\x6f\xa7\x94"
"""``<?xm`` in the EBCDIC code pages (XML 1.0, appendix F.1)."""


def charset_of(content_type: str) -> str:
    """The charset parameter of a media type, "" without one.

    Several that differ, from a repeated parameter or a repeated field, name no charset: receivers disagree about which
    of them counts, so all are given, joined by ``|``, which no label contains.
    """
    labels: dict[str, str] = {}
    for name, value in _PARAMETER.findall(content_type):
        if name.lower() in ("charset", "charset*"):
            label = value.strip().strip("\"'").rpartition("'")[2].strip()
            labels.setdefault(codec_for(label) or label.lower(), label)
    return "|".join(labels.values())


def codec_for(label: str) -> str | None:
    """Python's name for a charset label; ``None``: unknown, or no charset at all (``rot13``)."""
    label = label.strip().strip("\"'").strip().lower()
    try:
        name = codecs.lookup(_LABELS.get(label, label)).name
        b"0000".decode(name, "replace")
    except (LookupError, ValueError):  # ValueError: a NUL in the label, or a codec that decodes nothing
        return None
    return None if name in _NO_CHARSET else name


def sniff(data: bytes, *, sound: bool = False) -> str:
    """The Python codec of text whose bytes say what they are although nobody else does; "" for UTF-8 and unknown.

    ``sound``: they are known to be text in UTF-8 (``is_text``), or in seven bits."""
    if sound:
        return "iso2022_jp" if iso2022jp.escapes(data) else ""
    codec = wide.sniff(data)
    if codec:
        return codec
    if data.startswith(_EBCDIC_XML):
        return "cp037"
    if iso2022jp.escapes(data):
        return "iso2022_jp"
    return "" if data.isascii() or b"\0" in data or _is(data, "utf-8") else _japanese(data)


def _is(data: bytes, codec: str) -> bool:
    try:
        data.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _japanese(data: bytes) -> str:
    """CP932 or EUC-JP by which decodes, and by full-width digits where neither does. EUC-JP read as CP932 is mostly
    half-width kana."""
    fits = [codec for codec in ("euc_jp", "cp932") if _is(data, codec)]
    if len(fits) == 2:
        text = data.decode("cp932")
        kana = len(_HALF_KANA.findall(text))
        return "euc_jp" if kana * 4 >= sum(not letter.isascii() for letter in text) else "cp932"
    if fits:
        return fits[0]
    return next((codec for digits, codec in _FULLWIDTH_DIGITS if digits.search(data)), "")


def _character(raw: bytes, codec: str, seen: dict[bytes, str]) -> str:
    character = seen.get(raw)
    if character is None:
        text = raw.decode(codec, "replace")
        character = seen[raw] = text if len(text) == 1 else "\ufffd"
    return character


def _multibyte(data: bytes, codec: str, ask: Ask) -> Peel:
    weaver, seen = Weaver(data), dict[bytes, str]()
    for n, run in enumerate(_UNITS[codec].finditer(data)):
        if not n & 1023:
            ask.budget.check_time()
        if run.lastindex == 1:
            weaver.plain(run.end())
            continue
        raw = run[0]
        width = 2 if run.lastindex == 2 else 3 if raw[0] == 0x8F and len(raw) > 1 else 1
        text = raw.decode(codec, "replace")
        if len(text) != len(raw) // width:  # an unassigned pair may come out as two characters
            text = "".join(_character(raw[i : i + width], codec, seen) for i in range(0, len(raw), width))
        wide.weave_text(weaver, text, run.start(), width, ask)
    child, hook = weaver.done(wide.encoder(codec))
    return Peel(codec.replace("_", "-"), child, hook, framed=came_out_well(child))


def _other(data: bytes, codec: str, ask: Ask) -> Peel:
    """A single-byte charset byte by byte; any other as a whole, put back only if it survives the round trip."""
    encode = wide.encoder(codec)
    if codec != "utf-7" and len(_ALL_BYTES.decode(codec, "replace")) == len(_ALL_BYTES):
        weaver = Weaver(data)
        wide.weave_text(weaver, data.decode(codec, "replace"), 0, 1, ask)
        child, hook = weaver.done(encode)
        return Peel(codec, child, hook, framed=came_out_well(child))
    text = data.decode(codec, "replace").encode("utf-8", "replace")
    whole = Whole(0, len(data), text, encode if encode(text) == data else None)
    return Peel(codec, text, whole, framed=came_out_well(text))


def _reads_as_utf8(data: bytes, codec: str) -> bool:
    """Whether ``data`` is ASCII and so is what ``codec`` makes of it: codecs with shifts never do."""
    return (
        data.isascii()
        and codec != "utf-7"
        and _ALL_ASCII.decode(codec, "replace").encode("utf-8", "replace") == _ALL_ASCII
    )


def _choose(data: bytes, codec: str | None, *, sound: bool) -> str:
    """The codec to decode with: as declared, but bytes that are plainly UTF-16 or UTF-32 win, as a byte order mark does
    in browsers; an undeclared, unknown or ASCII-like label leaves it to the bytes."""
    if not codec:
        said = _XML_ENCODING.match(data)
        return sniff(data, sound=sound) or (said and codec_for(said[1].decode())) or ""
    if codec in _AS_IS:
        return sniff(data, sound=sound)
    if codec in wide.CODECS and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return codec
    return wide.sniff(data) or codec


def _as_well(data: bytes, codec: str, ask: Ask) -> Iterator[Peel | Gap]:
    """What else bytes may be that have been read as ``codec``: an ASCII-like charset, or ``""`` for UTF-8."""
    if codec in wide.CODECS or codec.startswith("iso2022_jp") or (codec and not _reads_as_utf8(_ALL_ASCII, codec)):
        return
    if iso2022jp.escapes(data):
        yield from iso2022jp.peel_islands(data, ask)
    if data.isascii():
        return
    if codec and (_is(data, "utf-8") or _UTF8_DIGITS.search(data)):
        yield Peel("", data, side_by_side(0, len(data)))
    seen = _japanese(data) if codec and b"\0" not in data else codec
    others = {seen}
    if _FULLWIDTH.any(data):
        others |= {other for digits, other in _FULLWIDTH_DIGITS if digits.search(data)}
    for other in sorted(others - {"", codec}):
        yield _multibyte(data, other, ask)


def peel_charset(data: bytes, charset: str | None, ask: Ask, *, sound: bool = False) -> Iterator[Peel | Gap]:
    """The view as UTF-8, where it is in another charset: as declared, or as its bytes say ("" for none declared).

    Bytes that already read the same in UTF-8 give nothing. A label that names no charset gives a Gap
    ``unknown-charset``, and the bytes are still asked what they are. Labels lie, and bodies are put together from
    several sources: bytes that are sound UTF-8, that the other Japanese charset fits, or that have full-width digits in
    another one, are read as that, too. UTF-16 that nobody declared may be a part only, or change its alignment
    half-way: what the whole does not cover is yielded in runs. Under a label that would make ASCII unreadable the bytes
    are yielded as they stand, too: a reader that ignores the label sees those. ``sound``: see ``sniff``.
    """
    declared = codec_for(charset) if charset and charset.strip() else ""
    if not data:
        return
    if declared is None:
        yield Gap("unknown-charset", 0, len(data))
    codec = _choose(data, declared, sound=sound)
    lies = bool(declared) and codec == declared and b"\0" not in data and not _reads_as_utf8(_ALL_ASCII, codec)
    if codec in wide.CODECS:
        yield wide.peel(data, codec, ask)
    elif codec.startswith("iso2022_jp"):
        yield from iso2022jp.peel(data, ask) if declared or data.isascii() else iso2022jp.peel_islands(data, ask)
    elif codec and not _reads_as_utf8(data, codec):
        yield _multibyte(data, codec, ask) if codec in _UNITS else _other(data, codec, ask)
    if lies:
        yield Peel("", data, side_by_side(0, len(data)))
    yield from _as_well(data, codec, ask)
    if declared not in wide.CODECS and b"\0" in data:
        yield from wide.peel_runs(data, ask, codec)


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """``peel_charset`` with the charset that the content type declares."""
    yield from peel_charset(data, charset_of(ask.content_type), ask)
