"""Text that Sekisho did not choose, made fit for its own records: a record about a leak must not be a second one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from urllib.parse import unquote

from detectors.model import SENSITIVE_AUTHENTICATION_DATA

Quiet = Callable[[bytes], bool]
"""``Inspector.quiet``: True when nothing in these bytes can be a finding."""

HIDDEN = "***"
LONGEST = 512
"""Characters of one recorded value. Longer ones are cut: a record is evidence, not a copy of the request."""

_RUN = re.compile(r"\d{8,}|\d(?:[\W_]?\d){11,}")
"""Eight digits on end, or twelve with at most one other character between each two; digits of any script."""
_MASK = re.compile(r"[0-9]{0,6}\*+[0-9]{0,4}", re.ASCII)
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)


def as_bytes(text: str) -> bytes:
    """The bytes behind ``text``: a peer's, which were read as Latin-1, or the UTF-8 of a decoded name."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def scrub(text: str, quiet: Quiet) -> str:
    """``text`` with runs of digits hidden; wholly hidden when what is left could still be read as card data."""
    if not text:
        return ""
    out = _RUN.sub(HIDDEN, text[:LONGEST])
    return out if quiet(as_bytes(out)) else HIDDEN


def scrub_id(text: str, quiet: Quiet) -> str:
    """An identifier the client chose, as it is, or wholly hidden: half an identifier finds nothing."""
    if not text:
        return ""
    return text if len(text) <= LONGEST and text.isprintable() and quiet(as_bytes(text)) else HIDDEN


def scrub_traceparent(text: str, quiet: Quiet) -> str:
    """A W3C Trace Context header value; empty when it is none. Trace ids are free hex: a number fits into one."""
    return scrub_id(text, quiet) if _TRACEPARENT.fullmatch(text) else ""


def scrub_path(path: str, spans: Sequence[tuple[int, int]], quiet: Quiet) -> str:
    """A request path with each segment hidden that held a finding or looks like a number; never the query.

    ``path`` is the peer's bytes read as Latin-1; ``spans`` are offsets of findings in it, end exclusive.
    """
    if not path:
        return ""
    out: list[str] = []
    at = length = 0
    found = bytearray(len(path))
    for start, stop in spans:
        found[start:stop] = b"\1" * (stop - start)
    for segment in re.split(r"[?#]", path, maxsplit=1)[0].split("/"):
        if length > LONGEST:
            break  # a path of a hundred thousand slashes is a record's length, too
        end = at + len(segment)
        decoded = unquote(unquote(segment))
        plain = quiet(as_bytes(segment)) and quiet(as_bytes(decoded)) and not _RUN.search(decoded)
        out.append(segment if plain and not any(found[at:end]) else HIDDEN)
        length += len(out[-1]) + 1
        at = end + 1
    clean = "/".join(out)[:LONGEST]
    split_over_segments = _RUN.search(unquote(clean)) is not None or not quiet(as_bytes(clean))
    return f"/{HIDDEN}" if split_over_segments else clean


def safe_mask(entity: str, masked: str) -> str:
    """``masked`` if it shows at most the first six and last four of a number (PCI DSS 4.0.1, 3.4.1), else hidden.

    Sensitive authentication data is hidden whole, whatever a recognizer claims to have masked (3.3.1).
    """
    if entity in SENSITIVE_AUTHENTICATION_DATA or not _MASK.fullmatch(masked):
        return HIDDEN
    digits = sum(character.isdigit() for character in masked)
    return masked if len(masked) - digits >= min(4, len(masked)) else HIDDEN


def last_four(masked: str) -> str:
    """A safe mask without its leading digits.

    A record that holds a keyed hash must not also hold first six and last four: who gets the key would have only a
    million numbers to try (PCI DSS 4.0.1, 3.5.1: hashed and truncated versions must not be correlatable).
    """
    shown = len(masked) - len(masked.lstrip("0123456789"))
    return "*" * shown + masked[shown:]
