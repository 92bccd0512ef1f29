import pytest

from detectors.decoders.markup_table import peel
from detectors.redaction import redact
from tests.detectors.decoders.peeling import ask, fields

NUMBER = "9234567890123456"
"""No issuer's, and without a check digit: only a card's name makes it a number."""

TABLES = {
    "th": f"<table><thead><tr><th>id</th><th>Card No</th><th>CVV</th></tr></thead><tbody><tr><td>7</td><td>{NUMBER}</td><td>123</td></tr></tbody></table>",
    "td": f"<table><tr><td>id<td>Card No<td>CVV<tr><td>7<td>{NUMBER}<td>123</table>",
    "attributes and tags": f"<TABLE class=t>\n <TR class='h'>\n  <TH>id</TH> <TH scope=col><b>Card No</b> </TH>\n  <TH>CVV:</TH></TR>\n <TR>\n  <TD>&nbsp;</TD><TD><span>{NUMBER}</span></TD> <TD class=x> 123 </TD></TR></TABLE>",
    "japanese": f"<table><tr><th>カード番号</th><th>セキュリティコード</th></tr><tr><td>{NUMBER}</td><td>123</td></tr></table>",
    "names of several texts": f"<table><tr><th>Card<br>No</th><th>CVV <span>▲</span></th><th>expiry</th></tr><tr><td>{NUMBER}</td><td>123</td><td></td></tr></table>",
    "a far row": "<table><tr><th>Card No</th><th>CVV</th></tr>" + "<tr><td></td><td></td></tr>" * 300 + f"<tr><td>{NUMBER}</td><td>123</td></tr></table>",
    "opendocument": f"<table:table><table:table-row><table:table-cell><text:p>Card No</text:p></table:table-cell><table:table-cell><text:p>CVV</text:p></table:table-cell></table:table-row><table:table-row><table:table-cell><text:p>{NUMBER}</text:p></table:table-cell><table:table-cell><text:p>123</text:p></table:table-cell></table:table-row></table:table>",
    "excel 2003": f'<Row><Cell><Data ss:Type="String">Card No</Data></Cell><Cell><Data>CVV</Data></Cell></Row><Row><Cell><Data>{NUMBER}</Data></Cell><Cell><Data>123</Data></Cell></Row>',
    "docx": f"<w:tr><w:tc><w:p><w:t>Card No</w:t></w:p></w:tc><w:tc><w:p><w:t>CVV</w:t></w:p></w:tc></w:tr><w:tr><w:tc><w:p><w:t>{NUMBER}</w:t></w:p></w:tc><w:tc><w:p><w:t>123</w:t></w:p></w:tc></w:tr>",
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("content_type", ["text/html", ""])
def test_a_row_of_names_names_the_cells_below(inspector, name, content_type):
    data = TABLES[name].encode()
    found = inspector.inspect(data, content_type).findings
    assert [(f.entity, f.confidence, data[f.start : f.end]) for f in found] == [
        ("PAN", "high", NUMBER.encode()), ("SECURITY_CODE", "high", b"123"),
    ]  # fmt: skip
    left = redact(data, found, "mask")
    assert left == data.replace(NUMBER.encode(), b"923456******3456").replace(b">123", b">***").replace(
        b" 123", b" ***"
    )


def test_in_a_mail_behind_text(inspector):
    data = b"Hello,\n\nplease charge: <table><tr><th>CVV</th></tr><tr><td>123</td></tr></table>"
    assert [data[f.start : f.end] for f in inspector.inspect(data).findings] == [b"123"]


def test_what_counts_beside_a_card_number_is_of_the_same_row(inspector):
    data = (
        b"<table><tr><th>card</th><th>expiry</th><th>code</th></tr><tr><td>4111111111111111</td><td>12/30</td><td>123</td>"
        b"</tr><tr><td></td><td>11/29</td><td>456</td></tr></table>"
    )
    found = inspector.inspect(data, "text/html").findings
    assert [(f.entity, f.path) for f in found if f.entity != "PAN"] == [
        ("EXPIRY", "//tr[0].expiry"), ("SECURITY_CODE", "//tr[0].code"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "rows",
    [
        "<tr><th>id</th><th>CVV</th></tr><tr><td>123</td><td></td></tr>",
        "<tr><th>id</th><th>CVV</th></tr><tr><td>123</td><td>***</td></tr>",
        "<tr><th>id</th><th>CVV</th></tr><tr><td colspan=2>123</td></tr>",
        "<tr><th>id</th><th>CVV result</th></tr><tr><td>1</td><td>123</td></tr>",
        "<tr><th>CVV</th><td>required</td></tr><tr><th>HTTP</th><td>400</td></tr>",
        "<tr><td>card</td><td>a</td><td>b</td><td>c</td></tr><tr><td>4111</td><td>1111</td><td>1111</td><td>1111</td></tr>",
    ],
)
def test_other_cells_stay(inspector, rows):
    assert inspector.inspect(f"<table>{rows}</table>".encode(), "text/html").findings == ()


def test_cells_have_places_and_names():
    data = (
        b"<p>"
        + b"." * 99
        + b"</p><tr><th>x</th><th>CVV</th></tr><tr><td>"
        + b"a" * 99
        + b"</td><td>1&#50;3</td></tr><tr><td>b</td><td>9</td></tr>"
    )
    assert fields(peel(data, ask("", 1))) == [("//tr[0].CVV", "CVV", b"123"), ("//tr[1].CVV", "CVV", b"9")]
    assert [key for _, key, _ in fields(peel(data, ask()))] == ["x", "CVV", "x", "CVV"]


def test_cells_without_digits_are_passed_over():
    rows = b"".join(b"<tr><td>" + text + b"</td></tr>" for text in (b"***", b"none", b"1", b"&#50;"))
    data = b"<p>" + b"." * 99 + b"</p><tr><th>CVV</th></tr>" + rows
    assert [child for _, _, child in fields(peel(data, ask("", 1)))] == [b"1", b"2"]
