"""What the decoder tests share: a generous budget, short forms of Ask and Peel, and the round trip they all make."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from detectors import Inspector
from detectors.model import Ask, Edit, Gap, OutOfTime, Peel, apply_edits

NUMBER = "4111111111111111"
MASKED = "411111******1111"

few = settings(max_examples=60, deadline=None)
numbers = st.text(alphabet="0123456789", min_size=13, max_size=19)
words = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="0123456789"), max_size=30)


@dataclass
class Plenty:
    """A budget that lets everything pass, or ``limit`` bytes of it, or only ``checks`` looks at the clock."""

    limit: int = 1 << 40
    checks: int = 1 << 40
    ratio: int = 1 << 40
    seen: int = field(default=0)

    def room(self, compressed: int) -> int:
        return min(self.limit, compressed * self.ratio)

    def check_time(self) -> None:
        self.seen += 1
        if self.seen > self.checks:
            raise OutOfTime


def ask(content_type: str = "", *hits: int, budget: Plenty | None = None) -> Ask:
    return Ask(content_type, tuple(hits), budget or Plenty())


def peels(items: Iterable[Peel | Gap]) -> list[Peel]:
    found = list(items)
    assert [item for item in found if isinstance(item, Gap)] == []
    return [item for item in found if isinstance(item, Peel)]


def gaps(items: Iterable[Peel | Gap]) -> list[Gap]:
    return [item for item in items if isinstance(item, Gap)]


def fields(items: Iterable[Peel | Gap]) -> list[tuple[str, str, bytes]]:
    return [(peel.path, peel.key, peel.data) for peel in peels(items)]


def spots(inspector: Inspector, body: bytes, kind: str = "") -> list[tuple[str, str, tuple[str, ...]]]:
    """Entity, path and trail of each finding; there are no gaps."""
    result = inspector.inspect(body, kind)
    assert result.gaps == ()
    return [(f.entity, f.path, f.trail) for f in result.findings]


def holding(items: Iterable[Peel | Gap], text: bytes) -> Peel:
    """The one child that holds ``text``."""
    (peel,) = [peel for peel in items if isinstance(peel, Peel) and text in peel.data]
    return peel


def put(data: bytes, peel: Peel, old: bytes, new: bytes) -> bytes | None:
    """``data`` with ``old`` of its child replaced by ``new``. Every byte outside the located span stays, or this fails; but
    a length may stand in the ten bytes before a framed child."""
    at = peel.data.index(old)
    edits = peel.hook.wrap([Edit(at, at + len(old), new)])
    if edits is None:
        return None
    start, end = peel.hook.locate(at, at + len(old))
    changed = apply_edits(data, edits)
    assert changed.startswith(data[: max(start - at - 10, 0) if peel.framed else start])
    assert changed.endswith(data[end:])
    assert len(changed) >= start + len(data) - end
    return changed


def located(data: bytes, peel: Peel, text: bytes) -> bytes:
    """The parent's bytes that ``text`` of the child came from."""
    at = peel.data.index(text)
    start, end = peel.hook.locate(at, at + len(text))
    return data[start:end]


def documents(*more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Lists and dictionaries, nested, of what every binary format with items can hold, and of ``more``."""
    leaves = (st.none(), st.booleans(), st.floats(allow_nan=False), st.text(max_size=40), st.binary(max_size=40))
    return st.recursive(
        st.one_of(*leaves, *more),
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
        max_leaves=12,
    )


replacements = st.sampled_from(["", "*", MASKED, "*" * 40, "*" * 300, "*" * 70_000])


def assert_replaced(
    dumps: Callable[[Any], bytes],
    items: Callable[[bytes], Iterable[Peel | Gap]],
    around: tuple[Any, Any],
    change: tuple[str, str],
    *,
    raw: bool,
) -> None:
    """A number deep in a document is found at its path, and what replaces it is written as the encoder would."""
    number, new = change
    old, again = (f"<{text}>".encode() if raw else f"<{text}>" for text in change)
    body = dumps([around[0], {"k": [old]}, around[1]])
    found = [peel for peel in peels(items(body)) if peel.path == "$[1].k[0]"]
    (child,) = [peel for peel in found if peel.data == f"<{number}>".encode()]
    assert child.key == "k"
    edits = child.hook.wrap([Edit(1, 1 + len(number), new.encode())])
    assert apply_edits(body, edits) == dumps([around[0], {"k": [again]}, around[1]])
