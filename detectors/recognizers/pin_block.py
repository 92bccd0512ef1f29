"""PIN blocks under their name: 8 bytes (ISO 9564-1 formats 0 to 3) or 16 (format 4), in hexadecimal.

Source: ISO 9564-1; PCI DSS 4.0.1, 3.3.1.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from detectors.model import PIN_BLOCK
from detectors.recognizers import Recognized

_PIN_BLOCK = re.compile(
    r"pin[\s_-]?bl(?:oc|c)?k(?:[\s_-]?data)?[^0-9A-Za-z]{1,12}"
    r"((?:[0-9A-F]{32}|[0-9A-F]{16}|(?:[0-9A-F]{2}[ :-]){7}[0-9A-F]{2}|[0-9A-Z+/]{11}=))(?![0-9A-F=])",
    re.IGNORECASE,
)

MUST_FIND = (
    ("pinBlock: 041234FFFFFFFFFF", "041234FFFFFFFFFF"),
    ('"pin_block":"0412AC89ABCDEF67"', "0412AC89ABCDEF67"),
    ("PIN block: 04 12 74 BE EE EE EE EE", "04 12 74 BE EE EE EE EE"),
    ('"pin_block":"BBJ0vu7u7u4="', "BBJ0vu7u7u4="),
)
MUST_NOT = ("pinBlock: ****************", "pinBlockFormat: 0", "block 041234FFFFFFFFFF")


def recognize(text: str) -> Iterator[Recognized]:
    """Every PIN block that stands under its name."""
    for match in _PIN_BLOCK.finditer(text):
        yield Recognized(PIN_BLOCK, match.start(1), match.end(1), "high", "", ("PIN block key",))
