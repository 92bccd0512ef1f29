import base64 as standard
import gzip
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.base64 import decode_run, peel
from detectors.model import OutOfTime
from tests.detectors.decoders.peeling import MASKED, NUMBER, Plenty, ask, few, holding, located, numbers, peels, put

TEXT = b'{"card": "' + NUMBER.encode() + b'"}?>?'
B64 = standard.b64encode(TEXT)
URL = standard.urlsafe_b64encode(TEXT)


@pytest.mark.parametrize("spelled", [B64, URL, B64.rstrip(b"="), URL.rstrip(b"=")])
@pytest.mark.parametrize(
    "frame", [b"%s", b"Authorization: Basic %s", b'{"a":"%s"}', b"data:;base64,%s", b"x=%s&y", b"a %s. b"]
)
def test_a_run_in_any_text(spelled, frame):
    data = frame % spelled
    (child,) = peels(peel(data, ask()))
    assert (child.codec, child.data) == ("base64", TEXT)
    assert located(data, child, b"card") == spelled
    changed = put(data, child, NUMBER.encode(), MASKED.encode())
    before, after = frame.split(b"%s")
    inside = changed[len(before) : len(changed) - len(after)]
    assert standard.urlsafe_b64decode(inside.translate(bytes.maketrans(b"+/", b"-_")) + b"==") == TEXT.replace(
        NUMBER.encode(), MASKED.encode()
    )
    assert inside.endswith(b"=") == (
        spelled.endswith(b"=") and len(TEXT.replace(NUMBER.encode(), MASKED.encode())) % 3 > 0
    )
    assert not re.search(rb"[-_]" if spelled in (B64, B64.rstrip(b"=")) else rb"[+/]", inside)


@pytest.mark.parametrize(
    "between",
    [b"\r\n", b"\n", b"\n    ", b"\\n", b"\\r\\n", b"\\\\n"],
    ids=["crlf", "lf", "indented", "escaped", "escaped-crlf", "twice"],
)
@pytest.mark.parametrize("width", [20, 64, 76])
def test_line_breaks(between, width):
    text = TEXT * 5
    lines = standard.b64encode(text)
    lines = between.join(lines[i : i + width] for i in range(0, len(lines), width))
    data = b'"' + lines + b'"'
    (child,) = peels(peel(data, ask()))
    assert child.data == text
    changed = put(data, child, TEXT * 4, b"")
    again = standard.b64encode(TEXT)
    assert changed == b'"' + between.join(again[i : i + width] for i in range(0, len(again), width)) + b'"'


@pytest.mark.parametrize("prefix", ["/pay/", "/p/", "/pa/", "session_", "a-", "x+y/z/"])
def test_text_of_the_same_alphabet_before_it_does_not_shift_it_away(prefix):
    data = b"GET " + prefix.encode() + standard.b64encode(b"no " + NUMBER.encode()) + b" HTTP"
    found = [child for child in peels(peel(data, ask())) if NUMBER.encode() in child.data]
    assert len(found) == 1
    changed = put(data, found[0], NUMBER.encode(), MASKED.encode())
    assert changed == b"GET " + prefix.encode() + standard.b64encode(b"no " + MASKED.encode()) + b" HTTP"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"short", b"NDExMTEx", b"internationalization of antidisestablishmentarianism",
        b"d41d8cd98f00b204e9800998ecf8427e", b"550e8400-e29b-41d4-a716-446655440000", b"/usr/share/dict/american-english-huge",
    ],
)  # fmt: skip
def test_names_hashes_and_paths_are_left_alone(data):
    assert peels(peel(data, ask())) == []


def test_compression_inside_is_passed_on():
    for packed in (gzip.compress(TEXT, mtime=0), b"x\x9c" + bytes(range(128, 200))):
        (child,) = peels(peel(standard.b64encode(packed), ask()))
        assert child.data == packed


def test_text_in_japanese_is_passed_on():
    text = "カード番号はのちほどお知らせします".encode()
    assert [child.data for child in peels(peel(standard.b64encode(text), ask()))] == [text]


