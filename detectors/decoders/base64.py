r"""Base64 and base64url, in any text: runs of 10 characters or more, with or without padding and line breaks.

Evasion: a number in a Basic header, a cookie, a data URL; base64 behind other text of its alphabet (``/pay/NDEx…``),
which shifts the groups of four: a run is read at all four offsets. Line breaks may be MIME's or their escapes (``\n``),
or the blanks that a log put in their place: pieces of one width.
Limits: output ≤ ¾ of the input. Runs that decode to neither text, digits nor a magic are names, hashes and keys.
JSON Web Tokens are signed: their pieces are read, and cannot be put back.
Source: RFC 4648 §4, §5; RFC 2045 §6.8; RFC 7515 §3.
"""

from __future__ import annotations

import base64
import re
from binascii import a2b_base64
from collections.abc import Iterator

from detectors.decoders import embedded
from detectors.decoders.offsets import Cover, Encode, Whole
from detectors.decoders.plausible import DIGITS, says_something
from detectors.decoders.weaver import near
from detectors.model import Ask, Gap, Peel

_BREAK = rb"(?:\r?\n[ \t]*+|(?:\\+r)?\\+n)"
_LETTERS = rb"[A-Za-z0-9+/_-]"
_RUN = re.compile(
    rb"(?<![A-Za-z0-9+/_-])" + _LETTERS + rb"{10,}+"
    rb"(?:" + _BREAK + _LETTERS + rb"{4,}+(?=[=\r\n<\"'\\]|\Z))*+(?:" + _BREAK + rb")?={0,2}+"
)  # fmt: skip
_SPACED = re.compile(
    rb"(?<![A-Za-z0-9+/_-])(" + _LETTERS + rb"{16,}+)(?=([ \t]{1,4}+))(?:[ \t]{1,4}+" + _LETTERS + rb"++={0,2}+)++"
)
_JWT = re.compile(rb"(?<![A-Za-z0-9_-])e[wy][A-Za-z0-9_-]{6,}+\.[A-Za-z0-9_-]{4,}+\.[A-Za-z0-9_-]*+")
_BREAKS = re.compile(_BREAK + rb"|[ \t]{1,4}")
_PIECE = re.compile(_LETTERS + rb"++={0,2}+")
_NO_LETTERS = re.compile(rb"[^A-Za-z0-9+/=]++")
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-="
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def _again(raw: bytes, data: bytes) -> Encode:
    """Spells edited bytes as the run was: alphabet, padding, line breaks. ``None``: it was not canonical."""
    return lambda text: _spelled(raw, data, text)


def _spelled(raw: bytes, data: bytes, edited: bytes) -> bytes | None:
    encode_all = base64.urlsafe_b64encode if re.search(rb"[-_]", raw) else base64.b64encode
    breaks = _BREAKS.search(raw)
    width, between = (breaks.start(), breaks[0]) if breaks else (0, b"")
    padded = raw.endswith(b"=") or len(_BREAKS.sub(b"", raw)) % 4 == 0
    tail = between if between and raw.endswith(between) else b""

    def encode(text: bytes) -> bytes:
        spelled = encode_all(text) if padded else encode_all(text).rstrip(b"=")
        if width:
            spelled = between.join(spelled[i : i + width] for i in range(0, len(spelled), width))
        return spelled + tail

    return encode(edited) if encode(data) == raw else None


def decode_run(raw: bytes) -> tuple[bytes, Encode]:
    """The bytes that base64 text stands for, and how to spell edited ones in its place. Skips what is no base64."""
    letters = raw.translate(_URL_SAFE)
    if raw.translate(None, _ALPHABET):
        letters = _NO_LETTERS.sub(b"", _BREAKS.sub(b"", letters))
    data = b"".join(_decode(piece) for piece in letters.split(b"="))
    return data, _again(raw, data)


def _decode(letters: bytes) -> bytes:
    """One stretch between paddings, of any length; a letter too many stands for nothing."""
    return a2b_base64(letters[: len(letters) - (len(letters) % 4 == 1)] + b"=" * (-len(letters) % 4))


def _run(data: bytes, start: int, end: int, ask: Ask, *, signed: bool) -> Iterator[Peel]:
    """A run as it stands if that says something; and from its next three letters on where digits come out."""
    codec = "jwt" if signed else "base64"
    for shift in range(4):
        ask.budget.check_time()
        child, encode = decode_run(data[start + shift : end])
        if DIGITS.search(child) if shift else says_something(child) or embedded.is_headless(child, ask):
            yield Peel(codec, child, Whole(start + shift, end, child, None if signed else encode))


def _spaced(data: bytes, ask: Ask) -> Iterator[tuple[int, int]]:
    """Runs in pieces of one width with blanks between, as far as the width holds."""
    for found in _SPACED.finditer(data):
        ask.budget.check_time()
        width, between, at, whole = len(found[1]), found[2], found.end(1), 0
        while data.startswith(between, at):
            piece = _PIECE.match(data, at + len(between), min(found.end(), at + len(between) + width))
            if piece is None:
                break
            at = piece.end()
            whole += len(piece[0]) == width
            if len(piece[0]) < width or data[at : at + 1] not in between[:1]:
                break
        if whole:
            yield found.start(), at


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """Each run that was asked for, decoded."""
    tokens: list[tuple[int, int]] = []
    for token in _JWT.finditer(data):
        ask.budget.check_time()
        tokens.append(token.span())
        at = token.start()
        for piece in token[0].split(b"."):
            if len(piece) > 1 and near(at, at + len(piece), ask.hits):
                yield from _run(data, at, at + len(piece), ask, signed=True)
            at += len(piece) + 1
    signed = Cover(tokens)
    for start, end in _spaced(data, ask):
        if end not in signed and start + 1 not in signed:
            tokens.append((start, end))
            if near(start, end, ask.hits):
                yield from _run(data, start, end, ask, signed=False)
    starts = iter([*sorted(tokens), (len(data), len(data))])
    token_start, token_end = next(starts)
    for run in _RUN.finditer(data):
        ask.budget.check_time()
        while run.start() >= token_end and token_end < len(data):
            token_start, token_end = next(starts)
        if run.start() < token_start and near(*run.span(), ask.hits):
            yield from _run(data, *run.span(), ask, signed=False)
