"""Text that office programs cut into runs: ``<w:t>4111</w:t></w:r><w:r><w:t>1111…`` is one number on the page.

Evasion: a number typed in several goes, or with one digit in bold, is several elements in docx, xlsx, pptx and odt.
Limits: output ≤ input. Paragraphs, cells, tabs and line breaks end a number. Formatting marks may stand between; a
number spread over cells is several numbers, and so is one with more than 64 tags in one place.
Source: ECMA-376 part 1 §17.3.2 (runs), §18.4.4 (rich text), §21.1.2.3; OpenDocument 1.3 §6.1.7 (``text:span``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from detectors.decoders.weaver import DROPPED, Piece, weave
from detectors.model import Ask, Gap, Peel

PART = "application/xml; part=office"
"""What the content of an XML file of a zip archive is declared as."""

_BETWEEN = re.compile(rb"(?:(?<=[0-9])|(?<=[0-9][ ._-]))(?:<[^<>]*+>[ \t\r\n]*+){1,64}+(?=[ ._-]?[0-9])")
_BLOCK = re.compile(
    rb"</?(?:\w++:)?(?:p|h|si|is|c|v|f|row|tc|tr|td|cell|table-cell|br|cr|tab|line-break|list-item|s)[\s/>]"
)


def _join(match: re.Match[bytes]) -> Piece:
    return None if _BLOCK.search(match[0]) else DROPPED


def _unsafe(text: bytes) -> bytes:
    return text.replace(b"&", b"&amp;").replace(b"<", b"&lt;")


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The document with the tags left out that stand between digits of one paragraph, where there are such."""
    if not ask.content_type.startswith(PART):
        return
    woven = weave(data, _BETWEEN, _join, _unsafe, ask)
    if woven:
        yield Peel("office", *woven, content_type="application/xml")
