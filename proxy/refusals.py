"""What the plane itself refuses, before and beside any judgement of the content, and what the client then reads.

One table: each row is a way in which bytes cannot pass because they cannot be inspected, or because the two ends could
read them differently. Texts are fixed, so no answer can carry a byte of what it refuses.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

MEDIA_TYPE = b"application/problem+json"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row: the HTTP status, and what a developer needs to know to fix it."""

    status: int
    title: str
    detail: str


REFUSALS: Mapping[str, Refusal] = {
    # The client's framing or syntax.
    "malformed": Refusal(400, "Malformed request", "The request is not valid HTTP, or its framing is ambiguous."),
    "transfer-coding": Refusal(
        501, "Transfer coding not supported", "Send the body plain or chunked; compress it by Content-Encoding."
    ),
    "http-version": Refusal(505, "HTTP version not supported", "This lane speaks HTTP/1.0, HTTP/1.1 and HTTP/2."),
    "http2-preface": Refusal(
        505, "HTTP version not supported", "HTTP/2 begins with the connection: in TLS by ALPN, in the clear by preface."
    ),
    "too-many-streams": Refusal(
        503, "Too many streams", "100 streams of the connection are under way: the stream may be sent again later."
    ),
    "flood": Refusal(
        429, "Too many frames", "The peer sent more resets, pings, settings or empty frames than a connection may cost."
    ),
    "tls-on-cleartext": Refusal(
        400, "TLS on a cleartext lane", "This lane speaks cleartext HTTP: use http://, not https://."
    ),
    "cleartext-on-tls": Refusal(
        400, "Cleartext on a TLS lane", "This lane speaks TLS only: use https://, not http://."
    ),
    "tls-handshake": Refusal(
        400, "TLS handshake failed", "Client and lane have no TLS in common, or the client does not trust the lane."
    ),
    "client-certificate": Refusal(
        403, "Client certificate refused", "The client has no valid certificate of an authority in tls.client_ca_file."
    ),
    "slow-handshake": Refusal(408, "TLS handshake timeout", "The TLS handshake did not end in time."),
    "header-too-large": Refusal(
        431,
        "Header fields too large",
        "The header block is larger than limits.header of the policy, or has more than 1000 fields and cookies.",
    ),
    "slow-header": Refusal(408, "Request timeout", "The header block did not arrive in time."),
    "slow-body": Refusal(408, "Request timeout", "The body did not arrive within limits.body_seconds of the policy."),
    "too-many-connections": Refusal(
        503, "Too many connections", "The lane serves as many connections as limits.connections allows."
    ),
    # Where it wants to go.
    "connect-on-reverse": Refusal(
        405, "CONNECT not allowed", "This lane leads to one upstream; CONNECT is for the forward lane."
    ),
    "absolute-form": Refusal(
        400, "Not a proxy request", "This lane is a forward proxy: send an absolute http:// URL, or CONNECT."
    ),
    "local-destination": Refusal(
        403,
        "Destination not allowed",
        "The destination is this machine itself, or its link: list its host by that very name in a destination.",
    ),
    "not-redirected": Refusal(
        403,
        "Not a redirected connection",
        "This lane serves connections that iptables redirects to it: connect to the destination itself.",
    ),
    # What came back from the upstream, or did not.
    "upstream-unreachable": Refusal(
        502, "Upstream unreachable", "No connection to the upstream of this lane could be made."
    ),
    "upstream-timeout": Refusal(504, "Upstream timeout", "The upstream of this lane did not answer in time."),
    "upstream-failed": Refusal(
        502, "Upstream failed", "The upstream closed the connection before its answer was whole."
    ),
    "upstream-malformed": Refusal(
        502, "Malformed upstream answer", "The upstream's answer is not valid HTTP, or its framing is ambiguous."
    ),
    "upstream-switched": Refusal(
        502, "Unexpected protocol switch", "The upstream switched protocols although it was not asked to."
    ),
    # Ourselves.
    "internal": Refusal(503, "Not inspected", "Sekisho could not finish the inspection, so nothing was forwarded."),
}
"""By the word that is also its ``type``: ``urn:sekisho:problem:<word>``."""

GAP_ANSWERS: Mapping[str, tuple[int, str]] = {
    "body-too-large": (413, "The body is larger than limits.body of the policy."),
    "answer-too-large": (502, "The upstream's answer is larger than limits.body of the policy."),
    "piece-too-large": (
        413,
        "A line, an event, a message or a run of the body is larger than limits.body of the policy.",
    ),
    "encrypted": (501, "What a CONNECT tunnel carries can be inspected only if the lane has tls.intercept_ca_file."),
    "upgrade": (501, "After the Upgrade the connection would speak what this version does not inspect."),
    "event-stream": (501, "A response that never ends cannot be inspected whole by this version."),
    "unlisted-destination": (403, "The destination is in none of the lane's destinations."),
    "misdirected": (421, "Host names another destination than the TLS connection: open a connection for that name."),
}
"""Status and explanation of what the plane could not hand over whole."""


def problem(word: str) -> bytes:
    """The RFC 9457 document of one row, ready to send."""
    row = REFUSALS[word]
    document = {
        "type": f"urn:sekisho:problem:{word}",
        "title": row.title,
        "status": row.status,
        "detail": row.detail,
        "instance": f"urn:uuid:{uuid.uuid4()}",
    }
    return json.dumps(document, ensure_ascii=False).encode()


def reason_phrase(status: int) -> bytes:
    """The phrase that belongs to a status code; empty for one that has none."""
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""


def answer(word: str) -> bytes:
    """A whole HTTP/1.1 answer that ends the connection."""
    status, body = REFUSALS[word].status, problem(word)
    head = (
        b"HTTP/1.1 %d %s\r\n"
        b"content-type: %s\r\n"
        b"content-length: %d\r\n"
        b"cache-control: no-store\r\n"
        b"connection: close\r\n\r\n"
    )
    return head % (status, reason_phrase(status), MEDIA_TYPE, len(body)) + body


def restated(document: bytes, *, status: int | None = None, add: str = "") -> bytes:
    """A problem document with another status, or with one more sentence in its detail; as it was if it is not one."""
    try:
        fields = json.loads(document)
        if status is not None:
            fields["status"] = status
        if add:
            fields["detail"] = f"{fields.get('detail', '')} {add}".strip()
        return json.dumps(fields, ensure_ascii=False).encode()
    except (ValueError, TypeError, AttributeError):
        return document


_REASONS = {
    "upstream-failed": "closed",
    "upstream-malformed": "protocol",
    "upstream-switched": "protocol",
    "upstream-timeout": "timeout",
}
_ERRORS = (
    (("Connect call failed", "Connection refused"), "refused"),
    (("cancelled", "timed out", "no connection in time"), "timeout"),
    (("ertificate", "TLS", "OpenSSL", "SSL", "alert", "connection closed"), "tls"),
    (("Name or service", "No address", "name resolution", "nodename", "Name does not"), "dns"),
    (("reset",), "reset"),
)


def upstream_reason(word: str, error: str) -> str:
    """The label for a failed exchange: the row of the refusal table, and for connections the host's words."""
    if word != "upstream-unreachable":
        return _REASONS.get(word, "protocol")
    return next((reason for marks, reason in _ERRORS if any(mark in error for mark in marks)), "unreachable")
