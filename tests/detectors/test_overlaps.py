from __future__ import annotations

import gzip

from detectors.model import PAN, TRACK_2


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
