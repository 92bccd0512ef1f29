"""The audit file's keyed hash chain: how a line is sealed, and what it says.

A line is one JSON object whose last field is ``hash``: HMAC-SHA-256, with a key that is not in the file, over every
byte of the line before it. The line's own ``prev`` (the hash of the line before) and ``seq`` are among those bytes. So
a line that was altered, inserted, moved or taken out shows. The hash covers bytes, not parsed JSON: nothing that one
reader sees and another does not (a doubled key, say) can be slipped in.

A chain goes on from file to file (``segments``). Each but the first begins with an *anchor*, a line that says what the
last one of the file before was. Files whose records have expired may be gone if a later line, *expiry*, says so.

Lines taken off the end leave a shorter chain that is whole. Against that, the *head*, a small file beside the audit
file, says which line is the last. Who can write both and has kept an old head can still wind both back together: keep
``seq`` and ``hash`` of the last line somewhere else too, ``audit_verify`` gives them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GENESIS = "0" * 64
"""``prev`` of a file's first line."""

TORN = "torn-line"
"""Gap reason of a repair record: these bytes of the audit file are what was left of a write that did not finish."""

REPAIR = "repair"
"""``kind`` of a repair record."""

ANCHOR = "anchor"
"""``kind`` of the first line of every file but the first."""

EXPIRY = "expiry"
"""``kind`` of a line that says that the file which ended with a certain line has been removed."""

_SEALED = re.compile(rb'(\{.*),"hash":"([0-9a-f]{64})"\}', re.DOTALL)


def chain_key(secret: bytes) -> bytes:
    """The key of the chain, made from the deployment's: neither a line's hash nor a fingerprint tells of the other."""
    return hmac.new(secret, b"sekisho audit chain 1", hashlib.sha256).digest()


def seal(record: Mapping[str, Any], key: bytes) -> tuple[bytes, str]:
    """The line for ``record``, line end included, and its hash. ``record`` has at least one field, and no ``hash``."""
    body = json.dumps(record, separators=(",", ":")).encode("ascii")[:-1]
    digest = hmac.new(key, body, hashlib.sha256).hexdigest()
    return b'%b,"hash":"%b"}\n' % (body, digest.encode("ascii")), digest


@dataclass(frozen=True, slots=True)
class Line:
    """A line whose hash is right."""

    seq: int
    prev: str
    hash: str
    kind: str
    gaps: Sequence[Mapping[str, Any]]
    ts: str = ""
    anchor: Mapping[str, Any] = field(default_factory=dict)
    """Of an anchor or expiry: ``seq``, ``hash`` and ``ts`` of the last line of the file that is spoken of."""


def unseal(line: bytes, key: bytes) -> Line | None:
    """What ``line`` (without line end) says, or ``None`` unless it was sealed with ``key`` and not altered since."""
    match = _SEALED.fullmatch(line)
    if match is None:
        return None
    body, claimed = match.groups()
    if not hmac.compare_digest(hmac.new(key, body, hashlib.sha256).hexdigest().encode("ascii"), claimed):
        return None
    record = json.loads(body + b"}")
    about = (record["kind"], record["gaps"], record.get("ts", ""), record.get("anchor", {}))
    return Line(record["seq"], record["prev"], claimed.decode("ascii"), *about)


def digest(data: bytes, key: bytes) -> str:
    """A keyed hash of bytes that are no line."""
    return hmac.new(key, b"torn\0" + data, hashlib.sha256).hexdigest()


def head_path(path: Path) -> Path:
    """Where the head of the audit file ``path`` is kept."""
    return path.with_name(path.name + ".head")


def seal_head(seq: int, last: str, key: bytes) -> bytes:
    """The head that says: line ``seq`` with hash ``last`` is the last one. Always the same length."""
    body = b"%020d %b" % (seq, last.encode("ascii"))
    return b"%b %b\n" % (body, hmac.new(key, b"head\0" + body, hashlib.sha256).hexdigest().encode("ascii"))


def unseal_head(data: bytes, key: bytes) -> tuple[int, str] | None:
    """``(seq, hash)`` of the last line as the head has it, or ``None`` unless it was sealed with ``key``."""
    match = re.fullmatch(rb"([0-9]{20}) ([0-9a-f]{64}) [0-9a-f]{64}\n", data)
    if match is None:
        return None
    seq, last = int(match[1]), match[2].decode("ascii")
    return (seq, last) if hmac.compare_digest(seal_head(seq, last, key), data) else None


def accounts_for(line: Line, torn: bytes, key: bytes) -> bool:
    """Whether ``line`` says what exactly these bytes before it are."""
    return line.kind in (REPAIR, ANCHOR) and any(
        gap.get("reason") == TORN and hmac.compare_digest(str(gap.get("digest")), digest(torn, key))
        for gap in line.gaps
    )
