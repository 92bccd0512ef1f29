"""Character references of HTML and XML: ``&#52;``, ``&#x34;``, ``&amp;``, ``&nbsp;``.

Evasion: digits as references in a rendered page or an XML field; leading zeros, a missing semicolon, upper-case ``X``.
Limits: output ≤ input. References that HTML does not know (a DTD's own) stay as they are.
Source: HTML Living Standard §13.2.5.72 to .80 (as ``html.unescape`` implements it), XML 1.0 §4.1.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from detectors.decoders.weaver import DROPPED, Piece, weave
from detectors.model import Ask, Gap, Peel

REFERENCES = re.compile(
    rb"(?:&#(?:4[89]|5[0-7]);)++"
    rb"|(?:&#[xX]3[0-9];)++"
    rb"|&#(?:[0-9]++|[xX][0-9A-Fa-f]++);?"
    rb"|&[A-Za-z][A-Za-z0-9]{1,31}+;?"
)
"""Runs of digits as such references, or one other reference; for ``unescape``."""

_LONGEST = 64
_UNSAFE = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;", ord("'"): "&#39;"}


def unescape(match: re.Match[bytes]) -> Piece:
    """The references as UTF-8; unknown names stay."""
    raw = match[0]
    runs = raw.count(b"&")
    if runs > 1:
        return html.unescape(raw.decode("ascii")).encode(), (1, len(raw) // runs)
    if raw[1] == ord("#"):
        digits = raw[2:].strip(b"xX;").lstrip(b"0")  # a number of a megabyte must not be computed
        mark = "x" if raw[2] in b"xX" else ""
        raw = f"&#{mark}{digits[:_LONGEST].decode('ascii') or 0};".encode()
    text = html.unescape(raw.decode("ascii"))
    if text == raw.decode("ascii"):
        return None
    child = text.encode("utf-8", "replace")
    return (child, (len(child), len(match[0]))) if child else DROPPED


def escape(text: bytes) -> bytes:
    """Replacement text with what markup would read as its own escaped."""
    return text.decode("latin-1").translate(_UNSAFE).encode("latin-1")


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The whole view decoded, where it has a reference."""
    woven = weave(data, REFERENCES, unescape, escape, ask)
    if woven:
        yield Peel("html", *woven)
