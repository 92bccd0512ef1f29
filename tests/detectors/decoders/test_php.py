import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.php import Counted, peel
from detectors.model import Edit, apply_edits
from detectors.redaction import redact
from tests.detectors.decoders.peeling import MASKED, NUMBER, ask, few, fields, numbers, peels

PAN, CODE = "PAN", "SECURITY_CODE"


def serialize(value):
    """PHP's serialize(), for what the tests need of it."""
    if value is None:
        return b"N;"
    if isinstance(value, bool):
        return b"b:%d;" % value
    if isinstance(value, int):
        return b"i:%d;" % value
    if isinstance(value, float):
        return b"d:%r;" % value
    if isinstance(value, str):
        raw = value.encode()
        return b's:%d:"%s";' % (len(raw), raw)
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    return b"a:%d:{%s}" % (len(value), b"".join(serialize(key) + serialize(item) for key, item in pairs))


def unserialize(data):
    """Reads it back as strictly as PHP does: a wrong length is an error."""

    def read(at):
        kind = data[at : at + 2]
        if kind == b"N;":
            return None, at + 2
        colon = data.index(b":", at + 2) if kind in (b"s:", b"a:") else 0
        if kind in (b"i:", b"d:", b"b:"):
            end = data.index(b";", at)
            return (int if kind != b"d:" else float)(data[at + 2 : end]), end + 1
        size = int(data[at + 2 : colon])
        if kind == b"s:":
            start = colon + 2
            assert data[start - 1 : start] == b'"'
            assert data[start + size : start + size + 2] == b'";'
            return data[start : start + size].decode(), start + size + 2
        out, at = {}, colon + 2
        for _ in range(size):
            key, at = read(at)
            out[key], at = read(at)
        assert data[at : at + 1] == b"}"
        return out, at + 1

    value, end = read(0)
    assert end == len(data)
    return value


CARD = {
    "id": 7,
    "card_number": "1234567890",
    "cvv": "123",
    "ok": True,
    "rate": 1.5,
    "none": None,
    "note": 'a "b"; c:{}',
}


@pytest.mark.parametrize("style", ["mask", "last4", "remove", "fingerprint"])
def test_lengths_are_mended(inspector, style):
    data = serialize({"user": "太郎", "card": CARD, "last": [1, "x"]})
    found = inspector.inspect(data).findings
    assert [(f.entity, f.path, data[f.start : f.end]) for f in found] == [
        (PAN, ".card.card_number", b"1234567890"), (CODE, ".card.cvv", b"123"),
    ]  # fmt: skip
    left = redact(data, found, style)
    value = unserialize(left)
    assert value["card"]["cvv"] == "***"
    assert value["card"]["card_number"] != "1234567890"
    assert {k: v for k, v in value["card"].items() if k not in ("cvv", "card_number")} == {
        k: v for k, v in CARD.items() if k not in ("cvv", "card_number")
    }
    assert inspector.inspect(left).findings == ()


def test_a_number_becomes_a_string(inspector):
    data = serialize({"cvv": 123, "card_no": 1234567890, "n": 5})
    left = redact(data, inspector.inspect(data).findings, "mask")
    assert unserialize(left) == {"cvv": "***", "card_no": "******7890", "n": 5}


OTHERS = {
    "object": b'O:4:"Card":2:{s:9:"\0*\0number";s:16:"4111111111111111";s:9:"\0Card\0cvv";s:3:"123";}',
    "session": b'user|s:4:"taro";card|a:2:{s:7:"card_no";s:10:"1234567890";s:3:"cvv";s:3:"123";}',
    "session variables": b'card_no|s:10:"1234567890";cvv|s:3:"123";',
    "in a log line": b'2026-11-22 cache set k=a:2:{s:7:"card_no";s:10:"1234567890";s:3:"cvv";s:3:"123";} ok',
    "in json": b'{"payload":"a:2:{s:7:\\"card_no\\";s:10:\\"1234567890\\";s:3:\\"cvv\\";s:3:\\"123\\";}"}',
    "in a form": b"p=a%3A2%3A%7Bs%3A7%3A%22card_no%22%3Bs%3A10%3A%221234567890%22%3Bs%3A3%3A%22cvv%22%3Bs%3A3%3A%22123%22%3B%7D&x=1",
    "in a string of its own": serialize({"data": serialize({"card_no": "1234567890", "cvv": "123"}).decode()}),
    "json in it": serialize({"data": '{"card_no":"1234567890","cvv":"123"}'}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_wherever_it_stands(inspector, name):
    data = OTHERS[name]
    found = inspector.inspect(data).findings
    assert sorted(f.entity for f in found) == [PAN, CODE]
    left = redact(data, found, "fingerprint")
    assert inspector.inspect(left).findings == ()
    if data.startswith(b"a:"):
        unserialize(left)


def test_a_length_that_does_not_fit_is_read_and_not_put_back(inspector):
    data = b'a:1:{s:7:"card_no";s:99:"4111111111111111";}'
    found = inspector.inspect(data).findings
    assert [f.path for f in found] == [".card_no"]
    assert redact(data, found, "mask") == data.replace(NUMBER.encode(), MASKED.encode())
    assert redact(data, found, "remove") is None


def test_keys_and_values_take_turns():
    data = serialize({"a": "b", "c": {"d": "e", "f": 5}, "g": [6, "h"], "i": None, "j": "k"})
    assert fields(peel(data, ask())) == [
        (".a", "a", b"b"), (".c.d", "d", b"e"), (".c.f", "f", b"5"), (".g", "g", b"6"), (".g", "g", b"h"), (".j", "j", b"k"),
    ]  # fmt: skip


def test_edits_and_lengths_go_together():
    hook = Counted((2, 4), 6, 10)
    assert hook.locate(0, 10) == (6, 16)
    assert hook.wrap([Edit(0, 4, b"xxxx")]) == [Edit(6, 10, b"xxxx")]
    assert hook.wrap([Edit(0, 4, b""), Edit(5, 6, b"ab")]) == [Edit(6, 10, b""), Edit(11, 12, b"ab"), Edit(2, 4, b"7")]
    assert Counted(None, 6, 10).wrap([Edit(0, 4, b"")]) is None


@few
@given(st.recursive(st.one_of(st.text(max_size=8), st.integers(0, 99), st.none(), st.booleans()), lambda inner: st.dictionaries(st.text("abc", min_size=1, max_size=4), inner, max_size=3), max_leaves=6), numbers)  # fmt: skip
def test_round_trip(value, number):
    data = serialize({"x": value, "card_no": number, "y": value})
    (child,) = [child for child in peels(peel(data, ask())) if child.key == "card_no"]
    changed = apply_edits(data, child.hook.wrap([Edit(0, len(number), MASKED.encode() + b"\xc3\xa9")]))
    assert unserialize(changed) == unserialize(serialize({"x": value, "card_no": MASKED + "é", "y": value}))
