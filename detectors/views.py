"""Where a view stands: among the views above it, under which name, and what of it came from where."""

from __future__ import annotations

from detectors.decoders import compressed, protobuf
from detectors.decoders.survey import spelled
from detectors.model import Finding, Peel, View

_SHORT = 512
"""Bytes of a value that is told at once from everything that is not plain text."""
_PRINTABLE = bytes(range(32, 127))


def child_of(view: View, peel: Peel, content_type: str = "") -> View:
    """The view of a decoded child: a decoder of the whole view passes name and place on."""
    same_place = not peel.path
    path = view.path if same_place else path_in(view, peel.path)
    return View(
        peel.data,
        view,
        peel,
        peel.content_type or content_type,
        path,
        peel.key or (view.key if same_place else ""),
        view.depth + bool(peel.codec),
    )


def path_in(view: View, place: str) -> str:
    """The path of what stands at ``place`` in the view."""
    joint = "/" if view.path and view.content_type != protobuf.NESTED else ""
    return f"{view.path}{joint}{place}"


def span_in(finding: Finding, view: View) -> tuple[int, int]:
    """Where a finding below ``view`` stands in it."""
    step, start, end = finding.leaf, finding.leaf_start, finding.leaf_end
    while step is not None and step is not view and step.peel is not None:
        start, end = step.peel.hook.locate(start, end)
        step = step.parent
    return start, end


def label_of(view: View) -> bytes:
    """The name of a value, spelled as text before it: recognizers read ``card.number: …`` as they would in a log."""
    return spelled(view.path, view.key) if view.key else b""


def ancestors(view: View) -> int:
    """How many views are above it."""
    count = 0
    while view.parent is not None:
        view = view.parent
        count += 1
    return count


def grown(view: View) -> int:
    """How many bytes a decoded view has more than it was decoded from."""
    if view.peel is None or not view.peel.codec:
        return 0
    start, end = view.peel.hook.locate(0, len(view.data))
    return max(0, len(view.data) - (end - start))


def within(leaf: View, view: View) -> bool:
    """Whether ``leaf`` is a value of ``view`` itself (through encodings of the value, not through more structure)."""
    step: View | None = leaf
    while step is not None and step.parent is not view:
        if step.peel is None or step.peel.path:
            return False
        step = step.parent
    return step is not None


def is_plain(view: View) -> bool:
    """Whether the view is a short value of which the sieve sees everything: nothing to open, and no charset to tell."""
    if view.content_type or view.peel is None or view.peel.codec:
        return False
    return is_bland(view.data)


def is_bland(data: bytes) -> bool:
    """Whether ``data`` as a value is short, with nothing to open and no charset to tell."""
    return len(data) <= _SHORT and not (
        data.translate(None, _PRINTABLE) or b"%PDF" in data or b"encoding" in data or compressed.announced(data)
    )
