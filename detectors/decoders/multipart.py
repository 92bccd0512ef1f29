"""Parts of a multipart body: their contents with transfer and content codings taken off, their names and headers.

Evasion: a boundary that the body does not use, a part that never ends, base64 or gzip inside a part, a number in a
file name, text before the first delimiter and behind the last; a part with several names, which is read under each, or
with a header field twice; a field ``_charset_`` that names the charset of all others. What no part holds is yielded as
``preamble`` or ``epilogue``, and a body without its delimiter is a Gap: receivers disagree about what is in it.
Limits: those of the codings.
Paths: ``name``, the second of a name ``name[1]``, ``part[2]`` without a name; ``name.filename``, ``name.content-type``.
Source: RFC 7578, RFC 2046 §5.1, RFC 2045 §6, RFC 2231 (``filename*``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from detectors.decoders import base64, compressed, part_names, quoted_printable
from detectors.decoders.charset import charset_of
from detectors.decoders.naming import Repeats, segment
from detectors.decoders.offsets import Chain, Whole, side_by_side
from detectors.decoders.weaver import near
from detectors.model import Ask, Gap, Peel

_BOUNDARY = re.compile(r"boundary\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;,\"]+))", re.IGNORECASE)
_FIRST_LINE = re.compile(rb"(?:\A|\r?\n)--([!-~]{1,200}?)[ \t]*+\r?\n[A-Za-z-]++:")
_HEADERS_END = re.compile(rb"\A\r?\n|\r?\n\r?\n")
_HEADER = re.compile(rb"([!-9;-~]++)[ \t]*+:[ \t]*+([^\r\n]*+(?:\r?\n[ \t][^\r\n]*+)*+)")
_PARAMETER = re.compile(rb";\s*+([!#-+.-:<>-~-]++)\s*+=\s*+(?:\"((?:[^\"\\]|\\.)*+)|([^\s;]*+))")
_PLAIN = frozenset({"", "7bit", "8bit", "binary"})
_CHARSET_FIELD = re.compile(
    rb"name=\"?_charset_\"?(?:;[^\r\n]*+)?(?:\r?\n[^\r\n]++)*+\r?\n\r?\n([\w.:-]{1,40})\r?(?=\n--|\Z)"
)


def _boundaries(content_type: str) -> list[bytes]:
    found = [re.sub(r"\\(.)", r"\1", quoted) if quoted else plain for quoted, plain in _BOUNDARY.findall(content_type)]
    return list(dict.fromkeys(text.encode("utf-8", "replace") for text in found if text))


def _transfer_decoded(data: bytes, coding: str, ask: Ask) -> Iterator[Peel | Gap]:
    """The body of a part without its Content-Transfer-Encoding. Nothing: it stands as it is."""
    if coding == "base64":
        child, encode = base64.decode_run(data)
        yield Peel("base64", child, Whole(0, len(data), child, encode))
    elif coding == "quoted-printable":
        yield from quoted_printable.peel(data, ask)
    elif coding not in _PLAIN:
        yield Gap("unknown-transfer-encoding", 0, len(data))


def _layers(data: bytes, headers: dict[str, str], ask: Ask) -> Iterator[Peel | Gap]:
    """The body of a part as it is meant, as children of ``data``."""
    outer = Peel("", data, side_by_side(0, len(data)))
    for item in _transfer_decoded(data, headers.get("content-transfer-encoding", "").strip().lower(), ask):
        if isinstance(item, Gap):
            yield item
        else:
            outer = item
    coded = headers.get("content-encoding", "")
    if not compressed.codings(coded):
        yield outer
        return
    for item in compressed.unwrap(outer.data, coded, ask):
        if isinstance(item, Gap):
            yield Gap(item.reason, 0, len(data))
        else:
            codec = "+".join(filter(None, (outer.codec, item.codec)))
            yield replace(item, codec=codec, hook=Chain(outer.hook, item.hook))
    if any(name not in compressed.CODINGS for name in compressed.codings(coded)):
        yield outer


class _Part:
    """One part: where its headers and its body are, and what the headers say."""

    def __init__(self, data: bytes, start: int, end: int, charset: str = "") -> None:
        """``charset``: of text that names none itself."""
        self.data = data
        match = _HEADERS_END.search(data[start:end])
        body = start + match.end() if match else start
        self.body = (body, end)
        self.headers: list[tuple[str, int, int]] = [
            (header[1].decode("ascii").lower(), *header.span(2)) for header in _HEADER.finditer(data, start, body)
        ]
        values: dict[str, dict[str, None]] = {}
        for name, a, b in self.headers:  # a field twice: all its values, for nobody knows which one counts
            values.setdefault(name, {})[data[a:b].decode("utf-8", "replace").strip()] = None
        self.values = {name: ", ".join(told) for name, told in values.items()}
        self.parameters = [
            (parameter[1].lower(), *parameter.span(parameter.lastindex or 2))
            for name, a, b in self.headers
            if name == "content-disposition"
            for parameter in _PARAMETER.finditer(data, a, b)
        ]
        self.names = part_names.names_of([(name, data[a:b]) for name, a, b in self.parameters])
        self.content_type = self.values.get("content-type", "")
        if charset and self.content_type.lower().startswith(("text/", "")) and not charset_of(self.content_type):
            self.content_type = f"{self.content_type or 'text/plain'}; charset={charset}"

    def _opaque(self) -> bool:
        """Whether the body's bytes do not show the sieve what they hold: encoded, compressed, a file, no text."""
        content_type = self.content_type.lower() or "text/plain"
        return (
            not content_type.startswith("text/")
            or "charset" in content_type
            or any(name.startswith(b"filename") for name, _, _ in self.parameters)
            or "content-encoding" in self.values
            or self.values.get("content-transfer-encoding", "").strip().lower() not in _PLAIN
        )

    def inside(self, path: str, ask: Ask) -> Iterator[Peel | Gap]:
        """The body under each of its names, where it was asked for or does not show what it holds."""
        start, end = self.body
        if start >= end or not (near(start, end, ask.hits) or self._opaque()):
            return
        if len(self.names) > part_names.MOST:
            yield Gap("corrupt-multipart", start, end)
        nested = self.content_type.lower().startswith("multipart/")
        for item in _layers(self.data[start:end], self.values, ask):
            if isinstance(item, Gap):
                yield Gap(item.reason, start, end)
                continue
            codec = item.codec or ("multipart" if nested else "")  # so that nesting counts as depth
            hook = Chain(side_by_side(start, end), item.hook)
            yield Peel(codec, item.data, hook, path, self.names[0] if self.names else "", self.content_type)
            for name in self.names[1 : part_names.MOST]:
                yield Peel(codec, item.data, hook, segment(name), name, self.content_type)

    def labels(self, path: str, ask: Ask) -> Iterator[Peel]:
        """The parameters of Content-Disposition and the values of all other headers."""
        spans = [(name.decode("ascii").partition("*")[0], a, b) for name, a, b in self.parameters]
        spans += [header for header in self.headers if header[0] != "content-disposition"]
        for name, start, end in spans:
            if start < end and near(start, end, ask.hits):
                place = path if name == "name" else f"{path}.{segment(name)}"
                yield Peel("", self.data[start:end], side_by_side(start, end), place, "" if name == "name" else name)


