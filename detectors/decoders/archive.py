"""Archives: zip and tar are looked into, the others are a Gap ``archive``.

Evasion: an archive that goes by another name or type; a zip behind other data. Told by magic, and a zip by its end.
Limits: those of each format.
Source: the formats' own first bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from detectors.decoders import pdf, tar, zipped
from detectors.model import Ask, Gap, Peel

_CLOSED = re.compile(
    rb"7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|LZIP|MSCF\0\0\0\0|\x1f\x9d[\x80-\x9f]"
    rb"|\x04\x22\x4d\x18"  # lz4
    rb"|\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # doc, xls, msi; and encrypted docx and xlsx
)


def is_archive(data: bytes) -> bool:
    """Whether the bytes are an archive, readable or not."""
    return bool(_CLOSED.match(data)) or zipped.is_zip(data) or tar.is_tar(data) or pdf.is_pdf(data)


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """What the archive holds; a Gap where that cannot be told."""
    if _CLOSED.match(data):
        yield Gap("archive", 0, len(data))
    elif zipped.is_zip(data):
        yield from zipped.peel(data, ask)
    elif tar.is_tar(data):
        yield from tar.peel(data, ask)
    elif pdf.is_pdf(data):
        yield from pdf.peel(data, ask)
