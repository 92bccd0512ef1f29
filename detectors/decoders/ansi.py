r"""Colours of a terminal within a number or before it: ``4111\x1b[0m\x1b[32m1111``, ``cvv=\x1b[33m123``.

Evasion: a pretty-printer or ``grep --color`` paints pieces of a number; the sequences hold digits of their own.
Limits: output ≤ input. Sequences as bytes, and as logs spell them: ``\u001b``, ``\x1b``, ``\033``, ``^[``.
Source: ECMA-48 §8.3.117 (SGR), §8.3.41 (EL).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from detectors.decoders.weaver import DROPPED, Piece, weave
from detectors.model import Ask, Gap, Peel

_COLOURS = re.compile(rb"(?:(?:\x1b|\\+(?:u00|x)1[bB]|\\+033|\^\[)\[[0-9;]{0,16}[mK])++")


def _drop(_match: re.Match[bytes]) -> Piece:
    return DROPPED


def _as_it_is(text: bytes) -> bytes:
    return text


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The whole view without colours."""
    woven = weave(data, _COLOURS, _drop, _as_it_is, ask)
    if woven:
        yield Peel("ansi", *woven)
