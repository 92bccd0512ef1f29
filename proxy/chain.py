"""The audit file's keyed hash chain: how a line is sealed, and what is wrong with a file of them.

A line is one JSON object whose last field is ``hash``: HMAC-SHA-256, with a key that is not in the file, over every
byte of the line before it. The line's own ``prev`` (the hash of the line before) and ``seq`` are among those bytes. So
a line that was altered, inserted, moved or taken out shows. The hash covers bytes, not parsed JSON: nothing that one
reader sees and another does not (a doubled key, say) can be slipped in.

Lines taken off the end leave a shorter chain that is whole. Against that, the *head*, a small file beside the audit
file, says which line is the last. Who can write both and has kept an old head can still wind both back together: keep
``seq`` and ``hash`` of the last line somewhere else too, ``verify`` prints them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

GENESIS = "0" * 64
"""``prev`` of a file's first line."""

TORN = "torn-line"
"""Gap reason of a repair record: these bytes of the audit file are what was left of a write that did not finish."""

REPAIR = "repair"
"""``kind`` of a repair record."""

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


def unseal(line: bytes, key: bytes) -> Line | None:
    """What ``line`` (without line end) says, or ``None`` unless it was sealed with ``key`` and not altered since."""
    match = _SEALED.fullmatch(line)
    if match is None:
        return None
    body, claimed = match.groups()
    if not hmac.compare_digest(hmac.new(key, body, hashlib.sha256).hexdigest().encode("ascii"), claimed):
        return None
    record = json.loads(body + b"}")
    return Line(record["seq"], record["prev"], claimed.decode("ascii"), record["kind"], record["gaps"])


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


@dataclass(frozen=True, slots=True)
class Verification:
    """What ``verify`` found. ``ok`` means: every line is as it was written, and none is missing."""

    ok: bool
    lines: int
    """Lines that are in order, counted from the first."""
    line: int = 0
    """Number of the first bad line, from 1; one past the last where the end is missing; 0 if all is well."""
    why: str = ""
    repairs: int = 0
    """Torn lines that a later record accounts for (a crash or a full disk while writing)."""
    last_seq: int = 0
    last_hash: str = GENESIS


def verify(path: Path, secret: bytes) -> Verification:
    """Reads an audit file and its head against the deployment's key. Safe while it is being written to.

    Raises ``OSError`` if the audit file cannot be read.
    """
    key = chain_key(secret)
    try:
        head = head_path(path).read_bytes()
    except FileNotFoundError:
        head = None
    # The head is read first: lines that are added meanwhile make the file longer than the head says, never shorter.
    sealed = unseal_head(head, key) if head is not None else None
    found, at_head = _walk(path, key, sealed[0] if sealed else -1)
    if not found.ok:
        return found
    name = head_path(path).name
    if head is None:
        why = f"lines may be missing at the end: {name} is gone"
    elif sealed is None:
        why = f"lines may be missing at the end: {name} was altered, or written with another key"
    elif sealed[0] > found.last_seq:
        why = f"lines removed at the end: seq {found.last_seq + 1} to {sealed[0]} are gone"
    elif at_head != sealed[1]:
        why = f"lines may be missing at the end: {name} belongs to another file"
    else:
        return found
    return replace(found, ok=False, line=found.lines + 1, why=why)


def _walk(path: Path, key: bytes, mark: int) -> tuple[Verification, str]:
    """The lines up to the first bad one, and the hash of the one with seq ``mark``."""
    seq, last, repairs, number, bad = 0, GENESIS, 0, 0, 0
    at_mark = GENESIS if mark == 0 else ""
    torn = bytearray()
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            line = unseal(raw[:-1], key) if raw.endswith(b"\n") else None
            if line is None:  # acceptable if the next good line accounts for it
                bad = bad or number
                torn += raw
                continue
            if (line.seq, line.prev) != (seq + 1, last) or (torn and not _accounts_for(line, bytes(torn[:-1]), key)):
                bad = bad or number
                break
            repairs += bool(torn)
            seq, last, bad = line.seq, line.hash, 0
            torn.clear()
            if seq == mark:
                at_mark = last
    why = _diagnose(path, key, bad, seq, last) if bad else ""
    lines = bad - 1 if bad else number
    return Verification(not bad, lines, bad, why, repairs, seq, last), at_mark


def _accounts_for(line: Line, torn: bytes, key: bytes) -> bool:
    """Whether ``line`` is the repair record of exactly these bytes."""
    return line.kind == REPAIR and any(
        gap.get("reason") == TORN and hmac.compare_digest(str(gap.get("digest")), digest(torn, key))
        for gap in line.gaps
    )


def _diagnose(path: Path, key: bytes, bad: int, seq: int, last: str) -> str:
    """What happened to line ``bad``, which should have followed the line ``seq`` with hash ``last``."""
    first: dict[int, int] = {}
    culprit = after = None
    cut = False
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            line = unseal(raw.rstrip(b"\n"), key)
            if number == bad:
                culprit, cut = line, not raw.endswith(b"\n")
            if line is not None:
                first.setdefault(line.seq, number)
                after = line if after is None and number > bad else after
    if not first:
        return "not written with this key: is it the right key file?"
    if cut:
        return "cut short: the line has no end"
    if culprit is None:
        goes_on = after is not None and (after.seq, after.prev) == (seq + 1, last)
        return "inserted: it was not written with this key" if goes_on else "altered: its hash does not match"
    return _misplaced(culprit, bad, seq, first)


def _misplaced(culprit: Line, bad: int, seq: int, first: Mapping[int, int]) -> str:
    """Why a line that is good in itself stands in the wrong place. ``first``: seq → number of its first line."""
    if first[culprit.seq] < bad:
        return f"duplicated: line {first[culprit.seq]} has the same seq {culprit.seq}"
    if culprit.seq <= seq + 1:
        return "of another chain: it does not follow the line before it"
    if seq + 1 in first:
        return f"out of order: seq {culprit.seq} stands where seq {seq + 1} belongs"
    return f"lines removed before it: seq {seq + 1} to {culprit.seq - 1} are gone"