@pytest.mark.parametrize(
    "spelled",
    [
        B64[:-2] + b"-_" + B64,
        B64.rstrip(b"=") + b"A" * (5 - len(B64.rstrip(b"=")) % 4),
        b"NDExMTExMTExMTExMTEx" + b"MR",
    ],
)
def test_what_is_not_canonical_is_read_and_not_put_back(spelled):
    (child, *_) = peels(peel(spelled, ask()))
    assert b"4111" in child.data
    assert child.hook.wrap([]) is None


def test_a_web_token_is_read_and_not_put_back():
    def piece(value):
        return standard.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    token = piece({"alg": "HS256"}) + b"." + piece({"card": NUMBER}) + b".c2lnbmF0dXJlX3NpZ25hdHVyZQ"
    data = b"Bearer " + token + b" " + B64
    found = peels(peel(data, ask()))
    assert [(child.codec, child.data) for child in found][:2] == [
        ("jwt", b'{"alg": "HS256"}'), ("jwt", json.dumps({"card": NUMBER}).encode()),
    ]  # fmt: skip
    assert put(data, found[1], NUMBER.encode(), b"") is None
    assert located(data, found[1], b"card") == token.split(b".")[1]
    assert (found[-1].codec, found[-1].data) == ("base64", TEXT)


def test_only_what_the_hits_ask_for():
    data = B64 + b" " + b"." * 100 + b" " + URL + b" " + b"." * 100 + B64
    assert [located(data, child, b"card") for child in peels(peel(data, ask("", data.index(URL) + 20)))] == [URL]


@pytest.mark.parametrize(
    ("raw", "data"),
    [
        (b"NDEx", b"411"),
        (b"NDE", b"41"),
        (b"ND", b"4"),
        (b"N", b""),
        (b"", b""),
        (b"ND==NDEx", b"4411"),
        (b"N D\nE*x", b"411"),
        (b"==", b""),
    ],
)
def test_a_lenient_decoder_reads_what_it_can(raw, data):
    assert decode_run(raw)[0] == data


@few
@given(st.binary(max_size=60), numbers, st.binary(max_size=60), st.booleans(), st.booleans())
def test_round_trip(before, number, after, url_safe, padded):
    text = before.translate(None, b"0123456789") + b"<" + number.encode() + b">" + after.translate(None, b"0123456789")
    spelled = standard.urlsafe_b64encode(text) if url_safe else standard.b64encode(text)
    data = b"token: " + (spelled if padded else spelled.rstrip(b"=")) + b" end"
    child = holding((child for child in peel(data, ask()) if child.hook.start == 7), number.encode())
    assert child.data == text
    changed = put(data, child, number.encode(), MASKED.encode())
    inside = changed[7:-4]
    decode = standard.urlsafe_b64decode if url_safe else standard.b64decode
    assert decode(inside + b"=" * (-len(inside) % 4)) == text.replace(number.encode(), MASKED.encode())


@pytest.mark.parametrize("width", [20, 32, 76])
@pytest.mark.parametrize("between", [b" ", b"  ", b"\t"])
def test_blanks_where_line_breaks_were(width, between):
    lines = standard.b64encode(TEXT * 5)
    data = b"body: " + between.join(lines[i : i + width] for i in range(0, len(lines), width)) + b" and so on"
    child = holding(peel(data, ask()), TEXT * 5)
    changed = put(data, child, TEXT * 4, b"")
    again = standard.b64encode(TEXT)
    assert changed is None or changed.startswith(
        b"body: " + between.join(again[i : i + width] for i in range(0, len(again), width))
    )


def test_words_are_not_joined():
    assert peels(peel(b"internationalization accommodates characteristics of internationalization", ask())) == []


def test_a_short_code_of_basic_authorization(inspector):
    (finding,) = inspector.inspect(b"Authorization: Basic " + standard.b64encode(b"cvv:123")).findings
    assert (finding.entity, finding.trail) == ("SECURITY_CODE", ("base64",))


def test_a_run_of_many_megabytes_stops_at_the_limit():
    budget = Plenty(checks=3)
    with pytest.raises(OutOfTime):
        list(peel(standard.b64encode(bytes(range(256)) * 64), ask(budget=budget)))