def _around(data: bytes, start: int, end: int, path: str, ask: Ask) -> Iterator[Peel]:
    if data[start:end].strip() and near(start, end, ask.hits):
        yield Peel("", data[start:end], side_by_side(start, end), path)


def _charset_field(data: bytes) -> str:
    """What fields named ``_charset_`` say (HTML Living Standard §4.10.18.5); of several that differ, all."""
    if b"_charset_" not in data:
        return ""
    labels = dict.fromkeys(field[1].decode("ascii", "replace") for field in _CHARSET_FIELD.finditer(data))
    return "; charset=".join(labels)


def _parts(data: bytes, delimiters: list[re.Match[bytes]], ask: Ask) -> Iterator[Peel | Gap]:
    """What follows each delimiter: a part, or after a closing one text that belongs to none."""
    repeats, charset = Repeats(), _charset_field(data)
    ends = [*(delimiter.start() for delimiter in delimiters[1:]), len(data)]
    for n, (here, end) in enumerate(zip(delimiters, ends, strict=False)):
        ask.budget.check_time()
        if here[1]:
            yield from _around(data, here.end(), end, "epilogue", ask)
            continue
        line_end = data.find(b"\n", here.end(), end) + 1
        part = _Part(data, line_end or end, end, charset)
        path = segment(part.names[0]) + repeats.index(part.names[0].encode()) if part.names else f"part[{n}]"
        yield from part.labels(path, ask)
        yield from part.inside(path, ask)


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """Each part's body, name, file name and headers, where the content type is multipart."""
    if not data or not ask.content_type.strip().lower().startswith("multipart/"):
        return
    boundaries = _boundaries(ask.content_type)
    first = _FIRST_LINE.search(data)
    boundary = boundaries[0] if boundaries else first[1] if first else b""
    delimiter = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*+(?=\r?\n|\Z)")
    delimiters = list(delimiter.finditer(data)) if boundary else []
    if len(boundaries) > 1 or not delimiters:
        yield Gap("multipart-boundary", 0, len(data))
    elif not delimiters[-1][1]:
        yield Gap("truncated-multipart", delimiters[-1].start(), len(data))
    yield from _around(data, 0, delimiters[0].start() if delimiters else len(data), "preamble", ask)
    if delimiters:
        yield from _parts(data, delimiters, ask)
