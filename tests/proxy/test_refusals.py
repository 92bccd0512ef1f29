from __future__ import annotations

import json

import pytest

from proxy.metrics.series import UPSTREAM_REASONS
from proxy.refusals import REFUSALS, answer, problem, reason_phrase, restated, upstream_reason


@pytest.mark.parametrize("word", REFUSALS)
def test_each_row_is_a_whole_answer(word):
    row, raw = REFUSALS[word], answer(word)
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 %d %s" % (row.status, reason_phrase(row.status))
    assert b"content-length: %d" % len(body) in lines
    assert b"content-type: application/problem+json" in lines
    assert b"connection: close" in lines
    document = json.loads(body)
    assert document["type"] == f"urn:sekisho:problem:{word}"
    assert (document["title"], document["status"], document["detail"]) == (row.title, row.status, row.detail)
    assert document["instance"].startswith("urn:uuid:")


@pytest.mark.parametrize("word", REFUSALS)
def test_each_row_says_something(word):
    row = REFUSALS[word]
    assert 400 <= row.status <= 599
    assert row.title
    assert row.detail.endswith(".")
    assert reason_phrase(row.status)


def test_each_answer_is_its_own():
    assert problem("internal") != problem("internal")


def test_unknown_status_has_no_phrase():
    assert reason_phrase(599) == b""


@pytest.mark.parametrize(
    ("document", "options", "expected"),
    [
        (b'{"status": 422, "detail": "gap."}', {"status": 413}, {"status": 413, "detail": "gap."}),
        (b'{"status": 422, "detail": "gap."}', {"add": "More."}, {"status": 422, "detail": "gap. More."}),
        (b'{"status": 422}', {"add": "More."}, {"status": 422, "detail": "More."}),
    ],
)
def test_restated(document, options, expected):
    assert json.loads(restated(document, **options)) == expected


@pytest.mark.parametrize("document", [b"", b"not json", b"[1]", b'"text"', b"\xff"])
def test_what_is_no_document_stays_as_it_was(document):
    assert restated(document, status=413, add="More.") == document


@pytest.mark.parametrize(
    ("word", "error", "reason"),
    [
        ("upstream-unreachable", "[Errno 111] Connect call failed ('127.0.0.1', 1)", "refused"),
        ("upstream-unreachable", "Multiple exceptions: [Errno 111] Connect call failed, [Errno 99] x", "refused"),
        ("upstream-unreachable", "connection cancelled", "timeout"),
        ("upstream-unreachable", "Certificate verify failed: unable to get local issuer certificate", "tls"),
        ("upstream-unreachable", "The remote server does not speak TLS.", "tls"),
        ("upstream-unreachable", "[Errno -2] Name or service not known", "dns"),
        ("upstream-unreachable", "[Errno 104] Connection reset by peer", "reset"),
        ("upstream-unreachable", "[Errno 113] No route to host", "unreachable"),
        ("upstream-unreachable", "", "unreachable"),
        ("upstream-failed", "", "closed"),
        ("upstream-malformed", "", "protocol"),
        ("upstream-switched", "", "protocol"),
        ("anything", "", "protocol"),
    ],
)
def test_upstream_reason(word, error, reason):
    assert upstream_reason(word, error) == reason
    assert reason in UPSTREAM_REASONS
