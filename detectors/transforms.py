"""What a hit of the sieve calls for, by its kind."""

from __future__ import annotations

from detectors.decoders import (
    ansi,
    base32,
    base64,
    byte_lists,
    continuations,
    dumps,
    encoded_words,
    escapes,
    fullwidth,
    hexadecimal,
    html,
    markup,
    percent,
    quoted,
    quoted_printable,
    retyped,
)
from detectors.model import Decoder

TRANSFORMS: tuple[tuple[str, Decoder], ...] = (
    ("encoded-word", encoded_words.peel),
    ("continuation", continuations.peel),
    ("quoted-printable", quoted_printable.peel),
    ("percent", percent.peel),
    ("escape", escapes.peel),
    ("html", html.peel),
    ("markup", markup.peel),
    ("fullwidth", fullwidth.peel),
    ("ansi", ansi.peel),
    ("base64", base64.peel),
    ("base32", base32.peel),
    ("hex", hexadecimal.peel),
    ("bytes", byte_lists.peel),
    ("dump", dumps.peel),
    ("pair", dumps.peel_pairs),
    ("quoted", quoted.peel),
    ("retyped", retyped.peel),
)
"""Kind of hit → the decoder that it calls for, of a whole view or of stretches of it. What one of them has taken for a
stretch of its own is left alone by those behind it."""

CHARSETS = ("sjis", "eucjp", "iso2022jp", "utf16le", "utf16be", "xml-encoding")
"""Kinds of hit that keep a view from passing for quiet; the charset itself is told from the bytes."""

STRUCTURES = ("cells", "columns", "table", "php", "split")
"""Kinds of hit that call for the view's structure: only that tells which value belongs to which name."""
