import json

import pytest

from detectors.decoders.envelope import LONGEST_HEADER, may_be, peel
from detectors.decoders.offsets import side_by_side
from detectors.model import Edit, apply_edits
from tests.detectors.decoders.peeling import MASKED, NUMBER, ask, holding, peels, put

TYPE = "application/x-sentry-envelope"
HEADER = b'{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc","dsn":"https://k@o1.ingest.sentry.io/42"}\n'


def item(payload: bytes, **header: object) -> bytes:
    return json.dumps({"type": "event", "length": len(payload), **header}).encode() + b"\n" + payload


EVENT = b'{"message":"declined","extra":{"card_number":' + NUMBER.encode() + b"}}"
BINARY = bytes(range(256)) + b"\n\n{"
ENVELOPE = HEADER + item(EVENT) + b"\n" + item(BINARY, type="attachment", filename="mini.dmp") + b"\n"


def read(data: bytes) -> list[bytes]:
    """The items as a receiver splits them."""
    _, _, rest = data.partition(b"\n")
    found = []
    while rest.strip(b"\n"):
        line, _, rest = rest.lstrip(b"\n").partition(b"\n")
        size = json.loads(line)["length"]
        assert rest[size : size + 1] in (b"", b"\n")
        found.append(rest[:size])
        rest = rest[size:]
    return found


@pytest.mark.parametrize("content_type", [TYPE, "text/plain;charset=utf-8", ""])
def test_header_and_items(content_type):
    found = [(child.path, child.data) for child in peels(peel(ENVELOPE, ask(content_type)))]
    second = b'{"type": "attachment", "length": 259, "filename": "mini.dmp"}'
    assert found == [
        ("header", HEADER[:-1]),
        ("item[0].header", b'{"type": "event", "length": %d}' % len(EVENT)),
        ("item[0]", EVENT),
        ("item[1].header", second),
        ("item[1]", BINARY),
    ]


@pytest.mark.parametrize("text", [MASKED.encode(), b'"' + MASKED.encode() + b'"', b"0", b""], ids=len)
def test_the_length_follows_what_is_put_back(text):
    child = holding(peel(ENVELOPE, ask(TYPE)), NUMBER.encode())
    at = EVENT.index(NUMBER.encode())
    edits = child.hook.wrap([Edit(at, at + len(NUMBER), text)])
    assert edits is not None
    assert read(apply_edits(ENVELOPE, edits)) == [EVENT.replace(NUMBER.encode(), text), BINARY]


def test_an_item_without_a_length_ends_with_its_line():
    data = HEADER + b'{"type":"session"}\n{"sid":"' + NUMBER.encode() + b'"}\n' + item(EVENT)
    child = holding(peel(data, ask(TYPE)), b'"sid"')
    assert child.data == b'{"sid":"' + NUMBER.encode() + b'"}'
    assert put(data, child, NUMBER.encode(), b"***") == data.replace(b'sid":"' + NUMBER.encode(), b'sid":"***')
    assert put(data, child, NUMBER.encode(), b"a\nb") is None


def test_a_length_that_cannot_be_told_is_not_changed():
    """Two numbers by that name: which one counts is for a JSON reader to say, and readers differ."""
    data = HEADER + b'{"type":"event","meta":{"length":%d},"length":%d}\n' % (len(EVENT), len(EVENT)) + EVENT
    child = holding(peel(data, ask(TYPE)), b'"extra"')
    assert put(data, child, NUMBER.encode(), MASKED.encode()) == data.replace(NUMBER.encode(), MASKED.encode())
    assert put(data, child, NUMBER.encode(), b"***") is None


NOT = {
    "empty": b"",
    "one line": HEADER,
    "NDJSON": HEADER + b'{"level":"info"}\n',
    "NDJSON with types": HEADER + b'{"type":"a","length":3}\n{"type":"b","length":4}\n',
    "no type": HEADER + b'{"length":1}\nx',
    "no object": b'{"a":1]\n' + item(EVENT),
    "longer than it is": HEADER + b'{"type":"event","length":99}\nx',
    "shorter than it is": HEADER + b'{"type":"event","length":1}\nxy',
    "negative": HEADER + b'{"type":"event","length":-1}\nx',
    "a truth": HEADER + b'{"type":"event","length":true}\nx',
    "something behind it": ENVELOPE + b"something",
    "endless header": b'{"a":"' + b"x" * LONGEST_HEADER + b'"}\n' + item(EVENT),
}


@pytest.mark.parametrize("data", NOT.values(), ids=list(NOT))
def test_other_text_is_none(data):
    assert list(peel(data, ask())) == []


def test_one_that_is_declared_and_breaks_off_keeps_its_rest():
    data = ENVELOPE + b'{"type":"event","length":99}\n' + EVENT
    found = peels(peel(data, ask(TYPE)))
    assert (found[-1].path, found[-1].data) == ("rest", b'{"type":"event","length":99}\n' + EVENT)
    assert found[-1].hook == side_by_side(len(ENVELOPE), len(data))
    assert found[:-1] == peels(peel(ENVELOPE, ask(TYPE)))


def test_what_may_be_one():
    assert may_be(b"", TYPE)
    assert may_be(ENVELOPE)
    for data in (b"", b"[]", b'{"a":1}', b'{"a":1}\n{"b":2}\n', b'{"type":1}\n'):
        assert not may_be(data)
