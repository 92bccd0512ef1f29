from __future__ import annotations

import gzip
import random

import pytest

from detectors import Inspector, Limits
from detectors.decoders import form, json_text, xml_text
from detectors.decoders.offsets import side_by_side
from detectors.model import Peel, View
from detectors.structures import structure_of
from detectors.walk import Walk, child_of, label_of

N = b"4111111111111111"


def peel(path: str, key: str = "", codec: str = "") -> Peel:
    return Peel(codec, b"v", side_by_side(0, 1), path, key)


def test_places_add_up_and_encodings_keep_the_place():
    value = child_of(View(b"v"), peel("$.m", "m"))
    decoded = child_of(value, peel("", codec="percent"))
    inner = child_of(decoded, peel("$.card.no", "no"))
    assert [(v.path, v.key, v.depth) for v in (value, decoded, inner)] == [
        ("$.m", "m", 0), ("$.m", "m", 1), ("$.m/$.card.no", "no", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "key", "label"),
    [
        ("$.card.number", "number", b"card.number: "),
        ("CardNo", "CardNo", b"cardno: "),
        ("", "", b""),
        ("$.name", "", b""),
    ],
)
def test_labels_read_like_text(path, key, label):
    assert label_of(View(b"v", path=path, key=key)) == label


@pytest.mark.parametrize(
    ("data", "content_type", "decoder"),
    [
        (b'{"a":1}', "", json_text.peel),
        (b" \n[1]", "text/plain", json_text.peel),
        (b'"x"', "application/json", json_text.peel),
        (b"<a/>", "application/json", xml_text.peel),
        (b"a=b&c=d", "", form.peel),
        (b"{}", "application/x-www-form-urlencoded", json_text.peel),
        (b"plain words", "text/plain", None),
        (b"a=b; c=d", "application/x-cookie", form.peel_cookies),
    ],
)  # fmt: skip
def test_structure_is_what_the_bytes_look_like(data, content_type, decoder):
    assert structure_of(View(data, content_type=content_type)) is decoder


@pytest.mark.parametrize(
    "body", [b'{"a":"x"} trailing ' + N, b"[1,2,3] " + N, b"a=b&c=d\n" + N, b"<a>x</a> " + N, b'{"a":"x' + N]
)
def test_what_stands_outside_of_every_value_is_read_too(inspector, body):
    (finding,) = inspector.inspect(body).findings
    assert body[finding.start : finding.end] == N


def test_views_within_views_end_in_a_gap(inspector):
    body = N
    for _ in range(60):
        body = b"<a x='" + body.replace(b"'", b"&#39;").replace(b"<", b"&lt;") + b"'/>"
    result = inspector.inspect(body)
    assert result.findings or result.gaps


@pytest.mark.parametrize(
    "island",
    ["wide text here".encode("utf-16-le") + b"\x00", b"\x1b$B#4#1\x1b(B", b"\xff\x1b(Babc\xfe" * 3],
)
def test_a_stretch_in_another_charset_does_not_stand_for_the_whole(inspector, island):
    body = b"\xff\xd8\x00\x01" + island + b"\xfe " + N + b" \xfe"
    assert [body[f.start : f.end] for f in inspector.inspect(body).findings] == [N]


def test_a_picture_with_a_stray_escape_sequence_costs_no_decoding(inspector):
    rng = random.Random(3)
    body = rng.randbytes(3_000_000) + b"\x1b$B" + rng.randbytes(100_000)
    result = inspector.inspect(body, "image/jpeg", limits=Limits(seconds=15))
    assert "timeout" not in [gap.reason for gap in result.gaps]


def test_what_decodes_in_every_order_is_looked_at_so_often_and_no_more(monkeypatch):
    """Percent signs, references, escapes and full-width digits side by side can be undone in any order."""
    spelled = "".join(form % code for form in ("%%%02x", "&#%d;", "\\u%04x", "=%02X") for code in N)
    wide = "".join(chr(0xFEE0 + code) for code in N)
    body = "".join(f"{n} %255Cu0034%26%2349; =25=34 {spelled} {wide}\n" for n in range(8)).encode()
    looks = []
    look = Walk._look

    def noted(walk, view, *rest):
        looks.append(len(view.data))
        return look(walk, view, *rest)

    monkeypatch.setattr(Walk, "_look", noted)
    found = Inspector(limits=Limits(readings=4, seconds=60)).inspect(body)
    assert "too-many-readings" in {gap.reason for gap in found.gaps}
    assert len(found.findings) >= 8
    assert sum(looks) <= 6 * max(len(body), 4096)


@pytest.mark.parametrize(("size", "gaps"), [(10_000, []), (8 * 1024 * 1024, ["ratio"])])
def test_nothing_is_looked_for_among_nuls(inspector, monkeypatch, size, gaps):
    looked: list[int] = []
    monkeypatch.setattr("detectors.sieve.Sieve.scan", lambda _, data: looked.append(len(data)))
    found = inspector.inspect(gzip.compress(bytes(size)), "", "gzip")
    assert ([gap.reason for gap in found.gaps], looked) == (gaps, [])
    assert not inspector.inspect(gzip.compress(bytes(10) + b"1"), "", "gzip").gaps
    assert looked
