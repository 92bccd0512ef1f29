r"""Values that a message quotes some words away from the name of their field: ``cvv\n  … [input_value='123', …]``,
``Variable "$cvv" got invalid value "123"``, ``page.fill('#cvv', '123')``, ``- value: '123'\n  name: cvv``.

Evasion: between the name of a card field and its digits stands a sentence, or the digits come first. Only sentences
that programs write are read.
Limits: output ≤ input.
Source: the messages of pydantic, graphql-js, Elasticsearch, ASP.NET, Jackson, Hibernate Validator and PostgreSQL; the
calls of Playwright, Selenium and Cypress; RESP (Redis) and the text protocol of memcached.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from detectors.decoders.dumps import windows
from detectors.decoders.naming import name_of, segment
from detectors.decoders.offsets import side_by_side
from detectors.decoders.pairing import is_card_field
from detectors.model import Ask, Gap, Peel

_N = rb"(?P<name>(?<![A-Za-z0-9_.])[A-Za-z_\x80-\xff][A-Za-z0-9_.\x80-\xff-]{1,40}+)"
_V = rb"(?P<value>(?<![0-9])[0-9](?:[ -]?[0-9]){2,22})(?![0-9A-Za-z])"
_Q = rb"\\*[\"']"

SENTENCES = tuple(
    re.compile(sentence)
    for sentence in (
        _N + rb"\s?(?:\r?\n|\\n)[^\n]{0,240}?input_value=(?:" + _Q + rb")?" + _V,
        rb"\$" + _N + _Q + rb" got invalid value (?:" + _Q + rb")?" + _V,
        rb"field \[" + _N + rb"\][^\n]{0,160}?value: " + _Q + _V,
        rb"value " + _Q + _V + _Q + rb" is not valid for " + _N,
        _Q + _V + _Q + rb"[^\n]{0,240}?\[" + _Q + _N + _Q + rb"\]",
        rb"[#\"'=]" + _N + rb"[\"'\])]{1,4}[^\n]{0,12}\.[A-Za-z_]{3,20}\([\"']" + _V,
        rb"[A-Za-z]\([\"'][#.]?" + _N + rb"[\"'], ?[\"']" + _V,
        rb"propertyPath=" + _N + rb",[^\n]{0,200}?[vV]alue=(?:" + _Q + rb")?" + _V,
        rb"\((?:[^()\n]{0,80}, )?" + _N + rb"\)=\((?:[^()\n]{0,80}, )?" + _V + rb"\)",
        rb"(?i:value): ?[\"']?" + _V + rb"[\"']?[ \t]*\r?\n[ \t-]{0,24}(?i:name|key|field|label): ?[\"']?" + _N,
        rb"\$[0-9]{1,2}\r\n" + _N + rb"\r\n\$[0-9]{1,2}\r\n" + _V + rb"\r\n",
        rb"(?:set|add|replace) " + _N + rb" [0-9]{1,10} [0-9]{1,10} [0-9]{1,2}\r\n" + _V + rb"\r\n",
    )
)


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """The digits that such a sentence says are the value of a card field, where they were asked for."""
    for start, end in windows(len(data), ask.hits):
        for sentence in SENTENCES:
            ask.budget.check_time()
            for said in sentence.finditer(data, start, end):
                name = name_of(said["name"])
                if is_card_field(name):
                    yield Peel("", said["value"], side_by_side(*said.span("value")), f".{segment(name)}", name)
