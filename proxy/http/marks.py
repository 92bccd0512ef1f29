"""What the gate and the layers tell each other about a flow, and what its header fields say about being readable.

The marks stand in the flow's metadata, so that the same gate works on the flows of a stock mitmproxy.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from mitmproxy import http

from proxy.message import Direction

_PASSED = "sekisho.passed."
_GAP = "sekisho.gap."
_REFUSAL = "sekisho.refusal"
_READABLE = "sekisho.readable"
_PROBE = "sekisho.probe"
_SHARE = "sekisho.share"
_DRAW = random.SystemRandom()


def set_passed(flow: http.HTTPFlow, direction: Direction) -> None:
    """The gate lets the message go on. Without this mark it does not."""
    flow.metadata[_PASSED + direction] = True


def passed(flow: http.HTTPFlow, direction: Direction) -> bool:
    """Whether the gate has let this message go on, and has not refused it."""
    return flow.metadata.get(_PASSED + direction) is True and _REFUSAL not in flow.metadata


def take_passed(flow: http.HTTPFlow, direction: Direction) -> bool:
    """As ``passed``, once: what comes next needs a mark of its own."""
    found = passed(flow, direction)
    flow.metadata.pop(_PASSED + direction, None)
    return found


def set_refusal(flow: http.HTTPFlow, response: http.Response) -> None:
    """The gate refuses, with this answer."""
    flow.metadata[_REFUSAL] = response


def refusal(flow: http.HTTPFlow) -> http.Response | None:
    """The gate's answer to a message it refuses."""
    found = flow.metadata.get(_REFUSAL)
    return found if isinstance(found, http.Response) else None


def set_gap(flow: http.HTTPFlow, direction: Direction, reason: str) -> None:
    """The layers could not hand over the whole message, or not what will follow it."""
    flow.metadata[_GAP + direction] = reason


def gap(flow: http.HTTPFlow, direction: Direction) -> str:
    """The reason given for a message, or nothing."""
    return str(flow.metadata.get(_GAP + direction, ""))


def set_probe(flow: http.HTTPFlow, told: Callable[[bool], None]) -> None:
    """The flow is the self-probe's: see ``Message.probe``."""
    flow.metadata[_PROBE] = told


def probe(flow: http.HTTPFlow) -> Callable[[bool], None] | None:
    """Whom to tell about the flow, if it is the self-probe's."""
    return flow.metadata.get(_PROBE)


def enforced(flow: http.HTTPFlow, percent: int) -> bool:
    """Whether the flow is in the share that is enforced: drawn once, for all of it, by nothing that a peer sends. The
    self-probe always is."""
    if percent >= 100 or _PROBE in flow.metadata:
        return True
    if _SHARE not in flow.metadata:
        flow.metadata[_SHARE] = _DRAW.randrange(100)
    return bool(flow.metadata[_SHARE] < percent)


def set_readable(flow: http.HTTPFlow) -> None:
    """The inside of this tunnel can be decrypted and inspected."""
    flow.metadata[_READABLE] = True


def readable(flow: http.HTTPFlow) -> bool:
    """Whether the inside of this tunnel can be inspected."""
    return flow.metadata.get(_READABLE) is True


def drop_h2c(headers: http.Headers) -> bool:
    """Removes an offer to upgrade to cleartext HTTP/2, which clients make by habit and a proxy need not pass on
    (RFC 9110 7.8). False where something else is asked for."""
    offers = {offer.strip().lower() for offer in headers.get("upgrade", "").split(",")}
    if not offers <= {"h2c", ""}:
        return False
    options = [option.strip() for option in headers.get("connection", "").split(",")]
    kept = [option for option in options if option and option.lower() not in ("upgrade", "http2-settings")]
    for name in ("upgrade", "http2-settings", "connection"):
        headers.pop(name, None)
    if kept:
        headers["connection"] = ", ".join(kept)
    return True


_MIXED = "multipart/x-mixed-replace"
_ENDLESS = ("text/event-stream", _MIXED)


def is_mixed(headers: http.Headers) -> bool:
    """A response whose parts replace one another: nothing says where one of them ends until the next begins."""
    return _media(headers) == _MIXED


def is_endless(headers: http.Headers) -> bool:
    """A response made to never end: waiting for the whole of it would hang."""
    return _media(headers) in _ENDLESS


def _media(headers: http.Headers) -> str:
    declared: str = headers.get("content-type", "")
    return declared.partition(";")[0].strip().lower()


INSPECTABLE = frozenset({"gzip", "deflate", "br", "zstd", "identity", "x-gzip"})


def limit_codings(headers: http.Headers) -> None:
    """Takes out of Accept-Encoding, and of gRPC's, what an answer could not be inspected in; untouched if there is
    nothing of it."""
    for name in ("accept-encoding", "grpc-accept-encoding"):
        asked = headers.get(name)
        offers = asked.split(",") if asked else []
        kept = [offer for offer in offers if offer.partition(";")[0].strip().lower() in INSPECTABLE]
        if len(kept) != len(offers):
            headers[name] = ",".join(kept).strip() or "identity"
