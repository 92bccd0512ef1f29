from __future__ import annotations

import re

import pytest

from proxy.scrub import LONGEST, last_four, safe_mask, scrub, scrub_id, scrub_path, scrub_traceparent

PAN = "4111111111111111"


def quiet(data: bytes) -> bool:
    """A small inspector: sixteen digits in a row, also percent-encoded or in full width, are not quiet."""
    plain = re.sub(rb"%3([0-9])", rb"\1", data)
    wide = re.sub(r"[^0-9]", "", plain.decode("utf-8", "ignore").translate({0xFF10 + n: 48 + n for n in range(10)}))
    return not (re.search(rb"[0-9]{16}", plain) or (b"\xef\xbc" in data and len(wide) >= 16))


def loud(_: bytes) -> bool:
    return False


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("", ""),
        ("$.card.number", "$.card.number"),
        ("$.orders[12].note", "$.orders[12].note"),
        ("1234567", "1234567"),
        ("12345678", "***"),
        (f"$['{PAN}'].x", "$['***'].x"),
        ("4111-1111-1111-1111", "***"),
        ("4111 1111 1111 1111 note", "*** note"),
        ("４１１１１１１１１１１１１１１１", "***"),
        ("４１１１１１１１１１１１１１１１".encode().decode("latin-1"), "***"),
        ("a" * (LONGEST + 9), "a" * LONGEST),
        ("\ud800", "\ud800"),
    ],
)
def test_scrub(text, clean):
    assert scrub(text, quiet) == clean


def test_what_cannot_be_looked_at_is_hidden():
    assert scrub("$.card", loud) == "***"
    assert scrub_id("abc", loud) == "***"
    assert scrub_path("/orders", (), loud) == "/***"
    assert scrub_traceparent("00-" + "a" * 32 + "-" + "b" * 16 + "-01", loud) == "***"
    assert scrub("", loud) == scrub_id("", loud) == scrub_path("", (), loud) == ""


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("7d444840-9dc0-41d1-b245-5ffdce74fad2", "7d444840-9dc0-41d1-b245-5ffdce74fad2"),
        ("1829384756", "1829384756"),
        (PAN, "***"),
        ("line\nbreak", "***"),
        ("x" * (LONGEST + 1), "***"),
    ],
)
def test_scrub_id(text, clean):
    assert scrub_id(text, quiet) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
        (f"00-{PAN}{'a' * 16}-00f067aa0ba902b7-01", "***"),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n", ""),
        ("anything", ""),
        ("", ""),
    ],
)
def test_scrub_traceparent(text, clean):
    assert scrub_traceparent(text, quiet) == clean


PATHS = [
    ("plain", "/loki/api/v1/push", (), "/loki/api/v1/push"),
    ("root", "/", (), "/"),
    ("a number", f"/cards/{PAN}/charge", (), "/cards/***/charge"),
    ("percent-encoded number", "/cards/" + "".join(f"%3{d}" for d in PAN), (), "/cards/***"),
    ("twice encoded number", "/cards/" + "".join(f"%253{d}" for d in PAN), (), "/cards/***"),
    ("eight digits", "/logs/20261105/app", (), "/logs/***/app"),
    ("seven digits", "/orders/1234567", (), "/orders/1234567"),
    ("a finding of another kind", "/cvv/123/x", ((5, 8),), "/cvv/***/x"),
    ("a finding over two segments", "/a/bcd/efg/h", ((4, 9),), "/a/***/***/h"),
    ("a finding's neighbours stay", "/a/b/c", ((3, 4),), "/a/***/c"),
    ("a number split over segments", "/4111/1111/1111/1111", (), "/***"),
    ("never the query", f"/search?q={PAN}", (), "/search"),
    ("never the fragment", f"/search#{PAN}", (), "/search"),
    ("Latin-1 bytes count as one", "/é/cvv123/x", ((3, 9),), "/é/***/x"),
    ("no path at all", "*", (), "*"),
    ("long", "/" + "a" * (LONGEST * 2), (), "/" + "a" * (LONGEST - 1)),
]


@pytest.mark.parametrize(("path", "spans", "clean"), [row[1:] for row in PATHS], ids=[row[0] for row in PATHS])
def test_scrub_path(path, spans, clean):
    assert scrub_path(path, spans, quiet) == clean


def test_a_path_costs_what_is_recorded_of_it():
    """A path that is all slashes, and one with a finding in every segment: the loop waits for neither."""
    asked = []

    def counting(data):
        asked.append(data)
        return True

    assert scrub_path("/" * 60_000, (), counting) == "/" * LONGEST
    assert len(asked) < 4 * LONGEST
    spans = [(at + 1, at + 4) for at in range(0, 60_000, 4)]
    assert scrub_path("/abc" * 15_000, spans, counting) == ("/***" * LONGEST)[:LONGEST]
    assert scrub_path("/abc" * 15_000, spans[1:], counting).startswith("/abc/***/")


MASKS = [
    ("first six, last four", "PAN", "411111******1111", "411111******1111"),
    ("last four", "PAN", "************1111", "************1111"),
    ("all hidden", "PAN", "***", "***"),
    ("nineteen digits", "PAN", "411111*********1111", "411111*********1111"),
    ("too many in front", "PAN", "4111111*****1111", "***"),
    ("too many behind", "PAN", "411111*****11111", "***"),
    ("hardly hidden", "PAN", "411111*1111", "***"),
    ("not masked at all", "PAN", PAN, "***"),
    ("two of them", "PAN", "411111******1111 411111******1111", "***"),
    ("a security code", "SECURITY_CODE", "*23", "***"),
    ("track data", "TRACK_2", "411111******1111", "***"),
    ("empty", "PAN", "", "***"),
    ("other digits", "PAN", "٤١١١١١******1111", "***"),
]


@pytest.mark.parametrize(("entity", "masked", "safe"), [row[1:] for row in MASKS], ids=[row[0] for row in MASKS])
def test_safe_mask(entity, masked, safe):
    assert safe_mask(entity, masked) == safe


@pytest.mark.parametrize(
    ("masked", "shown"),
    [
        ("411111******1111", "************1111"),
        ("************1111", "************1111"),
        ("***", "***"),
        ("411111****", "**********"),
    ],
)
def test_last_four(masked, shown):
    assert last_four(masked) == shown
