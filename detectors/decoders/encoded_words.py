"""Encoded words of mail headers: ``=?utf-8?B?…?=`` and ``=?iso-2022-jp?Q?…?=``, wherever text quotes them.

Evasion: a number in a subject line, or in two words that a mail reader joins. Words of one charset and one encoding
with nothing but blanks between them are read as one text; the charset is declared to whoever reads on.
Limits: output ≤ input. Neighbouring words of different encodings are not joined.
Source: RFC 2047 §2, §4, §6.2; RFC 2231 §5 (language).
"""

from __future__ import annotations

import base64
import re
from binascii import unhexlify
from collections.abc import Iterator

from detectors.decoders.base64 import decode_run
from detectors.decoders.charset import codec_for
from detectors.decoders.offsets import Encode, Whole
from detectors.decoders.weaver import Piece, Weaver, near
from detectors.model import Ask, Gap, Peel

_WORD = re.compile(rb"=\?([^?*\s]{1,40}+)(?:\*[A-Za-z0-9-]{1,40}+)?\?([bBqQ])\?([^?\r\n]*+)\?=")
_ESCAPES = re.compile(rb"((?:=[0-9A-Fa-f]{2})++)|_++")
_LONGEST_WORD = 75
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
"""What stands as it is in Q encoding, in every place where an encoded word may stand."""


def _unescape(match: re.Match[bytes]) -> Piece:
    return (unhexlify(match[1].replace(b"=", b"")), (1, 3)) if match[1] else (b" " * len(match[0]), (1, 1))


def escape(text: bytes) -> bytes:
    """Replacement text in Q encoding."""
    return b"".join(bytes((byte,)) if byte in _PLAIN else b"_" if byte == 0x20 else b"=%02X" % byte for byte in text)


def _words(before: bytes, codec: str, between: bytes) -> Encode:
    """How to spell bytes as words of ``codec`` in B encoding, each of whole characters and not too long."""

    def encode(text: bytes) -> bytes | None:
        words: list[bytes] = []
        line = ""
        try:
            for character in text.decode(codec):
                if line and len(before) + len(base64.b64encode((line + character).encode(codec))) + 2 > _LONGEST_WORD:
                    words.append(base64.b64encode(line.encode(codec)))
                    line = ""
                line += character
            words += [base64.b64encode(line.encode(codec))] if line else []
        except UnicodeError:
            return None
        return between.join(before + word + b"?=" for word in words)

    return encode


def _runs(data: bytes, ask: Ask) -> Iterator[list[re.Match[bytes]]]:
    """Words of one charset and encoding with nothing but blanks between them."""
    run: list[re.Match[bytes]] = []
    for n, word in enumerate(_WORD.finditer(data)):
        if not n & 63:
            ask.budget.check_time()
        if run and not (_alike(run[-1], word) and not data[run[-1].end() : word.start()].strip(b" \t\r\n")):
            yield run
            run = []
        run.append(word)
    if run:
        yield run


def _alike(one: re.Match[bytes], other: re.Match[bytes]) -> bool:
    return (one[1].lower(), one[2].lower()) == (other[1].lower(), other[2].lower())


def _run(data: bytes, run: list[re.Match[bytes]], ask: Ask) -> Peel:
    charset = run[0][1].decode("ascii", "replace")
    codec = codec_for(charset)
    declared = f"text/plain; charset={charset}" if codec else ""
    if run[0][2] in b"qQ":
        weaver = Weaver(data, run[0].start(3))
        for word in run:
            weaver.drop(word.start(3))
            weaver.run(_ESCAPES, _unescape, word.end(3), ask)
        return Peel("encoded-word", *weaver.done(escape), content_type=declared)
    text = b"".join(decode_run(word[3])[0] for word in run)
    between = data[run[0].end() : run[1].start()] if len(run) > 1 else b" "
    encode = _words(data[run[0].start() : run[0].start(3)], codec or "utf-8", between)
    return Peel("encoded-word", text, Whole(run[0].start(), run[-1].end(), text, encode), content_type=declared)


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """Each run of encoded words that was asked for, decoded."""
    for run in _runs(data, ask):
        if near(run[0].start(), run[-1].end(), ask.hits):
            yield _run(data, run, ask)
