"""Text, attributes, CDATA and comments of XML and HTML.

Evasion: a number that markup splits where a parser joins it again: references, CDATA sections, comments, instructions;
entities that the DTD declares. Nothing is ever fetched.
Limits: output ≤ input, with entities in their places the room for it; a path shows 32 levels. Tags never closed end
with their parent.
Paths: ``/order/card/@no``. The name of a value is its tag or attribute without prefix. Of tags that say nothing
themselves it is their ``name``, ``key`` or ``id``: ``<input name="cvv" value="…">``, ``<entry key="cvv">…</entry>``; or
the text before them: ``<th>CVV</th><td>…</td>``, ``<key>cvv</key><string>…</string>``.
Source: XML 1.0 (5th ed.) §2.4, §2.5, §2.7, §3.1; HTML Living Standard §13.1.2 (void elements).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from detectors.decoders import html
from detectors.decoders.naming import LONGEST, name_of, segment
from detectors.decoders.offsets import OffsetMap, Whole, side_by_side
from detectors.decoders.pairing import is_card_field, tells
from detectors.decoders.weaver import Weaver, near
from detectors.model import Ask, Edit, Gap, Peel, apply_edits

_TOKEN = re.compile(
    rb"<!--(.*?)(?:-->|\Z)"  # 1 comment
    rb"|<!\[CDATA\[(.*?)(?:\]\]>|\Z)"  # 2
    rb"|([^<]++)"  # 3 text
    rb"|</([A-Za-z_:\x80-\xff][^\s>]*+)[^>]*+>?"  # 4 name of a closing tag
    rb"|<([A-Za-z_:\x80-\xff][^\s/>\"'<=]*+)((?:[^\"'<>]++|\"[^\"<]*+\"?|'[^'<]*+'?)*+)>?"  # 5 name, 6 attributes
    rb"|<\?.*?(?:\?>|\Z)|<![^>\[]*+(?:\[[^\]]*+\]\s*+)?>?"  # instructions and DTDs
    rb"|((?:<(?![A-Za-z_:/!?\x80-\xff]))++|<)",  # 7 text that is no markup after all
    re.DOTALL,
)
_COMMENT, _CDATA, _TEXT, _CLOSE, _OPEN, _LESS_THAN = 1, 2, 3, 4, 6, 7
_ATTRIBUTE = re.compile(rb"([^\s=/\"'<>]++)\s*+=\s*+(?:\"([^\"<]*+)|'([^'<]*+)|([^\s\"'<>]++))")
_STARTS = re.compile(rb"(?:\xef\xbb\xbf)?\s*+<[A-Za-z_!?]")
_ENTITY = re.compile(rb"<!ENTITY\b", re.IGNORECASE)
_SIMPLE_ENTITY = re.compile(rb"<!ENTITY\s++([\w:.-]++)\s++(?:\"([^\"]*+)\"|'([^']*+)')\s*+>")
_REFERENCE = re.compile(rb"&([A-Za-z_:][\w:.-]*+);")
_NAMING = frozenset({b"name", b"key", b"id", b"autocomplete"})
_NAMED = frozenset({b"value", b"content"})
_SAY_NOTHING = frozenset(
    b"add arg attribute data entry field input int item long meta member option param parameter property select string"
    b" textarea value var".split()
)
_VOID = frozenset(b"area base br col embed hr img input link meta param source track wbr".split())
_LEVELS = 32
_OPEN_TAGS_SEARCHED = 64
_DEEPEST_VALUE = 3
"""Tags around a value besides those around the text that names it."""
_LONGEST_NAME = 64
_OTHER = "0"
"""Any text that is no name, where it does not matter which."""
_REACH = 96
"""Bytes of markup between a name and its value."""
_SPECIAL = re.compile(rb"[&<>\"']")

_CDATA_START, _CDATA_END = b"<![CDATA[", b"]]>"

Part = tuple[int, int, int]
"""Kind, start and end of the inside of a text, CDATA section or comment."""


def _local(raw: bytes) -> bytes:
    return raw.rpartition(b":")[2]


class _Tree:
    """The tags that are open: name for the path, and the name that their text goes by. That may be a text beside it:
    ``<th>CVV</th><td>123</td>``, ``<name>cvv</name><value><string>123</string></value>``."""

    def __init__(self) -> None:
        self._tags: list[tuple[bytes, bytes]] = []
        self._beside = (0, "")
        """How many tags were open around a text that names the next one, and that text."""

    def open(self, tag: bytes, name: bytes) -> None:
        self._tags.append((tag[:LONGEST], name[:LONGEST]))

    def passed(self, text: str) -> None:
        """A text has been read: it may be the name of the next one."""
        if any(map(str.isalnum, text)):
            self._beside = (len(self._tags) - 1, text) if is_card_field(text) else (0, "")

    def beside(self) -> str:
        """The text that names what stands here, ``""`` without one."""
        around, text = self._beside
        return text if 0 <= around < len(self._tags) <= around + _DEEPEST_VALUE else ""

    def close(self, tag: bytes) -> None:
        """Ends the tag and those inside that were never closed; a stray closing tag ends nothing."""
        for back in range(1, min(len(self._tags), _OPEN_TAGS_SEARCHED) + 1):
            if self._tags[-back][0] == tag[:LONGEST]:
                del self._tags[-back:]
                if len(self._tags) < self._beside[0]:
                    self._beside = (0, "")
                return

    def path(self, *more: str) -> str:
        hidden = ["…"] if len(self._tags) > _LEVELS else []
        return "/" + "/".join([*hidden, *(segment(name_of(tag)) for tag, _ in self._tags[-_LEVELS:]), *more])

    def name(self) -> str:
        own = name_of(self._tags[-1][1]) if self._tags else ""
        return own if tells(own) else self.beside() or own


def _value(data: bytes, start: int, end: int, path: str, key: str, ask: Ask) -> Peel:
    """One stretch of text, with its references decoded."""
    weaver = Weaver(data, start)
    if data.find(b"&", start, end) >= 0 and weaver.run(html.REFERENCES, html.unescape, end, ask):
        return Peel("html", *weaver.done(html.escape), path, key)
    return Peel("", data[start:end], side_by_side(start, end, html.escape), path, key)


@dataclass(frozen=True, slots=True, repr=False)
class Joined:
    """Text that stands partly in CDATA sections: an edit that cuts through the border of one cannot be put back."""

    marks: OffsetMap
    sections: tuple[tuple[int, int], ...]
    """The insides of the sections, in the parent."""

    def locate(self, start: int, end: int) -> tuple[int, int]:
        return self.marks.locate(start, end)

    def wrap(self, edits: Sequence[Edit]) -> Sequence[Edit] | None:
        out = self.marks.wrap(edits)
        return out if out is not None and not any(map(self._cuts, out)) else None

    def _cuts(self, edit: Edit) -> bool:
        return any(
            not (edit.end <= start - len(_CDATA_START) or edit.start >= end + len(_CDATA_END))
            and not (start <= edit.start and edit.end <= end)
            and not (edit.start <= start - len(_CDATA_START) and end + len(_CDATA_END) <= edit.end)
            for start, end in self.sections
        )


def _joined(data: bytes, parts: list[Part], path: str, key: str, ask: Ask) -> Peel:
    """Text of one element around CDATA sections and comments: what a parser hands out as one string."""
    weaver, decoded = Weaver(data, parts[0][1]), 0
    for kind, start, end in parts:
        weaver.drop(start)
        if kind == _TEXT:
            decoded += weaver.run(html.REFERENCES, html.unescape, end, ask)
        else:
            weaver.plain(end)
    text, marks = weaver.done(lambda text: None if _SPECIAL.search(text) else text)
    sections = tuple((start, end) for kind, start, end in parts if kind == _CDATA)
    return Peel("html" if decoded else "", text, Joined(marks, sections), path, key)


def _text(data: bytes, parts: list[Part], tree: _Tree, ask: Ask) -> Iterator[Peel]:
    """The text between two tags, and each comment in it. Short texts before what was asked for may name it."""
    for kind, start, end in parts:
        if kind == _COMMENT and near(start, end, ask.hits):
            yield Peel("", data[start:end], side_by_side(start, end), tree.path("comment()"), tree.name())
    texts = [part for part in parts if part[0] != _COMMENT]
    if not texts:
        return
    start, end = texts[0][1], texts[-1][2]
    asked, short = near(start, end, ask.hits), end - start <= _LONGEST_NAME
    if not asked and not (short and near(start, end + _REACH, ask.hits)):
        tree.passed(_OTHER)
        return
    if len(parts) == 1 and texts[0][0] == _TEXT:
        if data[start:end].isspace():
            return
        value = _value(data, start, end, tree.path(), tree.name(), ask)
    else:
        value = _joined(data, texts, tree.path(), tree.name(), ask)
    if asked:
        yield value
    tree.passed(value.data.decode("utf-8", "replace").strip() if short else _OTHER)


def _attributes(data: bytes, token: re.Match[bytes], tree: _Tree, ask: Ask) -> Iterator[Peel]:
    """Opens the tag; yields its attributes, then closes it where it has no inside."""
    tag = token[5]
    attributes = _ATTRIBUTE.finditer(data, *token.span(6))
    found = [(attribute[1], attribute.span(attribute.lastindex or 2)) for attribute in attributes]
    name_of_value = _local(tag)
    if name_of_value.lower() in _SAY_NOTHING:
        names = [data[a:b] for name, (a, b) in found if name.lower() in _NAMING]
        telling = (name for name in names if is_card_field(name_of(name)))
        name_of_value = next(telling, names[0] if names else name_of_value)
    tree.open(tag, name_of_value)
    for name, (start, end) in found:
        if near(start, end, ask.hits):
            key = name_of(name_of_value if name.lower() in _NAMED else _local(name))
            if name.lower() in _NAMED and not tells(key):
                key = tree.beside() or key
            yield _value(data, start, end, tree.path("@" + segment(name_of(name))), key, ask)
    if token[6].endswith(b"/") or tag.lower() in _VOID:
        tree.close(tag)


def _values(data: bytes, ask: Ask) -> Iterator[Peel]:
    tree, parts = _Tree(), list[Part]()
    for n, token in enumerate(_TOKEN.finditer(data)):
        if not n & 1023:
            ask.budget.check_time()
        kind = token.lastindex
        if kind in (_COMMENT, _CDATA, _TEXT, _LESS_THAN):
            parts.append((_TEXT if kind == _LESS_THAN else kind, *token.span(kind)))
        elif kind in (_OPEN, _CLOSE):
            yield from _text(data, parts, tree, ask)
            parts = []
            if kind == _CLOSE:
                tree.close(token[4])
            else:
                yield from _attributes(data, token, tree, ask)
    yield from _text(data, parts, tree, ask)


def _expanded(data: bytes, ask: Ask) -> Peel | Gap | None:
    """The document behind its DTD with the DTD's own entities in their places, ``None`` where none is used. Entities
    made of others, of parameters, or of what stands elsewhere are never resolved: they are a Gap."""
    entities: dict[bytes, bytes] = {}
    simple = list(_SIMPLE_ENTITY.finditer(data))
    for entity in simple:
        entities.setdefault(entity[1], entity[2] if entity[2] is not None else entity[3])
    nested = any(b"%" in text or _REFERENCE.search(text) for text in entities.values())
    if nested or len(simple) != len(_ENTITY.findall(data)):
        return Gap("xml-entity", 0, len(data))
    start = data.find(b"<", simple[-1].end())
    used = [
        (reference, entities[reference[1]])
        for reference in _REFERENCE.finditer(data, max(start, 0))
        if reference[1] in entities
    ]
    if not used:
        return None
    size = len(data) - start + sum(len(text) for _, text in used)
    if size > ask.budget.room(len(data)):
        return Gap("ratio", 0, len(data))
    edits = [Edit(reference.start() - start, reference.end() - start, text) for reference, text in used]
    text = apply_edits(data[start:], edits)
    hook = Whole(used[0][0].start(), used[-1][0].end(), text, None)
    return Peel("entity", text, hook, content_type="application/xml")


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """Each text, attribute and comment that was asked for; and a document with entities of its own once more, with
    these in their places."""
    declared = ask.content_type.lower().partition(";")[0]
    if not ("xml" in declared or "html" in declared or _STARTS.match(data)):
        return
    if _ENTITY.search(data):
        expanded = _expanded(data, ask)
        if expanded:
            yield expanded
    yield from _values(data, ask)
