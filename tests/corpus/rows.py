"""The rows of the corpus, read and checked. See README.md beside this file for what each group holds."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
_BODIES = ("text", "bytes", "b64")
_KEYS = {"id", "group", "content_type", "content_encoding", "key", "expect", "low", "gaps", "why", *_BODIES}


@dataclass(frozen=True, slots=True)
class Expected:
    """One finding: offsets are bytes of the body, end exclusive."""

    entity: str
    brand: str
    confidence: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Row:
    """One case. Nothing of its body is in its ``repr``."""

    id: str
    group: str
    body: bytes = field(repr=False)
    expect: tuple[Expected, ...]
    why: str
    content_type: str = ""
    content_encoding: str = ""
    key: str = ""
    low: bool = False
    """A negative row in which a number is valid in every way but its surroundings: ``low`` is right, ``high`` is not."""
    gaps: tuple[str, ...] = ()
    file: str = ""

    @property
    def positive(self) -> bool:
        return bool(self.expect)


def load(folder: Path = HERE) -> list[Row]:
    """Every row of every file, in order. Raises ``ValueError`` for a row that is not as the README says."""
    rows = [row for path in sorted(folder.glob("*.yaml")) for row in _of_file(path)]
    ids = [row.id for row in rows]
    if len(set(ids)) != len(ids):
        raise ValueError(f"ids used twice: {sorted({name for name in ids if ids.count(name) > 1})}")
    return rows


def _of_file(path: Path) -> Iterator[Row]:
    documents: Iterable[dict[str, Any]] = yaml.load(
        path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    )
    for number, given in enumerate(documents, 1):
        where = f"{path.name}: row {number} ({given.get('id', 'no id')})"
        if unknown := set(given) - _KEYS:
            raise ValueError(f"{where}: unknown keys {sorted(unknown)}")
        if len([name for name in _BODIES if name in given]) != 1:
            raise ValueError(f"{where}: needs one of {', '.join(_BODIES)}")
        if missing := {"id", "group", "expect", "why"} - set(given):
            raise ValueError(f"{where}: lacks {sorted(missing)}")
        expect = tuple(Expected(*item) for item in given["expect"])
        if expect and given.get("low"):
            raise ValueError(f"{where}: low is for rows that expect nothing")
        yield Row(
            id=given["id"],
            group=given["group"],
            body=_body(given),
            expect=expect,
            why=given["why"],
            content_type=given.get("content_type", ""),
            content_encoding=given.get("content_encoding", ""),
            key=given.get("key", ""),
            low=bool(given.get("low")),
            gaps=tuple(given.get("gaps", ())),
            file=path.stem,
        )


def _body(given: dict[str, Any]) -> bytes:
    if "text" in given:
        return given["text"].encode()
    return given["bytes"].encode("latin-1") if "bytes" in given else base64.b64decode(given["b64"], validate=True)
