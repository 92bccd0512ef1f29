"""Whether one message keeps to the tokenized flow (非通過型): parameters of calls to GMO, its answers, stray tokens.

The inspector finds card numbers anywhere; this finds what only the meaning of a parameter tells: a security code, a
number that fails its check digit, an encrypted card, a token made of digits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from detectors.budget import Purse
from detectors.decoders import compressed
from detectors.model import PAN, Ask, Finding, Limits, Peel, View
from proxy.gmo import calls as gmo
from proxy.message import Message, Part

Fields = Callable[[Part], Iterator[View]]
"""The structural leaf values of a part, decoded; ``Inspector.fields`` on the part's three attributes."""

TOKEN = "TOKEN"  # noqa: S105 - a name
"""Entity of a one-time card token, reported only on ``tokens: deny`` lanes. No card data, but a credential."""

UNLISTED = "unlisted-gmo-path"
UNREADABLE = "unreadable-gmo-call"
GAPS = frozenset({UNLISTED, UNREADABLE})
"""Every gap reason this module gives: a bounded set, they become metric labels."""

CALLS_TOKEN_ENDPOINT = "token endpoint called by a backend"  # noqa: S105 - words
"""Why of a finding that rests on the path alone."""

FORM = "application/x-www-form-urlencoded"
_DIGITS = re.compile(r"[0-9]{12,19}")
_TOKEN_IN_TEXT = re.compile(
    rb"""(?<![A-Za-z0-9_-])token(?:list)?[\\"'\s]{0,4}[=:][\\"'\s\[]{0,6}([0-9A-Za-z+/=_-]{40,16384})""", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Review:
    """What the tokenized flow has to say about a message."""

    findings: tuple[tuple[int, Finding], ...] = ()
    """Index in ``Message.parts`` and what is wrong there."""
    gaps: tuple[str, ...] = ()
    """Reasons why the call could not be judged, out of ``GAPS``."""
    allow_card_data: bool = False
    """A browser's request to GMO's token endpoint: the one place where card data belongs."""


IsNumber = Callable[[bytes], bool]
"""Whether these digits by themselves are a valid card number: issuer range, length and check digit."""


def review(message: Message, fields: Fields, is_number: IsNumber = lambda _: False) -> Review:
    """The findings and gaps of one message; empty on a lane that has nothing to do with GMO or tokens.

    Parameters are read at the level at which GMO reads them. What a string value holds in itself (JSON in ``{"a":
    "{…}"}``) and what header fields hold is no parameter: a number or a code in there is the inspector's to find, and
    an expiry date without a number beside it is no card data (PCI DSS 4.0.1, scope).

    Raises whatever ``fields`` raises, and nothing of its own.
    """
    route = message.route
    at_gmo = route.role == "payment-gateway" or (route.role != "shop" and gmo.is_gmo_host(message.host))
    if at_gmo and message.direction == "response":
        return Review(findings=tuple(_unmasked(message, fields)))
    if at_gmo:
        return _of_call(message, fields, is_number)
    if route.tokens == "deny" and message.direction == "request":
        return Review(findings=tuple(_tokens(message, fields)))
    return Review()


def _of_call(message: Message, fields: Fields, is_number: IsNumber) -> Review:
    """A request to GMO, by a browser or by the shop's backend."""
    if message.route.source == "browser":
        return Review(allow_card_data=gmo.takes_card_data(message.host, message.path))
    place = gmo.endpoint(message.host, message.path)
    findings = list(_forbidden(message, place, fields, is_number))
    gaps: tuple[str, ...] = ()
    token = gmo.disguised_token_endpoint(message.host, message.path) if place is None else ""
    if place is not None and place.kind == "token":
        token = place.name
    if token:
        findings.insert(0, (_path_index(message), _finding(View(b"", path=token), CALLS_TOKEN_ENDPOINT)))
    if place is None or place.kind not in (*gmo.BACKEND_KINDS, "token"):
        gaps = (UNLISTED,)
    elif token:
        return Review(tuple(findings))
    elif any(_is_unreadable(part, place, fields) for part in message.parts):
        gaps = (UNREADABLE,)
    return Review(tuple(findings), gaps)


def _forbidden(
    message: Message, place: gmo.Endpoint | None, fields: Fields, is_number: IsNumber
) -> Iterator[tuple[int, Finding]]:
    starts_payment = place is not None and place.name.lower().endswith("start")  # its Token is no card token
    for index, view in _parameters(message, place, fields):
        value = view.data.decode("utf-8", "replace")
        if gmo.is_blank(value):
            continue
        row = gmo.forbidden(view.key, view.path, value)
        if row is not None:
            # One row only: a call names one card, and rows of four clear digits each would add up to a number.
            masked = "|" not in value and (gmo.is_masked(value) or gmo.is_only_mask(value))
            if not masked:
                yield index, _finding(view, row.note, entity=row.entity)
        elif not starts_payment and _is_token_key(view) and gmo.token_shape(value) == "digits":
            yield index, _finding(view, "token made of digits")
        elif _is_reference(view) and _DIGITS.fullmatch(digits := gmo.folded(value)) and is_number(digits.encode()):
            yield index, _finding(view, "card number in the place of a reference")


def _unmasked(message: Message, fields: Fields) -> Iterator[tuple[int, Finding]]:
    """Registered cards in an answer of GMO's that are not masked."""
    place = gmo.endpoint(message.host, message.path)
    for index, view in _parameters(message, place, fields):
        names = gmo.segments(view.key)
        if not names or names[-1] not in gmo.MASKED_ONLY:
            continue
        value = view.data.decode("utf-8", "replace")
        rows = [row for row in value.split("|") if not gmo.is_blank(row) and not gmo.is_only_mask(row)]
        if not all(gmo.is_masked(row) for row in rows):
            yield index, _finding(view, "unmasked number in an answer of the gateway")


def _tokens(message: Message, fields: Fields) -> Iterator[tuple[int, Finding]]:
    """Card tokens on their way to a place that must not have them: as a parameter, or inside a line of text."""
    for index, part in enumerate(message.parts):
        known: list[bytes] = []
        for view in fields(_as_form(part)) if part.name in ("body", "query") else ():
            for start, end in _token_spans(view):
                known.append(view.data[start:end])
                yield index, _finding(view, "one-time card token", entity=TOKEN, span=(start, end))
        for whole in _texts(part, message.route.limits):
            for start, end in _token_spans(whole):
                token = whole.data[start:end]
                if not any(other.startswith(token) for other in known):
                    yield index, _finding(whole, "one-time card token", entity=TOKEN, span=(start, end))


def _texts(part: Part, limits: Limits) -> list[View]:
    """The whole of a part without its content-codings; what cannot be unpacked is the inspector's to report."""
    root = View(part.data, path="" if part.name in ("body", "query") else part.name)
    unpacked = compressed.unwrap(part.data, part.content_encoding, Ask("", (), Purse(limits)))
    return [View(item.data, root, item, path=root.path) for item in unpacked if isinstance(item, Peel)] or [root]


def _token_spans(view: View) -> Iterator[tuple[int, int]]:
    if _is_token_key(view) and gmo.token_shape(view.data.decode("utf-8", "replace")) in ("v1", "v2", "wallet"):
        yield 0, len(view.data)
        return
    for match in _TOKEN_IN_TEXT.finditer(view.data):
        yield match.span(1)


def _parameters(message: Message, place: gmo.Endpoint | None, fields: Fields) -> Iterator[tuple[int, View]]:
    """Every parameter of a call or answer: body and query string, with the index of its part."""
    for index, part in enumerate(message.parts):
        if part.name in ("body", "query") and part.data:
            for view in fields(_as_dialect(part, place)):
                yield index, view


def _as_dialect(part: Part, place: gmo.Endpoint | None) -> Part:
    """The part with the type it is written in: GMO answers forms as ``text/plain``, and clients forget the type."""
    kind, _, options = part.content_type.partition(";")
    kind = kind.strip().lower()
    if part.name == "query":
        return part._replace(content_type=FORM)
    if kind == FORM or kind.startswith("multipart/") or kind.endswith("json"):
        return part
    if place is None or place.dialect in ("", "idpass"):
        return part._replace(content_type=f"{FORM};{options}" if options else FORM)
    return part._replace(content_type="application/json")


def _as_form(part: Part) -> Part:
    return part._replace(content_type=FORM) if part.name == "query" else part


def _is_unreadable(part: Part, place: gmo.Endpoint, fields: Fields) -> bool:
    """A body in which no parameter can be seen cannot be judged by its parameters."""
    if part.name != "body" or part.data.strip() in (b"", b"{}", b"[]"):
        return False
    return not any(view.key for view in fields(_as_dialect(part, place)))


def _is_reference(view: View) -> bool:
    names = gmo.segments(view.key)
    return bool(names) and names[-1] in gmo.REFERENCE_KEYS


def _is_token_key(view: View) -> bool:
    names = gmo.segments(view.key)
    return bool(names) and names[-1] in gmo.TOKEN_KEYS


def _path_index(message: Message) -> int:
    """The part a finding about the path itself belongs to."""
    return next((index for index, part in enumerate(message.parts) if part.name == "path"), 0)


def _finding(view: View, why: str, *, entity: str = PAN, span: tuple[int, int] | None = None) -> Finding:
    """A finding that rests on what a parameter means. It needs no digits, so it holds none."""
    first, last = span or (0, len(view.data))
    start, end = view.to_root(first, last)
    return Finding(
        entity=entity,
        brand="",
        confidence="high",
        test=False,
        masked="***",
        fingerprint="",
        path=view.path,
        trail=view.trail,
        start=start,
        end=end,
        why=(why,),
        leaf=view,
        leaf_start=first,
        leaf_end=last,
    )
