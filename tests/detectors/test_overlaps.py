from __future__ import annotations

import gzip
from base64 import b64encode
from urllib.parse import quote

import pytest

from detectors import overlaps
from detectors.model import PAN, TRACK_2
from detectors.redaction import redact


def test_a_track_swallows_its_number(inspector):
    body = b";4111111111111111=30121010000?"
    assert [f.entity for f in inspector.inspect(body).findings] == [TRACK_2]


def test_a_number_seen_plain_and_decoded_is_one_finding(inspector):
    body = "4111111111111111 and 4111\u00a01111\u00a01111\u00a01111".encode()
    assert [(f.entity, f.start, f.end) for f in inspector.inspect(body).findings] == [(PAN, 0, 16), (PAN, 21, 43)]


def test_findings_inside_something_compressed_do_not_swallow_each_other(inspector):
    body = gzip.compress(b"4111111111111111 and 5555555555554444")
    assert [(f.masked, f.start, f.end) for f in inspector.inspect(body).findings] == [
        ("411111******1111", 0, len(body)),
        ("555555******4444", 0, len(body)),
    ]


def test_one_number_read_through_two_ways_of_decoding_is_one_finding(inspector):
    body = quote(b64encode(b" 4111111111111111 x"), safe="").encode()
    assert body.endswith(b"%3D")
    (finding,) = inspector.inspect(body).findings
    assert redact(body, [finding], "mask") is not None


def test_the_same_number_twice_inside_something_compressed_stays_two(inspector):
    coded = b64encode(b" 4111111111111111 x").decode()
    body = gzip.compress(f'{{"a":"{coded}","b":"{coded}"}}'.encode())
    assert [f.path for f in inspector.inspect(body).findings] == ["$.a", "$.b"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"holder_name": "TARO 3530111333300000"}',
        b'{"holder_name": "TARO 3530111333300000", "card": "5555555555554444"}',
        b'[{"name": "holder_name", "value": "TARO 3530111333300000"}]',
        b'{"columns": ["holder_name", "id"], "rows": [["TARO 3530111333300000", 1]]}',
        b"<table><tr><th>holder_name</th><th>id</th></tr><tr><td>TARO 3530111333300000</td><td>1</td></tr></table>",
        b'a:1:{s:11:"holder_name";s:21:"TARO 3530111333300000";}',
    ],
)
def test_a_number_in_the_place_of_the_name_is_a_number(inspector, body):
    at = body.index(b"3530")
    found = [(f.entity, f.start, f.end) for f in inspector.inspect(body).findings if f.end > at]
    assert (PAN, at, at + 16) in found
    assert all(start >= at + 16 for _, start, _ in set(found) - {(PAN, at, at + 16)})


@pytest.mark.parametrize("wrapped", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_one_number_in_many_places_is_compared_with_what_is_near(inspector, monkeypatch, wrapped):
    """A batch with the same number a thousand times, each in base64, took minutes."""
    compared = []

    def near(*where):
        compared.extend(found := look(*where))
        return found

    look = overlaps._near
    monkeypatch.setattr(overlaps, "_near", near)
    coded = b64encode(b"card 4111111111111111 x").decode()
    body = wrapped("\n".join(f'{{"id":{n},"message":"{coded}"}}' for n in range(50)).encode())
    assert [f.entity for f in inspector.inspect(body).findings] == [PAN] * 50
    assert len(compared) <= 4 * 50
