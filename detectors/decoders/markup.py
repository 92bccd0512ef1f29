"""Numbers that inline tags or comments of HTML cut: ``4111<wbr>1111``, ``<b>4111</b> 1111``, ``4111<!-- -->1111``.

Evasion: a page shows one number where its source has pieces, as input masks, React and "copy" buttons leave it. Tags
that begin a block, a cell or a line keep their digits apart.
Limits: output ≤ input. Runs of thirteen digits or more only.
Source: HTML Living Standard §3.2.5.2.5 (phrasing content), §13.1.6 (comments).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from detectors.decoders.weaver import DROPPED, Piece, weave
from detectors.model import Ask, Gap, Peel

_TAG = (
    rb"(?:</?(?i:wbr|[abius]|em|strong|span|font|mark|small|big|tt|code|kbd|samp|ins|del|strike|bd[io]|su[bp]|nobr|tspan|text:s)"
    rb"(?:[\s/][^<>]*+)?>|<!--[^>]{0,256}+>)"
)
_BLANK = rb"&(?:nbsp|thinsp|ensp|emsp|#160|#xa0|#8203);"
_GAP = rb"(?:[\s.\-]|" + _BLANK + rb")"
_CUT = re.compile(rb"(?<=[0-9])" + _GAP + rb"*+" + _TAG + rb"(?:" + _GAP + rb"|" + _TAG + rb")*+(?=[0-9])")
_TAGS = re.compile(_TAG)
_BLANKS = re.compile(_BLANK)
_RUN = re.compile(rb"[0-9](?:(?:" + _GAP + rb"|" + _TAG + rb")*+[0-9]){12}")


def _join(match: re.Match[bytes]) -> Piece:
    """The mark that is shown between the digits; of white space one blank."""
    left = _BLANKS.sub(b" ", _TAGS.sub(b"", match[0]))
    mark = left.strip() or (left[:1] and b" ")
    if len(mark) > 1:
        return None
    return (mark, (1, len(match[0]))) if mark else DROPPED


def _escape(text: bytes) -> bytes:
    return html.escape(text.decode("latin-1")).encode("latin-1")


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The whole view without the tags that cut a number."""
    if not _RUN.search(data):
        return
    woven = weave(data, _CUT, _join, _escape, ask)
    if woven:
        yield Peel("markup", *woven)
