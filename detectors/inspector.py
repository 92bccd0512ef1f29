"""The one question of this package: what is in these bytes?"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

from detectors import hopeless
from detectors.budget import Purse
from detectors.decoders import binary, charset, compressed, json_text, multipart
from detectors.decoders.text import is_text
from detectors.model import PAN, Ask, Gap, Inspection, Limits, OutOfTime, Peel, View
from detectors.overlaps import settle
from detectors.presidio import Presidio
from detectors.recognition import Recognition
from detectors.sieve import Hits, Prefilter, Sieve
from detectors.structures import structure_of
from detectors.views import child_of, label_of
from detectors.walk import Walk

_SELF_CHECK = (
    (b'{"card":{"number":"4111111111111111"}}', "application/json"),
    (b"note=4111+1111+1111+1111", "application/x-www-form-urlencoded"),
)


class Inspector:
    """Finds card data in bytes. Build one and keep it: building the first compiles the sieve and loads Presidio
    (seconds); inspecting takes microseconds. Safe to use from several threads."""

    def __init__(
        self, *, fingerprint_key: bytes | None = None, recognizers: Sequence[Path] = (), limits: Limits | None = None
    ) -> None:
        """``recognizers``: the team's own, in Presidio's YAML. Without a key, fingerprints hold for this process only.

        Raises ``detectors.presidio.RecognizerError`` for a recognizer file that cannot be used.
        """
        self._limits = limits or Limits()
        self._presidio = Presidio(recognizers)
        self._sieve = Sieve()
        self._team = Prefilter(self._presidio.team_patterns)
        self._recognition = Recognition(self._presidio, fingerprint_key or secrets.token_bytes(32))

    @property
    def team_entities(self) -> tuple[str, ...]:
        """Entities that the team's recognizers can report, besides ours."""
        return self._presidio.team_entities

    def inspect(
        self,
        body: bytes,
        content_type: str = "",
        content_encoding: str = "",
        charset: str | None = None,
        *,
        key: str = "",
        limits: Limits | None = None,
    ) -> Inspection:
        """What was found in ``body`` and what could not be looked at. Never raises for bad bytes: a defect of ours is
        a Gap ``inspector-error`` over all of them. Offsets are bytes of ``body``. ``key``: the name these bytes go by
        outside of themselves (a header's ``X-CVV``)."""
        declared = content_type.strip()
        if charset:
            declared = f"{declared or 'text/plain'}; charset={charset}"
        limits = limits or self._limits
        walk = Walk(self._sieve, self._team, self._recognition, limits)
        kind = _lower_type(declared)
        try:
            known = text = None
            if len(body) <= limits.body and content_encoding.strip().lower() in ("", "identity"):
                label = label_of(View(b"", key=key)) if key else b""
                text = cache(lambda: is_text(body))
                over, known = self._at_once(body, kind, label, Purse(limits), text)
                if over:
                    return Inspection()
            walk.run(body, kind, content_encoding, key, known, text)
        except Exception:  # noqa: BLE001 - whatever the bytes did to us, they are not known to be clean
            walk.gaps.append(Gap("inspector-error", 0, len(body)))
        return Inspection(settle(walk.findings), tuple(dict.fromkeys(walk.gaps)))

    def quiet(self, data: bytes, content_type: str = "") -> bool:
        """Whether a look or two says that ``inspect`` would find nothing and leave no gap. ``data`` must not
        be content-encoded. ``False`` means: ask ``inspect``."""
        over, _ = self._at_once(data, _lower_type(content_type), b"", Purse(self._limits), lambda: is_text(data))
        return over

    def _at_once(
        self, data: bytes, kind: str, label: bytes, purse: Purse, text: Callable[[], bool]
    ) -> tuple[bool, tuple[Hits, hopeless.Prospects] | None]:
        """Whether one pass tells that there is nothing, and what that pass pointed at if it was made."""
        if not _is_plain(kind) or data[:1] in _MAGIC_STARTS or binary.is_opaque(data, kind, purse, text):
            return False, None
        if self._team.hits(data) is not None:
            return False, None
        hits = self._sieve.scan(label + data if label else data)
        if hits is None:
            return True, None
        try:
            found = hopeless.prospects(data, label, hits, purse)
        except OutOfTime:
            return False, None
        return hopeless.quiet(hits, found), (hits, found)

    def fields(self, body: bytes, content_type: str = "", content_encoding: str = "") -> Iterator[View]:
        """Every named value of a structured body (JSON, form, XML, multipart), decoded to UTF-8, with its ``key`` and
        ``path``. Nothing for a body without structure. Raises ``OutOfTime`` when the limits' seconds are over."""
        purse = Purse(self._limits)
        view = View(body, content_type=_lower_type(content_type))
        for item in compressed.unwrap(body, content_encoding, Ask("", (), purse)) if content_encoding else ():
            if isinstance(item, Peel):
                view = child_of(view, item, view.content_type)
        label = charset.charset_of(view.content_type)
        whole = _in_utf8(view, label, purse)
        if whole is not view:
            view, label = whole, ""
        decoder = multipart.peel if view.content_type.startswith("multipart/") else structure_of(view)
        for item in (decoder or json_text.peel)(view.data, Ask(view.content_type, (), purse)):
            if isinstance(item, Peel) and item.key:
                yield _in_utf8(child_of(view, item), label, purse)

    def fingerprint(self, digits: bytes) -> str:
        """The fingerprint that a finding of this card number carries."""
        return self._recognition.fingerprint(digits)

    def self_check(self) -> None:
        """Raises ``RuntimeError`` when a published test number is not found: then nothing else can be trusted."""
        for body, content_type in _SELF_CHECK:
            found = self.inspect(body, content_type)
            if self.quiet(body) or [f.entity for f in found.findings] != [PAN] or found.gaps:
                raise RuntimeError("the inspector does not find a published test number")


_ASCII_COMPATIBLE = frozenset(
    {"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin1", "windows-1252", "shift_jis", "shift-jis",
     "windows-31j", "cp932", "euc-jp", "iso-2022-jp"}
)  # fmt: skip
_MAGIC_STARTS = (b"\x1f", b"\x28", b"\x78", b"\xff", b"\xfe", b"\x00", b"\x48", b"\x58", b"\x08", b"\x18", b"\x38")
"""First bytes that compression, byte order marks and UTF-16 begin with; 0x48 and the like are zlib's other windows."""


def _is_plain(kind: str) -> bool:
    """Whether the sieve sees what is in a body of this type: it has no parts, and ASCII reads as itself."""
    if not kind:
        return True
    label = charset.charset_of(kind) if ";" in kind else ""
    return not kind.startswith("multipart/") and (not label or label.lower() in _ASCII_COMPATIBLE)


def _lower_type(content_type: str) -> str:
    kind, sep, rest = content_type.partition(";")
    return kind.strip().lower() + sep + rest


def _in_utf8(view: View, label: str, purse: Purse) -> View:
    if view.data.isascii() and not label:
        return view
    for item in charset.peel_charset(view.data, label, Ask(view.content_type, (), purse)):
        if isinstance(item, Peel):
            return child_of(view, item, view.content_type.split(";")[0])
    return view
