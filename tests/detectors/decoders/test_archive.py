import gzip
import io
import tarfile
import zipfile

import docx
import openpyxl
import pytest

from detectors import Gap, Limits
from detectors.decoders.archive import is_archive, peel
from detectors.model import PAN
from detectors.redaction import redact
from tests.detectors.decoders.peeling import NUMBER, ask, peels

N = NUMBER.encode()


def zipped(entries):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in entries.items():
            archive.writestr(name, text)
    return out.getvalue()


def tarred(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, text in entries.items():
            head = tarfile.TarInfo(name)
            head.size = len(text)
            archive.addfile(head, io.BytesIO(text))
    return out.getvalue()


def workbook(*rows):
    book, out = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(out)
    return out.getvalue()


def document(*runs):
    text, out = docx.Document(), io.BytesIO()
    paragraph = text.add_paragraph("number ")
    for n, run in enumerate(runs):
        paragraph.add_run(run).bold = bool(n % 2)
    text.save(out)
    return out.getvalue()


@pytest.mark.parametrize(
    "data", [b"7z\xbc\xaf\x27\x1c\x00", b"Rar!\x1a\x07\x01", b"\x04\x22\x4d\x18", b"\x1f\x9d\x90", b"MSCF\0\0\0\0", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"]
)  # fmt: skip
def test_archives_that_are_not_read_are_gaps(data):
    assert is_archive(data)
    assert list(peel(data, ask())) == [Gap("archive", 0, len(data))]


@pytest.mark.parametrize(
    "data", [zipped({"a": N}), b"GIF89a" + zipped({"a": N}), tarred({"a": N}), b"%PDF-1.7\n<</Filter/FlateDecode>>"]
)
def test_archives_are_known_by_what_they_are(data):
    assert is_archive(data)


@pytest.mark.parametrize(
    "data", [b"", b"PK", b"%PDF-1.7 plain", b"BZh is a name", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"x" * 2000]
)
def test_other_files_are_none(data):
    assert not is_archive(data)
    assert peels(peel(data, ask())) == []


FILES = {
    "zip": (zipped({"a/b.json": b'{"card":{"number":"' + N + b'"}}'}), "a/b.json/$.card.number", ("zip",)),
    "zip in a zip": (zipped({"i.zip": zipped({"t": b"pan " + N})}), "i.zip/t", ("zip", "zip")),
    "file name": (zipped({f"{NUMBER}.pdf": b"x"}), "names", ("zip",)),
    "tar": (tarred({"x.csv": b"a,b\n1," + N}), "x.csv", ("tar",)),
    "tar.gz": (gzip.compress(tarred({"x": N}), mtime=0), "x", ("gzip", "tar")),
    "gz in a tar": (tarred({"x.gz": gzip.compress(N, mtime=0)}), "x.gz", ("tar", "gzip")),
    "xlsx text": (workbook(["name", NUMBER]), "xl/worksheets/sheet1.xml//worksheet/sheetData/row/c/is/t", ("zip",)),
    "xlsx number": (workbook([int(NUMBER)]), "xl/worksheets/sheet1.xml//worksheet/sheetData/row/c/v", ("zip",)),
    "docx": (document(NUMBER), "", ("zip",)),
    "docx in runs": (document("4111 ", "1111 11", "11 1111"), "", ("zip", "office")),
}


@pytest.mark.parametrize("name", FILES)
def test_what_archives_hold_is_found(inspector, name):
    data, path, trail = FILES[name]
    result = inspector.inspect(data)
    (finding,) = result.findings
    assert (finding.entity, finding.confidence, finding.trail) == (PAN, "high", trail)
    assert not path or finding.path == path
    assert result.gaps == ()
    assert 0 <= finding.start < finding.end <= len(data)
    assert not inspector.quiet(data)


@pytest.mark.parametrize("name", FILES)
def test_archives_are_not_put_back_but_for_tar(inspector, name):
    data = FILES[name][0]
    out = redact(data, inspector.inspect(data).findings, "mask")
    if name not in ("tar", "tar.gz"):
        assert out is None
        return
    assert len(out) > 100
    assert inspector.inspect(out).findings == ()
    assert redact(data, inspector.inspect(data).findings, "remove") is None


def test_nothing_in_an_ordinary_file_is_found(inspector):
    for data in (workbook(["order", 12], ["date", "2026-11-22"]), document("hello ", "world"), tarred({"a": b"text"})):
        assert inspector.inspect(data) == type(inspector.inspect(b""))((), ())
        assert not inspector.quiet(data)


def test_nesting_has_an_end(inspector):
    data = N
    for _ in range(9):
        data = zipped({"a": data})
    assert "too-deep" in [gap.reason for gap in inspector.inspect(data).gaps]


def test_a_zip_of_bombs_stays_within_the_limits(inspector):
    data = zipped({f"{n}": bytes(6_000_000) for n in range(3)})
    for limits, reason in ((Limits(expanded=10_000_000), "expanded"), (Limits(ratio=100), "ratio")):
        assert reason in {gap.reason for gap in inspector.inspect(data, limits=limits).gaps}
